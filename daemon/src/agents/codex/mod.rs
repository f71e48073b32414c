//! Codex, driven through its app server: requests, answers and news as lines of JSON. Checked
//! against version 0.169.0.
//!
//! ```text
//! initialize ─▶ initialized ─▶ thread/resume ─▶ turn/start for each message ─▶ turn/completed
//!                                  │ nothing was said in it yet     ▲
//!                                  └────────▶ thread/start ─────────┘
//! ```
//!
//! Requests have names for ids, so that a conversation that is held again makes the same ones. Every
//! message of the user's is a `turn/start`: while a turn is under way, Codex takes it as part of
//! that one. It says when it takes a message up (an item with our `clientId`); one that a turn left
//! over begins the next one. When a turn is over and no message is left, nothing is left to do, but
//! to ask about a plan: by itself Codex begins no turn, since goals are off.

mod ask;
mod failure;
mod item;
mod line;
mod message;
mod news;
mod plan;
mod start;

use std::collections::BTreeMap;

use handoff_proto::wire::{self, answer, heard::What};
use serde_json::{Value, json};

use self::ask::Asked;
use self::line::{Line, Thread};
use self::message::Messages;
use self::plan::Planning;
use self::start::Opening;
use super::cut::{LINE_CHARS_MAX, beginning};
use super::{Act, Beginning, Conversation};

pub(super) use self::start::{arguments, model_arguments, variables};

/// What an agent that was interrupted is told, unless it had not heard its task yet.
const GO_ON: &str = "You were interrupted: the machine that you run on was restarted. What was under \
                     way then may be half done. Look at where things stand, and go on.";

/// Names of the requests that open a conversation. The thread is opened under the same name whether
/// there is one or not: when a conversation is held again, there always is.
const INITIALIZE: &str = "initialize";
const OPEN: &str = "thread";
const OPEN_ANEW: &str = "thread/2";

/// How Codex says that a thread has no record: it has had no turn.
const NO_RECORD: &str = "no rollout found";

/// JSON-RPC's code for a method that is not known.
const METHOD_NOT_FOUND: i32 = -32601;

/// Requests that wait for an answer at a time; a few sub-agents ask at once.
const ASKED_MAX: usize = 64;

/// A conversation with one process.
#[derive(Debug)]
pub(super) struct Codex {
    name: String,
    opening: Opening,
    /// What it is told first.
    prompt: String,
    version: String,
    /// The thread, once it is there.
    thread: Option<String>,
    messages: Messages,
    /// The turn that is under way.
    turn: Option<String>,
    /// The turn that was over last.
    over: Option<String>,
    /// Whether there is no going on.
    has_failed: bool,
    /// What it asks, by the id of its request.
    asked: BTreeMap<String, Asked>,
    /// What changes of files would change, by their items.
    patches: BTreeMap<String, String>,
    planning: Planning,
    usage: Option<wire::AgentUsage>,
    /// What it said last in this turn.
    text: String,
}

impl Codex {
    pub(super) fn new(begin: &Beginning<'_>) -> Self {
        Self {
            name: begin.name.replace(' ', "-"),
            opening: Opening::new(begin),
            prompt: begin.account.prompt.clone(),
            version: String::new(),
            thread: None,
            messages: Messages::new(begin.name),
            turn: None,
            over: None,
            has_failed: false,
            asked: BTreeMap::new(),
            patches: BTreeMap::new(),
            planning: Planning::default(),
            usage: None,
            text: String::new(),
        }
    }

    /// The end of a conversation that cannot be held.
    fn fail(&mut self, failure: &str) -> Vec<Act> {
        if std::mem::replace(&mut self.has_failed, true) {
            return Vec::new();
        }
        let failure = beginning(failure, LINE_CHARS_MAX);
        let ended = wire::TurnEnded { failure, text: std::mem::take(&mut self.text) };
        vec![Act::Tell(What::TurnEnded(ended)), Act::End]
    }

