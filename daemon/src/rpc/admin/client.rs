//! The operator's side of the admin socket.

use std::{path::Path, path::PathBuf};

use handoff_proto::{
    problem::{Code, Problem},
    wire::admin_client::AdminClient,
};
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::socket;

/// Connects to the daemon of a state directory.
///
/// # Errors
/// When none runs there, or its socket refuses.
pub async fn connect(state: &Path) -> Result<AdminClient<Channel>, Problem> {
    let directory: PathBuf = state.to_owned();
    // The name is never looked up: the connector knows where to go.
    let channel = Endpoint::from_static("http://admin.sock")
        .connect_with_connector(service_fn(move |_: Uri| {
            let directory = directory.clone();
            async move { socket::connect(&directory).await.map(TokioIo::new) }
        }))
        .await
        .map_err(|_| {
            let state = state.display();
            Problem::new(Code::Unreachable, format!("no daemon is running in {state}")).with_hint(
                "start it with `handoffd serve`, or set HANDOFFD_STATE to its directory; the \
                     one that `handoff` starts for you is there from a first handoff on",
            )
        })?;
    Ok(AdminClient::new(channel))
}
