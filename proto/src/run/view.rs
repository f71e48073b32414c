//! A run as it is sent: derived from the fold, never stored.

use super::{Exit, Run, State};
use crate::wire;

impl From<&Run> for wire::RunView {
    fn from(run: &Run) -> Self {
        let ending = match &run.state {
            State::Finished(ending) => Some(ending),
            State::Queued
            | State::Preparing
            | State::Running
            | State::NeedsInput(_)
            | State::Paused
            | State::Verifying(_) => None,
        };
        let (exit_code, signal) = match run.exit {
            Some(Exit::Code(code)) => (Some(code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal)),
            Some(Exit::TimedOut(_) | Exit::DiskLimit(_) | Exit::Lost(_) | Exit::Refused { .. })
            | None => (None, None),
        };
        let needs = match &run.state {
            State::NeedsInput(need) => Some(need.clone()),
            State::Queued
            | State::Preparing
            | State::Running
            | State::Paused
            | State::Verifying(_)
            | State::Finished(_) => None,
        };
        let harvest = run.harvest.as_ref();
        Self {
            id: run.id.to_string(),
            name: run.name.to_string(),
            state: run.state.name().to_owned(),
            outcome: ending.map(|e| e.outcome.name().to_owned()).unwrap_or_default(),
            outcome_detail: ending.map(|e| e.detail.clone()).unwrap_or_default(),
            exit_code,
            signal,
            contract: Some(run.contract.clone()),
            snapshot: run.snapshot.as_bytes().to_vec(),
            result: harvest
                .and_then(|h| h.result)
                .map(|id| id.as_bytes().to_vec())
                .unwrap_or_default(),
            isolation: Some(run.isolation.clone()),
            created_at_unix_nanos: run.created_at_unix_nanos,
            finished_at_unix_nanos: ending.map(|e| e.at_unix_nanos).unwrap_or_default(),
            last_seq: run.last_seq,
            needs,
            branch: harvest.map(|h| h.branch.clone()).unwrap_or_default(),
            result_failure: harvest.map(|h| h.failure.clone()).unwrap_or_default(),
            files_added: harvest.map(|h| h.files_added).unwrap_or_default(),
            files_modified: harvest.map(|h| h.files_modified).unwrap_or_default(),
            result_notes: harvest.map(|h| h.notes.clone()).unwrap_or_default(),
            denied: run.denied.clone(),
            used: run.used.clone(),
            agent: agent(run),
            files_removed: harvest.map(|h| h.files_removed).unwrap_or_default(),
            worked_nanos: run.work_time.before_nanos,
            working_since_unix_nanos: run.work_time.since_unix_nanos.unwrap_or_default(),
        }
    }
}

/// What is known of the agent; none where the command is a plain one.
fn agent(run: &Run) -> Option<wire::AgentView> {
    if run.contract.agent.is_empty() {
        return None;
    }
    let account = &run.agent;
    let ready = account.ready.clone().unwrap_or_default();
    Some(wire::AgentView {
        session_id: account.session_id.clone(),
        version: ready.version,
        model: ready.model,
        permissions: ready.permissions,
        plan: account.plan.clone(),
        usage: Some(account.usage),
        text: account.text.clone(),
    })
}
