//! A service that the operator named by URL, which is called on behalf of a run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::{Request, Response, Uri, header, uri};
use hyper::body::{Body, Incoming};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::dial::{DialError, dial_operators};
use super::gateway::Fence;
use super::host::{Authority, HTTP_PORT, Host, TLS_PORT};
use super::services::is_plain;

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Upstream {
    authority: Authority,
    tls: bool,
    /// What comes before every path; without a slash at its end.
    prefix: String,
    /// Whether the URL itself has one there: to some servers that is another URL.
    ends_in_slash: bool,
}

/// Text that is no URL of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no base URL: write https://HOST[:PORT][/PATH]")]
pub struct UpstreamError(String);

/// The service could not be called.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nothing answers there.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It is not who it should be, or does not speak TLS.
    #[error("TLS with {0}: {1}")]
    Tls(Host, std::io::Error),
    /// It does not speak HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
    /// The path cannot be asked for.
    #[error("{0:?} is no path")]
    Path(String),
}

impl FromStr for Upstream {
    type Err = UpstreamError;

    fn from_str(text: &str) -> Result<Self, UpstreamError> {
        let parsed = || {
            let url: Uri = text.parse().ok()?;
            let tls = match url.scheme()? {
                scheme if *scheme == uri::Scheme::HTTPS => true,
                scheme if *scheme == uri::Scheme::HTTP => false,
                _ => return None,
            };
            let usual = Some(usual_port(tls));
            let authority = Authority::parse(url.authority()?.as_str(), usual).ok()?;
            if url.query().is_some() {
                return None;
            }
            let prefix = url.path().trim_end_matches('/').to_owned();
            let ends_in_slash = !prefix.is_empty() && url.path().ends_with('/');
            Some(Self { authority, tls, prefix, ends_in_slash })
        };
        parsed().ok_or_else(|| UpstreamError(text.to_owned()))
    }
}

fn usual_port(tls: bool) -> u16 {
    if tls { TLS_PORT } else { HTTP_PORT }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority: Authority { host, port }, tls, prefix, ends_in_slash } = self;
        write!(f, "{}://{host}", if *tls { "https" } else { "http" })?;
        if *port != usual_port(*tls) {
            write!(f, ":{port}")?;
        }
        f.write_str(prefix)?;
        f.write_str(if *ends_in_slash { "/" } else { "" })
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> Self {
        upstream.to_string()
    }
}

impl TryFrom<String> for Upstream {
    type Error = UpstreamError;

    fn try_from(text: String) -> Result<Self, UpstreamError> {
        text.parse()
    }
}

impl Upstream {
    /// The host itself, by HTTPS.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let authority = Authority { host, port: TLS_PORT };
        Self { authority, tls: true, prefix: String::new(), ends_in_slash: false }
    }

    /// What a URL says behind this one, if it leads here: nothing, or a path.
    pub(super) fn covers(&self, url: &str) -> Option<String> {
        let Self { authority, tls, prefix, ends_in_slash: _ } = url.parse().ok()?;
        let rest = prefix.strip_prefix(&self.prefix)?;
        let is_same = authority == self.authority && tls == self.tls;
        (is_same && (rest.is_empty() || is_plain(rest))).then(|| rest.to_owned())
    }

    /// What denials and the Host header call it.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Sends a request there, whose URI is the path behind the prefix.
    pub(super) async fn call<B: Content>(
        &self,
        fence: &Fence,
        request: Request<B>,
    ) -> Result<Response<Incoming>, CallError> {
        let path = request.uri().path_and_query().map_or("/", uri::PathAndQuery::as_str);
        self.send(fence, format!("{}{path}", self.prefix), request).await
    }

    /// Sends a request to the URL itself, with the query that the request has.
    pub(super) async fn call_itself<B: Content>(
        &self,
        fence: &Fence,
        request: Request<B>,
    ) -> Result<Response<Incoming>, CallError> {
        let path = self.path_itself(request.uri().query());
        self.send(fence, path, request).await
    }

    fn path_itself(&self, query: Option<&str>) -> String {
        let slash = if self.prefix.is_empty() || self.ends_in_slash { "/" } else { "" };
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        format!("{}{slash}{query}", self.prefix)
    }

    async fn send<B: Content>(
        &self,
        fence: &Fence,
        path: String,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, CallError> {
        *request.uri_mut() = path.parse().map_err(|_| CallError::Path(path))?;
        let host = self.authority.in_header(usual_port(self.tls));
        drop(request.headers_mut().insert(header::HOST, host));

        let stream = dial_operators(&fence.policy, &self.authority).await?;
        if !self.tls {
            return Ok(exchange(fence, stream, request).await?);
        }
        let refused = |error| CallError::Tls(self.authority.host.clone(), error);
        let name = match &self.authority.host {
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| refused(std::io::Error::other(error)))?,
            Host::Address(address) => ServerName::from(*address),
        };
        let connector = TlsConnector::from(fence.tls().clone());
        let stream = connector.connect(name, stream).await.map_err(refused)?;
        Ok(exchange(fence, stream, request).await?)
    }
}

/// The body of a request, however it comes.
pub(super) trait Content:
    Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> Content for B where
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static
{
}

/// One request over one connection, which ends with the response's body.
pub(super) async fn exchange<B: Content>(
    fence: &Fence,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<B>,
) -> Result<Response<Incoming>, hyper::Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    fence.spawn(async { drop(connection.await) });
    sender.send_request(request).await
}

/// TLS towards services, with the system's certificate authorities.
pub(super) fn tls() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // What cannot be read vouches for nobody.
    let (_added, _unusable) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_read() {
        let of = |text: &str| text.parse::<Upstream>();
        let found = of("https://api.test/v1/").expect("a URL");
        assert_eq!((found.authority.to_string().as_str(), found.tls), ("api.test:443", true));
        assert_eq!(found.prefix, "/v1");
        let found = of("http://127.0.0.1:8080").expect("a URL");
        assert_eq!((found.authority.port, found.tls, found.prefix.as_str()), (8080, false, ""));
        for text in
            ["https://api.test/v1", "https://a.test/x/", "https://a.test:80", "http://[::1]:443/a"]
        {
            assert_eq!(of(text).expect("a URL").to_string(), text);
        }
        assert_eq!(
            Upstream::of("a.test".parse().expect("a host")),
            of("https://a.test/").expect("a URL")
        );
        for text in
            ["", "api.test", "ftp://api.test", "https://", "https://u@api.test", "https://a/?x"]
        {
            assert!(of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_url_itself_is_asked_for_as_it_was_written_with_what_is_asked() {
        for (url, query, path) in [
            ("https://a.test", None, "/"),
            ("https://a.test/", Some("x=y"), "/?x=y"),
            ("https://a.test/mcp", Some("x=y&z"), "/mcp?x=y&z"),
            ("https://a.test/mcp/", None, "/mcp/"),
        ] {
            assert_eq!(url.parse::<Upstream>().expect("a URL").path_itself(query), path);
        }
    }
}
