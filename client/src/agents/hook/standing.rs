//! What has become of the run that holds a session, as its remote tells: for somebody whose prompt is
//! kept back anyway.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::child::printed;
use crate::agents::lease::LeaseHolder;
use crate::exit::Exit;

/// How long the remote may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on.
    Open,
    /// It waits for its owner.
    Waits {
        /// What for.
        what: String,
    },
    /// It has done what it could.
    Finished,
    /// It has finished otherwise.
    Ended {
        /// How.
        outcome: String,
    },
    /// Its remote does not know it any more.
    Forgotten,
    /// Its remote did not say.
    Unknown,
}

/// What is needed of a run object.
#[derive(Debug, Deserialize)]
struct Run {
    state: String,
    outcome: Option<String>,
    needs: Option<Needs>,
}

#[derive(Debug, Deserialize)]
struct Needs {
    text: String,
}

impl Standing {
    /// Asks the run's remote.
    pub(super) fn of(holder: &LeaseHolder, until: Instant) -> Self {
        let now = Instant::now();
        if until <= now {
            return Self::Unknown;
        }
        shown(holder, until.min(now + PATIENCE)).unwrap_or(Self::Unknown)
    }

    /// Whether it does nothing any more by itself.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Finished | Self::Ended { .. } | Self::Forgotten => true,
            Self::Open | Self::Waits { .. } | Self::Unknown => false,
        }
    }

    fn read(run: &[u8]) -> Option<Self> {
        let run: Run = serde_json::from_slice(run).ok()?;
        let outcome = run.outcome.unwrap_or_default();
        Some(match (run.state.as_str(), outcome.as_str()) {
            ("needs_input", _) => {
                Self::Waits { what: run.needs.map(|needs| needs.text).unwrap_or_default() }
            }
            ("finished", "succeeded" | "handed_back") => Self::Finished,
            ("finished", _) => Self::Ended { outcome },
            _ => Self::Open,
        })
    }
}

fn shown(holder: &LeaseHolder, until: Instant) -> Option<Standing> {
    let mut child = Command::new(std::env::current_exe().ok()?)
        .args(["--json", "--remote", &holder.remote, "show", &holder.run])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let printed = printed(&mut child, until).ok().flatten();
    if printed.is_none() {
        // It only looks.
        drop(child.kill());
    }
    let status = child.wait().ok()?;
    match status.code() {
        Some(code) if code == i32::from(Exit::NotFound.code()) => Some(Standing::Forgotten),
        Some(_) | None => Standing::read(&printed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_object_tells_where_it_stands() {
        let of = |text: &str| Standing::read(text.as_bytes());
        assert_eq!(of(r#"{"state":"running","outcome":null,"needs":null}"#), Some(Standing::Open));
        assert_eq!(
            of(r#"{"state":"needs_input","outcome":null,"needs":{"id":"1","text":"which?"}}"#),
            Some(Standing::Waits { what: "which?".to_owned() })
        );
        let finished = |outcome: &str| {
            of(&format!(r#"{{"state":"finished","outcome":"{outcome}","needs":null}}"#)).unwrap()
        };
        assert_eq!(finished("succeeded"), Standing::Finished);
        assert_eq!(finished("timed_out"), Standing::Ended { outcome: "timed_out".to_owned() });
        assert!(finished("lost").is_over() && !Standing::Open.is_over());
        assert_eq!(of("no run"), None);
    }
}
