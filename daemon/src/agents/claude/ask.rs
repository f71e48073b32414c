//! What Claude Code asks a human: whether it may use a tool, and questions of its own. One request
//! may hold several questions; they are asked one after the other.

use std::collections::BTreeMap;

use handoff_proto::wire::{self, answer};
use serde_json::{Value, json};

use super::record::Wish;
use super::tools;
use crate::agents::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};
use crate::agents::question::{QUESTIONS_MAX, choices};

/// What the agent is told of a no without a reason.
const NO: &str = "The user does not want that.";

/// One request, as far as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    id: String,
    wish: Wish,
    questions: Vec<Question>,
    /// What was answered, in the order of the questions.
    answers: Vec<String>,
    /// Why the agent may not go on like this.
    refused: Option<String>,
    allowed: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Question {
    text: String,
    choices: Vec<wire::Choice>,
    several: bool,
}

/// The request that a question belongs to: its id is that of the request with a number behind.
pub(super) fn request_of(id: &str) -> &str {
    id.rsplit_once('#').map_or(id, |(request, _)| request)
}

impl Asked {
    pub(super) fn new(id: &str, wish: Wish) -> Self {
        let questions = match wish.tool_name.as_str() {
            "AskUserQuestion" => wish.input["questions"].as_array().map(Vec::as_slice),
            _ => None,
        };
        let questions = questions.unwrap_or_default().iter();
        let questions = questions.take(QUESTIONS_MAX).map(Question::read).collect();
        Self {
            id: id.to_owned(),
            wish,
            questions,
            answers: Vec::new(),
            refused: None,
            allowed: false,
        }
    }

    /// What is to be asked now; nothing once all is answered.
    pub(super) fn next(&self) -> Option<wire::InputNeeded> {
        if self.allowed || self.refused.is_some() {
            return None;
        }
        let id = format!("{}#{}", self.id, self.answers.len());
        if self.questions.is_empty() {
            let (kind, text) = (wire::PERMISSION.to_owned(), self.permission());
            return Some(wire::InputNeeded { id, kind, text, ..Default::default() });
        }
        let question = self.questions.get(self.answers.len())?;
        Some(wire::InputNeeded {
            id,
            kind: wire::QUESTION.to_owned(),
            text: beginning(&question.text, TEXT_CHARS_MAX),
            choices: question.choices.clone(),
            several: question.several,
        })
    }

    /// Takes an answer; tells whether it was one to what is asked now.
    pub(super) fn take(&mut self, id: &str, answer: &answer::What) -> bool {
        if self.next().is_none_or(|next| next.id != id) {
            return false;
        }
        match (answer, self.questions.get(self.answers.len())) {
            (answer::What::Denied(why), _) => {
                let why = why.trim();
                self.refused = Some(if why.is_empty() { NO.to_owned() } else { why.to_owned() });
            }
            (answer::What::Text(text), Some(_)) => {
                self.answers.push(text.clone());
                self.allowed = self.answers.len() == self.questions.len();
            }
            (answer::What::Approved(_) | answer::What::Text(_), _) => self.allowed = true,
        }
        true
    }

    /// What the agent is told once all is answered.
    pub(super) fn response(&self) -> Value {
        if let Some(why) = &self.refused {
            return json!({ "behavior": "deny", "message": why });
        }
        let mut input = self.wish.input.clone();
        if !self.questions.is_empty() {
            let questions = self.questions.iter().map(|question| &question.text);
            let answers: BTreeMap<_, _> = questions.zip(&self.answers).collect();
            input["answers"] = json!(answers);
        }
        json!({ "behavior": "allow", "updatedInput": input })
    }

    /// What it wants to do, in words.
    fn permission(&self) -> String {
        let Wish { tool_name, input, decision_reason } = &self.wish;
        if tool_name == "ExitPlanMode" {
            let plan = input["plan"].as_str().unwrap_or_default();
            return beginning(&format!("carry out this plan?\n{plan}"), TEXT_CHARS_MAX);
        }
        let target = tools::target(tool_name, input);
        let mut text = format!("{tool_name}: {}", beginning(&target, LINE_CHARS_MAX));
        if let Some(reason) = decision_reason.as_deref().filter(|reason| !reason.is_empty()) {
            text = format!("{text} ({})", beginning(reason, LINE_CHARS_MAX));
        }
        text
    }
}

impl Question {
    fn read(question: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            text: text(&question["question"]),
            choices: choices(question),
            several: question["multiSelect"].as_bool().unwrap_or_default(),
        }
    }
}
