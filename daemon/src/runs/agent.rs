//! Which agents this daemon can drive, and what is started for one.

use std::borrow::Cow;

use handoff_proto::run::Contract;

use super::{AgentError, Registry};
use crate::{agents::Kind, config::NetworkAccess, credentials::Credentials};

impl Registry {
    /// Refuses an agent that is not driven here, or could not use a model.
    ///
    /// # Errors
    /// When that is so; a contract without an agent is fine.
    pub fn check_agent(&self, contract: &Contract) -> Result<(), AgentError> {
        let agent = &contract.agent;
        if agent.is_empty() {
            return Ok(());
        }
        let kind = Kind::from_name(agent).ok_or_else(|| AgentError::Unknown(agent.clone()))?;
        let settings = self.settings();
        // Without the fence nobody adds credentials: the run brings its own, or has none.
        if settings.config.network.access != NetworkAccess::Fenced {
            return Ok(());
        }
        let credentials = Credentials::new(&settings.state);
        let allowed = settings.config.egress(|name| credentials.find(name));
        let provider = settings.config.agent_provider(kind);
        if allowed.providers.iter().any(|known| known.name == provider) {
            return Ok(());
        }
        Err(AgentError::NoCredential { agent: agent.clone(), provider: provider.to_owned() })
    }

    /// A contract with the command that is started for it: of an agent, its program.
    #[must_use]
    pub fn as_started<'a>(&self, contract: &'a Contract) -> Cow<'a, Contract> {
        let Some(kind) = Kind::from_name(&contract.agent) else { return Cow::Borrowed(contract) };
        let command = vec![self.settings().config.agent_program(kind).into()];
        Cow::Owned(Contract { command, ..contract.clone() })
    }
}
