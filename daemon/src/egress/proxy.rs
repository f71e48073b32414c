//! The doors for HTTP: a proxy that is told the host (CONNECT, absolute URLs), and the two that
//! find out by themselves (Host header, TLS greeting). All ask the policy's one function.

use std::convert::Infallible;
use std::pin::Pin;

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::dial::{DialError, dial};
use super::gateway::Fence;
use super::hello::{self, Greeting};
use super::host::{Authority, HTTP_PORT, TLS_PORT};
use super::message::{self, Body};
use super::notice::{Denial, Reason};
use super::relay::{RelayError, greeting_for, relay};
use super::upstream::exchange;

/// What a connection is for.
#[derive(Clone, Debug)]
enum Way {
    /// Whoever asks says for which host.
    Proxy,
    /// Somebody thinks that this is the host of the Host header.
    Host,
    /// Requests inside a tunnel that was opened to this host.
    Tunnel(Authority),
}

/// Serves one connection to the proxy.
pub(super) async fn serve_proxy(fence: Fence, stream: TcpStream) {
    serve(fence, stream, Way::Proxy).await;
}

/// Serves one connection that was meant for some host's port 80.
pub(super) async fn serve_http(fence: Fence, stream: TcpStream) {
    serve(fence, stream, Way::Host).await;
}

/// Serves one connection that was meant for some host's port 443.
pub(super) async fn serve_tls(fence: Fence, mut stream: TcpStream) {
    // A client that says nothing, or breaks off, has asked for nothing.
    let Ok(beginning) = hello::read(&mut stream).await else { return };
    let asked = match beginning.greeting {
        Greeting::For(host) => Authority { host, port: TLS_PORT },
        Greeting::ForNobody => return fence.deny(Denial::unreadable("?", Reason::OtherName)),
        Greeting::Other if beginning.bytes.is_empty() => return,
        Greeting::Other => return fence.deny(Denial::unreadable("?", Reason::NotTls)),
    };
    match dial(&fence.policy, &asked).await {
        Ok(host) => drop(relay(stream, host, &beginning.bytes).await),
        Err(error) => drop(fence.refused(error)),
    }
}

/// Boxed, since a tunnel is served by what opened it.
fn serve(
    fence: Fence,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    way: Way,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let service = service_fn(move |request| {
        let (fence, way) = (fence.clone(), way.clone());
        async move { Ok::<_, Infallible>(respond(fence, way, request).await) }
    });
    let connection =
        message::server().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // What the client sees of a broken connection is all that there is to tell.
    Box::pin(async { drop(connection.await) })
}

async fn respond(fence: Fence, way: Way, request: Request<Incoming>) -> Response<Body> {
    match (&way, request.method()) {
        (Way::Proxy, &Method::CONNECT) => connect(fence, request).await,
        (Way::Host | Way::Tunnel(_), &Method::CONNECT) => {
            message::answer(StatusCode::METHOD_NOT_ALLOWED, "handoff: no proxy in a tunnel\n")
        }
        _ => forward(fence, &way, request).await.unwrap_or_else(|refused| refused),
    }
}

/// Opens a tunnel.
async fn connect(fence: Fence, mut request: Request<Incoming>) -> Response<Body> {
    let text = request.uri().authority().map_or("", uri::Authority::as_str);
    let asked = match Authority::parse(text, None) {
        Ok(asked) => asked,
        Err(error) => return fence.refuse(Denial::unreadable(text, error)),
    };
    // Plain HTTP in a tunnel is judged request by request, like plain HTTP outside of one.
    let host = if asked.port == HTTP_PORT {
        match fence.policy.judge(&asked) {
            Ok(()) => None,
            Err(denial) => return fence.refuse(denial),
        }
    } else {
        match dial(&fence.policy, &asked).await {
            Ok(host) => Some(host),
            Err(error) => return fence.refused(error),
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    fence.spawn(tunnel(fence.clone(), upgrade, asked, host));
    let mut opened = message::answer(StatusCode::OK, "");
    opened.headers_mut().clear();
    opened
}

async fn tunnel(fence: Fence, upgrade: OnUpgrade, asked: Authority, host: Option<TcpStream>) {
    // A client that went away before its tunnel was there.
    let Ok(upgraded) = upgrade.await else { return };
    let Some(host) = host else {
        return serve(fence, TokioIo::new(upgraded), Way::Tunnel(asked)).await;
    };
    // Only the proxy's own connections become tunnels.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
    let (mut client, mut early) = (parts.io.into_inner(), &parts.read_buf[..]);
    let mut first = Vec::new();
    if asked.port == TLS_PORT {
        match greeting_for(&asked, &mut (&mut early).chain(&mut client)).await {
            Ok(greeting) => first = greeting,
            Err(RelayError::Denied(denial)) => return fence.deny(denial),
            Err(RelayError::Io) => return,
        }
    }
    first.extend_from_slice(early);
    drop(relay(client, host, &first).await);
}

/// Passes one request on, over a connection of its own.
async fn forward(
    fence: Fence,
    way: &Way,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Response<Body>> {
    let asked = asked_for(way, &request).map_err(|denial| fence.refuse(denial))?;
    let host = dial(&fence.policy, &asked).await.map_err(|error| fence.refused(error))?;

    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
    message::strip(request.headers_mut());
    // The host that was judged is the host that is named.
    drop(request.headers_mut().insert(header::HOST, asked.in_header(HTTP_PORT)));

    let bad = |error: hyper::Error| {
        message::answer(StatusCode::BAD_GATEWAY, format!("handoff: {asked}: {error}\n"))
    };
    exchange(&fence, host, request).await.map(message::passed_on).map_err(bad)
}

/// For which host a request is.
fn asked_for(way: &Way, request: &Request<Incoming>) -> Result<Authority, Denial> {
    let named = |text: &str| {
        Authority::parse(text, Some(HTTP_PORT)).map_err(|error| Denial::unreadable(text, error))
    };
    let in_header = || {
        let mut values = request.headers().get_all(header::HOST).iter();
        match (values.next().map(HeaderValue::to_str), values.next()) {
            (Some(Ok(text)), None) => named(text),
            _ => Err(Denial::unreadable("?", "names no host, or several")),
        }
    };
    match (way, request.uri().authority()) {
        // The URL wins over the header, as it does for every proxy (RFC 9112, section 3.2.2).
        (Way::Proxy, Some(authority)) if request.uri().scheme() == Some(&uri::Scheme::HTTP) => {
            named(authority.as_str())
        }
        (Way::Proxy, _) => Err(Denial::unreadable(
            &request.uri().to_string(),
            "the proxy takes CONNECT and http:// URLs",
        )),
        (Way::Host, _) => in_header(),
        (Way::Tunnel(opened), _) => match in_header()? {
            asked if asked == *opened => Ok(asked),
            other => Err(Denial::new(&other, Reason::OtherName)),
        },
    }
}

impl Fence {
    /// Denies, and says so to the program.
    pub(super) fn refuse(&self, denial: Denial) -> Response<Body> {
        let answer = message::answer(StatusCode::FORBIDDEN, denial.explanation());
        self.deny(denial);
        answer
    }

    /// Says why there is no connection, to the program and, if it was denied, to the run's owner.
    pub(super) fn refused(&self, error: DialError) -> Response<Body> {
        match error {
            DialError::Denied(denial) => self.refuse(denial),
            error => message::answer(StatusCode::BAD_GATEWAY, format!("handoff: {error}\n")),
        }
    }
}
