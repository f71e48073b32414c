//! The one fold: the only place where an event changes a run. Pure; used live and on recovery.

use std::num::NonZeroU32;

use thiserror::Error;

use super::{
    AgentAccount, Contract, Ending, Event, Exit, HarvestRecord, Record, Recorded, RunId, RunName,
    Seats, State, WorkTime,
};
use crate::{manifest::SnapshotId, wire};

/// Denials that are remembered of a run: whoever is denied more is denied for the same reasons.
pub const DENIED_MAX: usize = 64;

/// APIs whose use is remembered of a run; daemons have a handful.
pub const USED_MAX: usize = 64;

/// A run as its events say.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The run.
    pub id: RunId,
    /// Its name.
    pub name: RunName,
    /// Whose run it is.
    pub user: String,
    /// The key under which its owner handed it off.
    pub idempotency_key: Vec<u8>,
    /// The tree that it started from.
    pub snapshot: SnapshotId,
    /// What it may do.
    pub contract: Contract,
    /// Where it stands.
    pub state: State,
    /// How its command ended, once it has.
    pub exit: Option<Exit>,
    /// What its harvest brought, once there was one.
    pub harvest: Option<HarvestRecord>,
    /// What kept its command in, once it started.
    pub isolation: wire::Isolation,
    /// Whether its owner asked for its end.
    pub stop_requested: bool,
    /// The newest claim.
    pub epoch: u64,
    /// The uid that the newest claim chose for the run's files and processes.
    pub host_uid: Option<NonZeroU32>,
    /// Whether output went past its limit.
    pub output_limited: bool,
    /// What it wanted to reach and was not let, each once, the first [`DENIED_MAX`].
    pub denied: Vec<wire::Denied>,
    /// What it used of APIs, the newest account of each, of the first [`USED_MAX`].
    pub used: Vec<wire::Used>,
    /// The number of the job that runs its command, from 1: each turn, and each resume, is another.
    pub job: u32,
    /// How long the command of the present turn could work.
    pub work_time: WorkTime,
    /// Who is at the terminal of the present job, as far as that was noted.
    pub seats: Seats,
    /// What is known of its agent, if it has one.
    pub agent: AgentAccount,
    /// When it was queued, in nanoseconds since the Unix epoch.
    pub created_at_unix_nanos: i64,
    /// The last record applied.
    pub last_seq: u64,
}

/// An event that cannot happen in the state at hand.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IllegalEvent {
    /// The event does not fit the state.
    #[error("event {event} (record {seq}) is illegal in state {state}")]
    State {
        /// The event's name.
        event: &'static str,
        /// Its number.
        seq: u64,
        /// The state's name.
        state: &'static str,
    },
    /// A record is missing or comes twice.
    #[error("record {got} does not follow record {last}")]
    Sequence {
        /// The record at hand.
        got: u64,
        /// The last one applied.
        last: u64,
    },
    /// A claim that is not newer than the last one.
    #[error("claim with epoch {got} does not come after epoch {last}")]
    Epoch {
        /// The claim's epoch.
        got: u64,
        /// The newest epoch seen.
        last: u64,
    },
    /// The log does not start with `queued`.
    #[error("log starts with event {event}, not queued")]
    First {
        /// The event's name.
        event: &'static str,
    },
}

impl Run {
    /// Opens a run with the first record of its log.
    ///
    /// # Errors
    /// When the record is not number 1 or not `queued`.
    pub fn open(first: &Record) -> Result<Self, IllegalEvent> {
        let Event::Queued { id, name, user, idempotency_key, snapshot, contract } = &first.event
        else {
            return Err(IllegalEvent::First { event: first.event.name() });
        };
        if first.seq != 1 {
            return Err(IllegalEvent::Sequence { got: first.seq, last: 0 });
        }
        Ok(Self {
            id: id.clone(),
            name: name.clone(),
            user: user.clone(),
            idempotency_key: idempotency_key.clone(),
            snapshot: *snapshot,
            contract: (**contract).clone(),
            state: State::Queued,
            exit: None,
            harvest: None,
            isolation: wire::Isolation::default(),
            stop_requested: false,
            epoch: 0,
            host_uid: None,
            output_limited: false,
            denied: Vec::new(),
            used: Vec::new(),
            job: 1,
            seats: Seats::default(),
            work_time: WorkTime::default(),
            agent: AgentAccount::new(contract),
            created_at_unix_nanos: first.at_unix_nanos,
            last_seq: 1,
        })
    }

