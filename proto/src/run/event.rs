//! What may happen to a run, in domain types, and its stored form. Decides nothing.

use std::num::NonZeroU32;

use prost::Message;
use thiserror::Error;

use super::{NameError, Outcome, RunId, RunIdError, RunName};
use crate::{
    manifest::{ResultId, SnapshotId},
    wire,
};

/// What the run may touch, how long, what it returns; plain data, parsed where it is used.
pub type Contract = wire::Contract;

/// One line of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Position in the run, from 1 without gaps.
    pub seq: u64,
    /// When the daemon decided it, in nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// What happened.
    pub event: Event,
}

/// What happened to a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run exists; everything needed to start it again after a crash.
    Queued {
        /// The run.
        id: RunId,
        /// Its name, unique per user.
        name: RunName,
        /// Whose run it is.
        user: String,
        /// A retry with the same key never makes a second run.
        idempotency_key: Vec<u8>,
        /// The tree that it starts from.
        snapshot: SnapshotId,
        /// What it may do.
        contract: Box<Contract>,
    },
    /// A worker took the run.
    Claimed {
        /// Which worker.
        worker: String,
        /// Grows with each claim.
        epoch: u64,
        /// The uid on the worker's machine that the run's files and processes have; none when the
        /// worker is an ordinary user and they have its own.
        host_uid: Option<NonZeroU32>,
    },
    /// The command runs.
    Started(wire::Isolation),
    /// The command waits for a human.
    InputNeeded(wire::InputNeeded),
    /// The human has answered, or the question is void.
    InputAnswered {
        /// The question's id.
        id: String,
        /// What was answered; none where the agent went on without.
        answer: Option<wire::answer::What>,
        /// Who answered.
        by: String,
    },
    /// The user paused it.
    Paused(String),
    /// The user let it go on.
    Continued(String),
    /// The user wants it to end.
    StopRequested(String),
    /// Output past this many bytes is not kept.
    OutputLimited(u64),
    /// The run wanted to reach something and was not let.
    Denied(wire::Denied),
    /// What an API was used for by the run so far.
    Used(wire::Used),
    /// What the agent told on its stream.
    Heard(Heard),
    /// The human said something to the agent while it was at work.
    Said(wire::Said),
    /// The finished run goes on with another turn.
    TurnQueued(wire::TurnQueued),
    /// The agent was interrupted, for this reason, and goes on by its own resume.
    Resumed(String),
    /// Somebody sits at the command's terminal.
    Attached(wire::Attached),
    /// They have left.
    Detached(wire::Detached),
    /// After so many, others who come to the terminal are not noted any more.
    SeatsFull(u32),
    /// The command ended.
    Exited(Exit),
    /// The turn's result is durable, or there is none and it is known why.
    ResultRecorded(HarvestRecord),
    /// The turn is over.
    Finished {
        /// The one outcome.
        outcome: Outcome,
        /// One line for a human; may be empty.
        detail: String,
    },
    /// An event of a newer version: counted, not understood.
    Unknown(Box<wire::RunRecord>),
}

/// What an agent told on its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// Position in the output of the job behind the line that told it.
    pub position: u64,
    /// What it told.
    pub what: wire::heard::What,
}

/// What the harvest brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HarvestRecord {
    /// The result manifest; none when the harvest failed.
    pub result: Option<ResultId>,
    /// The branch that HEAD names in the result; empty when detached or without git.
    pub branch: String,
    /// Paths that only the result has.
    pub files_added: u64,
    /// Paths that differ in kind, mode or content.
    pub files_modified: u64,
    /// Paths that only the snapshot has.
    pub files_removed: u64,
    /// Why there is no result; empty when there is one.
    pub failure: String,
    /// What of the tree the result lacks, one line each, the first ones.
    pub notes: Vec<String>,
}

/// Every way a command can end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its wall time, in seconds, was over.
    TimedOut(u64),
    /// It wrote more than it may, or the daemon's disk had become too full: which limit it was.
    DiskLimit(String),
    /// Its sandbox or supervisor vanished.
    Lost(String),
    /// It was never started: this step failed, for this reason.
    Refused {
        /// The step that failed.
        step: String,
        /// Why.
        detail: String,
    },
}

