//! One call at a time for each idempotency key: a retry takes the place of the call that it repeats.
//!
//! A client that lost its connection calls again long before the daemon notices. The new call must
//! not ask for content that the old one is still making durable, so it has the old one stop
//! receiving, and waits until that has kept what it had.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::store::UserName;

/// The calls that are going on. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::rpc) struct Calls(Arc<Mutex<HashMap<Key, Place>>>);

type Key = (UserName, Vec<u8>);

/// Where the calls with one key stand.
#[derive(Debug)]
struct Place {
    /// Held by the call whose turn it is.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled when a newer call comes.
    newest: CancellationToken,
}

/// A call's turn; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    calls: Calls,
    key: Key,
    superseded: CancellationToken,
    held: Option<OwnedMutexGuard<()>>,
}

impl Calls {
    /// Has an older call with this key stop receiving, and waits until it has ended.
    pub(super) async fn take_over(&self, user: &UserName, key: &[u8]) -> Turn {
        let superseded = CancellationToken::new();
        let key = (user.clone(), key.to_vec());
        let turn = match self.places().entry(key.clone()) {
            Entry::Vacant(place) => {
                let turn = Arc::default();
                place.insert(Place { turn: Arc::clone(&turn), newest: superseded.clone() });
                turn
            }
            Entry::Occupied(mut place) => {
                let place = place.get_mut();
                std::mem::replace(&mut place.newest, superseded.clone()).cancel();
                Arc::clone(&place.turn)
            }
        };
        let held = Some(turn.lock_owned().await);
        Turn { calls: self.clone(), key, superseded, held }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Key, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until a newer call wants the turn.
    pub(super) fn superseded(&self) -> &CancellationToken {
        &self.superseded
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.calls.places();
        self.held = None;
        if places.get(&self.key).is_some_and(|place| Arc::strong_count(&place.turn) == 1) {
            places.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_call_waits_for_the_older_one_which_is_told() {
        let (calls, ada) = (Calls::default(), UserName::parse("ada").unwrap());
        let older = calls.take_over(&ada, b"key").await;
        let other = calls.take_over(&ada, b"other key").await;
        assert!(!older.superseded().is_cancelled());
        let mut newer = Box::pin(calls.take_over(&ada, b"key"));
        tokio::select! {
            biased;
            _ = &mut newer => panic!("two calls at a time"),
            () = older.superseded().cancelled() => {}
        }
        drop(older);
        let newer = newer.await;
        assert!(!newer.superseded().is_cancelled() && !other.superseded().is_cancelled());
        drop((newer, other));
        assert!(calls.places().is_empty(), "nothing is left of calls that ended");
    }
}
