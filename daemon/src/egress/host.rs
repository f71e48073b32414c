//! A host as a run may name it, in the one spelling that is judged. Whatever could mean another
//! host to somebody further on is no host.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The port of plain HTTP.
pub(super) const HTTP_PORT: u16 = 80;

/// The port on which only TLS is spoken.
pub(super) const TLS_PORT: u16 = 443;

/// Longest name in text (RFC 1035, section 2.3.4, without the root's dot).
const NAME_MAX: usize = 253;

/// Longest label of a name.
const LABEL_MAX: usize = 63;

/// A host in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address, written as one.
    Address(IpAddr),
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// The port, never 0.
    pub port: u16,
}

/// Text that names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither a name nor an address.
    #[error("not a host name")]
    Name,
    /// An address in a spelling that programs read differently, such as `127.1` or `0x7f.0.0.1`.
    #[error("not an address in its usual spelling")]
    Address,
    /// The port is missing or no number from 1 to 65535.
    #[error("not a port")]
    Port,
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if let Some(six) = text.strip_prefix('[') {
            let six = six.strip_suffix(']').ok_or(HostError::Address)?;
            let address: Ipv6Addr = six.parse().map_err(|_| HostError::Address)?;
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.len() > NAME_MAX || !name.split('.').all(is_label) {
            return Err(HostError::Name);
        }
        if !ends_in_a_number(&name) {
            return Ok(Self::Name(name));
        }
        // What ends in a number is an address to every program, so it must be one to us.
        let address: Ipv4Addr = name.parse().map_err(|_| HostError::Address)?;
        Ok(Self::Address(address.into()))
    }
}

/// Letters, digits, dashes and, as in some real names, underscores.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(allowed)
}

/// The rule of the URL standard (WHATWG, "ends in a number"): the last label is all digits, or a
/// hexadecimal number.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x");
    last.bytes().all(|byte| byte.is_ascii_digit())
        || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Authority {
    /// Reads `HOST:PORT`, or `HOST` where a port is understood.
    ///
    /// # Errors
    ///
    /// When either is not what it should be. A user before an `@` is part of no authority.
    pub fn parse(text: &str, understood: Option<u16>) -> Result<Self, HostError> {
        let (host, port) = match text.rsplit_once(':') {
            // Colons inside brackets are the address's own.
            Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
            _ => (text, understood),
        };
        Ok(Self { host: host.parse()?, port: port.ok_or(HostError::Port)? })
    }

    /// The value of a Host header, without the port that the scheme implies.
    #[must_use]
    pub fn in_header(&self, usual_port: u16) -> HeaderValue {
        let text = if self.port == usual_port { self.host.to_string() } else { self.to_string() };
        HeaderValue::from_str(&text).expect("a host is spelled in characters of a header")
    }
}

/// Digits only: no sign, no blank.
fn parse_port(text: &str) -> Result<u16, HostError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0).ok_or(HostError::Port)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl TryFrom<String> for Host {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Host {
        Host::Name(text.to_owned())
    }

    #[test]
    fn spellings_of_one_host_are_one() {
        for text in ["allowed.test", "ALLOWED.test", "allowed.TEST."] {
            assert_eq!(text.parse(), Ok(name("allowed.test")), "{text}");
        }
        assert_eq!("192.0.2.1".parse(), Ok(Host::Address(Ipv4Addr::new(192, 0, 2, 1).into())));
        assert_eq!("[::1]".parse(), Ok(Host::Address(Ipv6Addr::LOCALHOST.into())));
        assert_eq!("[0:0:0:0:0:0:0:1]".parse(), Ok(Host::Address(Ipv6Addr::LOCALHOST.into())));
        assert_eq!("xn--bcher-kva.example".parse(), Ok(name("xn--bcher-kva.example")));
    }

    #[test]
    fn what_means_different_things_to_different_programs_is_no_host() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a b",
            "a\tb",
            "allowed.test\0.evil",
            "allowed.test%2eevil",
            "user@allowed.test",
            "evil.test#allowed.test",
            "a/b",
            "a\\b",
            "bücher.example",
            "a:b",
            "allowed.test..",
            "[::1",
            "::1",
            "[::1%eth0]",
            "[fe80::1%25lo]",
            "[v1.x]",
            "[]",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
        for text in [
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "127.0.0.01",
            "1.2.3.4.5",
            "256.1.1.1",
            "1.2.3.0x4",
            "0x",
            "a.1",
        ] {
            assert_eq!(text.parse::<Host>(), Err(HostError::Address), "{text:?}");
        }
    }

    #[test]
    fn authorities_have_one_port() {
        let of = |text| Authority::parse(text, Some(80)).map(|found| found.to_string());
        assert_eq!(of("a.test:443").as_deref(), Ok("a.test:443"));
        assert_eq!(of("a.test").as_deref(), Ok("a.test:80"));
        assert_eq!(of("[::1]:8080").as_deref(), Ok("[::1]:8080"));
        assert_eq!(of("[::1]").as_deref(), Ok("[::1]:80"));
        for text in [
            "a.test:",
            "a.test:0",
            "a.test:65536",
            "a.test:+1",
            "a.test: 1",
            "a.test:80:80",
            "evil.test:443@allowed.test",
            "allowed.test@evil.test:443",
            "[::1]:",
        ] {
            assert!(of(text).is_err(), "{text:?}");
        }
        assert_eq!(Authority::parse("a.test", None), Err(HostError::Port));
    }

    proptest! {
        #[test]
        fn a_host_that_is_read_is_read_as_itself_again(text in "[ -~]{0,40}|[0-9a-fx.:\\[\\]]{1,20}") {
            if let Ok(host) = text.parse::<Host>() {
                let spelled = host.to_string();
                prop_assert_eq!(spelled.parse::<Host>(), Ok(host));
                let _header = Authority { host: spelled.parse().expect("a host"), port: 1 }.in_header(1);
                prop_assert!(!spelled.contains(['@', '%', '/', ' ', '\0']));
            }
        }
    }
}
