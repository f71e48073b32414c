//! Claude Code, driven by `--input-format stream-json` and its control protocol. Checked against
//! version 2.1.330.
//!
//! Each message of the user has a uuid of ours: Claude Code takes each uuid once, also after it was
//! resumed, and says when it takes one up (`isReplay`). A `result` ends a turn, but what it left to
//! work in the background may begin another; when it is idle after a `result` and every message was
//! taken up, nothing is left to do.

mod ask;
mod record;
mod start;
mod tools;

use std::collections::{BTreeMap, BTreeSet};

use handoff_proto::chunk::ChunkId;
use handoff_proto::wire::{self, answer, heard::What};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::ask::Asked;
use self::record::{Activity, Content, Record, Request, System};
use super::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};
use super::{Act, Beginning, Conversation};

pub(super) use self::start::{arguments, variables};

/// What an agent that was interrupted is told, unless it had not heard its task yet.
const GO_ON: &str = "You were interrupted: the machine that you run on was restarted. What was under \
                     way then may be half done. Look at where things stand, and go on.";

/// Requests that wait for an answer at a time; a few sub-agents ask at once.
const ASKED_MAX: usize = 64;

/// Tools that are used at a time and whose time is taken.
const USING_MAX: usize = 1000;

/// Items of the todo list that are told.
const TASKS_MAX: usize = 100;

/// A conversation with one process.
#[derive(Debug)]
pub(super) struct Claude {
    name: String,
    first: String,
    /// Messages that were sent and not taken up yet, by uuid.
    waiting: BTreeSet<String>,
    /// How it works, once it has said so; it may leave a mode in the middle of a turn.
    ready: Option<wire::AgentReady>,
    /// Whether a turn has ended.
    has_result: bool,
    /// What it asks, by the id of its request.
    asked: BTreeMap<String, Asked>,
    /// The todo list, as far as single items are told.
    tasks: BTreeMap<u64, wire::PlanItem>,
    /// Items that are being made, by the id of the tool's use.
    tasks_made: BTreeMap<String, String>,
    /// Since when tools are used, by the id of the use.
    using: BTreeMap<String, Timestamp>,
}

impl Claude {
    pub(super) fn new(begin: &Beginning<'_>) -> Self {
        let taken_up = begin.interrupted && begin.account.has_begun;
        let first = if taken_up { GO_ON.to_owned() } else { begin.account.prompt.clone() };
        Self {
            name: begin.name.to_owned(),
            first,
            waiting: BTreeSet::new(),
            ready: None,
            has_result: false,
            asked: BTreeMap::new(),
            tasks: BTreeMap::new(),
            tasks_made: BTreeMap::new(),
            using: BTreeMap::new(),
        }
    }

    /// A message of the user's, under a name that is its own within the conversation.
    fn message(&mut self, name: &str, text: &str) -> Act {
        let uuid = uuid(&format!("{} {name}", self.name));
        let line = json!({
            "type": "user",
            "message": { "role": "user", "content": text },
            "parent_tool_use_id": null,
            "session_id": "",
            "uuid": uuid,
        });
        self.waiting.insert(uuid);
        send(name, &line)
    }

    fn hear_record(&mut self, record: Record) -> Vec<Act> {
        match record {
            Record::System(System::SessionStateChanged { state: Activity::Idle }) => {
                let is_over = self.has_result && self.waiting.is_empty();
                is_over.then_some(Act::End).into_iter().collect()
            }
            Record::System(system) => match system.ready(self.ready.as_ref()) {
                Some(ready) => {
                    self.ready = Some(ready.clone());
                    vec![Act::Tell(What::Ready(ready))]
                }
                None => system.told(),
            },
            Record::Assistant { message, parent_tool_use_id, error, timestamp } => {
                // What it says of an error of its API comes as the turn's end, too.
                if error.is_some() {
                    return Vec::new();
                }
                let by_subagent = parent_tool_use_id.is_some();
                let parts = message.content.into_parts();
                parts
                    .into_iter()
                    .flat_map(|part| self.hear_part(part, by_subagent, timestamp))
                    .collect()
            }
            Record::User { message, uuid, is_replay, timestamp } => {
                if is_replay {
                    self.waiting.remove(&uuid);
                    return Vec::new();
                }
                let parts = message.content.into_parts();
                parts.into_iter().flat_map(|part| self.hear_part(part, false, timestamp)).collect()
            }
            Record::ControlRequest { request_id, request: Request::CanUseTool(wish) }
                if self.asked.len() < ASKED_MAX =>
            {
                let asked = Asked::new(&request_id, *wish);
                let first = asked.next();
                self.asked.insert(request_id, asked);
                first.into_iter().map(Act::Ask).collect()
            }
            Record::ControlRequest { request_id, request } => {
                // Without an answer it would wait for ever.
                let error = match request {
                    Request::Other(subtype) => format!("{subtype:?} is not supported"),
                    Request::CanUseTool(_) => "too much is asked at once".to_owned(),
                };
                vec![send(
                    &format!("refuse:{request_id}"),
                    &json!({
                        "type": "control_response",
                        "response": { "subtype": "error", "request_id": request_id, "error": error },
                    }),
                )]
            }
            Record::ControlCancelRequest { request_id } => {
                let asked = self.asked.remove(&request_id);
                asked
                    .and_then(|asked| asked.next())
                    .map(|need| Act::Void(need.id))
                    .into_iter()
                    .collect()
            }
            Record::Result(result) => {
                let mut acts = result.told();
                // What it asked and nobody answered was part of the turn that is over.
                let void = std::mem::take(&mut self.asked).into_values();
                acts.extend(void.filter_map(|asked| asked.next()).map(|need| Act::Void(need.id)));
                self.has_result = true;
                acts
            }
            Record::Other => Vec::new(),
        }
    }

