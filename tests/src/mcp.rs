//! An MCP server over HTTP that demands a secret, with one tool.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::{Value, json};

use crate::http;

/// Its tool.
pub const TOOL: &str = "lookup";

/// What that says.
pub const TOOL_SAYS: &str = "the ticket is about teapots";

/// A running server; it ends with the process.
#[derive(Clone, Debug)]
pub struct Mcp {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    secret: String,
    asked: Mutex<Vec<Called>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Called {
    /// Its path.
    pub path: String,
    /// Its method of MCP; empty where there is none.
    pub method: String,
    /// Whether it had the secret.
    pub is_authorised: bool,
}

impl Mcp {
    /// Serves whoever has this secret, on a free port of 127.0.0.1.
    #[must_use]
    pub fn serve(secret: &str) -> Self {
        let shared = Arc::new(Shared { secret: secret.to_owned(), asked: Mutex::default() });
        let serving = shared.clone();
        let port = http::serve("mcp", move |request| respond(serving.clone(), request));
        Self { port, shared }
    }

    /// Where it is, at this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Called> {
        self.shared.asked.lock().expect("requests").clone()
    }
}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let call: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let method = call["method"].as_str().unwrap_or_default().to_owned();
    let expected = format!("Bearer {}", shared.secret);
    let is_authorised = head.headers.get(AUTHORIZATION).is_some_and(|value| *value == expected);
    let path = head.uri.path().to_owned();
    let called = Called { path, method: method.clone(), is_authorised };
    shared.asked.lock().expect("requests").push(called);
    let (status, result) = match method.as_str() {
        _ if !is_authorised => (StatusCode::UNAUTHORIZED, Value::Null),
        "initialize" => (
            StatusCode::OK,
            json!({
                "protocolVersion": call["params"]["protocolVersion"],
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "tickets", "version": "1" },
            }),
        ),
        "tools/list" => {
            let schema = json!({ "type": "object", "properties": {} });
            let tool = json!({ "name": TOOL, "description": "a ticket", "inputSchema": schema });
            (StatusCode::OK, json!({ "tools": [tool] }))
        }
        "tools/call" => {
            (StatusCode::OK, json!({ "content": [{ "type": "text", "text": TOOL_SAYS }] }))
        }
        "" => (StatusCode::METHOD_NOT_ALLOWED, Value::Null),
        _ if call["id"].is_null() => (StatusCode::ACCEPTED, Value::Null),
        _ => (StatusCode::OK, Value::Null),
    };
    let answer = match (&result, call.get("id")) {
        (_, None) => String::new(),
        (Value::Null, Some(id)) => {
            let error = json!({ "code": -32601, "message": "no such method" });
            json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()
        }
        (result, Some(id)) => json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string(),
    };
    let mut response = Response::new(Full::from(answer));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
    Ok(response)
}
