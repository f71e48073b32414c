//! Asks the running daemon over its admin socket.

use handoff_proto::{
    problem::{Code, Problem},
    wire::admin_client::AdminClient,
};
use tonic::{Response, Status, transport::Channel};

use super::{
    output,
    settings::{self, Asked},
};
use crate::rpc::admin::client;

/// Makes one call and returns its answer.
pub(super) fn ask<T>(
    call: impl AsyncFnOnce(AdminClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, Problem> {
    let asked = settings::asked()?;
    if let Asked::StartedByClient(state) = &asked {
        let state = state.display();
        output::error(&format!("asking the daemon that handoff started for you, in {state}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match call(client::connect(asked.state()).await?).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(Problem::from_status(&status)),
        }
    })
}
