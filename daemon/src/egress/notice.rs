//! What the fence tells about a run: what was denied, and what APIs were used for.

use std::fmt;

use handoff_proto::path::escaped;
use handoff_proto::run::{DENIED_MAX, USED_MAX};
use serde::{Deserialize, Serialize};

use super::host::Authority;
use super::rule::Rule;

/// Longest text of a denial's host or reason, in characters: all denials of a run together fit one
/// line between supervisor and daemon.
const TEXT_MAX: usize = 128;

/// Something that a run wanted and did not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The host, as far as it could be read; never control characters.
    pub host: String,
    /// The port; 0 where only the name is known.
    pub port: u16,
    /// Why not.
    pub reason: String,
    /// The flag that would allow it; empty where there is none.
    pub fix: String,
}

/// Why something is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No rule allows it.
    NotListed,
    /// A rule allows it, but it has no address on the public Internet.
    NotPublic,
    /// The TLS greeting names another host than the connection was made for, or none.
    OtherName,
    /// The connection does not speak TLS where only TLS may be spoken.
    NotTls,
    /// A git host's repository or ref that is not the run's own.
    Git(String),
}

impl Denial {
    /// Denies a host and port.
    #[must_use]
    pub fn new(asked: &Authority, reason: Reason) -> Self {
        let fix = match reason {
            Reason::NotListed => format!("--allow-host {}", Rule::only(asked)),
            _ => String::new(),
        };
        Self {
            host: asked.host.to_string(),
            port: asked.port,
            reason: shown(&reason.to_string()),
            fix,
        }
    }

    /// Denies something that is not even a host.
    #[must_use]
    pub fn unreadable(text: &str, why: impl fmt::Display) -> Self {
        Self { host: shown(text), port: 0, reason: shown(&why.to_string()), fix: String::new() }
    }

    /// Whether it is one that a gateway of ours makes. The longest host is a name.
    fn is_plausible(&self) -> bool {
        let escaped = TEXT_MAX * "\\u{10ffff}".len();
        let Self { host, port: _, reason, fix } = self;
        [host, reason, fix].iter().all(|text| text.len() <= escaped)
            && ![host, reason, fix].iter().any(|text| text.contains(char::is_control))
    }

    /// What the program is told that was denied.
    #[must_use]
    pub fn explanation(&self) -> String {
        let Self { host, port, reason, fix } = self;
        let place = if *port == 0 { host.clone() } else { format!("{host}:{port}") };
        let hint = match fix.as_str() {
            "" => String::new(),
            fix => {
                format!("; hand off with {fix}, or name it in [boundary] hosts of .handoff.toml")
            }
        };
        format!("handoff: {place}: {reason}{hint}\n")
    }
}

/// What a run wrote, cut and without control characters.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(TEXT_MAX).collect();
    escaped(cut.as_bytes())
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotListed => "not on the run's list of hosts",
            Self::NotPublic => "has no public address; only the daemon's operator can place it, in [network] addresses",
            Self::OtherName => "TLS greeting names another host",
            Self::NotTls => "does not speak TLS",
            Self::Git(what) => what,
        })
    }
}

/// What an API was used for: by one call, or by all calls of a run so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The provider's name.
    pub provider: String,
    /// Calls that were passed on.
    pub requests: u64,
    /// Tokens read, by the API's own count; those read from its caches included.
    pub input_tokens: u64,
    /// Tokens written, by the API's own count.
    pub output_tokens: u64,
}

/// A sign-in whose token for calls is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// The provider's name.
    pub provider: String,
    /// What tells the token from others.
    pub seen: String,
}

/// Why a sign-in was not renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrenewed {
    /// The reason, and what to do about it.
    pub reason: String,
    /// Whether trying again is of no use.
    pub is_final: bool,
}

impl Unrenewed {
    /// It may work the next time.
    #[must_use]
    pub fn for_now(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_final: false }
    }

    /// Only the operator can help.
    #[must_use]
    pub fn for_good(reason: &str) -> Self {
        Self { reason: reason.to_owned(), is_final: true }
    }
}

/// One message of a gateway to its supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// Something was denied for the first time.
    Denied(Denial),
    /// What one call of an API used.
    Usage(Usage),
    /// A sign-in has to be renewed; calls wait for it.
    Stale(Stale),
}

