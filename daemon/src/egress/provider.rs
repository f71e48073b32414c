//! Model APIs: which calls are passed on, with whose credential, and what they used.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};

use super::gateway::Fence;
use super::message::{self, Body};
use super::policy::Api;
use super::secret::Secret;
use super::services::{prepare, sensitive, without_secret};
use super::upstream::CallError;
use super::usage::Meter;

/// How subscriptions of Anthropic's are told from API keys.
const ANTHROPIC_TOKEN: &str = "sk-ant-oat";

/// What Anthropic's API wants to hear with such a token.
const ANTHROPIC_TOKEN_BETA: &str = "oauth-2025-04-20";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const GOOGLE_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// What a run may bring as a credential, all of which is replaced.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, API_KEY, GOOGLE_API_KEY, header::COOKIE];

/// Whether a call is one that an agent makes to use a model; calls about accounts, files and keys
/// are nobody else's business than the credential's owner's. What a call asks the model to do is
/// not looked at.
fn is_allowed(api: Api, method: &Method, path: &str) -> bool {
    let post = method == Method::POST;
    let get = method == Method::GET;
    match api {
        Api::Anthropic => {
            (post && matches!(path, "/v1/messages" | "/v1/messages/count_tokens"))
                || (get && is_below(path, "/v1/models"))
        }
        Api::OpenAi => {
            let calls = [
                "/responses",
                "/responses/compact",
                "/chat/completions",
                "/completions",
                "/embeddings",
            ];
            let path = path.strip_prefix("/v1").unwrap_or(path);
            (post && calls.contains(&path)) || (get && is_below(path, "/models"))
        }
        Api::Gemini => {
            let calls = [
                "generateContent",
                "streamGenerateContent",
                "countTokens",
                "embedContent",
                "batchEmbedContents",
            ];
            let versions = ["/v1/models", "/v1beta/models"];
            let verb = path.rsplit_once(':').map(|(_, verb)| verb);
            let models = versions.iter().any(|models| is_below(path, models));
            models && (get || (post && verb.is_some_and(|verb| calls.contains(&verb))))
        }
    }
}

/// A collection, or one thing in it.
fn is_below(path: &str, collection: &str) -> bool {
    path.strip_prefix(collection).is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('/').is_some_and(|name| !name.contains('/'))
    })
}

/// Passes a call on to the provider of this index.
pub(super) async fn respond(
    fence: Fence,
    index: usize,
    mut request: Request<Incoming>,
    path: &str,
) -> Response<Body> {
    let known = &fence.providers[index];
    let (api, name) = (known.service.api, known.service.name.clone());
    if request.headers().contains_key(header::UPGRADE) {
        // Agents that would rather speak WebSocket go on without it at once.
        return message::answer(StatusCode::UPGRADE_REQUIRED, "handoff: no WebSocket here\n");
    }
    if !is_allowed(api, request.method(), path) {
        let (method, path) = (request.method(), path.escape_debug());
        let text =
            format!("handoff: {method} {path} is not one of {name}'s calls that runs may make\n");
        return message::answer(StatusCode::FORBIDDEN, text);
    }
    let query = request.uri().query().map(without_key).filter(|query| !query.is_empty());
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    let Ok(target) = target.parse() else {
        return message::answer(StatusCode::BAD_REQUEST, "handoff: not a path\n");
    };
    *request.uri_mut() = target;
    prepare(request.headers_mut(), &CREDENTIALS);
    let Some(secret) = &known.secret else {
        let text = format!("handoff: the daemon's credential for {name} is gone\n");
        return message::answer(StatusCode::BAD_GATEWAY, text);
    };
    if let Err(text) = authorise(request.headers_mut(), api, secret) {
        return message::answer(StatusCode::BAD_GATEWAY, text);
    }
    // What is compressed cannot be counted.
    let plain = HeaderValue::from_static("identity");
    drop(request.headers_mut().insert(header::ACCEPT_ENCODING, plain));

    let mut meter = Meter::new(name.clone(), fence.clone());
    let response = match known.service.base_url.call(&fence, request).await {
        Ok(response) => response,
        Err(error) => {
            if matches!(error, CallError::Dial(_) | CallError::Tls(..) | CallError::Path(_)) {
                meter.not_made();
            }
            return message::answer(StatusCode::BAD_GATEWAY, format!("handoff: {name}: {error}\n"));
        }
    };
    let streamed = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    if streamed {
        meter.expect_events();
    }
    let mut response = response.map(|body| {
        let counted = body.map_frame(move |frame: Frame<_>| {
            if let Some(data) = frame.data_ref() {
                meter.feed(data);
            }
            frame
        });
        counted.boxed_unsync()
    });
    message::strip(response.headers_mut());
    without_secret(response.headers_mut(), secret.reveal());
    response
}

