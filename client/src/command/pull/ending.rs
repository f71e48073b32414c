//! How `pull`, `undo` and `diff` end when they could not do what they were asked.

use handoff_proto::path::AbsolutePath;

use crate::context::Context;
use crate::exit::{Exit, Explained, chain_text};
use crate::pull::unchanged::Divergence;
use crate::pull::verdict::{Verdict, judge};

/// Ends that only the command line knows.
#[derive(Debug, thiserror::Error)]
pub(in crate::command) enum Ending {
    /// The tree that was handed off is not on this machine.
    #[error("{0}, which the run was handed off from, is not on this machine")]
    NoTree(AbsolutePath),
    /// Nobody here remembers the run, and it is of another tree than the one that we are in.
    #[error("this machine does not know that {0} was handed off to this remote")]
    NotFromHere(AbsolutePath),
    /// The result was wanted in place and does not fit.
    #[error("the tree changed since it was handed off: {}", first_few(.0))]
    Diverged(Vec<Divergence>),
    /// There is no conversation to go on with.
    #[error("run {0} had no agent whose conversation could go on")]
    NoConversation(String),
    /// The agent cannot be started here.
    #[error("cannot start {program}")]
    Agent {
        /// The agent.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Changes that run code were not agreed to.
    #[error("the result would run code on this machine or change what does: {}", .0.join(", "))]
    NoConsent(Vec<String>),
}

/// Reports an error of ours with its exit code; lets all others through.
pub(in crate::command) fn of(
    ended: anyhow::Result<Exit>,
    context: &Context,
) -> anyhow::Result<Exit> {
    let error = match ended {
        Ok(exit) => return Ok(exit),
        Err(error) => error,
    };
    let found = error
        .chain()
        .find_map(|cause| cause.downcast_ref().map(Ending::judge).or_else(|| judge(cause)));
    let Some((verdict, hint)) = found else { return Err(error) };
    let exit = match verdict {
        Verdict::Conflict => Exit::Conflict,
        Verdict::Refused => Exit::Refused,
        Verdict::NotFound => Exit::NotFound,
        Verdict::Failed => Exit::Failed,
    };
    let message = chain_text(error.as_ref());
    context.output.error(&Explained { exit, message, hint });
    Ok(exit)
}

impl Ending {
    fn judge(&self) -> (Verdict, Option<String>) {
        match self {
            Self::NoTree(_) => (
                Verdict::Conflict,
                Some("pull on the machine that it was handed off from".to_owned()),
            ),
            Self::NotFromHere(root) => (
                Verdict::Refused,
                Some(format!("if you expect it there, change to {root} and pull there")),
            ),
            Self::Diverged(_) => (
                Verdict::Conflict,
                Some("leave `--into` out to get the result beside the tree".to_owned()),
            ),
            Self::NoConversation(_) => (Verdict::Conflict, None),
            Self::Agent { program, .. } => {
                (Verdict::NotFound, Some(format!("install {program} on this machine")))
            }
            Self::NoConsent(_) => {
                (Verdict::Refused, Some("look at them, then pull with `--yes`".to_owned()))
            }
        }
    }
}

fn first_few(reasons: &[Divergence]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<String> = reasons.iter().take(SHOWN_MAX).map(ToString::to_string).collect();
    match reasons.len().checked_sub(SHOWN_MAX) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}
