//! `handoffd user`: who is paired, and who no longer is.

use clap::{Args, Subcommand};
use handoff_proto::{
    problem::Problem,
    wire::{Device, RevokeReply, RevokeRequest, UsersRequest},
};
use jiff::Timestamp;

use super::{admin, output};

/// List users and their devices, or shut one out
#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// List users and their devices
    Ls,
    /// Shut all devices of USER out, and void the invitations that are open
    Revoke {
        /// Whose devices
        user: String,
    },
}

impl User {
    pub(super) fn run(self) -> Result<(), Problem> {
        match self.command {
            UserCommand::Ls => list(),
            UserCommand::Revoke { user } => revoke(user),
        }
    }
}

fn list() -> Result<(), Problem> {
    let reply = admin::ask(async |mut daemon| daemon.users(UsersRequest {}).await)?;
    reply.devices.iter().try_for_each(|device| output::line(&describe(device)))
}

fn revoke(user: String) -> Result<(), Problem> {
    let request = RevokeRequest { user: user.clone() };
    let RevokeReply { devices } = admin::ask(async |mut daemon| daemon.revoke(request).await)?;
    output::error(&match devices {
        0 => format!("{user} was shut out already."),
        1 => format!("1 device of {user} is shut out."),
        many => format!("{many} devices of {user} are shut out."),
    });
    Ok(())
}

/// One device in one line, fields apart by tabs.
fn describe(device: &Device) -> String {
    let since = Timestamp::from_nanosecond(i128::from(device.enrolled_at_unix_nanos))
        .map_or_else(|_| String::from("?"), |time| format!("{time:.0}"));
    let state = if device.revoked { "revoked" } else { "active" };
    let fingerprint = device.fingerprint.get(..16).unwrap_or(&device.fingerprint);
    [&device.user, &device.device, state, &since, fingerprint].join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_one_line_of_fields() {
        let device = Device {
            user: "ada".to_owned(),
            device: "laptop".to_owned(),
            fingerprint: "0123456789abcdef".repeat(4),
            enrolled_at_unix_nanos: 1_800_000_000_123_456_789,
            revoked: true,
        };
        assert_eq!(
            describe(&device),
            "ada\tlaptop\trevoked\t2027-01-15T08:00:00Z\t0123456789abcdef"
        );
    }
}
