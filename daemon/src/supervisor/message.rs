//! What a supervisor and the daemons attached to it tell each other: one JSON object a line, one
//! closed enum each way. A supervisor may be older than the daemon, so both ignore what they do not
//! know, and nothing here may change its meaning.

use std::io;

use handoff_sandbox::Isolation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::job::JobExit;
use super::output::Position;
use crate::egress::{Summary, Unrenewed};

/// Longest line: a piece of input, which is at most [`INPUT_LEN_MAX`], with every byte escaped.
const LINE_LEN_MAX: usize = 6 * INPUT_LEN_MAX + 4096;

/// Longest piece of input, in bytes: more than anybody types, and a bound on memory.
const INPUT_LEN_MAX: usize = 1 << 20;

/// What a daemon asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ToSupervisor {
    /// Say hello, then whatever happens.
    Attach,
    /// Ask the command to end and kill what is left after the grace.
    Stop { grace_ms: u64 },
    /// Kill everything now.
    Kill,
    /// Write this to the command's standard input, unless something of the same name was.
    Input { id: String, text: String },
    /// Nothing more is written to it.
    InputEnd,
    /// Since the event of this number the command waits for its user, or works; numbers only grow.
    Pace { event: u64, pace: Pace },
    /// Type this on the command's terminal; in base64, as keys are bytes of any kind. Where the
    /// typist has a name, its bytes are numbered, and each is typed once.
    Type {
        base64: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Typist>,
    },
    /// The command's terminal has another size.
    Resize { rows: u16, columns: u16 },
    /// From now on show what is not kept of the output.
    Look,
    /// A sign-in was renewed, and its file is another; or why it was not.
    Renewed { provider: String, failure: Option<Unrenewed> },
    /// A request of a newer version.
    #[serde(other)]
    Unknown,
}

/// Somebody who types, and how far that has come, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Typist {
    pub(super) name: String,
    pub(super) at: u64,
}

/// Whether a command could work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// It could.
    Works,
    /// It waits for its user.
    Waits,
}

/// What a supervisor tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum FromSupervisor {
    /// How things stand; comes first.
    Hello { state: State },
    /// The command runs.
    Started { isolation: Isolation },
    /// Output reaches this far.
    Output { end: Position },
    /// Output that follows is not kept.
    OutputLimited,
    /// This typist's keys are typed up to there; only they are told.
    Typed { typist: Typist },
    /// This typist's keys from there on were not taken, as too much waited; now there is room. Only
    /// they are told.
    Untaken { typist: Typist },
    /// Output that is not kept, in base64, behind all that is, and how much before it was left out.
    /// Only who looks is told.
    Unkept { after: Position, base64: String, skipped: u64 },
    /// All that the steps were denied, and used, so far.
    Egress { summary: Summary },
    /// It is all over.
    Exited { exit: JobExit },
    /// News of a newer version.
    #[serde(other)]
    Unknown,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) phase: Phase,
    pub(super) output_end: Position,
    pub(super) output_limited: bool,
    /// Where the last screens of output begin, roughly.
    #[serde(default, skip_serializing_if = "Position::is_start")]
    pub(super) output_tail: Position,
    #[serde(default, skip_serializing_if = "Summary::is_empty")]
    pub(super) egress: Summary,
    /// The names of the pieces of input that were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) inputs: Vec<String>,
    /// The latest typists; none of a supervisor that does not tell how far they have come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typists: Option<Vec<Typist>>,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(super) enum Phase {
    /// A step is being set up, or is one that sets up.
    SettingUp { step: String },
    /// The command runs.
    Running { isolation: Isolation },
    /// It is all over.
    Exited { exit: JobExit },
}

/// Bytes that have arrived and are not yet a line.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
}

/// Writes a message as a line.
pub(super) fn to_line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

