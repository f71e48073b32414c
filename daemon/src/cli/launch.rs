//! `handoffd launch`: the one part of a service that is root.

use clap::Args;
use handoff_proto::problem::{Code, Problem};

use super::{exit::failed, output};
use crate::launcher::Launcher;

/// Start supervisors, as root, for a daemon that is not
#[derive(Debug, Args)]
pub(super) struct Launch {
    /// Take the listening socket on standard input, as systemd passes it with
    /// `StandardInput=socket`
    #[arg(long)]
    activated: bool,
}

impl Launch {
    pub(super) fn run(&self) -> Result<(), Problem> {
        let launcher = if self.activated { Launcher::activated() } else { Launcher::bind() };
        let launcher = launcher.map_err(|error| failed(Code::Failed, &error))?;
        output::error(&format!("launching on {}", launcher.socket().display()));
        let Err(error) = launcher.serve();
        Err(failed(Code::Failed, &error))
    }
}