    fn hear_answer(&mut self, id: &str, answer: Result<Value, String>) -> Vec<Act> {
        match (id, answer) {
            (INITIALIZE, Ok(answer)) => {
                self.version = line::version(&answer);
                let opened = match &self.opening.thread {
                    Some(thread) => request(OPEN, self.opening.resume(thread)),
                    None => request(OPEN, self.opening.start()),
                };
                vec![send("initialized", &json!({ "method": "initialized" })), opened]
            }
            (OPEN | OPEN_ANEW, Ok(answer)) => match Thread::read(&answer) {
                Some(thread) if self.thread.is_none() => {
                    let ready = Act::Tell(What::Ready(thread.ready(&self.version)));
                    self.planning.in_mode(&answer["collaborationMode"]);
                    // Who was interrupted with its task has it in its thread.
                    let has_task = line::holds(&answer["initialTurnsPage"], &self.prompt);
                    let first = if has_task { GO_ON } else { &self.prompt };
                    let said = self.messages.open(&thread.id, first);
                    self.thread = Some(thread.id);
                    [ready].into_iter().chain(said).collect()
                }
                Some(_) => Vec::new(),
                None => self.fail("the agent opens no thread: it does not say which"),
            },
            (OPEN, Err(error))
                if error.contains(NO_RECORD) && self.opening.may_begin_anew(&error) =>
            {
                vec![request(OPEN_ANEW, self.opening.start())]
            }
            (INITIALIZE, Err(error)) => {
                self.fail(&format!("the agent does not want to be driven: {error}"))
            }
            (OPEN | OPEN_ANEW, Err(error)) => {
                self.fail(&format!("the agent opens no session: {error}"))
            }
            (id, Ok(answer)) => {
                let Some(turn) = answer["turn"]["id"].as_str() else {
                    if self.messages.is_waiting(id) {
                        return self.fail("the agent begins no turn: it does not say which");
                    }
                    return Vec::new();
                };
                self.messages.taken_in(id, turn);
                if self.over.as_deref() == Some(turn) { self.say_again(turn) } else { Vec::new() }
            }
            // A turn that takes no more is followed by one that does.
            (id, Err(_)) if self.turn.is_some() && self.messages.put_off(id) => Vec::new(),
            (id, Err(error)) if self.messages.is_waiting(id) => {
                self.fail(&format!("the agent does not take what it is told: {error}"))
            }
            (_, Err(_)) => Vec::new(),
        }
    }

    fn hear_request(&mut self, id: &Value, method: &str, params: &Value) -> Vec<Act> {
        let request = id.to_string();
        let name = format!("{}-{request}", self.name);
        let item = params["itemId"].as_str().unwrap_or_default();
        let has_room = self.asked.len() < ASKED_MAX;
        let asked = Asked::read(name, id, method, params, self.patches.get(item));
        if let Some(asked) = asked.filter(|_| has_room) {
            let first = asked.next();
            self.asked.insert(request, asked);
            return first.into_iter().map(Act::Ask).collect();
        }
        // Without an answer it would wait for ever.
        let message = if has_room {
            format!("{method:?} is not supported")
        } else {
            "too much is asked at once".to_owned()
        };
        let error = json!({ "code": METHOD_NOT_FOUND, "message": message });
        vec![send(&format!("refuse:{request}"), &json!({ "id": id, "error": error }))]
    }
}

impl Conversation for Codex {
    fn begin(&mut self) -> Vec<Act> {
        vec![request(INITIALIZE, ("initialize", start::initialize()))]
    }

    fn hear(&mut self, line: &[u8]) -> Vec<Act> {
        // What is no line of its protocol is in the logs.
        match Line::parse(line) {
            _ if self.has_failed => Vec::new(),
            Some(Line::Answer { id, answer }) => self.hear_answer(&id, answer),
            Some(Line::Request { id, method, params }) => self.hear_request(&id, &method, &params),
            Some(Line::News { method, params }) => self.hear_news(&method, &params),
            None => Vec::new(),
        }
    }

    fn answer(&mut self, id: &str, answer: &answer::What) -> Vec<Act> {
        if let Some(verdict) = self.planning.answer(id, answer) {
            return self.messages.add_in(id, &verdict.text, verdict.mode);
        }
        let found = self.asked.iter_mut().find_map(|(request, asked)| {
            asked.take(id, answer).then(|| (request.clone(), asked.next()))
        });
        let Some((request, next)) = found else { return Vec::new() };
        if let Some(next) = next {
            return vec![Act::Ask(next)];
        }
        let Some(asked) = self.asked.remove(&request) else { return Vec::new() };
        // Why not comes first: so it is heard together with the no.
        let why = asked.reason().map(|why| self.messages.add(&format!("why:{request}"), why));
        let answer = send(&format!("answer:{request}"), &asked.response());
        why.into_iter().flatten().chain([answer]).collect()
    }

    fn say(&mut self, said: &wire::Said) -> Vec<Act> {
        let void = self.planning.give_up().map(Act::Void);
        let said = self.messages.add(&format!("say:{}", said.id), &said.text);
        void.into_iter().chain(said).collect()
    }
}

fn void(asked: Option<Asked>) -> Vec<Act> {
    asked.and_then(|asked| asked.next()).map(|need| Act::Void(need.id)).into_iter().collect()
}

fn request(name: &str, (method, params): (&str, Value)) -> Act {
    send(name, &json!({ "id": name, "method": method, "params": params }))
}

fn send(id: &str, line: &Value) -> Act {
    Act::Send { id: id.to_owned(), line: format!("{line}\n") }
}

#[cfg(test)]
mod tests;
