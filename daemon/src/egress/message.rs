//! HTTP messages as the fence passes them on or makes them up.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;

/// A body of either kind. Its length is known where the original's was.
pub(super) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Headers that concern one connection only (RFC 9110, section 7.6.1), and those for proxies.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// How long a client may take to send the headers of a request.
const HEADERS_TIME_MAX: Duration = Duration::from_secs(30);

/// All headers of a request; servers take 8 to 64 KiB.
const HEADERS_BYTES_MAX: usize = 64 * 1024;

/// HTTP as every door speaks it.
pub(super) fn server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new());
    server.header_read_timeout(HEADERS_TIME_MAX).max_buf_size(HEADERS_BYTES_MAX);
    server
}

/// An answer of our own.
pub(super) fn answer(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let body = Full::new(Bytes::from(text.into())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// An answer that is passed on.
pub(super) fn passed_on(response: Response<Incoming>) -> Response<Body> {
    let mut response = response.map(BodyExt::boxed_unsync);
    strip(response.headers_mut());
    response
}

/// Removes what concerns the last connection only.
pub(super) fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        drop(headers.remove(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().expect("a value"));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}
