//! The script: what a model says, one turn after the other.

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Notify;

/// One answer of the model.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub(super) texts: Vec<String>,
    pub(super) tools: Vec<(String, Value)>,
    pub(super) failure: Option<(StatusCode, Value)>,
    pub(super) held: Option<Hold>,
    /// Answers only requests with this in them.
    when: Option<String>,
    /// Whether it stays in the script.
    again: bool,
}

/// Keeps an answer back until it is let go.
#[derive(Clone, Debug, Default)]
pub struct Hold(Arc<Notify>);

impl Hold {
    /// Lets the answer go.
    pub fn release(&self) {
        self.0.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.notified().await;
    }
}

impl Turn {
    /// The model says something.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { texts: vec![text.to_owned()], ..Self::default() }
    }

    /// The model uses a tool.
    #[must_use]
    pub fn tool(name: &str, input: Value) -> Self {
        Self::default().and_tool(name, input)
    }

    /// The model has Claude Code run a command.
    #[must_use]
    pub fn bash(command: &str) -> Self {
        Self::tool("Bash", json!({ "command": command, "description": "a step" }))
    }

    /// The model has Codex run a command.
    #[must_use]
    pub fn exec(command: &str) -> Self {
        Self::tool("exec_command", json!({ "cmd": command, "yield_time_ms": 30_000 }))
    }

    /// And another one in the same answer.
    #[must_use]
    pub fn and_tool(mut self, name: &str, input: Value) -> Self {
        self.tools.push((name.to_owned(), input));
        self
    }

    /// The API answers with an error instead.
    #[must_use]
    pub fn error(status: u16, kind: &str, message: &str) -> Self {
        let error = json!({ "type": "error", "error": { "type": kind, "message": message } });
        let status = StatusCode::from_u16(status).expect("a status");
        Self { failure: Some((status, error)), ..Self::default() }
    }

    /// Answers only requests with this in them.
    #[must_use]
    pub fn when(self, text: &str) -> Self {
        Self { when: Some(text.to_owned()), ..self }
    }

    /// Answers every time.
    #[must_use]
    pub fn again(self) -> Self {
        Self { again: true, ..self }
    }

    /// Is kept back until that is released.
    #[must_use]
    pub fn held(self, hold: &Hold) -> Self {
        Self { held: Some(hold.clone()), ..self }
    }
}

/// The answer to a request of these bytes.
pub(super) fn next(script: &mut Vec<Turn>, request: &[u8]) -> Turn {
    let request = String::from_utf8_lossy(request);
    let fits = |turn: &Turn| turn.when.as_ref().is_none_or(|text| request.contains(text));
    match script.iter().position(fits) {
        Some(place) if script[place].again => script[place].clone(),
        Some(place) => script.remove(place),
        None => Turn::text("the script is over"),
    }
}