/// All that is known about a run's egress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What was denied, each thing once, the first ones.
    pub denied: Vec<Denial>,
    /// What APIs were used for.
    pub usage: Vec<Usage>,
    /// Sign-ins that have to be renewed, one for each provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
    /// How often that was asked for: who asks once more is news, although nothing else is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expiries: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Summary {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.denied.is_empty() && self.usage.is_empty() && self.stale.is_empty()
    }

    /// Takes a denial in; tells whether it is news.
    pub fn deny(&mut self, denial: Denial) -> bool {
        let room = self.denied.len() < DENIED_MAX;
        let news = room && denial.is_plausible() && !self.denied.contains(&denial);
        if news {
            self.denied.push(denial);
        }
        news
    }

    /// Takes in that a sign-in is over; tells whether that is news.
    pub fn expire(&mut self, stale: Stale) -> bool {
        let is_plausible = [&stale.provider, &stale.seen].iter().all(|text| text.len() <= TEXT_MAX);
        let others = self.stale.iter().filter(|known| known.provider != stale.provider).count();
        let news = is_plausible && others < USED_MAX && !self.stale.contains(&stale);
        if news {
            self.renewed(&stale.provider);
            self.stale.push(stale);
            self.expiries = self.expiries.saturating_add(1);
        }
        news
    }

    /// Nobody waits for that provider's sign-in any more.
    pub fn renewed(&mut self, provider: &str) {
        self.stale.retain(|known| known.provider != provider);
    }

    /// Adds what was used meanwhile.
    pub fn add(&mut self, used: &Usage) {
        let room = self.usage.len() < USED_MAX;
        let known = self.usage.iter_mut().find(|known| known.provider == used.provider);
        match known {
            Some(known) => {
                known.requests = known.requests.saturating_add(used.requests);
                known.input_tokens = known.input_tokens.saturating_add(used.input_tokens);
                known.output_tokens = known.output_tokens.saturating_add(used.output_tokens);
            }
            None if room => self.usage.push(used.clone()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_told_once_and_not_for_ever() {
        let mut summary = Summary::default();
        let denial = |number: usize| Denial::unreadable(&format!("host {number}"), "no");
        assert!(summary.deny(denial(0)));
        assert!(!summary.deny(denial(0)));
        for number in 0..2 * DENIED_MAX {
            let _news = summary.deny(denial(number));
        }
        assert_eq!(summary.denied.len(), DENIED_MAX);
    }

    #[test]
    fn what_could_not_be_read_is_shown_without_control_characters() {
        let denial =
            Denial::unreadable(&format!("\u{1b}[2J\0{}", "x".repeat(9999)), "not a host name");
        assert!(denial.host.contains("[2J") && denial.host.contains('x'), "{}", denial.host);
        assert!(denial.host.len() < 2 * TEXT_MAX);
        assert!(!denial.explanation().trim_end().contains(char::is_control));
    }

    #[test]
    fn of_each_sign_in_the_last_token_that_is_over_counts_until_it_is_renewed() {
        let mut summary = Summary::default();
        let stale =
            |provider: &str, seen: &str| Stale { provider: provider.into(), seen: seen.into() };
        assert!(summary.expire(stale("a", "1")));
        assert!(!summary.expire(stale("a", "1")));
        assert!(summary.expire(stale("a", "2")) && summary.expire(stale("b", "1")));
        assert_eq!(summary.stale, [stale("a", "2"), stale("b", "1")]);
        let before = summary.clone();
        summary.renewed("a");
        assert_eq!(summary.stale, [stale("b", "1")]);
        summary.renewed("b");
        assert!(summary.expire(stale("a", "2")) && summary.expire(stale("b", "1")));
        assert_eq!(summary.stale, before.stale);
        assert_ne!(summary, before, "nobody hears that it is asked for again");
        assert!(!summary.expire(stale("a", &"x".repeat(TEXT_MAX + 1))));
    }

    #[test]
    fn usage_adds_up_by_provider() {
        let mut summary = Summary::default();
        let used = Usage { provider: "a".into(), requests: 1, input_tokens: 2, output_tokens: 3 };
        summary.add(&used);
        summary.add(&used);
        summary.add(&Usage { provider: "b".into(), ..used.clone() });
        assert_eq!(
            summary.usage[0],
            Usage { requests: 2, input_tokens: 4, output_tokens: 6, ..used }
        );
        assert_eq!(summary.usage.len(), 2);
    }
}
