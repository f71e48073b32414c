//! The door to services for which the daemon has credentials. The run knows a base URL and no
//! secret; what it asks for is checked, and the credential added on the way out.

use std::convert::Infallible;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::gateway::Fence;
use super::git;
use super::mcp;
use super::message::{self, Body};
use super::provider;

/// The first component of the paths of git hosts; providers have their names there.
pub(super) const GIT: &str = "git";

/// The first component of the paths of MCP servers.
pub(super) const MCP: &str = "mcp";

/// First components that lead elsewhere than to a provider of that name.
pub(crate) const NOT_PROVIDERS: [&str; 2] = [GIT, MCP];

/// Serves one connection.
pub(super) async fn serve(fence: Fence, stream: TcpStream) {
    let service = service_fn(move |request| {
        let fence = fence.clone();
        async move { Ok::<_, Infallible>(respond(fence, request).await) }
    });
    let connection = message::server().serve_connection(TokioIo::new(stream), service);
    // What the client sees of a broken connection is all that there is to tell.
    drop(connection.await);
}

async fn respond(fence: Fence, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (service, rest) = match path.trim_start_matches('/').split_once('/') {
        Some((service, rest)) => (service, format!("/{rest}")),
        None => return unknown(&path),
    };
    if !is_plain(&rest) {
        return unknown(&path);
    }
    if service == GIT {
        return git::respond(fence, request, &rest).await;
    }
    if service == MCP {
        return mcp::respond(fence, request, &rest).await;
    }
    match fence.providers.iter().position(|known| known.service.name == service) {
        Some(index) => provider::respond(fence, index, request, &rest).await,
        None => {
            let service = service.escape_debug();
            let text =
                format!("handoff: no such service: the daemon has no credential for {service}\n");
            message::answer(StatusCode::NOT_FOUND, text)
        }
    }
}

fn unknown(path: &str) -> Response<Body> {
    let text = format!("handoff: no service at {}\n", path.escape_debug());
    message::answer(StatusCode::NOT_FOUND, text)
}

/// Whether every server reads a path alike: nothing is encoded twice, climbs or is empty.
pub(super) fn is_plain(path: &str) -> bool {
    let plain = |part: &str| {
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(allowed)
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

/// Removes from a request what is not for the service: what concerns the run's connection only, and
/// what a run may bring as a credential.
pub(super) fn prepare(headers: &mut HeaderMap, credentials: &[HeaderName]) {
    message::strip(headers);
    for name in credentials.iter().chain([&header::EXPECT]) {
        drop(headers.remove(name));
    }
}

/// A credential as the value of a header, which is never shown.
///
/// # Errors
///
/// What the run is told of one that is no such value.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, &'static str> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| "handoff: the daemon's credential cannot be sent in a header\n")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Removes whatever of an answer would tell the run a secret: a service that repeats what it was
/// sent in a header.
pub(super) fn without_secret(headers: &mut HeaderMap, secret: &str) {
    let tells = |value: &HeaderValue| {
        value.as_bytes().windows(secret.len().max(1)).any(|window| window == secret.as_bytes())
    };
    let telling: Vec<_> =
        headers.iter().filter(|(_, value)| tells(value)).map(|(name, _)| name.clone()).collect();
    for name in telling {
        drop(headers.remove(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_passed_on() {
        for path in
            ["/v1/messages", "/v1beta/models/gemini-2.5-pro:generateContent", "/a/b.git/info/refs"]
        {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/", "/a//b", "/../a", "/a/..", "/a/./b", "/a/", "/a%2e", "/a\\b", "/a?b"]
        {
            assert!(!is_plain(path), "{path}");
        }
    }

    #[test]
    fn an_answer_that_repeats_the_secret_does_not_reach_the_run() {
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", HeaderValue::from_static("Bearer s3cret, of course"));
        headers.insert("x-other", HeaderValue::from_static("s3cre"));
        without_secret(&mut headers, "s3cret");
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("x-other"));
    }
}
