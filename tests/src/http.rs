//! An HTTP server on loopback, on a thread of its own; it ends with the process.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, TcpListener},
    thread,
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;

/// Serves on a free port of 127.0.0.1, which it returns.
pub(crate) fn serve<R, B>(
    name: &str,
    respond: impl Fn(Request<Incoming>) -> R + Clone + Send + 'static,
) -> u16
where
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.set_nonblocking(true).expect("non-blocking");
    let port = listener.local_addr().expect("address").port();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(accept(listener, respond));
    };
    drop(thread::Builder::new().name(name.to_owned()).spawn(run).expect("thread"));
    port
}

async fn accept<R, B>(
    listener: TcpListener,
    respond: impl Fn(Request<Incoming>) -> R + Clone + Send + 'static,
) where
    R: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        let service = service_fn(respond.clone());
        // A client that goes away in the middle is no concern of the server's.
        connections.spawn(async move {
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}