    fn hear_part(&mut self, part: Content, by_subagent: bool, at: Option<Timestamp>) -> Vec<Act> {
        match part {
            Content::Text { text } if !by_subagent && !text.trim().is_empty() => {
                vec![Act::Tell(What::Text(beginning(&text, TEXT_CHARS_MAX)))]
            }
            Content::ToolUse { id, name, input } => {
                if let Some(at) = at.filter(|_| self.using.len() < USING_MAX) {
                    self.using.insert(id.clone(), at);
                }
                let mut acts = vec![Act::Tell(What::ToolStarted(wire::ToolStarted {
                    kind: tools::kind(&name).into(),
                    target: beginning(&tools::target(&name, &input), LINE_CHARS_MAX),
                    id: id.clone(),
                    tool: beginning(&name, LINE_CHARS_MAX),
                    by_subagent,
                }))];
                if self.plans(&id, &name, &input) {
                    acts.push(self.plan());
                }
                acts
            }
            Content::ToolResult { tool_use_id, is_error, content } => {
                let text = content.text();
                let made = self.tasks_made.remove(&tool_use_id);
                let began = self.using.remove(&tool_use_id);
                let took = began.zip(at).map(|(began, ended)| ended.duration_since(began));
                let milliseconds = took.map_or(0, |took| took.as_millis().max(0));
                let milliseconds = u64::try_from(milliseconds).unwrap_or_default();
                let detail =
                    if is_error { beginning(&text, LINE_CHARS_MAX) } else { String::new() };
                let mut acts = vec![Act::Tell(What::ToolEnded(wire::ToolEnded {
                    id: tool_use_id,
                    failed: is_error,
                    milliseconds,
                    detail,
                }))];
                let made = made.filter(|_| self.tasks.len() < TASKS_MAX);
                if let Some((number, subject)) = tools::task_number(&text).zip(made) {
                    let item = wire::PlanItem { text: subject, state: "pending".into() };
                    self.tasks.insert(number, item);
                    acts.push(self.plan());
                }
                acts
            }
            Content::Text { .. } | Content::Other => Vec::new(),
        }
    }

    /// Takes what the use of a tool says about the todo list; tells whether it has changed.
    fn plans(&mut self, id: &str, name: &str, input: &Value) -> bool {
        let text = |field: &str| input[field].as_str().map(|text| beginning(text, LINE_CHARS_MAX));
        match name {
            "TodoWrite" => {
                let Some(todos) = input["todos"].as_array() else { return false };
                self.tasks = todos
                    .iter()
                    .take(TASKS_MAX)
                    .zip(1..)
                    .map(|(todo, number)| (number, tools::todo(todo)))
                    .collect();
                true
            }
            "TaskCreate" => {
                // Its number comes with the tool's result.
                let subject = text("subject").filter(|_| self.tasks_made.len() < TASKS_MAX);
                self.tasks_made.extend(subject.map(|subject| (id.to_owned(), subject)));
                false
            }
            "TaskUpdate" => {
                let number = input["taskId"].as_str().and_then(|number| number.parse().ok());
                let Some(item) = number.and_then(|number: u64| self.tasks.get_mut(&number)) else {
                    return false;
                };
                if let Some(subject) = text("subject") {
                    item.text = subject;
                }
                match text("status") {
                    Some(status) if status == "deleted" => {
                        drop(number.and_then(|number| self.tasks.remove(&number)));
                    }
                    Some(status) => item.state = status,
                    None => {}
                }
                true
            }
            _ => false,
        }
    }

    fn plan(&self) -> Act {
        Act::Tell(What::Plan(wire::AgentPlan { items: self.tasks.values().cloned().collect() }))
    }
}

impl Conversation for Claude {
    fn begin(&mut self) -> Vec<Act> {
        let first = std::mem::take(&mut self.first);
        vec![self.message("prompt", &first)]
    }

    fn hear(&mut self, line: &[u8]) -> Vec<Act> {
        // What is no record of ours to understand is in the logs.
        serde_json::from_slice(line).map_or_else(|_| Vec::new(), |record| self.hear_record(record))
    }

    fn answer(&mut self, id: &str, answer: &answer::What) -> Vec<Act> {
        let request = ask::request_of(id);
        let Some(asked) = self.asked.get_mut(request) else { return Vec::new() };
        if !asked.take(id, answer) {
            return Vec::new();
        }
        if let Some(next) = asked.next() {
            return vec![Act::Ask(next)];
        }
        let response = asked.response();
        drop(self.asked.remove(request));
        vec![send(
            &format!("answer:{request}"),
            &json!({
                "type": "control_response",
                "response": {
                    "subtype": "success",
                    "request_id": request,
                    "response": response,
                },
            }),
        )]
    }

    fn say(&mut self, said: &wire::Said) -> Vec<Act> {
        vec![self.message(&format!("say:{}", said.id), &said.text)]
    }
}

fn send(id: &str, line: &Value) -> Act {
    Act::Send { id: id.to_owned(), line: format!("{line}\n") }
}

/// A uuid that is always the same for a name, made of its BLAKE3.
fn uuid(name: &str) -> String {
    let id = ChunkId::of(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests;
