//! Who has the keyboard of a run's terminal: one at a time. Knows no terminal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The keyboard of one run. It is nobody's again after a restart of the daemon.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyboard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    holder: Option<Holder>,
    holds_ever: u64,
}

#[derive(Debug)]
struct Holder {
    /// Which attachment, however often it has connected.
    id: String,
    number: u64,
    taken: CancellationToken,
}

/// The right to type, until it is dropped or taken.
#[derive(Debug)]
pub(crate) struct Hold {
    keyboard: Keyboard,
    number: u64,
    taken: CancellationToken,
}

/// What to do about somebody who has the keyboard already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Leave it to them.
    Polite,
    /// Leave it to them, and look on: whoever had it before and comes back.
    Yielding,
    /// Take it.
    TakeOver,
}

impl Keyboard {
    /// Takes the keyboard for an attachment; none where another one has it. An attachment whose
    /// connection was made again takes it from its own former self.
    pub(super) fn take(&self, id: &str, manners: Manners) -> Option<Hold> {
        let mut state = self.state();
        let held = state.holder.as_ref().is_some_and(|holder| holder.id != id);
        if held && manners != Manners::TakeOver {
            return None;
        }
        if let Some(former) = state.holder.take() {
            former.taken.cancel();
        }
        let (number, taken) = (state.holds_ever, CancellationToken::new());
        state.holds_ever += 1;
        state.holder = Some(Holder { id: id.to_owned(), number, taken: taken.clone() });
        Some(Hold { keyboard: self.clone(), number, taken })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Waits until somebody else takes the keyboard.
    pub(crate) async fn taken(&self) {
        self.taken.cancelled().await;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.keyboard.state();
        if state.holder.as_ref().is_some_and(|holder| holder.number == self.number) {
            state.holder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_it_is_dropped_or_taken() {
        let keyboard = Keyboard::default();
        let first = keyboard.take("a", Manners::Polite).expect("nobody has it");
        assert!(keyboard.take("b", Manners::Polite).is_none());
        assert!(keyboard.take("b", Manners::Yielding).is_none());
        let second = keyboard.take("b", Manners::TakeOver).expect("taken");
        assert!(first.taken.is_cancelled() && !second.taken.is_cancelled());
        drop(first);
        assert!(keyboard.take("c", Manners::Polite).is_none(), "the former holder frees nothing");
        drop(second);
        keyboard.take("c", Manners::Polite).expect("nobody has it");
    }

    #[test]
    fn nobody_is_in_their_own_way() {
        let keyboard = Keyboard::default();
        let lost = keyboard.take("a", Manners::Polite).expect("nobody has it");
        let again = keyboard.take("a", Manners::Polite).expect("it is the same one");
        assert!(lost.taken.is_cancelled() && !again.taken.is_cancelled());
    }
}
