//! What the rest of the daemon sees of one run: its published state and a way to ask for things.

use std::sync::{PoisonError, RwLock};

use handoff_proto::{run::Run, wire};
use tokio::sync::{mpsc, oneshot, watch};

use super::{AnswerError, keyboard::Keyboard, presence::Presence};

/// How many requests may wait for a driver that is busy preparing.
const REQUESTS_MAX: usize = 16;

/// A run as published by its driver.
#[derive(Debug)]
pub struct Live {
    run: watch::Sender<Run>,
    output: watch::Sender<OutputEnd>,
    /// Where the driver takes requests; another one for each turn.
    requests: RwLock<mpsc::Sender<Request>>,
    keyboard: Keyboard,
    presence: Presence,
}

/// How a run's output stands; changes whenever there is more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputEnd {
    /// Whether nothing more will come.
    pub closed: bool,
}

/// What may be asked of a driver.
#[derive(Debug)]
pub enum Request {
    /// End the run.
    Stop {
        /// Who asked.
        by: String,
    },
    /// Pass an answer on to the agent.
    Answer {
        /// The question that is meant; empty means whatever the run waits for.
        id: String,
        /// What is answered.
        answer: wire::answer_request::What,
        /// Who answers.
        by: String,
        /// Told once it is recorded, or why it is not taken.
        reply: oneshot::Sender<Result<(), AnswerError>>,
    },
    /// Pass on what the user says.
    Say {
        /// What.
        said: wire::Said,
        /// Told whether it is recorded; if not, the turn is over.
        reply: oneshot::Sender<bool>,
    },
    /// Record that somebody sits at its terminal.
    Attached(wire::Attached),
    /// Record that they have left.
    Detached(wire::Detached),
}

impl Live {
    /// Starts publishing a run; the receiver is its driver's.
    pub(super) fn new(run: Run) -> (Self, mpsc::Receiver<Request>) {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let closed = run.is_finished();
        let live = Self {
            run: watch::Sender::new(run),
            output: watch::Sender::new(OutputEnd { closed }),
            requests: RwLock::new(requests),
            keyboard: Keyboard::default(),
            presence: Presence::default(),
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

    /// Follows the run's output.
    #[must_use]
    pub fn output(&self) -> watch::Receiver<OutputEnd> {
        self.output.subscribe()
    }

    /// Asks the driver for something; returns false when there is no driver any more.
    pub(super) async fn ask(&self, request: Request) -> bool {
        self.requests().send(request).await.is_ok()
    }

    /// Waits until the driver of a run that has finished has tidied up.
    pub(super) async fn driven_to_the_end(&self) {
        self.requests().closed().await;
    }

    /// The keyboard of its terminal.
    pub(super) const fn keyboard(&self) -> &Keyboard {
        &self.keyboard
    }

    /// Who is at its terminal.
    pub(super) const fn presence(&self) -> &Presence {
        &self.presence
    }

    fn requests(&self) -> mpsc::Sender<Request> {
        self.requests.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets a run that has finished go on; the receiver is its next driver's.
    pub(super) fn go_on(&self, run: Run) -> mpsc::Receiver<Request> {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        *self.requests.write().unwrap_or_else(PoisonError::into_inner) = requests;
        self.output.send_modify(|end| end.closed = false);
        self.publish(run);
        receiver
    }

    pub(super) fn publish(&self, run: Run) {
        self.run.send_replace(run);
    }

    /// Tells that there is more output.
    pub(super) fn publish_output(&self) {
        self.output.send_modify(|_| ());
    }

    pub(super) fn close_output(&self) {
        self.output.send_modify(|end| end.closed = true);
    }
}
