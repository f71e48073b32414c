//! From a host that may be reached to a connection: resolved once, checked, and that very address
//! dialled, so that no second answer of a name server can lead elsewhere.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use super::address::{is_own, is_public};
use super::host::{Authority, Host};
use super::notice::{Denial, Reason};
use super::policy::Policy;

/// How long a connection may take to come about, over all addresses.
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// No connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// It must not be made.
    #[error("{}", .0.explanation().trim_end())]
    Denied(Denial),
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: Host,
        /// The resolver's answer.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("cannot connect to {asked}: {source}")]
    Connect {
        /// What was asked for.
        asked: Authority,
        /// The last address's answer.
        source: io::Error,
    },
}

/// Judges a host, resolves it, checks what came of it and connects.
///
/// # Errors
///
/// When it is denied, or nothing answers.
pub(super) async fn dial(policy: &Policy, asked: &Authority) -> Result<TcpStream, DialError> {
    policy.judge(asked).map_err(DialError::Denied)?;
    let addresses = addresses(policy, asked, system_resolver(asked)).await?;
    connect(asked, &addresses).await
}

/// Connects to a host that the operator named, wherever it is.
///
/// # Errors
///
/// When nothing answers.
pub(super) async fn dial_operators(
    policy: &Policy,
    asked: &Authority,
) -> Result<TcpStream, DialError> {
    let addresses = match (&asked.host, policy.addresses.get(&asked.host)) {
        (_, Some(placed)) => placed.clone(),
        (Host::Address(address), None) => vec![*address],
        (Host::Name(_), None) => resolved(asked, system_resolver(asked)).await?,
    };
    connect(asked, &addresses).await
}

/// The addresses that may be dialled for a host that may be reached. `resolve` is awaited at most
/// once.
async fn addresses(
    policy: &Policy,
    asked: &Authority,
    resolve: impl Future<Output = io::Result<Vec<IpAddr>>>,
) -> Result<Vec<IpAddr>, DialError> {
    if let Some(placed) = policy.addresses.get(&asked.host) {
        return Ok(placed.clone());
    }
    let mut found = match asked.host {
        Host::Address(address) => vec![address],
        Host::Name(_) => resolved(asked, resolve).await?,
    };
    found.retain(|address| is_public(*address) && !is_own(*address));
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() {
        return Err(DialError::Denied(Denial::new(asked, Reason::NotPublic)));
    }
    Ok(found)
}

async fn resolved(
    asked: &Authority,
    resolve: impl Future<Output = io::Result<Vec<IpAddr>>>,
) -> Result<Vec<IpAddr>, DialError> {
    let answer = resolve.await.and_then(|found| {
        if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
    });
    answer.map_err(|source| DialError::Resolve { host: asked.host.clone(), source })
}

/// The system's own resolver: what the operator's machine can resolve, with all that is configured.
async fn system_resolver(asked: &Authority) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((asked.host.to_string(), asked.port)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

async fn connect(asked: &Authority, addresses: &[IpAddr]) -> Result<TcpStream, DialError> {
    let failed = |source| DialError::Connect { asked: asked.clone(), source };
    let attempts = async {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(*address, asked.port)).await {
                Ok(stream) => return stream.set_nodelay(true).map(|()| stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    tokio::time::timeout(CONNECT_MAX, attempts)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn asked() -> Authority {
        Authority::parse("allowed.test:443", None).expect("an authority")
    }

    async fn found(answers: &[&str]) -> Result<Vec<IpAddr>, DialError> {
        let answers = answers.iter().map(|text| text.parse().expect("an address")).collect();
        addresses(&Policy::default(), &asked(), async { Ok(answers) }).await
    }

    #[tokio::test]
    async fn an_allowed_name_leads_nowhere_but_to_the_public_internet() {
        for private in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fd00::1",
            "0.0.0.0",
        ] {
            let error = found(&[private]).await.expect_err(private);
            assert!(matches!(error, DialError::Denied(_)), "{error}");
        }
        let mixed = found(&["127.0.0.1", "1.1.1.1", "10.0.0.1"]).await.expect("one is public");
        assert_eq!(mixed, ["1.1.1.1".parse::<IpAddr>().expect("an address")]);
        assert!(matches!(found(&[]).await, Err(DialError::Resolve { .. })));
    }

    /// A name server that gives another answer the second time is not asked a second time.
    #[tokio::test]
    async fn what_is_dialled_is_what_was_checked() {
        let asked_resolver = Cell::new(0);
        let flips = async {
            asked_resolver.set(asked_resolver.get() + 1);
            let answer = if asked_resolver.get() == 1 { "1.1.1.1" } else { "127.0.0.1" };
            Ok(vec![answer.parse().expect("an address")])
        };
        let checked = addresses(&Policy::default(), &asked(), flips).await.expect("public");
        assert_eq!(checked, ["1.1.1.1".parse::<IpAddr>().expect("an address")]);
        assert_eq!(asked_resolver.get(), 1);
    }

    #[tokio::test]
    async fn an_address_is_judged_like_the_address_of_a_name() {
        for (text, public) in
            [("1.1.1.1:443", true), ("127.0.0.1:443", false), ("[::1]:443", false)]
        {
            let asked = Authority::parse(text, None).expect("an authority");
            let never = async { panic!("nobody is to be asked") };
            let found = addresses(&Policy::default(), &asked, never).await;
            assert_eq!(found.is_ok(), public, "{text}");
        }
    }

    #[tokio::test]
    async fn what_the_operator_placed_is_dialled_wherever_it_is() {
        let placed: IpAddr = "127.0.0.1".parse().expect("an address");
        let mut policy = Policy::default();
        policy.addresses.insert(asked().host, vec![placed]);
        let never = async { panic!("nobody is to be asked") };
        assert_eq!(addresses(&policy, &asked(), never).await.expect("placed"), [placed]);
    }
}
