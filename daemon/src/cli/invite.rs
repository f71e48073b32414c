//! `handoffd invite`: prints an invitation and nothing else.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use handoff_proto::{
    invitation::Invitation,
    problem::Problem,
    wire::{InviteReply, InviteRequest},
};

use super::{admin, output};
use crate::config::parse_duration;

/// Print an invitation that pairs one device of USER with this daemon
///
/// The user passes it to `handoff remote add NAME INVITATION`. It works once.
#[derive(Debug, Args)]
pub(super) struct Invite {
    /// Whose device it is: 1 to 32 of a-z, 0-9, '.', '_' and '-'
    user: String,
    /// How long the invitation is valid
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    valid: Duration,
}

impl Invite {
    pub(super) fn run(self) -> Result<(), Problem> {
        let request = InviteRequest { user: self.user, valid_seconds: self.valid.as_secs() };
        let InviteReply { invitation } =
            admin::ask(async |mut daemon| daemon.invite(request).await)?;
        output::line(&invitation)?;
        if is_local(&invitation) {
            output::error(
                "This invitation works on this machine only: set [listen] address and names in \
                 handoffd.toml for others.",
            );
        }
        Ok(())
    }
}

/// Whether every address in the invitation means the machine that reads it.
fn is_local(invitation: &str) -> bool {
    Invitation::decode(invitation).is_ok_and(|invitation| {
        let mut addresses = invitation.addresses.iter();
        addresses.all(|address| address.parse().is_ok_and(|a: SocketAddr| a.ip().is_loopback()))
    })
}
