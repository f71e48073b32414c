//! Who may advance a session: while a run holds it, this machine must not.
//!
//! One small file for each session that ever was handed off from here. Its number grows with each
//! hold and stays when the session is released, so that whoever remembers a number can tell that it
//! is over. A run that has finished holds its session until that is pulled or the run is removed.

use std::io;
use std::path::{Path, PathBuf};

use handoff_proto::run::RunId;
use handoff_proto::wire;
use serde::{Deserialize, Serialize};

use crate::runs::Ledger;
use crate::settings::{FileLock, Places, create_private_directory, write_private};

/// How long a session's id may be, which becomes a file's name.
const SESSION_LEN_MAX: usize = 128;

/// What is in the way of a lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The id names no session.
    #[error("{session:?} is no id of a session")]
    Session {
        /// What was given.
        session: String,
    },
    /// Another run holds the session.
    #[error("run {run} on {remote} holds it")]
    Held {
        /// The run's name.
        run: String,
        /// Where it runs.
        remote: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

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

/// Gives the session that goes on with a contract to its run; one that begins there, or is a copy,
/// belongs to nobody here.
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
    let Some(terms) = &contract.agent_terms else { return Ok(()) };
    if terms.is_new || !terms.forked_from.is_empty() {
        return Ok(());
    }
    let holder = LeaseHolder {
        run: run.id.clone(),
        name: run.name.clone(),
        remote: remote.to_owned(),
        prompt: prompt_hash(&terms.prompt),
        since_unix_nanos: run.created_at_unix_nanos,
    };
    Leases::new(places).hold(&contract.agent, &contract.session_id, &holder).map(drop)
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

    /// Keeps other handoffs of a session waiting until dropped.
    ///
    /// # Errors
    ///
    /// Where the id is none or the lock cannot be taken.
    pub fn begin_handoff(&self, agent: &str, session: &str) -> Result<FileLock, LeaseError> {
        let path = self.handoff_lock(agent, session)?;
        let write = |source| LeaseError::Write { path: path.clone(), source };
        create_private_directory(&self.directory).map_err(write)?;
        FileLock::acquire(&path).map_err(write)
    }

    /// Whether a session is being handed off right now.
    #[must_use]
    pub fn is_under_way(&self, agent: &str, session: &str) -> bool {
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
        FileLock::acquire(&path).map_err(write)
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
mod tests {
    use super::*;

    const SESSION: &str = "6c933c51-1e5b-4dd1-8332-37fcecbef9ef";

    fn run(number: u8) -> RunId {
        RunId::from_random([number; 10])
    }

    fn holder(number: u8, remote: &str) -> LeaseHolder {
        LeaseHolder {
            run: run(number).to_string(),
            name: format!("run-{number}"),
            remote: remote.to_owned(),
            prompt: prompt_hash("go on"),
            since_unix_nanos: 7,
        }
    }

    fn leases(home: &Path) -> Leases {
        Leases::new(&Places::beneath(home))
    }

    #[test]
    fn a_session_is_held_until_its_own_run_releases_it_and_the_number_only_grows() {
        let home = tempfile::tempdir().unwrap();
        let leases = leases(home.path());
        assert_eq!(leases.held("claude", SESSION).unwrap(), None);
        assert!(!leases.release("claude", SESSION, &run(1)).unwrap());
        assert_eq!(leases.hold("claude", SESSION, &holder(1, "box")).unwrap(), 1);
        assert_eq!(leases.hold("claude", SESSION, &holder(1, "box")).unwrap(), 1);
        let lease = leases.held("claude", SESSION).unwrap().unwrap();
        assert_eq!(lease, Lease { number: 1, holder: holder(1, "box") });
        assert_eq!(leases.held("codex", SESSION).unwrap(), None);
        assert!(!leases.release("claude", SESSION, &run(2)).unwrap());
        assert!(leases.release("claude", SESSION, &run(1)).unwrap());
        assert_eq!(leases.held("claude", SESSION).unwrap(), None);
        assert_eq!(leases.hold("claude", SESSION, &holder(2, "box")).unwrap(), 2);
    }

    #[test]
    fn a_removed_run_and_a_removed_remote_hold_nothing() {
        let home = tempfile::tempdir().unwrap();
        let leases = leases(home.path());
        assert_eq!(leases.release_run(&run(1)).unwrap(), 0);
        for (number, session, remote) in [(1, "one", "box"), (2, "two", "box"), (3, "three", "x")] {
            leases.hold("codex", session, &holder(number, remote)).unwrap();
        }
        assert_eq!(leases.release_run(&run(1)).unwrap(), 1);
        assert_eq!(leases.held("codex", "one").unwrap(), None);
        assert_eq!(leases.release_remote("box").unwrap(), 1);
        assert_eq!(leases.release_called("run-3", Some("box")).unwrap(), 0);
        assert_eq!(leases.release_called("run-3", None).unwrap(), 1);
        assert_eq!(leases.held("codex", "three").unwrap(), None);
    }

    #[test]
    fn what_is_no_id_reaches_no_file_and_a_damaged_file_holds_nothing() {
        let home = tempfile::tempdir().unwrap();
        let leases = leases(home.path());
        for session in ["", "..", "a/b", "a b", &"x".repeat(SESSION_LEN_MAX + 1)] {
            assert!(leases.held("claude", session).is_err(), "{session}");
        }
        leases.hold("claude", SESSION, &holder(1, "box")).unwrap();
        std::fs::write(leases.file("claude", SESSION).unwrap(), "{").unwrap();
        assert_eq!(leases.held("claude", SESSION).unwrap(), None);
    }

    #[test]
    fn a_handoff_under_way_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let leases = leases(home.path());
        assert!(!leases.is_under_way("claude", SESSION));
        let handoff = leases.begin_handoff("claude", SESSION).unwrap();
        assert!(leases.is_under_way("claude", SESSION));
        drop(handoff);
        assert!(!leases.is_under_way("claude", SESSION));
    }
}
