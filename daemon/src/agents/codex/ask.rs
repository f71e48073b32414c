//! What Codex asks a human: whether it may run a command, change files or use a tool, and questions
//! of its own. One request may hold several questions; they are asked one after the other.

use handoff_proto::wire::{self, answer};
use serde_json::{Map, Value, json};

use super::item::as_typed;
use crate::agents::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};
use crate::agents::question::{QUESTIONS_MAX, choices};

/// What the agent is told of a question that nobody wants to answer.
const NO: &str = "The user does not want to answer that.";

/// One request, as far as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    /// What its questions are called, but for their numbers.
    name: String,
    /// The id of the request, as it came.
    request: Value,
    /// The turn that it is part of.
    turn: String,
    wish: Wish,
    /// What was answered, in the order of the questions.
    answers: Vec<String>,
    verdict: Option<Verdict>,
}

/// What it wants.
#[derive(Clone, Debug, PartialEq)]
enum Wish {
    /// To run a command or to change files.
    Approval(String),
    /// To use a tool of a server of tools.
    Tool(String),
    /// To know.
    Answers(Vec<Question>),
}

#[derive(Clone, Debug, PartialEq)]
struct Question {
    id: String,
    text: String,
    choices: Vec<wire::Choice>,
}

#[derive(Clone, Debug, PartialEq)]
enum Verdict {
    Yes,
    /// Why not, or what to do instead; may be empty.
    No(String),
}

impl Asked {
    /// What a request asks; nothing for one that no human could answer. `patch` is what the item
    /// would change, where it is a change of files.
    pub(super) fn read(
        name: String,
        request: &Value,
        method: &str,
        params: &Value,
        patch: Option<&String>,
    ) -> Option<Self> {
        let reason = params["reason"].as_str().unwrap_or_default();
        let wish = match method {
            "item/commandExecution/requestApproval" => {
                let command = as_typed(params["command"].as_str().unwrap_or_default());
                let text = format!("exec_command: {}", beginning(&command, TEXT_CHARS_MAX / 2));
                Wish::Approval(with_reason(&text, reason))
            }
            "item/fileChange/requestApproval" => {
                let text = patch.map_or("apply_patch", String::as_str);
                Wish::Approval(with_reason(text, reason))
            }
            "mcpServer/elicitation/request"
                if params["_meta"]["codex_approval_kind"] == "mcp_tool_call" =>
            {
                let word =
                    |value: &Value| beginning(value.as_str().unwrap_or_default(), LINE_CHARS_MAX);
                let (server, tool) =
                    (word(&params["serverName"]), word(&params["_meta"]["tool_name"]));
                let arguments = params["_meta"]["tool_params"].to_string();
                let arguments = beginning(&arguments, TEXT_CHARS_MAX / 2);
                Wish::Tool(format!("{server}.{tool}: {arguments}"))
            }
            "item/tool/requestUserInput" => {
                let questions = params["questions"].as_array().filter(|all| !all.is_empty())?;
                Wish::Answers(questions.iter().take(QUESTIONS_MAX).map(Question::read).collect())
            }
            _ => return None,
        };
        let turn = params["turnId"].as_str().unwrap_or_default().to_owned();
        let request = request.clone();
        Some(Self { name, request, turn, wish, answers: Vec::new(), verdict: None })
    }

    pub(super) fn is_part_of(&self, turn: &str) -> bool {
        self.turn == turn
    }

    /// What is to be asked now; nothing once all is answered.
    pub(super) fn next(&self) -> Option<wire::InputNeeded> {
        if self.verdict.is_some() {
            return None;
        }
        let id = format!("{}#{}", self.name, self.answers.len());
        match &self.wish {
            Wish::Approval(text) | Wish::Tool(text) => Some(wire::InputNeeded {
                id,
                kind: wire::PERMISSION.to_owned(),
                text: text.clone(),
                ..Default::default()
            }),
            Wish::Answers(questions) => {
                let question = questions.get(self.answers.len())?;
                Some(wire::InputNeeded {
                    id,
                    kind: wire::QUESTION.to_owned(),
                    text: question.text.clone(),
                    choices: question.choices.clone(),
                    several: false,
                })
            }
        }
    }

    /// Takes an answer; tells whether it was one to what is asked now.
    pub(super) fn take(&mut self, id: &str, answer: &answer::What) -> bool {
        if self.next().is_none_or(|next| next.id != id) {
            return false;
        }
        match (answer, &self.wish) {
            (answer::What::Denied(why), _) => {
                self.verdict = Some(Verdict::No(why.trim().to_owned()));
            }
            (answer::What::Text(text), Wish::Answers(questions)) => {
                self.answers.push(text.clone());
                let is_all = self.answers.len() == questions.len();
                self.verdict = is_all.then_some(Verdict::Yes);
            }
            (answer::What::Approved(_) | answer::What::Text(_), _) => {
                self.verdict = Some(Verdict::Yes);
            }
        }
        true
    }

    /// What the agent is told once all is answered: a line of its protocol.
    pub(super) fn response(&self) -> Value {
        let is_allowed = self.verdict == Some(Verdict::Yes);
        let result = match &self.wish {
            Wish::Approval(_) => {
                json!({ "decision": if is_allowed { "accept" } else { "decline" } })
            }
            Wish::Tool(_) if is_allowed => {
                json!({ "action": "accept", "content": {}, "_meta": null })
            }
            Wish::Tool(_) => json!({ "action": "decline", "content": null, "_meta": null }),
            Wish::Answers(questions) => {
                let answers = questions.iter().enumerate().map(|(index, question)| {
                    let answer =
                        self.answers.get(index).map_or_else(|| self.refusal(), String::as_str);
                    (question.id.clone(), json!({ "answers": [answer] }))
                });
                json!({ "answers": answers.collect::<Map<_, _>>() })
            }
        };
        json!({ "id": self.request, "result": result })
    }

    /// What is to be said besides, where the protocol has no place for it: why not.
    pub(super) fn reason(&self) -> Option<&str> {
        match (&self.wish, &self.verdict) {
            (Wish::Approval(_) | Wish::Tool(_), Some(Verdict::No(why))) if !why.is_empty() => {
                Some(why)
            }
            _ => None,
        }
    }

    fn refusal(&self) -> &str {
        match &self.verdict {
            Some(Verdict::No(why)) if !why.is_empty() => why,
            Some(Verdict::No(_) | Verdict::Yes) | None => NO,
        }
    }
}

impl Question {
    fn read(question: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: text(&question["id"]),
            text: beginning(&text(&question["question"]), TEXT_CHARS_MAX),
            choices: choices(question),
        }
    }
}

fn with_reason(text: &str, reason: &str) -> String {
    if reason.is_empty() {
        return text.to_owned();
    }
    format!("{text} ({})", beginning(reason, LINE_CHARS_MAX))
}