impl Incoming {
    /// Adds what has arrived.
    ///
    /// # Errors
    ///
    /// Fails if no line can be that long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > LINE_LEN_MAX && !self.bytes.contains(&b'\n') {
            return Err(io::Error::other("a message is longer than any message can be"));
        }
        Ok(())
    }

    /// Takes the next message, if a whole one is there.
    ///
    /// # Errors
    ///
    /// Fails if a line is no message.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::{collection::vec, sample::Index};

    use super::*;

    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
        message: &T,
        golden: &str,
    ) {
        let line = to_line(message).expect("write");
        assert_eq!(String::from_utf8(line.clone()).expect("text"), format!("{golden}\n"));
        let mut incoming = Incoming::default();
        let (front, back) = line.split_at(golden.len() / 2);
        incoming.push(front).expect("push");
        assert_eq!(incoming.next::<T>().expect("half a line"), None);
        incoming.push(back).expect("push");
        assert_eq!(incoming.next::<T>().expect("a line").as_ref(), Some(message));
    }

    #[test]
    fn requests_are_read_by_every_later_version() {
        check(&ToSupervisor::Attach, r#"{"type":"attach"}"#);
        check(&ToSupervisor::Stop { grace_ms: 5 }, r#"{"type":"stop","grace_ms":5}"#);
        check(&ToSupervisor::Kill, r#"{"type":"kill"}"#);
        check(
            &ToSupervisor::Input { id: "a".into(), text: "{}\n".into() },
            r#"{"type":"input","id":"a","text":"{}\n"}"#,
        );
        check(&ToSupervisor::InputEnd, r#"{"type":"input_end"}"#);
        check(
            &ToSupervisor::Pace { event: 7, pace: Pace::Waits },
            r#"{"type":"pace","event":7,"pace":"waits"}"#,
        );
        let base64 = "Aw==".to_owned();
        check(
            &ToSupervisor::Type { base64: base64.clone(), by: None },
            r#"{"type":"type","base64":"Aw=="}"#,
        );
        check(
            &ToSupervisor::Type { base64, by: Some(Typist { name: "a".into(), at: 3 }) },
            r#"{"type":"type","base64":"Aw==","by":{"name":"a","at":3}}"#,
        );
        check(&ToSupervisor::Look, r#"{"type":"look"}"#);
        check(
            &ToSupervisor::Resize { rows: 24, columns: 80 },
            r#"{"type":"resize","rows":24,"columns":80}"#,
        );
        check(
            &ToSupervisor::Renewed { provider: "p".into(), failure: Some(Unrenewed::for_now("w")) },
            r#"{"type":"renewed","provider":"p","failure":{"reason":"w","is_final":false}}"#,
        );
    }

    #[test]
    fn news_are_read_by_every_later_version() {
        let state = State {
            phase: Phase::SettingUp { step: "npm ci".into() },
            output_end: Position::new(7),
            output_limited: false,
            output_tail: Position::START,
            egress: Summary::default(),
            inputs: Vec::new(),
            typists: None,
        };
        check(
            &FromSupervisor::Hello { state: state.clone() },
            r#"{"type":"hello","state":{"phase":{"name":"setting_up","step":"npm ci"},"output_end":7,"output_limited":false}}"#,
        );
        check(
            &FromSupervisor::Hello { state: State { inputs: vec!["a".into()], ..state } },
            r#"{"type":"hello","state":{"phase":{"name":"setting_up","step":"npm ci"},"output_end":7,"output_limited":false,"inputs":["a"]}}"#,
        );
        check(
            &FromSupervisor::Started { isolation: Isolation::default() },
            r#"{"type":"started","isolation":{"layers":[]}}"#,
        );
        check(&FromSupervisor::Output { end: Position::new(9) }, r#"{"type":"output","end":9}"#);
        check(
            &FromSupervisor::Typed { typist: Typist { name: "a".into(), at: 4 } },
            r#"{"type":"typed","typist":{"name":"a","at":4}}"#,
        );
        check(
            &FromSupervisor::Untaken { typist: Typist { name: "a".into(), at: 4 } },
            r#"{"type":"untaken","typist":{"name":"a","at":4}}"#,
        );
        check(
            &FromSupervisor::Unkept { after: Position::new(9), base64: "Aw==".into(), skipped: 2 },
            r#"{"type":"unkept","after":9,"base64":"Aw==","skipped":2}"#,
        );
        check(&FromSupervisor::OutputLimited, r#"{"type":"output_limited"}"#);
    }

    #[test]
    fn messages_of_a_newer_version_are_no_error() {
        let mut incoming = Incoming::default();
        incoming.push(b"{\"type\":\"dance\",\"steps\":3}\n").expect("push");
        assert_eq!(incoming.next().expect("a line"), Some(FromSupervisor::Unknown));
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let mut incoming = Incoming::default();
        incoming.push(&vec![b'x'; LINE_LEN_MAX + 1]).expect_err("too long");
    }

    /// Lines of both ways; to each side the other's are of a newer version.
    const LINES: &[u8] = br#"{"type":"attach"}
{"type":"stop","grace_ms":5}
{"type":"hello","state":{"phase":{"name":"running","isolation":{"layers":[]}},"output_end":7,"output_limited":true,"egress":{"denied":[],"usage":[]}}}
{"type":"output","end":9}
{"type":"exited","exit":{"ended":{"kind":"code","code":3},"output":{"end":17,"kept_bytes":12,"dropped_bytes":3},"oom_kills":1}}
"#;

    /// Reads what comes in pieces until a line is no message; returns how many messages there were.
    fn read_all<T>(bytes: &[u8], piece: usize) -> Result<usize, TestCaseError>
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        let (mut incoming, mut messages) = (Incoming::default(), 0);
        for piece in bytes.chunks(piece) {
            incoming.push(piece).expect("not too long");
            loop {
                match incoming.next::<T>() {
                    Ok(Some(message)) => {
                        let line = to_line(&message).expect("write");
                        let again: T = serde_json::from_slice(&line).expect("read");
                        prop_assert_eq!(again, message);
                        messages += 1;
                    }
                    Ok(None) => break,
                    Err(_) => return Ok(messages),
                }
            }
        }
        Ok(messages)
    }

    proptest! {
        #[test]
        fn mutated_lines_are_messages_or_errors(
            edits in vec((any::<Index>(), any::<u8>()), 0..5),
            cut: Index,
            piece in 1..200_usize,
        ) {
            let mut bytes = LINES.to_vec();
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(read_all::<ToSupervisor>(&bytes, piece)? <= lines);
            prop_assert!(read_all::<FromSupervisor>(&bytes, piece)? <= lines);
        }
    }

    #[test]
    fn whole_lines_are_all_read() {
        assert_eq!(read_all::<FromSupervisor>(LINES, 7).expect("messages"), 5);
    }
}
