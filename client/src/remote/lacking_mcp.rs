//! Which MCP servers a remote has no credential for.

use std::collections::BTreeMap;

use handoff_proto::wire::{FENCED, InfoReply, InfoRequest};

use super::{Error, Remote};

/// How much of a name is kept: with what comes before it, a credential can have it.
const NAME_MAX: usize = 60;

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
        let InfoReply { mcp_urls, network, .. } =
            reply.map_err(|status| self.error(status))?.into_inner();
        let lacking = Lacks::all(servers).into_iter();
        let lacking = lacking.filter(|lacks| !mcp_urls.contains(&lacks.url));
        Ok(lacking.map(|lacks| Lacks { network: network.clone(), ..lacks }).collect())
    }
}

/// An MCP server that a remote has no credential for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacks {
    name: String,
    url: String,
    /// The remote's network, as it calls it; empty where nobody could be asked.
    network: String,
}

impl Lacks {
    /// All of these servers, where nobody could be asked.
    #[must_use]
    pub fn all(servers: &BTreeMap<String, String>) -> Vec<Self> {
        let lacks = |(name, url): (&String, &String)| Self {
            name: name.clone(),
            url: url.clone(),
            network: String::new(),
        };
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
        let Self { name, url, network } = self;
        let name = name_there(name);
        let kept = "its secret does not leave this machine";
        let adds = format!(
            "`[mcp.{name}] url = {url:?}, credential = \"mcp-{name}\"` in handoffd.toml, and \
             `handoffd credential add mcp-{name}`"
        );
        match network.as_str() {
            FENCED => format!("{kept}; the daemon's operator can add a credential: {adds}"),
            "" => format!(
                "{kept}; the daemon's operator can add a credential, where [network] default is \
                 {FENCED:?}: {adds}"
            ),
            network => format!(
                "{kept}, and the daemon adds a credential only where [network] default is \
                 {FENCED:?} in handoffd.toml; there it is {network:?}"
            ),
        }
    }
}

/// What the operator may call a server: the daemon goes by the URL, and not every name here is one
/// that a credential can have.
fn name_there(name: &str) -> String {
    let mut there = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    there.truncate(NAME_MAX);
    there
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_would_do_is_told_as_it_is_there() {
        let servers = BTreeMap::from([("My_A".to_owned(), "https://a.test/mcp".to_owned())]);
        let unknown = Lacks::all(&servers).remove(0);
        let adds = "`[mcp.my-a] url = \"https://a.test/mcp\", credential = \"mcp-my-a\"` in handoffd.toml, \
                    and `handoffd credential add mcp-my-a`";
        let condition = "where [network] default is \"fenced\"";
        assert!(unknown.why().contains(adds), "{}", unknown.why());
        assert!(unknown.why().contains(condition), "{}", unknown.why());
        let fenced = Lacks { network: FENCED.to_owned(), ..unknown.clone() };
        assert!(fenced.why().contains(adds), "{}", fenced.why());
        assert!(!fenced.why().contains(condition), "{}", fenced.why());
        let none = Lacks { network: "none".to_owned(), ..unknown };
        assert!(!none.why().contains("[mcp."), "{}", none.why());
        assert!(none.why().contains("there it is \"none\""), "{}", none.why());
    }
}
