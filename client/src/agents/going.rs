//! Which session goes on.

use std::sync::Arc;
use std::time::Duration;

use handoff_proto::path::AbsolutePath;
use handoff_proto::wire;
use uuid::Uuid;

use super::export::{AgentError, Export, Found};
use super::lease::{self, Claim, Holder, LeaseHolder, Leases};
use super::live::Live;
use super::{Kind, Task};
use crate::settings::Places;

/// How long another handoff of the same session may take before this one gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session on its way: one that there is, a copy of it, or a new one.
#[derive(Clone, Debug)]
pub struct Going {
    /// The agent.
    pub kind: Kind,
    /// What it is called there.
    pub id: String,
    /// The session that there is here; none where a new one begins.
    pub from: Option<Found>,
    /// What travels.
    pub export: Arc<Export>,
}

impl Going {
    /// Finds what goes on: the session of that id, else the newest of this directory, else a new
    /// one. A fork goes on under an id of its own.
    ///
    /// # Errors
    ///
    /// Where there is no session of that id, or the agent's files cannot be read.
    pub fn choose(
        kind: Kind,
        agent: &AbsolutePath,
        directory: &AbsolutePath,
        id: Option<&str>,
        forks: bool,
    ) -> Result<Self, AgentError> {
        let from = match id {
            Some(id) => Some(kind.session(agent, id)?),
            None => kind.newest(agent, directory)?,
        };
        let id = match &from {
            Some(found) if !forks => found.id.clone(),
            // A copy needs a name of its own at once.
            Some(_) => Uuid::new_v4().to_string(),
            None => kind.new_session(),
        };
        let export = kind.export(agent, directory, from.as_ref(), &id)?;
        Ok(Self { kind, id, from, export: Arc::new(export) })
    }

    /// What travelled with a contract that was made earlier, as it is now.
    ///
    /// # Errors
    ///
    /// As [`choose`](Self::choose).
    pub fn of_contract(contract: &wire::Contract) -> Result<Option<Export>, AgentError> {
        let path = |bytes: &[u8]| AbsolutePath::parse(bytes).ok();
        let Some(terms) = &contract.agent_terms else { return Ok(None) };
        let (Some(kind), Some(agent), Some(directory)) =
            (Kind::from_name(&contract.agent), path(&terms.directory), path(&contract.directory))
        else {
            return Ok(None);
        };
        let from = match (terms.is_new, terms.forked_from.as_str()) {
            (true, _) => None,
            (false, "") => Some(kind.session(&agent, &contract.session_id)?),
            (false, forked_from) => Some(kind.session(&agent, forked_from)?),
        };
        kind.export(&agent, &directory, from.as_ref(), &contract.session_id).map(Some)
    }

    /// Makes sure that nobody else advances the session, nor begins to until what this returns is
    /// dropped: no run holds it, no other handoff has it, and no turn is under way. A copy, and a
    /// session that begins there, are nobody else's anyway.
    ///
    /// # Errors
    ///
    /// Where that is not so, or cannot be told.
    pub fn claim(&self, places: &Places) -> Result<Option<Claim>, AgentError> {
        let Some(found) = &self.from else { return Ok(None) };
        let id = || found.id.clone();
        let claim = match self.forked_from() {
            None => Some(self.claim_session(places, &found.id)?),
            Some(_) => None,
        };
        let agent = self.export.directory.as_os_path();
        match self.kind.holder(agent, &found.id).map_err(AgentError::read(agent))? {
            Live::Free | Live::Loaded { .. } | Live::Idle { .. } => Ok(claim),
            Live::Busy { pid } => Err(AgentError::Busy { id: id(), pid }),
        }
    }

    fn claim_session(&self, places: &Places, id: &str) -> Result<Claim, AgentError> {
        let failed = |source| AgentError::Lease { id: id.to_owned(), source };
        let claim = Leases::new(places).claim(self.kind.name(), id, PATIENCE).map_err(failed)?;
        let claim = claim.ok_or_else(|| AgentError::UnderWay { id: id.to_owned() })?;
        match lease::holder(places, self.kind.name(), id).map_err(failed)? {
            None => Ok(claim),
            Some(Holder::Run(lease)) => {
                let LeaseHolder { name: run, remote, .. } = lease.holder;
                Err(AgentError::Held { id: id.to_owned(), run, remote })
            }
            Some(Holder::Unsent { of: LeaseHolder { name: run, remote, .. }, .. }) => {
                Err(AgentError::Unsent { id: id.to_owned(), run, remote })
            }
        }
    }

    /// The session of which this is a copy, if it is one.
    #[must_use]
    pub fn forked_from(&self) -> Option<&str> {
        self.from.as_ref().map(|found| found.id.as_str()).filter(|id| *id != self.id)
    }

    /// What the contract says about it.
    #[must_use]
    pub fn terms(&self, task: &Task) -> wire::AgentTerms {
        let from = self.from.as_ref();
        // A model that is not named is the session's own affair.
        let permissions = match task.permissions.as_str() {
            "" => from.map_or("", |found| found.permissions.as_str()),
            asked => asked,
        };
        wire::AgentTerms {
            directory: self.export.directory.as_bytes().to_vec(),
            prompt: task.prompt.clone(),
            model: task.model.clone(),
            permissions: permissions.to_owned(),
            is_new: from.is_none(),
            forked_from: self.forked_from().unwrap_or_default().to_owned(),
            version: from.map(|found| found.version.clone()).unwrap_or_default(),
        }
    }
}
