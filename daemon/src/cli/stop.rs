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
        let asked = settings::asked()?;
        admin::ask(async |mut daemon| daemon.stop(StopRequest {}).await)?;
        embedded::wait_until_closed(asked.state()).map_err(|error| failed(Code::Failed, &error))
    }
}
