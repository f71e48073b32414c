//! MCP servers: what a run asks of one that the operator named is passed on, with the daemon's
//! credential. What is said to the server is not looked at.

use http::header::{self, HeaderName};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::gateway::{Fence, Known};
use super::message::{self, Body};
use super::services::{prepare, sensitive, without_secret};

/// What MCP over HTTP is made of.
const METHODS: [Method; 3] = [Method::POST, Method::GET, Method::DELETE];

/// Passes a request on whose path is `/NAME` or `/NAME/...`.
pub(super) async fn respond(
    fence: Fence,
    mut request: Request<Incoming>,
    path: &str,
) -> Response<Body> {
    let path = path.trim_start_matches('/');
    let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    let Some(known) = fence.mcp.iter().find(|known| known.service.name == name) else {
        let text = format!("handoff: the daemon has no MCP server {}\n", name.escape_debug());
        return message::answer(StatusCode::NOT_FOUND, text);
    };
    if !METHODS.contains(request.method()) {
        return message::answer(StatusCode::METHOD_NOT_ALLOWED, "handoff: no request of MCP's\n");
    }
    let Known { service, credential } = known;
    let Some(secret) = credential else {
        let text = format!("handoff: the daemon's credential for {name} is gone\n");
        return message::answer(StatusCode::BAD_GATEWAY, text);
    };
    let value = match service.scheme.as_str() {
        "" => sensitive(secret.reveal()),
        scheme => sensitive(&format!("{scheme} {}", secret.reveal())),
    };
    let (Ok(value), Ok(header)) = (value, service.header.parse::<HeaderName>()) else {
        let text = format!("handoff: the credential for {name} cannot be sent in a header\n");
        return message::answer(StatusCode::BAD_GATEWAY, text);
    };
    prepare(request.headers_mut(), &[header::AUTHORIZATION, header::COOKIE, header.clone()]);
    drop(request.headers_mut().insert(header, value));
    let answered = if rest.is_empty() {
        service.url.call_itself(&fence, request).await
    } else {
        let query = request.uri().query();
        let target = query.map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
        let Ok(target) = target.parse() else {
            return message::answer(StatusCode::BAD_REQUEST, "handoff: not a path\n");
        };
        *request.uri_mut() = target;
        service.url.call(&fence, request).await
    };
    match answered {
        Ok(response) => {
            let mut response = message::passed_on(response);
            drop(response.headers_mut().remove(header::SET_COOKIE));
            without_secret(response.headers_mut(), secret.reveal());
            response
        }
        Err(error) => {
            message::answer(StatusCode::BAD_GATEWAY, format!("handoff: {name}: {error}\n"))
        }
    }
}
