//! `handoffd credential`: what runs use and never see. The secret comes from standard input, so that
//! it is in no argument, no environment and no shell's history.

use std::io::{self, IsTerminal as _, Read as _};

use clap::{Args, Subcommand};
use handoff_proto::{
    problem::{Code, Problem},
    wire::{self, AddCredentialRequest, CredentialsRequest, RemoveCredentialRequest},
};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::{admin, output};

/// Longest secret that is read: what the daemon takes, and room to notice that there is more.
const SECRET_MAX: u64 = 64 * 1024;

/// Keep credentials of model APIs and git hosts, which runs use and never see
#[derive(Debug, Args)]
pub(super) struct Credential {
    #[command(subcommand)]
    command: CredentialCommand,
}

#[derive(Debug, Subcommand)]
enum CredentialCommand {
    /// Keep the credential that standard input holds, in place of an earlier one of that name
    ///
    /// Named anthropic, openai or gemini it is used for that API; named like a host in [git] of
    /// handoffd.toml, for fetching from and pushing to the repositories that runs come from.
    ///
    /// Anthropic takes the token that `claude setup-token` prints, too; OpenAI the auth.json of a
    /// `codex login` of the daemon's own: hand over the whole file.
    Add {
        /// What settings call it
        name: String,
    },
    /// List credentials, without their secrets
    Ls,
    /// Remove a credential; what runs already and has used its network keeps it to its end
    Rm {
        /// What settings call it
        name: String,
    },
}

impl Credential {
    pub(super) fn run(self) -> Result<(), Problem> {
        match self.command {
            CredentialCommand::Add { name } => add(name),
            CredentialCommand::Ls => list(),
            CredentialCommand::Rm { name } => {
                let request = RemoveCredentialRequest { name };
                admin::ask(async |mut daemon| daemon.remove_credential(request).await).map(drop)
            }
        }
    }
}

fn add(name: String) -> Result<(), Problem> {
    let secret = read_secret(&name)
        .map_err(|error| Problem::new(Code::Failed, format!("cannot read the secret: {error}")))?;
    let request = AddCredentialRequest { name: name.clone(), secret };
    let reply = admin::ask(async |mut daemon| daemon.add_credential(request).await)?;
    output::error(&match reply.used_by.as_slice() {
        [] => format!(
            "{name} is kept; no provider and no git host of handoffd.toml uses a credential of that name"
        ),
        users => {
            format!("{name} is kept; runs use it from now on: {}", users.join(", "))
        }
    });
    Ok(())
}

fn list() -> Result<(), Problem> {
    let reply = admin::ask(async |mut daemon| daemon.credentials(CredentialsRequest {}).await)?;
    reply.credentials.iter().try_for_each(|credential| output::line(&describe(credential)))
}

/// One credential in one line, fields apart by tabs.
fn describe(credential: &wire::Credential) -> String {
    let users = match credential.used_by.as_slice() {
        [] => "unused".to_owned(),
        users => users.join(", "),
    };
    let wire::Credential { name, keeper, kind, .. } = credential;
    [name.as_str(), keeper.as_str(), &users, kind.as_str()].join("\t")
}

/// Reads to the end of the input, or one line that is not shown from a terminal.
fn read_secret(name: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let mut secret = String::new();
    if !stdin.is_terminal() {
        stdin.lock().take(SECRET_MAX).read_to_string(&mut secret)?;
        return Ok(secret);
    }
    output::error(&format!("Secret for {name} (it is not shown):"));
    let shown = tcgetattr(&stdin)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let read = stdin.read_line(&mut secret);
    tcsetattr(&stdin, OptionalActions::Flush, &shown)?;
    read.map(|_| secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_line_without_its_secret() {
        let mut credential = wire::Credential {
            name: "anthropic".to_owned(),
            keeper: "handoffd".to_owned(),
            used_by: vec!["provider anthropic".to_owned()],
            kind: "key".to_owned(),
        };
        assert_eq!(describe(&credential), "anthropic\thandoffd\tprovider anthropic\tkey");
        credential.used_by.clear();
        assert_eq!(describe(&credential), "anthropic\thandoffd\tunused\tkey");
    }
}
