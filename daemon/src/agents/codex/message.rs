//! What the user says to Codex, each until it is taken up.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::request;
use crate::agents::Act;

/// How often a message is said before that is given up: each time but the last, a turn ended before
/// it was taken up.
const TRIES_MAX: u32 = 3;

/// The number and the name of the first message, whatever is said before there is a thread.
const FIRST: u64 = 0;
const PROMPT: &str = "prompt";

/// Messages that are not taken up yet.
#[derive(Debug)]
pub(super) struct Messages {
    /// Tells this conversation from every other one.
    conversation: String,
    thread: Option<String>,
    /// In the order in which they were said.
    waiting: BTreeMap<u64, Message>,
    /// The number of the next one.
    next: u64,
}

#[derive(Debug)]
struct Message {
    name: String,
    text: String,
    /// The mode in which its turn is to be, where that is another one.
    mode: Option<Value>,
    /// How often it was said; not at all before there is a thread.
    tries: u32,
    /// The turn that is to take it up.
    turn: Option<String>,
    /// Whether the turn that is under way does not want it.
    is_put_off: bool,
}

impl Message {
    fn new(name: &str, text: &str) -> Self {
        let (name, text) = (name.to_owned(), text.to_owned());
        Self { name, text, mode: None, tries: 0, turn: None, is_put_off: false }
    }

    /// The name of the piece that says it this time, and of the request in it.
    fn id(&self) -> String {
        match self.tries {
            0 | 1 => self.name.clone(),
            tries => format!("{}/{tries}", self.name),
        }
    }
}

impl Messages {
    pub(super) fn new(conversation: &str) -> Self {
        let (conversation, waiting) = (conversation.to_owned(), BTreeMap::new());
        Self { conversation, thread: None, waiting, next: FIRST + 1 }
    }

    /// Whether every message was taken up.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A message more; said at once if there is a thread.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Vec<Act> {
        self.add_in(name, text, None)
    }

    /// The same, which has its turn in that mode.
    pub(super) fn add_in(&mut self, name: &str, text: &str, mode: Option<Value>) -> Vec<Act> {
        self.waiting.insert(self.next, Message { mode, ..Message::new(name, text) });
        self.next += 1;
        self.unsent()
    }

    /// There is a thread now, in which this is said first.
    pub(super) fn open(&mut self, thread: &str, first: &str) -> Vec<Act> {
        self.thread = Some(thread.to_owned());
        self.waiting.insert(FIRST, Message::new(PROMPT, first));
        self.unsent()
    }

    /// Says what was not said yet, if there is a thread.
    fn unsent(&mut self) -> Vec<Act> {
        let Some(thread) = self.thread.clone() else { return Vec::new() };
        let unsent = self.waiting.values_mut().filter(|message| message.tries == 0);
        unsent.map(|message| say(&self.conversation, &thread, message)).collect()
    }

    /// Whether that request says something that is not taken up yet.
    pub(super) fn is_waiting(&self, id: &str) -> bool {
        self.waiting.values().any(|message| message.id() == id)
    }

    /// That turn is to take up what this request said.
    pub(super) fn taken_in(&mut self, id: &str, turn: &str) {
        if let Some(message) = self.waiting.values_mut().find(|message| message.id() == id) {
            message.turn = Some(turn.to_owned());
        }
    }

    /// The turn that is under way does not take what this request said; tells whether there is any.
    pub(super) fn put_off(&mut self, id: &str) -> bool {
        let message = self.waiting.values_mut().find(|message| message.id() == id);
        message.map(|message| message.is_put_off = true).is_some()
    }

    /// The message of this client id was taken up.
    pub(super) fn taken_up(&mut self, client_id: &str) {
        let conversation = &self.conversation;
        self.waiting.retain(|_, message| client_of(conversation, message) != client_id);
    }

    /// Says again what a turn that is over has not taken up.
    ///
    /// # Errors
    ///
    /// With the text of a message that was said often enough.
    pub(super) fn left_by(&mut self, turn: &str) -> Result<Vec<Act>, String> {
        let Some(thread) = self.thread.clone() else { return Ok(Vec::new()) };
        let is_left =
            |message: &&mut Message| message.is_put_off || message.turn.as_deref() == Some(turn);
        let mut acts = Vec::new();
        for message in self.waiting.values_mut().filter(is_left) {
            if message.tries >= TRIES_MAX {
                return Err(message.text.clone());
            }
            (message.turn, message.is_put_off) = (None, false);
            acts.push(say(&self.conversation, &thread, message));
        }
        Ok(acts)
    }
}

/// The request that says a message once more.
fn say(conversation: &str, thread: &str, message: &mut Message) -> Act {
    message.tries += 1;
    let mut params = json!({
        "threadId": thread,
        "clientUserMessageId": client_of(conversation, message),
        "input": [{ "type": "text", "text": message.text, "text_elements": [] }],
    });
    if let Some(mode) = &message.mode {
        params["collaborationMode"] = mode.clone();
    }
    request(&message.id(), ("turn/start", params))
}

/// What Codex calls a message when it takes it up: the same whenever it is said.
fn client_of(conversation: &str, message: &Message) -> String {
    format!("{conversation} {}", message.name)
}
