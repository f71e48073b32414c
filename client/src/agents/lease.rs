//! Who may advance a session: while a run holds it, this machine must not.
//!
//! One small file for each session that ever was handed off from here. Its number grows with each
//! hold and stays when the session is released, so that whoever remembers a number can tell that it
//! is over. A run that has finished holds its session until that is pulled or the run is removed.
//!
//! ```text
//!   chosen ──▶ kept in the outbox ──▶ receipt ──▶ pulled, removed
//!   ╰──────── one handoff ────────────────╯
//!              ╰ the entry holds it ───╯ the run holds it ╯
//! ```
//!
//! From its choice to its lease a session is one handoff's alone. An entry of the outbox is a hold
//! by itself, so that none outlives it, and whoever finishes it writes the lease before it goes.

mod error;
mod holder;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_proto::run::RunId;
use handoff_proto::wire;
use serde::{Deserialize, Serialize};

use crate::runs::Ledger;
use crate::settings::{FileLock, Places, create_private_directory, write_private};

pub use error::LeaseError;
pub use holder::{Holder, holder};

/// How long another process may take to write a lease.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// How long a session's id may be, which becomes a file's name.
const SESSION_LEN_MAX: usize = 128;

/// The run that holds a session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LeaseHolder {
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: String,
    /// Where it runs, as the remote is called here.
    pub remote: String,
    /// What it was told; see [`prompt_hash`].
    pub prompt: String,
    /// Since when, in nanoseconds since the Unix epoch.
    pub since_unix_nanos: i64,
}

/// A session that a run holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Grows with each hold of the session.
    pub number: u64,
    /// The run.
    pub holder: LeaseHolder,
}

/// A session that one handoff has, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: FileLock,
    /// Whether another had it when this was asked for: what it left may be another session by now.
    pub had_to_wait: bool,
}

/// The stored form.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Stored {
    number: u64,
    holder: Option<LeaseHolder>,
}

/// What a prompt is remembered by: text of a session stays out of our files.
#[must_use]
pub fn prompt_hash(prompt: &str) -> String {
    blake3::hash(prompt.trim().as_bytes()).to_hex().to_string()
}

/// The session of this machine that goes on with a contract, and what it is told; one that begins
/// there, or is a copy, is none.
fn session_of(contract: &wire::Contract) -> Option<(&str, &wire::AgentTerms)> {
    let terms = contract.agent_terms.as_ref()?;
    let goes_on = !terms.is_new && terms.forked_from.is_empty();
    goes_on.then_some((contract.session_id.as_str(), terms))
}

/// Gives the session that goes on with a contract to its run.
///
/// # Errors
///
/// As [`Leases::hold`].
pub fn hold_for(
    places: &Places,
    contract: &wire::Contract,
    run: &wire::RunView,
    remote: &str,
) -> Result<(), LeaseError> {
    let Some((session, terms)) = session_of(contract) else { return Ok(()) };
    let holder = LeaseHolder {
        run: run.id.clone(),
        name: run.name.clone(),
        remote: remote.to_owned(),
        prompt: prompt_hash(&terms.prompt),
        since_unix_nanos: run.created_at_unix_nanos,
    };
    Leases::new(places).hold(&contract.agent, session, &holder).map(drop)
}

/// Gives the session of a run that goes on with another turn to it again, if this machine knows the
/// run: it may have been pulled since.
///
/// # Errors
///
/// As [`Leases::hold`].
pub fn hold_again(places: &Places, run: &wire::RunView, remote: &str) -> Result<(), LeaseError> {
    let agent = run.contract.as_ref().filter(|contract| contract.agent_terms.is_some());
    let session = run.agent.as_ref().map(|agent| agent.session_id.as_str()).unwrap_or_default();
    let is_ours = || {
        Ledger::new(places)
            .all()
            .is_ok_and(|runs| runs.iter().any(|known| known.id.as_str() == run.id))
    };
    let Some(contract) = agent.filter(|_| !session.is_empty() && is_ours()) else { return Ok(()) };
    if let Some(Holder::Unsent { of: LeaseHolder { name: run, remote, .. }, .. }) =
        holder(places, &contract.agent, session)?
    {
        return Err(LeaseError::Unsent { run, remote });
    }
    let holder = LeaseHolder {
        run: run.id.clone(),
        name: run.name.clone(),
        remote: remote.to_owned(),
        prompt: String::new(),
        since_unix_nanos: run.created_at_unix_nanos,
    };
    Leases::new(places).hold(&contract.agent, session, &holder).map(drop)
}

/// The leases of this machine.
#[derive(Clone, Debug)]
pub struct Leases {
    directory: PathBuf,
}

impl Leases {
    /// The leases at their place.
    #[must_use]
    pub fn new(places: &Places) -> Self {
        Self { directory: places.leases() }
    }

    /// Gives a session to a run; returns the lease's number. Again for the same run, it changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// Where another run holds it, the id is none or the file cannot be written.
    pub fn hold(
        &self,
        agent: &str,
        session: &str,
        holder: &LeaseHolder,
    ) -> Result<u64, LeaseError> {
        let path = self.file(agent, session)?;
        let _lock = self.lock()?;
        let stored = read(&path)?.unwrap_or_default();
        match &stored.holder {
            Some(before) if before.run == holder.run => return Ok(stored.number),
            Some(LeaseHolder { name, remote, .. }) => {
                let (run, remote) = (name.clone(), remote.clone());
                return Err(LeaseError::Held { run, remote });
            }
            None => {}
        }
        let number = stored.number.saturating_add(1);
        write(&path, &Stored { number, holder: Some(holder.clone()) })?;
        Ok(number)
    }

