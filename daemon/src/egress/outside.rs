//! Calls that the daemon makes itself, of services that its operator named.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};

use super::gateway::Fence;
use super::host::Host;
use super::policy::Policy;
use super::secret::Secret;
use super::upstream::Upstream;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Longest answer: some tokens.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A service did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// It could not be called.
    #[error("{0}")]
    Call(String),
    /// Its answer broke off, or has no end.
    #[error("its answer cannot be read: {0}")]
    Answer(String),
    /// It takes too long.
    #[error("no answer within {} seconds", ANSWER_MAX.as_secs())]
    Late,
}

/// Sends JSON to a URL of the operator's and returns the answer. Nothing is sent twice.
pub(crate) async fn post(
    addresses: &BTreeMap<Host, Vec<IpAddr>>,
    url: &Upstream,
    json: &Secret,
) -> Result<(StatusCode, Vec<u8>), PostError> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let fence = Fence::outside(Policy { addresses: addresses.clone(), ..Policy::default() });
    let asking = async {
        let mut request = Request::new(Full::new(Bytes::from(json.reveal().to_owned())));
        *request.method_mut() = Method::POST;
        let kind = HeaderValue::from_static("application/json");
        drop(request.headers_mut().insert(header::CONTENT_TYPE, kind));
        let response = url.call_itself(&fence, request).await;
        let response = response.map_err(|error| PostError::Call(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| PostError::Answer(error.to_string()))?;
        Ok((status, body.to_bytes().to_vec()))
    };
    let answered = tokio::time::timeout(ANSWER_MAX, asking).await;
    fence.end().await;
    answered.unwrap_or(Err(PostError::Late))
}
