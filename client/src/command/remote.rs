//! `handoff remote`: pairs with daemons and chooses among them.

use std::io::Read as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use handoff_proto::invitation::{INVITATION_LEN_MAX, Invitation};
use serde::Serialize;

use crate::agents::lease::Leases;
use crate::capture::account::{account, home};
use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;
use crate::remote;
use crate::remote::enroll::enroll;
use crate::remote::ssh::{self, Destination, SCHEME};
use crate::settings::{RemoteSettings, Settings};

/// The subcommands of `handoff remote`.
#[derive(Debug, clap::Subcommand)]
pub enum Args {
    /// Pair with a daemon by the invitation that its operator made
    Add {
        /// What to call it here
        name: String,
        /// The invitation, or - to read it from standard input; ssh:// pairs and connects over
        /// your own ssh, and starts the daemon there if need be
        #[arg(value_name = "INVITATION|-|ssh://[USER@]HOST[:PORT]")]
        invitation: String,
    },
    /// List the remotes
    Ls,
    /// Forget a remote and the keys to it
    Rm {
        /// Its name
        name: String,
    },
    /// Choose the remote that is meant where none is named
    Default {
        /// Its name
        name: String,
    },
}

/// Runs the command.
///
/// # Errors
///
/// Whatever the command could not do.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match args {
        Args::Add { name, invitation } => add(&name, &invitation, context).await?,
        Args::Ls => list(context)?,
        Args::Rm { name } => {
            show(&name, &context.settings, context)?;
            remove(&name, context)?;
        }
        Args::Default { name } => {
            let mut settings = context.settings.clone();
            settings.set_default_remote(&name)?;
            show(&name, &settings, context)?;
        }
    }
    Ok(Exit::Done)
}

/// Tells a program about the remote that the command was about.
fn show(name: &str, settings: &Settings, context: &Context) -> anyhow::Result<()> {
    let remote = Listed::new(name, settings.remote(name)?, settings);
    if context.output.format() == Format::Json {
        context.output.json(&remote)?;
    }
    Ok(())
}

async fn add(name: &str, invitation: &str, context: &Context) -> anyhow::Result<()> {
    let mut settings = context.settings.clone();
    // Whoever chose a bad name should not have to paste the invitation first.
    settings.check_new_remote(name)?;
    let invitation = if invitation.starts_with(SCHEME) {
        invited_over_ssh(name, invitation).await?
    } else {
        let text = if invitation == "-" { read_standard_input()? } else { invitation.to_owned() };
        decode(&text)?
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let user = enroll(&mut settings, name, &invitation, now).await?;
    context.output.note(format_args!("paired with {name} as {user}"));
    if settings.default_remote() != Some(name) {
        context.output.note(format_args!("`handoff remote default {name}` makes it the default"));
    }
    show(name, &settings, context)
}

/// Has the daemon of that machine invite us, over ssh; from then on ssh is the way to it.
async fn invited_over_ssh(name: &str, address: &str) -> anyhow::Result<Invitation> {
    let destination = Destination::parse(address).ok_or_else(|| UsageError {
        message: format!("{address:?} is no ssh://[USER@]HOST[:PORT]"),
        hint: Some("settings for the host belong into your ~/.ssh/config".to_owned()),
    })?;
    let user = account(&home()?, &|name| std::env::var_os(name)).name;
    let text = ssh::invite(&destination, &ssh::daemon_user(&user))
        .await
        .map_err(|source| remote::Error::Unreachable { remote: name.to_owned(), source })?;
    Ok(Invitation { addresses: vec![destination.to_string()], ..decode(&text)? })
}

fn decode(text: &str) -> Result<Invitation, UsageError> {
    Invitation::decode(text).map_err(|error| UsageError {
        message: error.to_string(),
        hint: Some("`handoffd invite USER` on the daemon's machine prints one".to_owned()),
    })
}

fn read_standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(INVITATION_LEN_MAX as u64 + 2)
        .read_to_string(&mut text)
        .context("cannot read the invitation from standard input")?;
    Ok(text)
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    default: bool,
    addresses: &'a [String],
}

impl<'a> Listed<'a> {
    fn new(name: &'a str, remote: &'a RemoteSettings, settings: &Settings) -> Self {
        let default = settings.default_remote() == Some(name);
        Self { name, default, addresses: &remote.addresses }
    }
}

fn list(context: &Context) -> anyhow::Result<()> {
    let settings = &context.settings;
    let remotes: Vec<_> =
        settings.remotes().map(|(name, remote)| Listed::new(name, remote, settings)).collect();
    if context.output.format() == Format::Json {
        return Ok(context.output.json(&remotes)?);
    }
    let width = remotes.iter().map(|remote| remote.name.len()).max().unwrap_or_default();
    for Listed { name, default, addresses } in &remotes {
        let mark = if *default { '*' } else { ' ' };
        context.output.line(format_args!("{mark} {name:width$}  {}", addresses.join(" ")))?;
    }
    if remotes.is_empty() {
        context.output.note("no remote is paired; `handoff remote add NAME INVITATION` pairs one");
    }
    Ok(())
}

fn remove(name: &str, context: &Context) -> anyhow::Result<()> {
    context.settings.clone().remove_remote(name)?;
    Leases::new(&context.settings.places).release_remote(name)?;
    let keys = context.settings.places.remote(name);
    match std::fs::remove_dir_all(&keys) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the keys in {}", keys.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_what_programs_rely_on() {
        let addresses = ["box.example.com:7420".to_owned(), "10.0.0.7:7420".to_owned()];
        let remotes = [Listed { name: "box", default: true, addresses: &addresses }];
        let array = serde_json::to_string_pretty(&remotes).unwrap();
        assert_eq!(array, include_str!("../../tests/golden/remote-ls.json").trim_end());
    }
}
