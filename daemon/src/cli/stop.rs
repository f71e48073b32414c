//! `handoffd stop`: ends the daemon, not its runs.

use clap::Args;
use handoff_proto::{
    problem::{Code, Problem},
    wire::StopRequest,
};

use super::{admin, exit::failed, settings};
use crate::store::embedded;

/// Stop the daemon and wait until it has ended; runs go on
#[derive(Debug, Args)]
pub(super) struct Stop {}

impl Stop {
    pub(super) fn run(self) -> Result<(), Problem> {
        admin::ask(async |mut daemon| daemon.stop(StopRequest {}).await)?;
        let (_, state) = settings::read(None)?;
        embedded::wait_until_closed(&state).map_err(|error| failed(Code::Failed, &error))
    }
}
