//! Git hosts: the run's own remotes may be fetched from, and one ref of them pushed to, with the
//! daemon's credential. The smart HTTP protocol only (git's `gitprotocol-http`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{self, HeaderName};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming};

use super::gateway::{Fence, Known};
use super::message::{self, Body};
use super::notice::{Denial, Reason};
use super::policy::GitHost;
use super::push;
use super::services::{prepare, sensitive, without_secret};

/// What a run may bring as a credential, all of which is replaced.
const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// What a request of git's is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// Asking what refs there are.
    Advertise,
    /// Fetching.
    Fetch,
    /// Pushing.
    Push,
}

/// Passes a request on whose path is `/HOST/REPOSITORY/...`.
pub(super) async fn respond(
    fence: Fence,
    request: Request<Incoming>,
    path: &str,
) -> Response<Body> {
    let parts = path.trim_start_matches('/').split_once('/');
    let known = parts.and_then(|(host, rest)| {
        Some((fence.git.iter().find(|known| known.service.host == host)?, rest))
    });
    let Some((known, rest)) = known else {
        return message::answer(
            StatusCode::NOT_FOUND,
            "handoff: no credential for this git host\n",
        );
    };
    let deny = |what: String| {
        fence.refuse(Denial::new(known.service.base_url.authority(), Reason::Git(what)))
    };
    let Some((repository, purpose)) = understand(request.method(), rest, request.uri().query())
    else {
        return deny(format!("{rest} is no request of git's smart HTTP protocol"));
    };
    let own = repository.strip_suffix(".git").unwrap_or(repository);
    if !known.service.repositories.iter().any(|repository| repository == own) {
        return deny(format!("{own} is not a remote of the run's repository"));
    }
    let (head, mut body) = request.into_parts();
    let mut first = Bytes::new();
    if purpose == Purpose::Push {
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return deny("a compressed push cannot be checked".to_owned());
        }
        match push::read_commands(&mut body, &fence.policy.push_ref).await {
            Ok(read) => first = read,
            Err(error) => return deny(error.to_string()),
        }
    }
    let mut request = Request::from_parts(head, Resumed { first: Some(first), rest: body });
    let path = format!("/{rest}");
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let Ok(target) = format!("{path}{query}").parse() else {
        return message::answer(StatusCode::BAD_REQUEST, "handoff: not a path\n");
    };
    *request.uri_mut() = target;
    pass_on(&fence, known, request).await
}

async fn pass_on(
    fence: &Fence,
    known: &Known<GitHost>,
    mut request: Request<Resumed>,
) -> Response<Body> {
    prepare(request.headers_mut(), &CREDENTIALS);
    let Some(secret) = &known.credential else {
        return message::answer(
            StatusCode::BAD_GATEWAY,
            "handoff: the daemon's credential is gone\n",
        );
    };
    let pair = format!("{}:{}", known.service.username, secret.reveal());
    let encoded = BASE64.encode(pair.as_bytes());
    let value = match sensitive(&format!("Basic {encoded}")) {
        Ok(value) => value,
        Err(text) => return message::answer(StatusCode::BAD_GATEWAY, text),
    };
    drop(request.headers_mut().insert(header::AUTHORIZATION, value));
    match known.service.base_url.call(fence, request).await {
        Ok(response) => {
            let mut response = message::passed_on(response);
            without_secret(response.headers_mut(), secret.reveal());
            without_secret(response.headers_mut(), &encoded);
            response
        }
        Err(error) => message::answer(StatusCode::BAD_GATEWAY, format!("handoff: {error}\n")),
    }
}

/// Which repository a request is about, and what for.
fn understand<'a>(
    method: &Method,
    path: &'a str,
    query: Option<&str>,
) -> Option<(&'a str, Purpose)> {
    if let Some(repository) = path.strip_suffix("/info/refs") {
        let services = ["service=git-upload-pack", "service=git-receive-pack"];
        let known = method == Method::GET && services.contains(&query?);
        return known.then_some((repository, Purpose::Advertise));
    }
    let (repository, service) = path.rsplit_once('/')?;
    let purpose = match service {
        "git-upload-pack" => Purpose::Fetch,
        "git-receive-pack" => Purpose::Push,
        _ => return None,
    };
    (method == Method::POST && query.is_none()).then_some((repository, purpose))
}

/// A body whose beginning was read already.
struct Resumed {
    first: Option<Bytes>,
    rest: Incoming,
}

impl HttpBody for Resumed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Poll::Ready(ready!(Pin::new(&mut self.rest).poll_frame(context)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.as_ref().is_none_or(Bytes::is_empty) && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        let first = self.first.as_ref().map_or(0, Bytes::len);
        let mut hint = self.rest.size_hint();
        if let (Some(rest), Ok(first)) = (hint.exact(), u64::try_from(first)) {
            hint.set_exact(rest + first);
        }
        hint
    }
}

/// Reads the next piece of a body that carries data.
pub(super) async fn next_data(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_smart_protocol_is_understood() {
        let of = |method: &str, path: &'static str, query| {
            understand(&method.parse().expect("a method"), path, query)
        };
        assert_eq!(
            of("GET", "o/r.git/info/refs", Some("service=git-receive-pack")),
            Some(("o/r.git", Purpose::Advertise))
        );
        assert_eq!(of("POST", "o/r/git-upload-pack", None), Some(("o/r", Purpose::Fetch)));
        assert_eq!(of("POST", "o/r/git-receive-pack", None), Some(("o/r", Purpose::Push)));
        for (method, path, query) in [
            ("GET", "o/r/info/refs", None),
            ("GET", "o/r/HEAD", None),
            ("GET", "o/r/objects/info/packs", None),
            ("GET", "o/r/info/refs", Some("service=git-upload-pack&x")),
            ("POST", "o/r/info/refs", Some("service=git-upload-pack")),
            ("PUT", "o/r/git-upload-pack", None),
            ("POST", "o/r/git-receive-pack", Some("x")),
            ("POST", "o/r/info/lfs/objects/batch", None),
        ] {
            assert_eq!(of(method, path, query), None, "{method} {path}");
        }
    }
}