/// A stored or received record cannot be understood.
#[derive(Debug, Error)]
pub enum EventDecodeError {
    /// Not a record at all.
    #[error("run record is malformed")]
    Malformed(#[from] prost::DecodeError),
    /// A field is missing or out of range.
    #[error("run record {seq} has no valid {field}")]
    Field {
        /// The record.
        seq: u64,
        /// Its field.
        field: &'static str,
    },
    /// The run id is wrong.
    #[error("run record has a wrong id")]
    Id(#[from] RunIdError),
    /// The name is wrong.
    #[error("run record has a wrong name")]
    Name(#[from] NameError),
}

impl Event {
    /// The event's name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Claimed { .. } => "claimed",
            Self::Started(_) => "started",
            Self::InputNeeded(_) => "input_needed",
            Self::InputAnswered { .. } => "input_answered",
            Self::Paused(_) => "paused",
            Self::Continued(_) => "continued",
            Self::StopRequested(_) => "stop_requested",
            Self::OutputLimited(_) => "output_limited",
            Self::Denied(_) => "denied",
            Self::Used(_) => "used",
            Self::Heard(heard) => heard.name(),
            Self::Said(_) => "said",
            Self::TurnQueued(_) => "turn_queued",
            Self::Resumed(_) => "resumed",
            Self::Attached(_) => "attached",
            Self::Detached(_) => "detached",
            Self::SeatsFull(_) => "seats_full",
            Self::Exited(_) => "exited",
            Self::ResultRecorded(_) => "result_recorded",
            Self::Finished { .. } => "finished",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl Heard {
    /// Its name in messages: what was told counts, not that it was heard.
    fn name(&self) -> &'static str {
        use wire::heard::What;
        match self.what {
            What::Ready(_) => "agent_ready",
            What::Text(_) => "agent_text",
            What::ToolStarted(_) => "tool_started",
            What::ToolEnded(_) => "tool_ended",
            What::Plan(_) => "agent_plan",
            What::Usage(_) => "agent_usage",
            What::Retrying(_) => "agent_retrying",
            What::TurnEnded(_) => "turn_ended",
        }
    }
}

impl Record {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::RunRecord::from(self.clone()).encode_to_vec()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are no record or a field that its event needs is missing or wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, EventDecodeError> {
        wire::RunRecord::decode(bytes)?.try_into()
    }
}

impl From<Record> for wire::RunRecord {
    fn from(record: Record) -> Self {
        use wire::run_record::Event as Wire;
        let event = match record.event {
            Event::Queued { id, name, user, idempotency_key, snapshot, contract } => {
                Wire::Queued(wire::Queued {
                    run_id: id.to_string(),
                    name: name.to_string(),
                    user,
                    idempotency_key,
                    snapshot: snapshot.as_bytes().to_vec(),
                    contract: Some(*contract),
                })
            }
            Event::Claimed { worker, epoch, host_uid } => Wire::Claimed(wire::Claimed {
                worker,
                epoch,
                host_uid: host_uid.map_or(0, NonZeroU32::get),
            }),
            Event::Started(isolation) => {
                Wire::Started(wire::Started { isolation: Some(isolation) })
            }
            Event::InputNeeded(need) => Wire::InputNeeded(need),
            Event::InputAnswered { id, answer, by } => {
                let answer = answer.map(|what| wire::Answer { what: Some(what) });
                Wire::InputAnswered(wire::InputAnswered { id, answer, by })
            }
            Event::Paused(by) => Wire::Paused(wire::Paused { by }),
            Event::Continued(by) => Wire::Continued(wire::Continued { by }),
            Event::StopRequested(by) => Wire::StopRequested(wire::StopRequested { by }),
            Event::OutputLimited(limit_bytes) => {
                Wire::OutputLimited(wire::OutputLimited { limit_bytes })
            }
            Event::Denied(denied) => Wire::Denied(denied),
            Event::Used(used) => Wire::Used(used),
            Event::Heard(Heard { position, what }) => {
                Wire::Heard(wire::Heard { position, what: Some(what) })
            }
            Event::Said(said) => Wire::Said(said),
            Event::TurnQueued(turn) => Wire::TurnQueued(turn),
            Event::Resumed(why) => Wire::Resumed(wire::Resumed { why }),
            Event::Attached(attached) => Wire::Attached(attached),
            Event::Detached(detached) => Wire::Detached(detached),
            Event::SeatsFull(noted) => Wire::SeatsFull(wire::SeatsFull { noted }),
            Event::Exited(exit) => Wire::Exited(wire::Exited { how: Some(exit.into()) }),
            Event::ResultRecorded(record) => Wire::ResultRecorded(wire::ResultRecorded {
                result: record.result.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
                branch: record.branch,
                files_added: record.files_added,
                files_modified: record.files_modified,
                files_removed: record.files_removed,
                failure: record.failure,
                notes: record.notes,
            }),
            Event::Finished { outcome, detail } => Wire::Finished(wire::Finished {
                outcome: wire::OutcomeKind::from(outcome).into(),
                detail,
            }),
            Event::Unknown(wire) => return *wire,
        };
        Self { seq: record.seq, at_unix_nanos: record.at_unix_nanos, event: Some(event) }
    }
}

impl From<Exit> for wire::exited::How {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::TimedOut(seconds) => Self::TimedOutSeconds(seconds),
            Exit::DiskLimit(limit) => Self::DiskLimit(limit),
            Exit::Lost(why) => Self::Lost(why),
            Exit::Refused { step, detail } => Self::Refused(wire::SetupFailure { step, detail }),
        }
    }
}

impl From<wire::exited::How> for Exit {
    fn from(how: wire::exited::How) -> Self {
        use wire::exited::How;
        match how {
            How::Code(code) => Self::Code(code),
            How::Signal(signal) => Self::Signal(signal),
            How::TimedOutSeconds(seconds) => Self::TimedOut(seconds),
            How::DiskLimit(limit) => Self::DiskLimit(limit),
            How::Lost(why) => Self::Lost(why),
            How::Refused(failure) => Self::Refused { step: failure.step, detail: failure.detail },
        }
    }
}

impl TryFrom<wire::RunRecord> for Record {
    type Error = EventDecodeError;

