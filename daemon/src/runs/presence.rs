//! Who is at a run's terminal right now, over however many connections. Knows no terminal.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many may be at one terminal: each has two of the 64 connections that its supervisor takes.
pub(super) const PRESENT_MAX: usize = 24;

/// The attachments that are there, or whose connection broke just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence(Arc<Mutex<Present>>);

#[derive(Debug, Default)]
struct Present {
    /// The newest connection of each attachment.
    newest: HashMap<String, u64>,
    connections_ever: u64,
}

/// One connection of an attachment, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    presence: Presence,
    id: String,
    number: u64,
}

impl Presence {
    /// Takes note of another connection of an attachment; none where too many others are there.
    pub(super) fn come(&self, id: &str) -> Option<Place> {
        let mut present = self.present();
        if present.newest.len() >= PRESENT_MAX && !present.newest.contains_key(id) {
            return None;
        }
        present.connections_ever += 1;
        let number = present.connections_ever;
        present.newest.insert(id.to_owned(), number);
        Some(Place { presence: self.clone(), id: id.to_owned(), number })
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
        let is_newest = present.newest.get(&self.id) == Some(&self.number);
        if is_newest {
            present.newest.remove(&self.id);
        }
        is_newest
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
        let again = come("a");
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
