//! One entry of a list of allowed hosts, as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::host::{Authority, HTTP_PORT, Host, HostError, TLS_PORT};

/// The ports of a rule that names none.
const USUAL_PORTS: [u16; 2] = [HTTP_PORT, TLS_PORT];

/// `HOST`, `*.HOST` for every name beneath it, each with `:PORT` where it is not 80 or 443.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    host: Host,
    beneath: bool,
    port: Option<u16>,
}

/// Text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no host: write HOST, *.HOST or HOST:PORT")]
pub struct RuleError {
    text: String,
    source: HostError,
}

impl Rule {
    /// Whether this port of this host is meant.
    #[must_use]
    pub fn matches(&self, asked: &Authority) -> bool {
        let port = match self.port {
            Some(port) => port == asked.port,
            None => USUAL_PORTS.contains(&asked.port),
        };
        port && self.is_about(&asked.host)
    }

    /// Whether any port of this host is meant.
    #[must_use]
    pub fn is_about(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (Host::Name(rule), Host::Name(name)) if self.beneath => {
                name.strip_suffix(rule).is_some_and(|before| before.ends_with('.'))
            }
            (rule, asked) => !self.beneath && rule == asked,
        }
    }

    /// The rule that allows this and nothing more.
    #[must_use]
    pub fn only(asked: &Authority) -> Self {
        let port = Some(asked.port).filter(|port| !USUAL_PORTS.contains(port));
        Self { host: asked.host.clone(), beneath: false, port }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = |source| RuleError { text: text.to_owned(), source };
        let (beneath, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (host, port) = match Authority::parse(rest, None) {
            Ok(Authority { host, port }) => (host, Some(port)),
            // Without a port it is a host, or nothing.
            Err(HostError::Port) => (rest.parse().map_err(error)?, None),
            Err(source) => return Err(error(source)),
        };
        if beneath && matches!(host, Host::Address(_)) {
            return Err(error(HostError::Address));
        }
        Ok(Self { host, beneath, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.beneath { "*." } else { "" };
        write!(f, "{star}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for Rule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(rule: &str, asked: &str) -> bool {
        let rule: Rule = rule.parse().expect("a rule");
        assert_eq!(rule.to_string().parse(), Ok(rule.clone()));
        rule.matches(&Authority::parse(asked, None).expect("an authority"))
    }

    #[test]
    fn a_rule_means_what_it_says() {
        assert!(matches("a.test", "a.test:443"));
        assert!(matches("A.test", "a.TEST.:80"));
        assert!(!matches("a.test", "a.test:22"));
        assert!(matches("a.test:22", "a.test:22"));
        assert!(!matches("a.test:22", "a.test:443"));
        assert!(!matches("a.test", "b.a.test:443"));
        assert!(matches("*.a.test", "b.a.test:443"));
        assert!(matches("*.a.test", "c.b.a.test:443"));
        assert!(!matches("*.a.test", "a.test:443"));
        assert!(!matches("*.a.test", "ba.test:443"));
        assert!(matches("192.0.2.1", "192.0.2.1:443"));
        assert!(matches("[2001:db8::1]:8443", "[2001:db8:0::1]:8443"));
    }

    #[test]
    fn what_is_no_rule_is_refused_with_how_to_write_one() {
        for text in
            ["", "*", "*.", "*.*.a", "a.*", "https://a.test", "a.test/x", "a.test:0", "*.10.0.0.1"]
        {
            let error = text.parse::<Rule>().expect_err(text).to_string();
            assert!(error.contains("write HOST"), "{error}");
        }
    }

    #[test]
    fn the_narrowest_rule_allows_what_was_asked() {
        for asked in ["a.test:443", "a.test:8443", "[::1]:80"] {
            let asked = Authority::parse(asked, None).expect("an authority");
            assert!(Rule::only(&asked).matches(&asked));
        }
        let rule = Rule::only(&Authority::parse("a.test:443", None).expect("an authority"));
        assert_eq!(rule.to_string(), "a.test");
    }
}
