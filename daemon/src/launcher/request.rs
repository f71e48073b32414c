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
        /// What its job does.
        kind: JobKind,
        /// Which one of these.
        number: u32,
    },
    /// Tell what this machine can do to keep runs in.
    Probe,
}

/// The line is no request.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("not a request: a run's id, `command` or `harvest`, and a number; or `probe`")]
pub struct RequestError;

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { run, kind, number } => write!(f, "{run} {} {number}", kind.name()),
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
        let (kind, number) = kind.split_once(' ').ok_or(RequestError)?;
        let kind = [JobKind::Command, JobKind::Harvest]
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or(RequestError)?;
        // One way to write each number: what is read is what was meant.
        let number: u32 = number.parse().map_err(|_| RequestError)?;
        let start = Self::Start { run, kind, number };
        if start.to_string() == line { Ok(start) } else { Err(RequestError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let run = RunId::from_random([7; 10]);
        let requests = [JobKind::Command, JobKind::Harvest].map(|kind| Request::Start {
            run: run.clone(),
            kind,
            number: u32::MAX,
        });
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
            "abcdefghij other 1",
            "abcdefghij command",
            "abcdefghij command ",
            "abcdefghij command 1 ",
            "abcdefghij command +1",
            "abcdefghij command 01",
            "abcdefghij command -1",
            "abcdefghij command 4294967296",
            "abcdefghij  command 1",
            "abcdefghi1 command 1",
            "abcdefghijk command 1",
            "../../../x command 1",
            "ABCDEFGHIJ command 1",
            "abcdefghij command 1\0",
            "abcdefghij command harvest",
        ] {
            assert_eq!(line.parse::<Request>(), Err(RequestError), "{line:?}");
        }
    }
}
