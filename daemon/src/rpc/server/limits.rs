//! What one call may cost, by its method. Methods that are not listed get the least.

use std::time::Duration;

/// Headers and body of a call whose request is one message have to be there by then: seconds on a
/// bad line, too short to hoard calls.
const ARRIVES_WITHIN: Duration = Duration::from_secs(30);

/// Longest silence in a stream of requests. Longer than a laptop needs to hash a large file between
/// two messages, and than the two minutes after which an upload gives up by itself.
const SILENCE_MAX: Duration = Duration::from_secs(180);

/// A request that names a run, a directory, a user: paths are 4 KiB at most.
const SMALL_BYTES: u64 = 16 << 10;

/// A request for a certificate: 16 KiB of text, a secret and a name.
const ENROLL_BYTES: u64 = 32 << 10;

/// An offer: arguments and variables may take as much as the kernel passes to a program, 2 MiB.
const OFFER_BYTES: u64 = 4 << 20;

/// An answer, or something said, which is at most 128 KiB.
const SAID_BYTES: u64 = 160 << 10;

/// What one call may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The whole request; none where it is a stream, whose messages gRPC bounds (4 MiB each).
    pub(super) request_bytes: Option<u64>,
    pub(super) patience: Patience,
    pub(super) work: Work,
}

/// How long is waited for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// All of it has to come in this time.
    Whole(Duration),
    /// Something has to come in this time, again and again.
    Silence(Duration),
}

/// How much work a call makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It answers from memory, or follows something at its reader's pace.
    Light,
    /// It moves content, or looks through a whole manifest.
    Heavy,
}

/// The limits of a call.
pub(super) fn of(path: &str) -> Limits {
    let message = |bytes, work| Limits {
        request_bytes: Some(bytes),
        patience: Patience::Whole(ARRIVES_WITHIN),
        work,
    };
    let stream =
        |work| Limits { request_bytes: None, patience: Patience::Silence(SILENCE_MAX), work };
    match path {
        "/handoff.v1.Runs/Handoff" | "/handoff.v1.Runs/Lacks" | "/handoff.v1.Runs/Chunks" => {
            stream(Work::Heavy)
        }
        "/handoff.v1.Runs/Attach" => stream(Work::Light),
        "/handoff.v1.Runs/Manifest" => message(SMALL_BYTES, Work::Heavy),
        "/handoff.v1.Runs/Answer" | "/handoff.v1.Runs/Say" => message(SAID_BYTES, Work::Light),
        "/handoff.v1.Runs/Check" => message(OFFER_BYTES, Work::Light),
        "/handoff.v1.Enrollment/Enroll" => message(ENROLL_BYTES, Work::Light),
        _ => message(SMALL_BYTES, Work::Light),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every method that takes a stream is listed: others would end after some kilobytes.
    #[test]
    fn streams_of_requests_are_listed() {
        let services = include_str!("../../../../proto/proto/handoff/v1/runs.proto");
        let mut streams = 0;
        for line in services.lines() {
            let Some((name, rest)) =
                line.trim().strip_prefix("rpc ").and_then(|line| line.split_once('('))
            else {
                continue;
            };
            let limits = of(&format!("/handoff.v1.Runs/{name}"));
            let is_stream = rest.starts_with("stream ");
            assert_eq!(limits.request_bytes.is_none(), is_stream, "{name}");
            streams += usize::from(is_stream);
        }
        assert_eq!(streams, 4);
    }
}
