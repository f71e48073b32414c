//! JSON that programs rely on: the run object.
//!
//! Field names and meanings are a contract; fields are only ever added. Knows no printing.

use handoff_proto::wire;
use jiff::Timestamp;
use serde::Serialize;

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// A run for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunObject {
    /// The run's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: String,
    /// What became of it; null until finished.
    pub outcome: Option<String>,
    /// One line about the outcome; null until finished.
    pub outcome_detail: Option<String>,
    /// The command's exit code; null before its exit and after a signal.
    pub exit_code: Option<i32>,
    /// The command, word by word.
    pub command: Vec<String>,
    /// The agent kind; empty for a plain command.
    pub agent: String,
    /// The agent's session; null for a plain command.
    pub session_id: Option<String>,
    /// The root of the tree.
    pub directory: String,
    /// The remote it runs on, as it is called here.
    pub remote: String,
    /// The snapshot's id in hexadecimal digits.
    pub snapshot: String,
    /// What keeps the command in; empty until it has started.
    pub isolation: Vec<IsolationLayer>,
    /// When it was handed off, RFC 3339 in UTC.
    pub created_at: String,
    /// When it finished; null until then.
    pub finished_at: Option<String>,
    /// How long the turn's command could work, in seconds, up to when it waited for its owner last.
    pub worked_seconds: i64,
    /// Since when it works; null while it does not.
    pub working_since: Option<String>,
    /// The number of its newest event.
    pub last_seq: u64,
    /// What it waits for; null when for nothing.
    pub needs: Option<Needs>,
    /// The branch that HEAD names in the result; null until there is one.
    pub branch: Option<String>,
    /// What it wanted to reach and was not let.
    pub denied: Vec<Denied>,
    /// What it used of APIs with the daemon's credentials.
    pub used: Vec<Used>,
}

/// Something that a run wanted to reach and was not let.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// The host, as far as it could be read.
    pub host: String,
    /// The port; null where only the name is known.
    pub port: Option<u32>,
    /// Why not.
    pub reason: String,
    /// The flag of `handoff` that would allow it; null where there is none.
    pub fix: Option<String>,
}

/// What a run used of one API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Used {
    /// The provider.
    pub provider: String,
    /// Calls.
    pub requests: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// One layer of isolation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IsolationLayer {
    /// Which layer.
    pub name: String,
    /// `in-force`, `partial` or `absent`.
    pub state: String,
    /// More about it.
    pub detail: String,
}

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The question's id.
    pub id: String,
    /// What kind of question.
    pub kind: String,
    /// The question.
    pub text: String,
    /// What to choose from, by number from 1; left out where there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

impl RunObject {
    /// Describes a run of the remote of that name.
    #[must_use]
    pub fn new(run: wire::RunView, remote: &str) -> Self {
        let finished = !run.outcome.is_empty();
        let contract = run.contract.unwrap_or_default();
        let layers = run.isolation.map(|isolation| isolation.layers).unwrap_or_default();
        Self {
            id: run.id,
            name: run.name,
            state: run.state,
            outcome: finished.then_some(run.outcome),
            outcome_detail: finished.then_some(run.outcome_detail),
            exit_code: run.exit_code,
            command: contract.command.iter().map(|word| lossy(word)).collect(),
            agent: contract.agent,
            session_id: run
                .agent
                .and_then(|agent| non_empty(agent.session_id))
                .or_else(|| non_empty(contract.session_id)),
            directory: lossy(&contract.root),
            remote: remote.to_owned(),
            snapshot: data_encoding::HEXLOWER.encode(&run.snapshot),
            isolation: layers.into_iter().map(IsolationLayer::from).collect(),
            created_at: rfc3339(run.created_at_unix_nanos),
            finished_at: finished.then(|| rfc3339(run.finished_at_unix_nanos)),
            worked_seconds: run.worked_nanos / NANOS,
            working_since: Some(run.working_since_unix_nanos)
                .filter(|since| *since != 0)
                .map(rfc3339),
            last_seq: run.last_seq,
            needs: run.needs.map(Needs::from),
            branch: non_empty(run.branch),
            denied: run.denied.into_iter().map(Denied::from).collect(),
            used: run.used.into_iter().map(Used::from).collect(),
        }
    }
}

impl From<wire::IsolationLayer> for IsolationLayer {
    fn from(layer: wire::IsolationLayer) -> Self {
        Self { name: layer.name, state: layer.state, detail: layer.detail }
    }
}

impl From<wire::Denied> for Denied {
    fn from(denied: wire::Denied) -> Self {
        let wire::Denied { host, port, reason, fix } = denied;
        Self { host, port: Some(port).filter(|port| *port != 0), reason, fix: non_empty(fix) }
    }
}

impl From<wire::Used> for Used {
    fn from(used: wire::Used) -> Self {
        let wire::Used { provider, requests, input_tokens, output_tokens } = used;
        Self { provider, requests, input_tokens, output_tokens }
    }
}

impl From<wire::InputNeeded> for Needs {
    fn from(need: wire::InputNeeded) -> Self {
        let choices = need.choices.into_iter().map(|choice| choice.label).collect();
        Self { id: need.id, kind: need.kind, text: need.text, choices }
    }
}

/// A moment as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(unix_nanos: i64) -> String {
    Timestamp::from_nanosecond(i128::from(unix_nanos)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// JSON has no bytes: what is no UTF-8 is replaced.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> wire::RunView {
        wire::RunView {
            id: "abcdefghij".to_owned(),
            name: "make-test-abcd".to_owned(),
            state: "finished".to_owned(),
            outcome: "failed".to_owned(),
            outcome_detail: "make exited with code 2".to_owned(),
            exit_code: Some(2),
            contract: Some(wire::Contract {
                command: vec![b"make".to_vec(), b"-j8".to_vec(), b"te\xffst".to_vec()],
                root: b"/home/a/tree".to_vec(),
                directory: b"/home/a/tree/sub".to_vec(),
                ..wire::Contract::default()
            }),
            snapshot: vec![0xab; 32],
            isolation: Some(wire::Isolation {
                layers: vec![wire::IsolationLayer {
                    name: "namespaces".to_owned(),
                    state: "in-force".to_owned(),
                    detail: "user, mount, pid, net".to_owned(),
                }],
            }),
            created_at_unix_nanos: 1_793_000_000_123_456_789,
            finished_at_unix_nanos: 1_793_000_060_000_000_000,
            worked_nanos: 58_765_432_109,
            last_seq: 7,
            branch: "main".to_owned(),
            ..wire::RunView::default()
        }
    }

    fn check(run: wire::RunView, golden: &str) {
        let object = serde_json::to_string_pretty(&RunObject::new(run, "box")).unwrap();
        assert_eq!(object, golden.trim_end());
    }

    #[test]
    fn a_finished_run_is_what_programs_rely_on() {
        check(view(), include_str!("../tests/golden/run-finished.json"));
    }

    #[test]
    fn a_waiting_run_is_what_programs_rely_on() {
        let run = wire::RunView {
            state: "needs_input".to_owned(),
            outcome: String::new(),
            outcome_detail: String::new(),
            exit_code: None,
            finished_at_unix_nanos: 0,
            branch: String::new(),
            needs: Some(wire::InputNeeded {
                id: "q1".to_owned(),
                kind: "question".to_owned(),
                text: "Which one?".to_owned(),
                ..Default::default()
            }),
            ..view()
        };
        check(run, include_str!("../tests/golden/run-waiting.json"));
    }
}
