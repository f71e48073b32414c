//! A model API that answers by a script: what real agents talk to in tests.
//!
//! Speaks Anthropic's Messages and OpenAI's Responses, streamed and not. Each request that offers tools is a turn of the
//! agent and takes the next answer of the script; others are side calls, such as for titles. When
//! the script is over, agents are told so and stop.

mod account;
mod anthropic;
mod responses;
mod script;

use std::{
    convert::Infallible,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::{CONTENT_TYPE, HeaderMap, UPGRADE},
};
use serde_json::{Value, json};

use crate::http;

pub use account::{Account, TOKEN_CANARY};
pub use script::{Hold, Turn};

/// How long a test waits for a request.
const PATIENCE: Duration = Duration::from_secs(120);

type Body = BoxBody<Bytes, Infallible>;

/// A running server; it ends with the process.
#[derive(Clone, Debug)]
pub struct Model {
    port: u16,
    shared: Arc<Shared>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its path with the query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; null where that is no JSON.
    pub body: Value,
    /// Whether it took an answer of the script, or found that over.
    pub is_turn: bool,
}

/// What a model is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Messages,
    Responses,
}

impl Api {
    fn of(path: &str) -> Option<Self> {
        match path.rsplit('/').next() {
            Some("messages") => Some(Self::Messages),
            Some("responses") => Some(Self::Responses),
            _ => None,
        }
    }
}

/// Everything that a request tells the model: what its user, its tools and itself said.
#[must_use]
pub fn heard(body: &Value) -> String {
    // OpenAI's Responses have one place for all of it, Anthropic's Messages another.
    let said = body.get("messages").unwrap_or(&body["input"]);
    said.to_string()
}

#[derive(Debug, Default)]
struct Shared {
    script: Mutex<Vec<Turn>>,
    asked: Mutex<Vec<Asked>>,
    news: Condvar,
    /// Who has to be signed in, if anybody.
    account: Mutex<Option<Account>>,
}

impl Model {
    /// Serves this script on a free port of 127.0.0.1.
    #[must_use]
    pub fn serve(script: Vec<Turn>) -> Self {
        let shared = Arc::new(Shared { script: Mutex::new(script), ..Shared::default() });
        let serving = shared.clone();
        let port = http::serve("model", move |request| respond(serving.clone(), request));
        Self { port, shared }
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Adds to the script.
    pub fn then(&self, turns: impl IntoIterator<Item = Turn>) {
        self.shared.script.lock().expect("script").extend(turns);
    }

    /// Replaces the script.
    pub fn set(&self, script: Vec<Turn>) {
        *self.shared.script.lock().expect("script") = script;
    }

    /// Answers, from now on, only who is signed in to this account.
    pub fn require(&self, account: Account) {
        *self.shared.account.lock().expect("account") = Some(account);
    }

    /// The account, as it is by now.
    ///
    /// # Panics
    ///
    /// Where nobody has to be signed in.
    #[must_use]
    pub fn account(&self) -> Account {
        self.shared.account.lock().expect("account").clone().expect("an account")
    }

    /// Everything that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("requests").clone()
    }

    /// The turns among that.
    #[must_use]
    pub fn turns(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.is_turn).collect()
    }

    /// Waits until there were so many turns.
    ///
    /// # Panics
    ///
    /// After two minutes.
    #[track_caller]
    pub fn wait_for_turn(&self, count: usize) {
        self.shared.wait(&format!("turn {count}"), |asked| {
            asked.iter().filter(|asked| asked.is_turn).count() >= count
        });
    }

    /// Waits until somebody asks for this path.
    ///
    /// # Panics
    ///
    /// After two minutes.
    #[track_caller]
    pub fn wait_for_path(&self, path: &str) {
        self.shared.wait(path, |asked| asked.iter().any(|one| one.path == path));
    }
}

impl Shared {
    /// Waits until what was asked is enough.
    #[track_caller]
    fn wait(&self, what: &str, is_enough: impl Fn(&[Asked]) -> bool) {
        let asked = self.asked.lock().expect("requests");
        let waited = self.news.wait_timeout_while(asked, PATIENCE, |asked| !is_enough(asked));
        let (asked, timeout) = waited.expect("requests");
        assert!(!timeout.timed_out(), "no {what}: {asked:#?}");
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let path = parts.uri.to_string();
    let api = Api::of(parts.uri.path());
    let is_turn = match api {
        Some(Api::Messages) => body["tools"].as_array().is_some_and(|tools| !tools.is_empty()),
        Some(Api::Responses) => responses::is_turn(&body),
        None => false,
    };
    let judged = match &mut *shared.account.lock().expect("account") {
        Some(account) => account.judge(parts.uri.path(), &parts.headers, &body),
        None => None,
    };
    let is_turn = is_turn && judged.is_none();
    let wants_web_socket = parts.headers.contains_key(UPGRADE);
    let turn = match is_turn {
        true => script::next(&mut shared.script.lock().expect("script"), &bytes),
        false => Turn::text("a side call"),
    };
    let asked = Asked { path, headers: parts.headers, body: body.clone(), is_turn };
    shared.asked.lock().expect("requests").push(asked);
    shared.news.notify_all();
    if wants_web_socket {
        return Ok(whole(StatusCode::UPGRADE_REQUIRED, &Value::Null));
    }
    if let Some((status, answer)) = judged {
        return Ok(whole(status, &answer));
    }
    let Some(api) = api else {
        let counted = parts.uri.path().ends_with("/count_tokens");
        let answer = if counted { json!({ "input_tokens": 100 }) } else { Value::Null };
        let status = if counted { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return Ok(whole(status, &answer));
    };
    if let Some(held) = &turn.held {
        held.wait().await;
    }
    if let Some((status, error)) = &turn.failure {
        return Ok(match api {
            Api::Messages => whole(*status, error),
            Api::Responses => whole(*status, &responses::error(error)),
        });
    }
    Ok(match (api, body["stream"] == true) {
        (Api::Messages, true) => streamed(anthropic::events(&body, &turn)),
        (Api::Messages, false) => whole(StatusCode::OK, &anthropic::message(&body, &turn)),
        (Api::Responses, true) => streamed(responses::events(&body, &turn)),
        (Api::Responses, false) => whole(StatusCode::OK, &responses::response(&body, &turn)),
    })
}

fn whole(status: StatusCode, answer: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(answer.to_string()).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
    response
}

fn streamed(events: Vec<Value>) -> Response<Body> {
    let frames = events.into_iter().map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        Ok(Frame::data(Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))))
    });
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(tokio_stream::iter(frames))));
    response.headers_mut().insert(CONTENT_TYPE, "text/event-stream".parse().expect("a value"));
    response
}
