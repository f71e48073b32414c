//! Which agents this daemon can drive, and what is started for one.

use std::borrow::Cow;

use handoff_proto::run::Contract;

use super::{AgentError, Registry};
use crate::{
    agents::{
        Kind,
        installed::{self, Version},
    },
    config::NetworkAccess,
    credentials::Credentials,
    egress,
};

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

    /// Those of the URLs at which there is an MCP server that the daemon has a credential for.
    #[must_use]
    pub fn reachable_mcp(&self, mut urls: Vec<String>) -> Vec<String> {
        let settings = self.settings();
        if urls.is_empty() || settings.config.network.access != NetworkAccess::Fenced {
            return Vec::new();
        }
        let credentials = Credentials::new(&settings.state);
        let servers = settings.config.egress(|name| credentials.find(name)).mcp;
        urls.retain(|url| egress::mcp_door(&servers, url).is_some());
        urls
    }

    /// Refuses a session that the agent here is too old for. One whose version nobody can tell is let
    /// through: it says itself what it cannot open.
    ///
    /// # Errors
    /// When that is so.
    pub async fn check_agent_version(&self, contract: &Contract) -> Result<(), AgentError> {
        let Some((kind, terms)) =
            Kind::from_name(&contract.agent).zip(contract.agent_terms.as_ref())
        else {
            return Ok(());
        };
        let Some(session) = Version::parse(&terms.version) else { return Ok(()) };
        let asking = self.clone();
        let found = self.tracker().spawn_blocking(move || asking.agent_version(kind));
        let Ok(Some(Ok(here))) = found.await else { return Ok(()) };
        if Version::parse(&here).is_some_and(|version| version < session) {
            let (agent, session) = (contract.agent.clone(), terms.version.clone());
            return Err(AgentError::TooOld { agent, here, session });
        }
        Ok(())
    }

    /// What an agent says of its version, or why it does not; none where it is not installed. Blocks.
    pub(crate) fn agent_version(&self, kind: Kind) -> Option<Result<String, String>> {
        let settings = self.settings();
        let program = installed::find(settings.config.agent_program(kind), settings.tools.path())?;
        Some(installed::version(&program))
    }

    /// A contract with the command that is started for it: of an agent, its program.
    #[must_use]
    pub fn as_started<'a>(&self, contract: &'a Contract) -> Cow<'a, Contract> {
        let Some(kind) = Kind::from_name(&contract.agent) else { return Cow::Borrowed(contract) };
        let command = vec![self.settings().config.agent_program(kind).into()];
        Cow::Owned(Contract { command, ..contract.clone() })
    }
}