    /// Applies the next record. On error nothing has changed.
    ///
    /// # Errors
    /// When the record is out of sequence or its event is illegal in this state.
    pub fn apply(&mut self, record: &Record) -> Result<(), IllegalEvent> {
        if record.seq != self.last_seq + 1 {
            return Err(IllegalEvent::Sequence { got: record.seq, last: self.last_seq });
        }
        let illegal = || IllegalEvent::State {
            event: record.event.name(),
            seq: record.seq,
            state: self.state.name(),
        };
        let next = match (&self.state, &record.event) {
            (state, Event::Unknown(_)) => state.clone(),
            // A claim is taken over when its worker died before the command started.
            (State::Queued | State::Preparing, Event::Claimed { epoch, host_uid, .. }) => {
                if *epoch <= self.epoch {
                    return Err(IllegalEvent::Epoch { got: *epoch, last: self.epoch });
                }
                self.epoch = *epoch;
                self.host_uid = *host_uid;
                State::Preparing
            }
            (State::Preparing, Event::Started(isolation)) => {
                self.isolation = isolation.clone();
                State::Running
            }
            (State::Running, Event::InputNeeded(need)) => State::NeedsInput(need.clone()),
            (State::NeedsInput(need), Event::InputAnswered { id, answer, .. })
                if need.id == *id =>
            {
                self.agent.answered(id, answer.as_ref());
                State::Running
            }
            (
                state @ (State::Running | State::NeedsInput(_) | State::Paused),
                Event::Heard(heard),
            ) => {
                let state = state.clone();
                self.agent.heard(heard);
                state
            }
            (
                state @ (State::Running | State::NeedsInput(_) | State::Paused),
                Event::Said(said),
            ) => {
                let state = state.clone();
                self.agent.said(said);
                state
            }
            (
                state @ (State::Running | State::NeedsInput(_) | State::Paused),
                event @ (Event::Attached(_) | Event::Detached(_) | Event::SeatsFull(_)),
            ) => {
                let state = state.clone();
                match event {
                    Event::Attached(who) => self.seats.take(&who.id),
                    Event::Detached(who) => self.seats.leave(&who.id),
                    _ => self.seats.fill(),
                }
                state
            }
            (
                State::Preparing | State::Running | State::NeedsInput(_) | State::Paused,
                Event::Resumed(_),
            ) => {
                self.job += 1;
                self.seats = Seats::default();
                self.agent.resumed();
                State::Preparing
            }
            (State::Finished(_), Event::TurnQueued(turn)) => {
                self.job += 1;
                self.seats = Seats::default();
                self.agent.queued(turn);
                self.exit = None;
                self.harvest = None;
                self.stop_requested = false;
                self.output_limited = false;
                State::Queued
            }
            (State::Running, Event::Paused(_)) => State::Paused,
            (State::Paused, Event::Continued(_)) => State::Running,
            (
                state @ (State::Queued
                | State::Preparing
                | State::Running
                | State::NeedsInput(_)
                | State::Paused),
                Event::StopRequested(_),
            ) => {
                let state = state.clone();
                self.stop_requested = true;
                state
            }
            (
                state @ (State::Preparing | State::Running | State::NeedsInput(_) | State::Paused),
                Event::OutputLimited(_),
            ) => {
                let state = state.clone();
                self.output_limited = true;
                state
            }
            (
                state @ (State::Preparing | State::Running | State::NeedsInput(_) | State::Paused),
                Event::Denied(denied),
            ) => {
                let state = state.clone();
                if self.denied.len() < DENIED_MAX && !self.denied.contains(denied) {
                    self.denied.push(denied.clone());
                }
                state
            }
            (
                state @ (State::Preparing | State::Running | State::NeedsInput(_) | State::Paused),
                Event::Used(used),
            ) => {
                let state = state.clone();
                let known = self.used.iter().position(|known| known.provider == used.provider);
                if let Some(at) = known {
                    self.used[at] = used.clone();
                } else if self.used.len() < USED_MAX {
                    self.used.push(used.clone());
                }
                state
            }
            (
                State::Preparing | State::Running | State::NeedsInput(_) | State::Paused,
                Event::Exited(exit),
            ) => {
                self.exit = Some(exit.clone());
                State::Verifying(Recorded::NotYet)
            }
            (State::Verifying(Recorded::NotYet), Event::ResultRecorded(harvest)) => {
                self.harvest = Some(harvest.clone());
                State::Verifying(Recorded::Yes)
            }
            (
                State::Queued | State::Preparing | State::Verifying(_),
                Event::Finished { outcome, detail },
            ) => State::Finished(Ending {
                outcome: *outcome,
                detail: detail.clone(),
                at_unix_nanos: record.at_unix_nanos,
            }),
            (
                State::Queued
                | State::Preparing
                | State::Running
                | State::NeedsInput(_)
                | State::Paused
                | State::Verifying(_)
                | State::Finished(_),
                _,
            ) => return Err(illegal()),
        };
        self.work_time.enter(&next, record.at_unix_nanos);
        self.state = next;
        self.last_seq = record.seq;
        Ok(())
    }

    /// Whether nothing more happens in this turn.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_))
    }
}
