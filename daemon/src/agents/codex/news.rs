//! What Codex tells of its thread and of what is done in it.

use std::collections::BTreeMap;

use handoff_proto::wire::{self, heard::What};
use serde_json::Value;

use super::ask::Asked;
use super::item::{self, Item};
use super::{Codex, failure, line, void};
use crate::agents::Act;
use crate::agents::cut::{LINE_CHARS_MAX, TEXT_CHARS_MAX, beginning};

/// Changes of files that are under way at a time.
const PATCHES_MAX: usize = 64;

/// Items of the list of things to do that are told.
const TASKS_MAX: usize = 100;

impl Codex {
    pub(super) fn hear_news(&mut self, method: &str, params: &Value) -> Vec<Act> {
        // Sub-agents have threads of their own.
        let thread = params["threadId"].as_str();
        let is_ours = thread.is_some() && thread == self.thread.as_deref();
        match method {
            "item/started" => self.started(params, is_ours),
            "item/completed" => self.completed(params, is_ours),
            "serverRequest/resolved" => {
                let asked = self.asked.remove(&params["requestId"].to_string());
                void(asked)
            }
            _ if !is_ours => Vec::new(),
            "turn/started" => {
                self.turn = params["turn"]["id"].as_str().map(str::to_owned);
                self.text.clear();
                self.planning.begin_turn();
                Vec::new()
            }
            "thread/settings/updated" => {
                self.planning.in_mode(&params["threadSettings"]["collaborationMode"]);
                Vec::new()
            }
            "turn/plan/updated" => {
                vec![Act::Tell(What::Plan(line::plan(params, TASKS_MAX)))]
            }
            "thread/tokenUsage/updated" => {
                self.usage = Some(line::usage(params));
                Vec::new()
            }
            "error" if params["willRetry"] == true => {
                vec![Act::Tell(What::Retrying(failure::retrying(&params["error"])))]
            }
            "turn/completed" => self.turn_completed(&params["turn"]),
            _ => Vec::new(),
        }
    }

    fn started(&mut self, params: &Value, is_ours: bool) -> Vec<Act> {
        let id = item_id(params);
        let item = Item::read(&params["item"]);
        if let Item::FileChange { changes } = &item
            && self.patches.len() < PATCHES_MAX
        {
            self.patches.insert(id.clone(), item::patch(changes));
        }
        let started = item.started(&id, !is_ours);
        started.map(|started| Act::Tell(What::ToolStarted(started))).into_iter().collect()
    }

    fn completed(&mut self, params: &Value, is_ours: bool) -> Vec<Act> {
        let id = item_id(params);
        match Item::read(&params["item"]) {
            Item::UserMessage { client_id } if is_ours => {
                client_id.iter().for_each(|message| self.messages.taken_up(message));
                Vec::new()
            }
            Item::AgentMessage { text } if is_ours && !text.trim().is_empty() => {
                self.text = beginning(&text, TEXT_CHARS_MAX);
                vec![Act::Tell(What::Text(self.text.clone()))]
            }
            Item::Plan { text } if is_ours && !text.trim().is_empty() => {
                self.planning.propose(text.trim());
                vec![Act::Tell(What::Text(beginning(&text, TEXT_CHARS_MAX)))]
            }
            item => {
                drop(self.patches.remove(&id));
                let ended = item.ended(&id, params);
                ended.map(|ended| Act::Tell(What::ToolEnded(ended))).into_iter().collect()
            }
        }
    }

    fn turn_completed(&mut self, turn: &Value) -> Vec<Act> {
        let id = turn["id"].as_str().unwrap_or_default();
        self.turn = None;
        self.over = Some(id.to_owned());
        self.patches.clear();
        let usage = self.usage.take().map(|usage| Act::Tell(What::Usage(usage)));
        let mut acts: Vec<Act> = usage.into_iter().collect();
        let failure = failure::of_turn(turn);
        // What was said meanwhile is another answer to the plan.
        let may_ask = failure.is_empty() && self.messages.is_empty();
        let about_plan = if may_ask { self.planning.ask(&self.name, id) } else { None };
        if about_plan.is_none() {
            let text = std::mem::take(&mut self.text);
            acts.push(Act::Tell(What::TurnEnded(wire::TurnEnded { failure, text })));
        }
        // What it asked and nobody answered was part of the turn that is over.
        let asked = std::mem::take(&mut self.asked).into_iter();
        let (over, others): (BTreeMap<_, _>, _) =
            asked.partition(|(_, asked): &(String, Asked)| asked.is_part_of(id));
        self.asked = others;
        acts.extend(over.into_values().flat_map(|asked| void(Some(asked))));
        acts.extend(self.say_again(id));
        match about_plan {
            Some(question) => acts.push(Act::Ask(question)),
            None if self.messages.is_empty() => acts.push(Act::End),
            None => {}
        }
        acts
    }

    /// Says again what a turn that is over has not taken up.
    pub(super) fn say_again(&mut self, turn: &str) -> Vec<Act> {
        self.messages.left_by(turn).unwrap_or_else(|text| {
            self.fail(&format!("the agent does not take up what it is told: {text}"))
        })
    }
}

fn item_id(params: &Value) -> String {
    beginning(params["item"]["id"].as_str().unwrap_or_default(), LINE_CHARS_MAX)
}
