//! What a supervisor is given and what it leaves behind. Plain data; nothing here acts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use handoff_sandbox::{ExitStatus, Spec};
use serde::{Deserialize, Serialize};

use super::disk_limits::DiskLimits;
use super::output::Position;
use crate::egress::{Policy, Summary};

/// How long a command may go on after it was asked to end: enough for an agent to write down where
/// it stands.
pub const KILL_GRACE: Duration = Duration::from_millis(KILL_GRACE_MS);

/// The same in milliseconds, as a job says it.
pub const KILL_GRACE_MS: u64 = 10_000;

/// Describes one job: commands that run one after the other in sandboxes of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The last one is the command; those before it set up what it needs.
    pub steps: Vec<Step>,
    /// What steps with a fenced network may reach; nothing if there is nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Policy>,
    /// Wall time of the last step.
    pub time_limit_seconds: Option<u64>,
    /// Wall time of all other steps together.
    pub setup_limit_seconds: Option<u64>,
    /// How much output is kept; what follows is read and dropped.
    pub output_limit_bytes: u64,
    /// How long a command may go on after it was asked to end because its time was over.
    pub kill_grace_ms: u64,
    /// What the steps may write to the host's disk; nothing is measured without.
    #[serde(default)]
    pub disk: Option<DiskLimits>,
    /// The real path of a directory of the job's own that holds what its steps may write. If it is
    /// a subvolume of btrfs, the kernel keeps the bytes in it within the limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writable: Option<PathBuf>,
    /// What the command reads; steps before it read nothing.
    #[serde(default, skip_serializing_if = "Reads::is_nothing")]
    pub reads: Reads,
}

/// What a command finds on its standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Nothing.
    #[default]
    Nothing,
    /// What is sent to it through [`Attached`](super::Attached).
    Pipe,
}

impl Reads {
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// Describes one command of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// How messages call it, such as `npm ci`.
    pub name: String,
    /// What is run, and what it may do. Names differ from step to step.
    pub spec: Spec,
}

/// Tells how a job ended; the last word on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobExit {
    /// How the command ended.
    pub ended: Ended,
    /// What became of its output.
    pub output: OutputTotals,
    /// How often the kernel killed a process for want of memory, where that is counted.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// What its steps were denied, and used.
    #[serde(default, skip_serializing_if = "Summary::is_empty")]
    pub egress: Summary,
}

/// Names every way in which a job can end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ended {
    /// The command returned by itself.
    Code {
        /// What it returned.
        code: i32,
    },
    /// A signal that nobody asked us to send ended the command.
    Signal {
        /// Its number.
        signal: i32,
    },
    /// Its wall time was over, so it was asked to end and then killed.
    TimedOut {
        /// The limit.
        limit_seconds: u64,
    },
    /// It wrote more than it may, or the disk had become too full, so it was killed; or it failed
    /// when the kernel let it write no more.
    DiskLimit {
        /// Which limit, for a human.
        limit: String,
    },
    /// It was stopped through [`Attached`](super::Attached).
    Cancelled {
        /// How the command took it; none if it was killed or had not started.
        status: Option<ExitStatus>,
    },
    /// The command was never run.
    Refused {
        /// The step that failed.
        step: String,
        /// Why.
        detail: String,
    },
    /// The sandbox went away without telling how its command ended.
    Lost {
        /// What is known.
        detail: String,
    },
}

/// Sums up the output of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputTotals {
    /// Where the last record ends.
    pub end: Position,
    /// How many bytes of the commands were kept.
    pub kept_bytes: u64,
    /// How many bytes were read and dropped.
    pub dropped_bytes: u64,
}

impl Job {
    pub(super) fn time_limit(&self) -> Option<Duration> {
        self.time_limit_seconds.map(Duration::from_secs)
    }

    pub(super) fn setup_limit(&self) -> Option<Duration> {
        self.setup_limit_seconds.map(Duration::from_secs)
    }

    pub(super) fn kill_grace(&self) -> Duration {
        Duration::from_millis(self.kill_grace_ms)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self::Code { code },
            ExitStatus::Signal(signal) => Self::Signal { signal },
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "exit code {code}"),
            Self::Signal { signal } => write!(f, "signal {signal}"),
            Self::TimedOut { limit_seconds } => write!(f, "time limit of {limit_seconds} s"),
            Self::DiskLimit { limit } => f.write_str(limit),
            Self::Cancelled { .. } => f.write_str("stopped"),
            Self::Refused { step, detail } => write!(f, "refused at {step}: {detail}"),
            Self::Lost { detail } => write!(f, "lost: {detail}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Supervisors outlive daemons: what one version wrote, every later one reads.
    #[test]
    fn a_written_exit_is_read_by_every_later_version() {
        let exit = |ended| JobExit {
            ended,
            output: OutputTotals { end: Position::new(17), kept_bytes: 12, dropped_bytes: 3 },
            oom_kills: Some(1),
            egress: Summary::default(),
        };
        for (ended, json) in [
            (Ended::Code { code: 3 }, r#"{"kind":"code","code":3}"#),
            (Ended::Signal { signal: 9 }, r#"{"kind":"signal","signal":9}"#),
            (Ended::TimedOut { limit_seconds: 60 }, r#"{"kind":"timed_out","limit_seconds":60}"#),
            (
                Ended::DiskLimit { limit: "limit".into() },
                r#"{"kind":"disk_limit","limit":"limit"}"#,
            ),
            (
                Ended::Cancelled { status: Some(ExitStatus::Signal(15)) },
                r#"{"kind":"cancelled","status":{"signal":15}}"#,
            ),
            (
                Ended::Refused { step: "seccomp".into(), detail: "no".into() },
                r#"{"kind":"refused","step":"seccomp","detail":"no"}"#,
            ),
            (Ended::Lost { detail: "gone".into() }, r#"{"kind":"lost","detail":"gone"}"#),
        ] {
            let output = r#"{"end":17,"kept_bytes":12,"dropped_bytes":3}"#;
            let golden = format!(r#"{{"ended":{json},"output":{output},"oom_kills":1}}"#);
            let exit = exit(ended);
            assert_eq!(serde_json::to_string(&exit).expect("write"), golden);
            assert_eq!(serde_json::from_str::<JobExit>(&golden).expect("read"), exit);
        }
    }
}
