//! What is known of a run's agent: the agent's part of the fold.

use std::collections::{BTreeMap, BTreeSet};

use super::{Contract, Heard};
use crate::wire::{self, answer, heard::What};

/// What is known of a run's agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentAccount {
    /// What it was told first in this turn.
    pub prompt: String,
    /// Its session: the one that the contract names until the agent has named one.
    pub session_id: String,
    /// Its version, model and permissions, once it was there.
    pub ready: Option<wire::AgentReady>,
    /// The list of things to do that it told last.
    pub plan: Vec<wire::PlanItem>,
    /// What the session used so far.
    pub usage: wire::AgentUsage,
    /// What it said last.
    pub text: String,
    /// Whether it has taken up what it was told: before that there may be no session to resume.
    pub has_begun: bool,
    /// How the turn ended, once it has.
    pub turn: Option<wire::TurnEnded>,
    /// How far its stream was heard, in the output of the present job.
    pub heard: u64,
    /// What was said to it since the present job began.
    pub said: Vec<wire::Said>,
    /// What was answered since the present job began, by the question's id; none where the question
    /// was void.
    pub answers: BTreeMap<String, Option<answer::What>>,
    /// What tells the turns that were queued from each other.
    pub turns: BTreeSet<String>,
    /// How often it was resumed in this turn.
    pub resumes: u32,
}

impl AgentAccount {
    pub(super) fn new(contract: &Contract) -> Self {
        let terms = contract.agent_terms.as_ref();
        Self {
            prompt: terms.map(|terms| terms.prompt.clone()).unwrap_or_default(),
            session_id: contract.session_id.clone(),
            ..Self::default()
        }
    }

    pub(super) fn heard(&mut self, heard: &Heard) {
        self.heard = self.heard.max(heard.position);
        match &heard.what {
            What::Ready(ready) => {
                if !ready.session_id.is_empty() {
                    self.session_id.clone_from(&ready.session_id);
                }
                self.ready = Some(ready.clone());
            }
            What::Text(text) => {
                self.text.clone_from(text);
                self.has_begun = true;
            }
            What::Plan(plan) => self.plan.clone_from(&plan.items),
            What::Usage(usage) => self.usage = *usage,
            What::TurnEnded(turn) => self.turn = Some(turn.clone()),
            What::ToolStarted(_) | What::ToolEnded(_) => self.has_begun = true,
            What::Retrying(_) => {}
        }
    }

    pub(super) fn said(&mut self, said: &wire::Said) {
        self.said.push(said.clone());
        // It goes on for this.
        self.turn = None;
    }

    pub(super) fn answered(&mut self, id: &str, answer: Option<&answer::What>) {
        self.answers.insert(id.to_owned(), answer.cloned());
    }

    /// Another job goes on with the turn.
    pub(super) fn resumed(&mut self) {
        self.resumes += 1;
        self.next_job();
    }

    /// Another turn begins.
    pub(super) fn queued(&mut self, turn: &wire::TurnQueued) {
        self.prompt.clone_from(&turn.text);
        self.turns.insert(turn.id.clone());
        self.resumes = 0;
        self.next_job();
    }

    fn next_job(&mut self) {
        self.heard = 0;
        self.turn = None;
        self.said.clear();
        self.answers.clear();
    }
}