    /// The run that holds a session, if one does.
    ///
    /// # Errors
    ///
    /// Where the id is none or the file cannot be read.
    pub fn held(&self, agent: &str, session: &str) -> Result<Option<Lease>, LeaseError> {
        let stored = read(&self.file(agent, session)?)?;
        Ok(stored
            .and_then(|stored| stored.holder.map(|holder| Lease { number: stored.number, holder })))
    }

    /// Gives a session back to this machine, if that run holds it; returns whether it did.
    ///
    /// # Errors
    ///
    /// Where the id is none or the file cannot be written.
    pub fn release(&self, agent: &str, session: &str, run: &RunId) -> Result<bool, LeaseError> {
        let path = self.file(agent, session)?;
        Ok(self.release_in(vec![path], |holder| holder.run == run.as_str())? > 0)
    }

    /// Gives back whatever a run holds.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn release_run(&self, run: &RunId) -> Result<usize, LeaseError> {
        self.release_in(self.files()?, |holder| holder.run == run.as_str())
    }

    /// Gives back what is held by the run of this id or name, on this remote if one is meant: for
    /// runs that their remote does not know any more.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn release_called(&self, word: &str, remote: Option<&str>) -> Result<usize, LeaseError> {
        self.release_in(self.files()?, |holder| {
            (holder.run == word || holder.name == word)
                && remote.is_none_or(|remote| holder.remote == remote)
        })
    }

    /// Gives back whatever the runs of a remote hold, which nobody can pull any more.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written.
    pub fn release_remote(&self, remote: &str) -> Result<usize, LeaseError> {
        self.release_in(self.files()?, |holder| holder.remote == remote)
    }

    /// Makes a session one handoff's alone until that is dropped, as soon as no other has it; none
    /// if that takes longer than this.
    ///
    /// # Errors
    ///
    /// Where the id is none or the lock cannot be taken.
    pub fn claim(
        &self,
        agent: &str,
        session: &str,
        patience: Duration,
    ) -> Result<Option<Claim>, LeaseError> {
        let path = self.handoff_lock(agent, session)?;
        let write = |source| LeaseError::Write { path: path.clone(), source };
        create_private_directory(&self.directory).map_err(write)?;
        if let Some(lock) = FileLock::try_acquire(&path).map_err(write)? {
            return Ok(Some(Claim { _lock: lock, had_to_wait: false }));
        }
        let lock = FileLock::acquire_within(&path, patience).map_err(write)?;
        Ok(lock.map(|lock| Claim { _lock: lock, had_to_wait: true }))
    }

    /// Whether a session is being handed off right now.
    #[must_use]
    pub fn is_claimed(&self, agent: &str, session: &str) -> bool {
        self.handoff_lock(agent, session)
            .is_ok_and(|path| path.exists() && matches!(FileLock::try_acquire(&path), Ok(None)))
    }

    fn release_in(
        &self,
        files: Vec<PathBuf>,
        meant: impl Fn(&LeaseHolder) -> bool,
    ) -> Result<usize, LeaseError> {
        if !self.directory.exists() {
            return Ok(0);
        }
        let _lock = self.lock()?;
        let mut released = 0;
        for path in files {
            let stored = read(&path)?.unwrap_or_default();
            if stored.holder.as_ref().is_some_and(&meant) {
                write(&path, &Stored { holder: None, ..stored })?;
                released += 1;
            }
        }
        Ok(released)
    }

    fn lock(&self) -> Result<FileLock, LeaseError> {
        let path = self.directory.join("lock");
        let write = |source| LeaseError::Write { path: path.clone(), source };
        create_private_directory(&self.directory).map_err(write)?;
        let lock = FileLock::acquire_within(&path, WRITTEN_WITHIN).map_err(write)?;
        lock.ok_or(LeaseError::Locked { path })
    }

    fn files(&self) -> Result<Vec<PathBuf>, LeaseError> {
        let read = |source| LeaseError::Read { path: self.directory.clone(), source };
        let directory = match std::fs::read_dir(&self.directory) {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(read(error)),
        };
        let paths = directory.map(|file| file.map(|file| file.path()).map_err(read));
        let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        Ok(paths)
    }

    fn file(&self, agent: &str, session: &str) -> Result<PathBuf, LeaseError> {
        Ok(self.directory.join(format!("{agent}-{}.json", checked(session)?)))
    }

    fn handoff_lock(&self, agent: &str, session: &str) -> Result<PathBuf, LeaseError> {
        Ok(self.directory.join(format!("{agent}-{}.handoff", checked(session)?)))
    }
}

/// The id, if it can be part of a file's name.
fn checked(session: &str) -> Result<&str, LeaseError> {
    let fits = (1..=SESSION_LEN_MAX).contains(&session.len())
        && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fits { Ok(session) } else { Err(LeaseError::Session { session: session.to_owned() }) }
}

/// A file that is none of ours holds nothing.
fn read(path: &Path) -> Result<Option<Stored>, LeaseError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LeaseError::Read { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, stored: &Stored) -> Result<(), LeaseError> {
    let write = |source| LeaseError::Write { path: path.to_owned(), source };
    let bytes = serde_json::to_vec_pretty(stored).map_err(|error| write(error.into()))?;
    write_private(path, &bytes).map_err(write)
}

#[cfg(test)]
mod tests;