    fn try_from(wire: wire::RunRecord) -> Result<Self, EventDecodeError> {
        use wire::run_record::Event as Wire;
        let (seq, at_unix_nanos) = (wire.seq, wire.at_unix_nanos);
        let missing = |field| EventDecodeError::Field { seq, field };
        let event = match wire.event.clone() {
            None => Event::Unknown(Box::new(wire)),
            Some(Wire::Queued(queued)) => Event::Queued {
                id: RunId::parse(&queued.run_id)?,
                name: RunName::parse(&queued.name)?,
                user: queued.user,
                idempotency_key: queued.idempotency_key,
                snapshot: SnapshotId::try_from(queued.snapshot.as_slice())
                    .map_err(|_| missing("snapshot"))?,
                contract: Box::new(queued.contract.ok_or_else(|| missing("contract"))?),
            },
            Some(Wire::Claimed(claimed)) => Event::Claimed {
                worker: claimed.worker,
                epoch: claimed.epoch,
                host_uid: NonZeroU32::new(claimed.host_uid),
            },
            Some(Wire::Started(started)) => Event::Started(started.isolation.unwrap_or_default()),
            Some(Wire::InputNeeded(need)) => Event::InputNeeded(need),
            Some(Wire::InputAnswered(wire::InputAnswered { id, answer, by })) => {
                Event::InputAnswered { id, answer: answer.and_then(|answer| answer.what), by }
            }
            Some(Wire::Paused(paused)) => Event::Paused(paused.by),
            Some(Wire::Continued(continued)) => Event::Continued(continued.by),
            Some(Wire::StopRequested(stop)) => Event::StopRequested(stop.by),
            Some(Wire::OutputLimited(limited)) => Event::OutputLimited(limited.limit_bytes),
            Some(Wire::Denied(denied)) => Event::Denied(denied),
            Some(Wire::Used(used)) => Event::Used(used),
            Some(Wire::Heard(wire::Heard { position, what: Some(what) })) => {
                Event::Heard(Heard { position, what })
            }
            // It told something that only a newer version knows.
            Some(Wire::Heard(wire::Heard { what: None, .. })) => Event::Unknown(Box::new(wire)),
            Some(Wire::Said(said)) => Event::Said(said),
            Some(Wire::TurnQueued(turn)) => Event::TurnQueued(turn),
            Some(Wire::Resumed(resumed)) => Event::Resumed(resumed.why),
            Some(Wire::Attached(attached)) => Event::Attached(attached),
            Some(Wire::Detached(detached)) => Event::Detached(detached),
            Some(Wire::SeatsFull(full)) => Event::SeatsFull(full.noted),
            Some(Wire::Exited(exited)) => {
                Event::Exited(exited.how.ok_or_else(|| missing("way of exit"))?.into())
            }
            Some(Wire::ResultRecorded(recorded)) => Event::ResultRecorded(HarvestRecord {
                result: match recorded.result.as_slice() {
                    [] => None,
                    bytes => Some(ResultId::try_from(bytes).map_err(|_| missing("result"))?),
                },
                branch: recorded.branch,
                files_added: recorded.files_added,
                files_modified: recorded.files_modified,
                files_removed: recorded.files_removed,
                failure: recorded.failure,
                notes: recorded.notes,
            }),
            Some(Wire::Finished(finished)) => Event::Finished {
                outcome: Outcome::try_from(finished.outcome()).map_err(|()| missing("outcome"))?,
                detail: finished.detail,
            },
        };
        Ok(Self { seq, at_unix_nanos, event })
    }
}
