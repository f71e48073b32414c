//! What the launcher is asked: one short line.

use std::fmt;
use std::str::FromStr;

use handoff_proto::run::RunId;
use thiserror::Error;

use crate::workspace::JobKind;

/// Longest line, its end included; the longest there is has less than half of that.
pub(super) const LINE_LEN_MAX: usize = 64;

/// The word that asks for a trial run.
const PROBE: &str = "probe";

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Start the supervisor of a run's job.
    Start {
        /// The run.
        run: RunId,
        /// Which job of it.
        kind: JobKind,
    },
    /// Tell what this machine can do to keep runs in.
    Probe,
}

/// The line is no request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a request: a run's id and `command` or `harvest`, or `probe`")]
pub struct RequestError;

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { run, kind } => write!(f, "{run} {}", kind.name()),
            Self::Probe => f.write_str(PROBE),
        }
    }
}

impl FromStr for Request {
    type Err = RequestError;

    fn from_str(line: &str) -> Result<Self, RequestError> {
        if line == PROBE {
            return Ok(Self::Probe);
        }
        let (run, kind) = line.split_once(' ').ok_or(RequestError)?;
        let run = RunId::parse(run).map_err(|_| RequestError)?;
        let kind = [JobKind::Command, JobKind::Harvest]
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or(RequestError)?;
        Ok(Self::Start { run, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let run = RunId::from_random([7; 10]);
        let requests = [JobKind::Command, JobKind::Harvest]
            .map(|kind| Request::Start { run: run.clone(), kind });
        for request in requests.into_iter().chain([Request::Probe]) {
            let line = request.to_string();
            assert_eq!(line.parse(), Ok(request));
            assert!(line.len() * 2 < LINE_LEN_MAX, "{line}");
        }
    }

    #[test]
    fn nothing_else_is_a_request() {
        for line in [
            "",
            " ",
            "probe ",
            "abcdefghij",
            "abcdefghij ",
            "abcdefghij other",
            "abcdefghij command ",
            "abcdefghij  command",
            "abcdefghi1 command",
            "abcdefghijk command",
            "../../../x command",
            "ABCDEFGHIJ command",
            "abcdefghij command\0",
            "abcdefghij command harvest",
        ] {
            assert_eq!(line.parse::<Request>(), Err(RequestError), "{line:?}");
        }
    }
}
