//! Model APIs: which calls are passed on, with whose credential, and what they used.

use std::time::Instant;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};

use super::gateway::{Fence, Means};
use super::message::{self, Body};
use super::notice::Unrenewed;
use super::policy::{Api, CredentialKind};
use super::secret::Secret;
use super::services::{prepare, sensitive, without_secret};
use super::upstream::CallError;
use super::usage::Meter;
use crate::sign_in::Access;

/// What Anthropic's API wants to hear with a token for a subscription.
const ANTHROPIC_TOKEN_BETA: &str = "oauth-2025-04-20";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const GOOGLE_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
const CHATGPT_ACCOUNT: HeaderName = HeaderName::from_static("chatgpt-account-id");
const ANTHROPIC_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// What a run may bring as a credential, all of which is replaced.
const CREDENTIALS: [HeaderName; 5] =
    [header::AUTHORIZATION, API_KEY, GOOGLE_API_KEY, CHATGPT_ACCOUNT, header::COOKIE];

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
    let Some(means) = &known.credential else {
        let text = format!("handoff: the daemon's credential for {name} is gone\n");
        return message::answer(StatusCode::BAD_GATEWAY, text);
    };
    let authorised = match means {
        Means::Secret(secret) => {
            let kind = known.service.kind;
            authorise(request.headers_mut(), api, kind, secret).map(|()| (secret.clone(), None))
        }
        Means::SignIn(held) => match held.access(&fence, &name).await {
            Ok(access) => sign(request.headers_mut(), &access)
                .map(|()| (access.token.clone(), Some((held, access)))),
            Err(failure) => return not_signed_in(&name, &failure),
        },
    };
    let (secret, signed) = match authorised {
        Ok(authorised) => authorised,
        Err(text) => return message::answer(StatusCode::BAD_GATEWAY, text),
    };
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
    if let Some((held, seen)) = signed
        && response.status() == StatusCode::UNAUTHORIZED
        && !held.is_fresh(&seen, Instant::now())
    {
        // The call cannot be made again, as what was sent has gone; who made it can.
        return match held.renew(&fence, &name, &seen).await {
            Ok(_) => {
                let text = format!("handoff: the sign-in for {name} was renewed; try again\n");
                message::answer(StatusCode::SERVICE_UNAVAILABLE, text)
            }
            Err(failure) => not_signed_in(&name, &failure),
        };
    }
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
    // What a service keeps of its user is not the run's.
    drop(response.headers_mut().remove(header::SET_COOKIE));
    without_secret(response.headers_mut(), secret.reveal());
    response
}

/// Adds the credential where the API expects it.
fn authorise(
    headers: &mut HeaderMap,
    api: Api,
    kind: CredentialKind,
    secret: &Secret,
) -> Result<(), &'static str> {
    let bearer = || sensitive(&format!("Bearer {}", secret.reveal()));
    let (name, value) = match api {
        Api::Anthropic if kind == CredentialKind::Subscription => {
            ask_for_subscription(headers);
            (header::AUTHORIZATION, bearer()?)
        }
        Api::Anthropic => (API_KEY, sensitive(secret.reveal())?),
        Api::OpenAi => (header::AUTHORIZATION, bearer()?),
        Api::Gemini => (GOOGLE_API_KEY, sensitive(secret.reveal())?),
    };
    drop(headers.insert(name, value));
    Ok(())
}

/// Says that a token for a subscription pays, unless the client does: Claude Code says it, other
/// programs do not know of it.
fn ask_for_subscription(headers: &mut HeaderMap) {
    let said = headers.get_all(ANTHROPIC_BETA).iter().filter_map(|value| value.to_str().ok());
    if !said.flat_map(|value| value.split(',')).any(|beta| beta.trim() == ANTHROPIC_TOKEN_BETA) {
        headers.append(ANTHROPIC_BETA, HeaderValue::from_static(ANTHROPIC_TOKEN_BETA));
    }
}

/// Adds what a sign-in consists of where ChatGPT expects it.
fn sign(headers: &mut HeaderMap, access: &Access) -> Result<(), &'static str> {
    let token = sensitive(&format!("Bearer {}", access.token.reveal()))?;
    drop(headers.insert(header::AUTHORIZATION, token));
    drop(headers.insert(CHATGPT_ACCOUNT, sensitive(&access.account)?));
    Ok(())
}

/// What a client is told of a sign-in that is over. That it is of no use to try again, or that it is.
fn not_signed_in(name: &str, failure: &Unrenewed) -> Response<Body> {
    let status = match failure.is_final {
        true => StatusCode::UNAUTHORIZED,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let reason = &failure.reason;
    let text = format!("handoff: the daemon's sign-in for {name} cannot be renewed: {reason}\n");
    message::answer(status, text)
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
        use CredentialKind::{Key, Subscription};
        let sent = |api, kind, secret: &str| {
            let mut headers = HeaderMap::new();
            authorise(&mut headers, api, kind, &Secret::new(secret)).expect("authorise");
            let mut sent: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")))
                .collect();
            sent.sort();
            sent
        };
        assert_eq!(sent(Api::Anthropic, Key, "sk-ant-api"), ["x-api-key: sk-ant-api"]);
        assert_eq!(
            sent(Api::Anthropic, Subscription, "sk-ant-oat01"),
            ["anthropic-beta: oauth-2025-04-20", "authorization: Bearer sk-ant-oat01"]
        );
        assert_eq!(sent(Api::OpenAi, Key, "sk"), ["authorization: Bearer sk"]);
        assert_eq!(sent(Api::Gemini, Key, "k"), ["x-goog-api-key: k"]);
        let mut headers = HeaderMap::new();
        authorise(&mut headers, Api::OpenAi, Key, &Secret::new("a\nb")).expect_err("no header");
    }

    #[test]
    fn that_a_subscription_pays_is_said_once() {
        let mut headers = HeaderMap::new();
        for said in ["a,oauth-2025-04-20, b", "a"] {
            headers.insert(ANTHROPIC_BETA, HeaderValue::from_static(said));
            ask_for_subscription(&mut headers);
            let said: Vec<_> = headers.get_all(ANTHROPIC_BETA).iter().collect();
            let times =
                said.iter().filter(|v| v.to_str().is_ok_and(|v| v.contains("oauth"))).count();
            assert_eq!(times, 1, "{said:?}");
        }
    }

    #[test]
    fn a_sign_in_says_who_calls_whatever_the_run_says() {
        let mut headers = HeaderMap::new();
        headers.insert(CHATGPT_ACCOUNT, HeaderValue::from_static("another"));
        prepare(&mut headers, &CREDENTIALS);
        assert!(headers.is_empty());
        let access = Access { token: Secret::new("t"), account: "acct".to_owned() };
        sign(&mut headers, &access).expect("sign");
        assert_eq!(headers["authorization"], "Bearer t");
        assert_eq!(headers[&CHATGPT_ACCOUNT], "acct");
    }

    #[test]
    fn a_key_in_the_query_is_dropped() {
        assert_eq!(without_key("alt=sse&key=x"), "alt=sse");
        assert_eq!(without_key("key=x"), "");
    }
}
