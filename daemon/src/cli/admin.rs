//! Asks the running daemon over its admin socket.

use std::path::Path;

use handoff_proto::{
    problem::{Code, Problem},
    wire::admin_client::AdminClient,
};
use tonic::{Response, Status, transport::Channel};

use super::{output, settings};
use crate::rpc::admin::client;

/// Makes one call and returns its answer.
pub(super) fn ask<T>(
    call: impl AsyncFnOnce(AdminClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, Problem> {
    let (_, state) = settings::read(None)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(Code::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match call(connect(&state).await?).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(Problem::from_status(&status)),
        }
    })
}

/// The daemon of this state directory; where there never was one and none was named, the one that
/// `handoff` started for this user alone, who is its operator.
async fn connect(state: &Path) -> Result<AdminClient<Channel>, Problem> {
    let problem = match client::connect(state).await {
        Ok(daemon) => return Ok(daemon),
        Err(problem) => problem,
    };
    let Some(own) = settings::started_by_client().filter(|_| !state.exists()) else {
        return Err(problem);
    };
    match client::connect(&own).await {
        Ok(daemon) => {
            let own = own.display();
            output::error(&format!("asking the daemon that handoff started for you, in {own}"));
            Ok(daemon)
        }
        Err(_) => Err(problem),
    }
}
