//! The directories that are still to be visited, shared by the threads of a walk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::visit::Visit;

/// A queue that ends when it is empty and no thread can add to it any more.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The last one is next, so that few directories wait at a time.
    waiting: Vec<Visit>,
    /// How many visits are under way.
    busy: usize,
    /// How many visits were ever queued.
    numbered: usize,
    stopped: bool,
}

/// A visit under way. When it is dropped, also by a panic, nothing more comes of it.
pub(super) struct Turn<'a> {
    queue: &'a Queue,
}

impl Queue {
    pub(super) fn new(first: Visit) -> Self {
        let state = State { waiting: vec![first], busy: 0, numbered: 1, stopped: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The next directory; `None` when all are done or the walk was stopped.
    pub(super) fn next(&self) -> Option<(Visit, Turn<'_>)> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(visit) = state.waiting.pop() {
                state.busy += 1;
                return Some((visit, Turn { queue: self }));
            }
            if state.busy == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues directories and returns the number of the first; the others follow it.
    pub(super) fn add(&self, visits: Vec<Visit>) -> usize {
        let mut state = self.lock();
        let first = state.numbered;
        state.numbered += visits.len();
        let numbered = visits.into_iter().zip(first..);
        state.waiting.extend(numbered.map(|(visit, number)| Visit { number, ..visit }));
        drop(state);
        self.changed.notify_all();
        first
    }

    /// Ends the walk for all threads.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// How many visits were ever queued.
    pub(super) fn numbered(&self) -> usize {
        self.lock().numbered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step between taking and giving back leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.busy -= 1;
        let is_last = state.busy == 0 && state.waiting.is_empty();
        drop(state);
        if is_last {
            self.queue.changed.notify_all();
        }
    }
}
