//! An agent as this daemon could drive it.

use handoff_proto::run::Contract;

use super::RunSettings;
use crate::{agents::Kind, config::NetworkAccess, credentials::Credentials};

/// An agent that this daemon drives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAgent {
    /// The model API that it would use and for which there is no credential.
    pub lacks: Option<String>,
}

impl KnownAgent {
    /// The agent of a contract, if it is one that is driven.
    pub(super) fn find(settings: &RunSettings, contract: &Contract) -> Option<Self> {
        let kind = Kind::from_name(&contract.agent)?;
        let config = &settings.config;
        // Without the fence nobody adds credentials: the run brings its own, or has none.
        if config.network.access != NetworkAccess::Fenced {
            return Some(Self { lacks: None });
        }
        let credentials = Credentials::new(&settings.state);
        let allowed = config.egress(|name| credentials.find(name));
        let wanted = config.agent_provider(kind);
        let has = allowed.providers.iter().any(|provider| provider.name == wanted);
        Some(Self { lacks: (!has).then(|| wanted.to_owned()) })
    }
}
