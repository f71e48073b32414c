//! What the rest of the daemon sees of one run: its published state and a way to ask for things.

use handoff_proto::run::Run;
use tokio::sync::{mpsc, watch};

/// How many requests may wait for a driver that is busy preparing.
const REQUESTS_MAX: usize = 16;

/// A run as published by its driver.
#[derive(Debug)]
pub struct Live {
    run: watch::Sender<Run>,
    output: watch::Sender<OutputEnd>,
    requests: mpsc::Sender<Request>,
}

/// How far a run's output reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputEnd {
    /// Position after the last record known.
    pub position: u64,
    /// Whether nothing more will come.
    pub closed: bool,
}

/// What may be asked of a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// End the run.
    Stop {
        /// Who asked.
        by: String,
    },
}

impl Live {
    /// Starts publishing a run; the receiver is its driver's.
    pub(super) fn new(run: Run) -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let closed = run.is_finished();
        let live = Self {
            run: watch::Sender::new(run),
            output: watch::Sender::new(OutputEnd { position: 0, closed }),
            requests,
        };
        (live, receiver)
    }

    /// The run as it stands.
    #[must_use]
    pub fn run(&self) -> Run {
        self.run.borrow().clone()
    }

    /// Looks at the run without copying it.
    pub fn with<T>(&self, look: impl FnOnce(&Run) -> T) -> T {
        look(&self.run.borrow())
    }

    /// Follows the run's state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Run> {
        self.run.subscribe()
    }

    /// Follows how far the run's output reaches.
    #[must_use]
    pub fn output(&self) -> watch::Receiver<OutputEnd> {
        self.output.subscribe()
    }

    /// Asks the driver for something; returns false when there is no driver any more.
    pub(super) async fn ask(&self, request: Request) -> bool {
        self.requests.send(request).await.is_ok()
    }

    pub(super) fn publish(&self, run: Run) {
        self.run.send_replace(run);
    }

    pub(super) fn publish_output(&self, position: u64) {
        self.output.send_modify(|end| end.position = end.position.max(position));
    }

    pub(super) fn close_output(&self) {
        self.output.send_modify(|end| end.closed = true);
    }
}
