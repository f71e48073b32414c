//! What travels between the caller and the jail: reports up, orders down. One closed enum each
//! way, so that anything unexpected is an error and not a hang.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;

/// Tells the caller how far the command got.
///
/// `Ready` or `Refused` comes first, but for `Doors` where the network is fenced. After `Ready` comes `Exited`, or `Refused` at step
/// [`Step::Command`] when executing the command failed all the same, or nothing if the jail was
/// killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The doors of a fenced network are open: take them with
    /// [`Running::take_doors`](crate::Running::take_doors). Comes before all others, once.
    Doors,
    /// Every check passed; the command is executed next. If it has a terminal, take the outer end
    /// with [`Running::take_terminal`](crate::Running::take_terminal).
    Ready {
        /// What holds the run in.
        isolation: Isolation,
    },
    /// The command was not run.
    Refused(Refusal),
    /// The command itself ended; what it left behind is being killed.
    Exited(ExitStatus),
}

impl Report {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Doors => "doors",
            Self::Ready { .. } => "ready",
            Self::Refused(_) => "refused",
            Self::Exited(_) => "exited",
        }
    }
}

/// Tells how a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Says why a run was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{step}: {detail}")]
pub struct Refusal {
    /// The step that failed.
    pub step: Step,
    /// What was wrong, with the remedy where there is one.
    pub detail: String,
    /// The kernel's error number, where the kernel said no.
    pub errno: Option<i32>,
}

impl Refusal {
    pub(crate) fn new(step: Step, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into(), errno: None }
    }

    pub(crate) fn because(step: Step, what: impl fmt::Display, error: &io::Error) -> Self {
        Self { step, detail: format!("{what}: {error}"), errno: error.raw_os_error() }
    }
}

/// Puts a failure of the system into the words of a step.
pub(crate) trait Refuse<T> {
    /// Turns an error into a refusal at `step`; `what` reads before the error's own text.
    fn refuse(self, step: Step, what: impl fmt::Display) -> Result<T, Refusal>;
}

impl<T, E: Into<io::Error>> Refuse<T> for Result<T, E> {
    fn refuse(self, step: Step, what: impl fmt::Display) -> Result<T, Refusal> {
        self.map_err(|error| Refusal::because(step, what, &error.into()))
    }
}

/// Names a step of starting a run, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The policy itself is not acceptable.
    Policy,
    /// The policy could not be handed to the next stage.
    Handover,
    /// The run would have the wrong uid or gid, or uid 0.
    Identity,
    /// Bubblewrap is missing, too old, or failed.
    Bubblewrap,
    /// Joining the control group.
    Cgroup,
    /// Entering new namespaces.
    Namespaces,
    /// Bringing loopback up.
    Loopback,
    /// Opening the doors of a fenced network.
    Doors,
    /// Opening what is to be mounted.
    Source,
    /// Composing the directories of the jail.
    Stage,
    /// Making a place to mount on; a symlink in the way ends here.
    Target,
    /// Setting resource limits.
    Limits,
    /// Compiling the system call filter.
    Seccomp,
    /// Init found a promise broken.
    SelfCheck,
    /// A layer that the policy requires is not in force.
    Required,
    /// Making the command's terminal.
    Terminal,
    /// The working directory cannot be entered.
    Directory,
    /// The command cannot be executed.
    Command,
}

impl Step {
    /// Returns the name as it is written in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Handover => "handover",
            Self::Identity => "identity",
            Self::Bubblewrap => "bubblewrap",
            Self::Cgroup => "cgroup",
            Self::Namespaces => "namespaces",
            Self::Loopback => "loopback",
            Self::Doors => "doors",
            Self::Source => "source",
            Self::Stage => "stage",
            Self::Target => "target",
            Self::Limits => "limits",
            Self::Seccomp => "seccomp",
            Self::SelfCheck => "self_check",
            Self::Required => "required",
            Self::Terminal => "terminal",
            Self::Directory => "directory",
            Self::Command => "command",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tells init what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// Send this signal to the command's process group.
    Signal(i32),
}
