//! The beginning of a push: which refs it would change (git's `gitprotocol-pack`). The pack behind
//! it is git's own business on the other side.

use bytes::Bytes;
use hyper::body::Incoming;

use super::git::next_data;

/// Longest list of commands that is read; one command is all that a run may send.
const COMMANDS_MAX: usize = 64 * 1024;

/// Digits of the length before each line.
const LENGTH_LEN: usize = 4;

/// What a push may ask for (git's `gitprotocol-capabilities`): how it is answered and packed, and
/// nothing that says what the host is to do besides.
const CAPABILITIES: [&str; 10] = [
    "report-status",
    "report-status-v2",
    "side-band-64k",
    "quiet",
    "delete-refs",
    "ofs-delta",
    "atomic",
    "object-format",
    "agent",
    "session-id",
];

/// Why a push is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PushError {
    /// Another ref than the run's own.
    #[error("push to {0}: runs may push to {1} only")]
    Ref(String, String),
    /// Something besides refs.
    #[error("push with {0}: runs may push without options")]
    Capability(String),
    /// Not what git says.
    #[error("a push that cannot be understood")]
    Malformed,
    /// More commands than make sense.
    #[error("a push of too many refs")]
    TooLong,
}

/// How far a list of commands is.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// There is more to come.
    Incomplete,
    /// All commands were there, and allowed.
    Allowed,
}

/// Reads until all commands are known, and returns everything that was read.
pub(super) async fn read_commands(body: &mut Incoming, allowed: &str) -> Result<Bytes, PushError> {
    let mut read = Vec::new();
    loop {
        if judge(&read, allowed)? == Progress::Allowed {
            return Ok(read.into());
        }
        if read.len() > COMMANDS_MAX {
            return Err(PushError::TooLong);
        }
        match next_data(body).await {
            Some(Ok(data)) => read.extend_from_slice(&data),
            Some(Err(_)) | None => return Err(PushError::Malformed),
        }
    }
}

/// Looks at the commands that are there.
fn judge(mut bytes: &[u8], allowed: &str) -> Result<Progress, PushError> {
    // An empty push is how git asks whether it may: four zeros and nothing else.
    loop {
        let Some((length, rest)) = bytes.split_at_checked(LENGTH_LEN) else {
            return Ok(Progress::Incomplete);
        };
        // No sign, no blank: what the number parser would take and git would not.
        if !length.iter().all(u8::is_ascii_hexdigit) {
            return Err(PushError::Malformed);
        }
        let length = std::str::from_utf8(length).ok();
        let length = length.and_then(|text| usize::from_str_radix(text, 16).ok());
        let line = match length.ok_or(PushError::Malformed)? {
            0 => return Ok(Progress::Allowed),
            length if length < LENGTH_LEN => return Err(PushError::Malformed),
            length => length - LENGTH_LEN,
        };
        let Some((line, rest)) = rest.split_at_checked(line) else {
            return Ok(Progress::Incomplete);
        };
        judge_line(line, allowed)?;
        bytes = rest;
    }
}

/// `OLD NEW REF`, the first one with capabilities behind a NUL byte.
fn judge_line(line: &[u8], allowed: &str) -> Result<(), PushError> {
    let mut parts = line.splitn(2, |byte| *byte == 0);
    let line = parts.next().unwrap_or_default();
    let capabilities = parts.next().unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if line.strip_prefix(b"shallow ").is_some_and(is_object_id) {
        return Ok(());
    }
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(PushError::Malformed);
    };
    if !is_object_id(old) || !is_object_id(new) {
        return Err(PushError::Malformed);
    }
    if name == allowed.as_bytes() {
        return judge_capabilities(capabilities);
    }
    let name: String = String::from_utf8_lossy(name).chars().take(200).collect();
    Err(PushError::Ref(name.escape_debug().to_string(), allowed.to_owned()))
}

/// What the pusher wants beside, such as options by which some hosts change a repository's settings.
fn judge_capabilities(text: &[u8]) -> Result<(), PushError> {
    let words = text.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for word in words {
        let name = word.split(|byte| *byte == b'=').next().unwrap_or_default();
        if !CAPABILITIES.iter().any(|known| known.as_bytes() == name) {
            let name: String = String::from_utf8_lossy(name).chars().take(40).collect();
            return Err(PushError::Capability(name.escape_debug().to_string()));
        }
    }
    Ok(())
}

/// SHA-1 or SHA-256, in hexadecimal.
fn is_object_id(text: &[u8]) -> bool {
    matches!(text.len(), 40 | 64) && text.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "refs/heads/handoff/fix";

    fn line(text: &str) -> Vec<u8> {
        [format!("{:04x}", text.len() + LENGTH_LEN).as_bytes(), text.as_bytes()].concat()
    }

    fn command(name: &str) -> String {
        format!("{} {} {name}", "0".repeat(40), "a".repeat(40))
    }

    fn push(lines: &[String]) -> Vec<u8> {
        let mut bytes: Vec<u8> = lines.iter().flat_map(|text| line(text)).collect();
        bytes.extend(b"0000PACK...");
        bytes
    }

    #[test]
    fn the_runs_own_ref_may_be_pushed() {
        let with_capabilities =
            format!("{}\0 report-status side-band-64k agent=git/2", command(OWN));
        let shallow = format!("shallow {}", "b".repeat(40));
        assert_eq!(judge(&push(&[shallow, with_capabilities]), OWN), Ok(Progress::Allowed));
        assert_eq!(judge(b"0000", OWN), Ok(Progress::Allowed));
    }

    #[test]
    fn no_other_may_in_whatever_company() {
        for name in [
            "refs/heads/main",
            "refs/heads/handoff/fix2",
            "refs/heads/handoff/fix/x",
            "refs/tags/v1",
            "refs/heads/handoff/fix ",
            "refs/heads/handoff/../main",
        ] {
            let bytes = push(&[command(OWN), command(name)]);
            let error = judge(&bytes, OWN).expect_err(name);
            assert!(matches!(error, PushError::Ref(..)), "{error}");
        }
        let options = format!("{}\0 report-status push-options", command(OWN));
        assert!(matches!(judge(&push(&[options]), OWN), Err(PushError::Capability(_))));
        let hidden = format!("{}\0{}", command("refs/heads/main"), command(OWN));
        assert!(matches!(judge(&push(&[hidden]), OWN), Err(PushError::Ref(..))));
    }

    #[test]
    fn what_git_does_not_say_is_not_passed_on() {
        for bytes in [&b"0001"[..], b"000g", b"+00a", b"0005x", b"push", b"000epush-cert\0"] {
            assert_eq!(judge(bytes, OWN), Err(PushError::Malformed), "{bytes:?}");
        }
        let whole = push(&[command(OWN)]);
        for cut in 0..whole.len() - b"0000PACK...".len() {
            assert_eq!(judge(&whole[..cut], OWN), Ok(Progress::Incomplete), "{cut}");
        }
    }

    proptest! {
        /// No mutation of a push to another ref becomes one that is allowed, but for those that
        /// leave no command to that ref.
        #[test]
        fn mutated_pushes_are_judged(at in 0..110_usize, byte: u8) {
            let mut bytes = push(&[command("refs/heads/main")]);
            let length = bytes.len();
            bytes[at % length] = byte;
            if judge(&bytes, OWN) == Ok(Progress::Allowed) {
                prop_assert!(bytes.starts_with(b"0000"));
            }
        }
    }
}
