//! An MCP server over HTTP that demands a secret, with one tool.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let port = listener.local_addr().expect("address").port();
        let shared = Arc::new(Shared { secret: secret.to_owned(), asked: Mutex::default() });
        let serving = shared.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(accept(listener, serving));
        };
        drop(thread::Builder::new().name("mcp".to_owned()).spawn(run).expect("thread"));
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| respond(shared.clone(), request));
            // A client that goes away is no concern of the server's.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
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
