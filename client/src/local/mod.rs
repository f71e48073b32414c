//! This machine's own daemon, for whoever has paired with none.
//!
//! It is private to this user, keeps its state beneath the client's own directories and is started
//! when it is needed. It is an ordinary remote otherwise, called `local`.

mod daemon;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handoff_proto::invitation::{Invitation, InvitationError};

pub use daemon::StartError;

use crate::output::Output;
use crate::remote::enroll::{EnrollError, enroll};
use crate::settings::{FileLock, Settings, create_private_directory};
use daemon::Daemon;

/// What the own daemon is called among the remotes.
pub const REMOTE_NAME: &str = "local";

/// The own daemon cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No daemon of ours runs on this system.
    #[error("no remote is paired, and this system cannot run commands in a sandbox")]
    Unsupported,
    /// Its directory cannot be prepared.
    #[error("cannot prepare {path} for this machine's own daemon")]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be started or asked.
    #[error("cannot start a daemon on this machine")]
    Start(#[source] StartError),
    /// It invites us with something else than an invitation.
    #[error("cannot understand the invitation of this machine's own daemon")]
    Invitation(#[source] InvitationError),
    /// It does not pair.
    #[error("cannot pair with this machine's own daemon")]
    Enroll(#[source] Box<EnrollError>),
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unsupported => Some(
                "run `handoffd serve` on a Linux machine, `handoffd invite USER` there, and `handoff remote add NAME INVITATION` here"
                    .to_owned(),
            ),
            Self::Start(source) => Some(source.hint()),
            Self::Enroll(source) => source.hint(),
            Self::Prepare { .. } | Self::Invitation(_) => None,
        }
    }
}

/// Starts the own daemon, pairs with it and returns the settings that know it.
///
/// # Errors
///
/// Where that cannot be done here; see [`Error`].
pub async fn pair(settings: &Settings, output: &Output) -> Result<Settings, Error> {
    if !cfg!(target_os = "linux") {
        return Err(Error::Unsupported);
    }
    let state = settings.places.local_daemon();
    let _lock = lock(&state).await?;
    // Somebody else may have paired while we waited for the lock.
    let mut settings = Settings::load(settings.places.clone()).unwrap_or_else(|_| settings.clone());
    let daemon = Daemon::new(state);
    let address = start(&daemon).await?;
    if settings.remote(REMOTE_NAME).is_err() {
        let text = blocking(move || daemon.invite(&user_name())).await?;
        let invitation = Invitation::decode(&text).map_err(Error::Invitation)?;
        let invitation = Invitation { addresses: vec![address.clone()], ..invitation };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        enroll(&mut settings, REMOTE_NAME, &invitation, now)
            .await
            .map_err(|source| Error::Enroll(Box::new(source)))?;
        output.note(format_args!(
            "no remote is paired: started handoffd on this machine, private to you, as remote {REMOTE_NAME}"
        ));
    }
    Ok(settings.with_addresses(REMOTE_NAME, vec![address]))
}

/// Starts the own daemon again if `name` is that and it does not run; returns settings with its
/// present address.
///
/// # Errors
///
/// Where it cannot be started.
pub async fn refresh(settings: &Settings, name: &str, output: &Output) -> Result<Settings, Error> {
    let state = settings.places.local_daemon();
    if name != REMOTE_NAME || !state.is_dir() {
        return Ok(settings.clone());
    }
    let daemon = Daemon::new(state.clone());
    let address = match daemon.running() {
        Some(address) => address,
        None => {
            let _lock = lock(&state).await?;
            let address = start(&daemon).await?;
            output.note("started handoffd on this machine again");
            address
        }
    };
    Ok(settings.clone().with_addresses(REMOTE_NAME, vec![address]))
}

/// Where the own daemon's program is.
///
/// # Errors
///
/// Where it is not installed.
pub fn program() -> Result<PathBuf, StartError> {
    daemon::find_program()
}

/// Settings with the address that the own daemon had last, if `name` is that; starts nothing.
#[must_use]
pub fn locate(settings: &Settings, name: &str) -> Settings {
    let address = Daemon::new(settings.places.local_daemon()).address();
    match address {
        Some(address) if name == REMOTE_NAME => {
            settings.clone().with_addresses(name, vec![address])
        }
        Some(_) | None => settings.clone(),
    }
}

/// Two commands at once must not start two daemons.
async fn lock(state: &Path) -> Result<FileLock, Error> {
    let prepare = |source| Error::Prepare { path: state.to_owned(), source };
    create_private_directory(state).map_err(prepare)?;
    let path = state.join("start.lock");
    let acquired = tokio::task::spawn_blocking(move || FileLock::acquire(&path)).await;
    acquired.map_err(std::io::Error::other).and_then(|lock| lock).map_err(prepare)
}

async fn start(daemon: &Daemon) -> Result<String, Error> {
    let daemon = daemon.clone();
    blocking(move || daemon.ensure_running()).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(StartError::Interrupted)).map_err(Error::Start)
}

/// The daemon's users are named in lower case; any name will do for the only one.
fn user_name() -> String {
    let name = std::env::var("USER").unwrap_or_default();
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.chars().all(known) && !name.starts_with('-') {
        name
    } else {
        "me".to_owned()
    }
}
