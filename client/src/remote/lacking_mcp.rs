//! Which MCP servers a remote has no credential for.

use std::collections::BTreeMap;

use handoff_proto::wire::InfoRequest;

use super::{Error, Remote};

impl Remote {
    /// Those of these MCP servers, each with its URL, that runs there cannot use, and what its
    /// operator would do about each.
    ///
    /// # Errors
    ///
    /// Where the remote cannot be asked.
    pub async fn lacking_mcp(
        &self,
        servers: &BTreeMap<String, String>,
    ) -> Result<Vec<Lacks>, Error> {
        if servers.is_empty() {
            return Ok(Vec::new());
        }
        let asked = InfoRequest { mcp_urls: servers.values().cloned().collect() };
        let reply = self.runs().info(asked).await;
        // A daemon that is older than the question has none.
        let known = reply.map_err(|status| self.error(status))?.into_inner().mcp_urls;
        let mut lacking = Lacks::all(servers);
        lacking.retain(|lacks| !known.contains(&lacks.url));
        Ok(lacking)
    }
}

/// An MCP server that a remote has no credential for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacks {
    name: String,
    url: String,
}

impl Lacks {
    /// All of these servers, where nobody could be asked.
    #[must_use]
    pub fn all(servers: &BTreeMap<String, String>) -> Vec<Self> {
        let lacks = |(name, url): (&String, &String)| Self { name: name.clone(), url: url.clone() };
        servers.iter().map(lacks).collect()
    }

    /// What is missing.
    #[must_use]
    pub fn what(&self) -> String {
        format!("MCP server {}", self.name)
    }

    /// Why, and what to do about it.
    #[must_use]
    pub fn why(&self) -> String {
        let Self { name, url } = self;
        format!(
            "its secret does not leave this machine; the daemon's operator can add one, where \
             [network] default is \"fenced\": `[mcp.{name}] url = {url:?}` in handoffd.toml, and \
             `handoffd credential add {name}`"
        )
    }
}