/// Adds the credential where the API expects it.
fn authorise(headers: &mut HeaderMap, api: Api, secret: &Secret) -> Result<(), &'static str> {
    let bearer = || sensitive(&format!("Bearer {}", secret.reveal()));
    let (name, value) = match api {
        Api::Anthropic if secret.reveal().starts_with(ANTHROPIC_TOKEN) => {
            headers.append(ANTHROPIC_BETA, HeaderValue::from_static(ANTHROPIC_TOKEN_BETA));
            (header::AUTHORIZATION, bearer()?)
        }
        Api::Anthropic => (API_KEY, sensitive(secret.reveal())?),
        Api::OpenAi => (header::AUTHORIZATION, bearer()?),
        Api::Gemini => (GOOGLE_API_KEY, sensitive(secret.reveal())?),
    };
    drop(headers.insert(name, value));
    Ok(())
}

/// A query without the key that some clients put there.
fn without_key(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("key=")).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_use_a_model_are_passed_on() {
        use Api::{Anthropic, Gemini, OpenAi};
        for (api, method, path) in [
            (Anthropic, "POST", "/v1/messages"),
            (Anthropic, "POST", "/v1/messages/count_tokens"),
            (Anthropic, "GET", "/v1/models/claude-x"),
            (OpenAi, "POST", "/v1/responses"),
            (OpenAi, "POST", "/chat/completions"),
            (OpenAi, "GET", "/v1/models"),
            (Gemini, "POST", "/v1beta/models/gemini-x:streamGenerateContent"),
        ] {
            assert!(is_allowed(api, &method.parse().expect("a method"), path), "{path}");
        }
        for (api, method, path) in [
            (Anthropic, "GET", "/v1/messages"),
            (Anthropic, "POST", "/v1/files"),
            (Anthropic, "GET", "/v1/organizations/x"),
            (Anthropic, "POST", "/v1/messages/batches"),
            (Anthropic, "GET", "/v1/models/x/y"),
            (Anthropic, "GET", "/v1/modelsx"),
            (OpenAi, "DELETE", "/v1/models/x"),
            (OpenAi, "POST", "/v1/files"),
            (OpenAi, "GET", "/v1/responses/abc"),
            (Gemini, "POST", "/v1beta/models/x:delete"),
            (Gemini, "POST", "/v1beta/files"),
        ] {
            assert!(!is_allowed(api, &method.parse().expect("a method"), path), "{method} {path}");
        }
    }

    #[test]
    fn the_credential_goes_where_the_api_expects_it() {
        let sent = |api, secret: &str| {
            let mut headers = HeaderMap::new();
            authorise(&mut headers, api, &Secret::new(secret)).expect("authorise");
            let mut sent: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
                .collect();
            sent.sort();
            sent
        };
        assert_eq!(sent(Api::Anthropic, "sk-ant-api"), ["x-api-key: sk-ant-api"]);
        assert_eq!(
            sent(Api::Anthropic, "sk-ant-oat01"),
            ["anthropic-beta: oauth-2025-04-20", "authorization: Bearer sk-ant-oat01"]
        );
        assert_eq!(sent(Api::OpenAi, "sk"), ["authorization: Bearer sk"]);
        assert_eq!(sent(Api::Gemini, "k"), ["x-goog-api-key: k"]);
        let mut headers = HeaderMap::new();
        authorise(&mut headers, Api::OpenAi, &Secret::new("a\nb")).expect_err("no header");
    }

    #[test]
    fn a_key_in_the_query_is_dropped() {
        assert_eq!(without_key("alt=sse&key=x"), "alt=sse");
        assert_eq!(without_key("key=x"), "");
    }
}
