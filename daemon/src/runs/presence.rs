//! Who is at a run's terminal right now, over however many connections. Knows no terminal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// How many may be at one terminal: each has two of the 64 connections that its supervisor takes.
pub(super) const PRESENT_MAX: usize = 24;

/// The attachments that are there, or whose connection broke just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<Mutex<Present>>);

#[derive(Debug, Default)]
struct Present {
    /// The newest connection of each attachment.
    newest: HashMap<String, Newest>,
    connections_ever: u64,
}

#[derive(Debug)]
struct Newest {
    number: u64,
    replaced: CancellationToken,
}

/// One connection of an attachment, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    presence: Presence,
    id: String,
    number: u64,
    replaced: CancellationToken,
    comes_back: bool,
}

impl Presence {
    /// Takes note of another connection of an attachment, which replaces its former one; none where
    /// too many others are there.
    pub(super) fn come(&self, id: &str) -> Option<Place> {
        let mut present = self.present();
        if present.newest.len() >= PRESENT_MAX && !present.newest.contains_key(id) {
            return None;
        }
        present.connections_ever += 1;
        let (number, replaced) = (present.connections_ever, CancellationToken::new());
        let newest = Newest { number, replaced: replaced.clone() };
        let former = present.newest.insert(id.to_owned(), newest);
        let comes_back = former.is_some();
        if let Some(former) = former {
            former.replaced.cancel();
        }
        Some(Place { presence: self.clone(), id: id.to_owned(), number, replaced, comes_back })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Lets go; tells whether the attachment goes with it, which does not if it has come back by
    /// another connection.
    pub(super) fn leave(&self) -> bool {
        let mut present = self.presence.present();
        let newest = present.newest.get(&self.id);
        let is_newest = newest.is_some_and(|newest| newest.number == self.number);
        if is_newest {
            present.newest.remove(&self.id);
        }
        is_newest
    }

    /// Is cancelled once the attachment has come back by another connection: this one is to end.
    pub(super) const fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }

    /// Whether the attachment was there already.
    pub(super) const fn comes_back(&self) -> bool {
        self.comes_back
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_by_another_connection_has_not_gone() {
        let presence = Presence::default();
        let come = |id: &str| presence.come(id).expect("there is room");
        let (first, other) = (come("a"), come("b"));
        assert!(!first.comes_back() && !first.replaced().is_cancelled());
        let again = come("a");
        assert!(again.comes_back() && !again.replaced().is_cancelled());
        assert!(first.replaced().is_cancelled(), "one connection of each is enough");
        assert!(!other.replaced().is_cancelled());
        assert!(!first.leave());
        assert!(again.leave());
        assert!(!again.leave());
        drop(other);
        assert!(presence.present().newest.is_empty());
    }

    #[test]
    fn so_many_are_let_in_and_those_who_are_there_come_back() {
        let presence = Presence::default();
        let places: Vec<Place> =
            (0..PRESENT_MAX).map(|id| presence.come(&id.to_string()).expect("room")).collect();
        assert!(presence.come("another").is_none());
        let again = presence.come("0").expect("it is there");
        drop(places);
        assert!(presence.come("another").is_some());
        assert!(again.leave(), "its former connection did not take it along");
    }
}
