//! Where in a remote's stream of events the notifier stands: one small file a remote.
//!
//! The file is replaced whole after every notification, so that a crash repeats at most the last
//! one. A position belongs to one daemon, known by its certificate authority: another daemon that
//! is given the same name starts afresh.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::settings::{self, FileLock, Places, Settings, create_private_directory, write_private};

/// The form of the file; another number is another program's file.
const VERSION: u32 = 1;

/// Runs whose newest event is remembered: more than can be unfinished at once, few enough that
/// the file stays small.
const RUNS_MAX: usize = 256;

/// The file that remembers one remote's position.
#[derive(Clone, Debug)]
pub struct CursorFile {
    path: PathBuf,
    lock: PathBuf,
    daemon: String,
}

/// A place in a remote's stream of events, and what was seen just before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    cursor: String,
    seen: Vec<Seen>,
}

/// The newest event of a run that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Seen {
    run: String,
    seq: u64,
}

/// The stored form.
#[derive(Deserialize, Serialize)]
struct Stored {
    version: u32,
    daemon: String,
    cursor: String,
    seen: Vec<Seen>,
}

/// A position cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// There is no such remote.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// The remote's name leaves the directory.
    #[error("remote {name:?} has a name that no file can have")]
    Name {
        /// The name.
        name: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not whole or not ours.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Remembers where to start for a remote to which something was handed off, unless the notifier
/// stands somewhere already: what finishes before the notifier runs for the first time is told
/// when it does.
///
/// # Errors
///
/// Where the remote is not known or the file cannot be written.
pub fn remember_start(places: &Places, remote: &str, cursor: &str) -> Result<(), CursorError> {
    // Read anew: the remote may have been paired a moment ago.
    let settings = Settings::load(places.clone())?;
    CursorFile::of(&settings, remote)?.begin(cursor).map(drop)
}

impl CursorFile {
    /// The file of one remote.
    ///
    /// # Errors
    ///
    /// Where the remote is not known or the daemon's certificate authority cannot be read.
    pub fn of(settings: &Settings, remote: &str) -> Result<Self, CursorError> {
        let daemon = settings.remote(remote)?.daemon()?;
        if remote.contains('/') || remote.starts_with('.') {
            return Err(CursorError::Name { name: remote.to_owned() });
        }
        let directory = settings.places.notifier().join("cursors");
        Ok(Self {
            path: directory.join(format!("{remote}.json")),
            lock: directory.join("lock"),
            daemon,
        })
    }

    /// The position, if there is one for this daemon.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is damaged.
    pub fn load(&self) -> Result<Option<Position>, CursorError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CursorError::Read { path: self.path.clone(), source }),
        };
        match serde_json::from_slice::<Stored>(&bytes) {
            Ok(stored) if stored.version == VERSION && !stored.cursor.is_empty() => {
                let ours = stored.daemon == self.daemon;
                Ok(ours.then_some(Position { cursor: stored.cursor, seen: stored.seen }))
            }
            Ok(_) | Err(_) => Err(CursorError::Damaged { path: self.path.clone() }),
        }
    }

    /// Takes this cursor as the first position unless there is a position already; returns the one
    /// that holds.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn begin(&self, cursor: &str) -> Result<Position, CursorError> {
        let write = |source| CursorError::Write { path: self.path.clone(), source };
        if let Some(directory) = self.path.parent() {
            create_private_directory(directory).map_err(write)?;
        }
        let _lock = FileLock::acquire(&self.lock).map_err(write)?;
        match self.load() {
            Ok(Some(position)) => Ok(position),
            // A damaged file tells nothing: what it knew is lost either way.
            Ok(None) | Err(CursorError::Damaged { .. }) => {
                let position = Position::at(cursor);
                self.save(&position)?;
                Ok(position)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the position, durably.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; the old position then stays.
    pub fn save(&self, position: &Position) -> Result<(), CursorError> {
        let stored = Stored {
            version: VERSION,
            daemon: self.daemon.clone(),
            cursor: position.cursor.clone(),
            seen: position.seen.clone(),
        };
        serde_json::to_vec(&stored)
            .map_err(io::Error::from)
            .and_then(|bytes| write_private(&self.path, &bytes))
            .map_err(|source| CursorError::Write { path: self.path.clone(), source })
    }

    /// Forgets the position.
    ///
    /// # Errors
    ///
    /// Where the file cannot be removed.
    pub fn forget(&self) -> Result<(), CursorError> {
        match std::fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(CursorError::Write { path: self.path.clone(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Position {
    /// A place at which nothing was seen so far.
    #[must_use]
    pub fn at(cursor: &str) -> Self {
        Self { cursor: cursor.to_owned(), seen: Vec::new() }
    }

    /// What to give the daemon.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// Whether this event of a run, or a later one, was seen.
    #[must_use]
    pub fn has_seen(&self, run: &str, seq: u64) -> bool {
        self.seen.iter().any(|seen| seen.run == run && seen.seq >= seq)
    }

    /// Moves on past an event.
    pub fn advance(&mut self, cursor: &str, run: &str, seq: u64) {
        cursor.clone_into(&mut self.cursor);
        // The newest run is last, so that the oldest is forgotten first.
        let known = self.seen.iter().position(|seen| seen.run == run);
        let before = known.map_or(0, |at| self.seen.remove(at).seq);
        self.seen.push(Seen { run: run.to_owned(), seq: seq.max(before) });
        if self.seen.len() > RUNS_MAX {
            self.seen.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::settings::RemoteSettings;

    fn settings(home: &Path) -> Settings {
        let ca = home.join("ca.pem");
        std::fs::write(&ca, "authority").unwrap();
        let mut settings = Settings::load(Places::beneath(home)).unwrap();
        let remote = RemoteSettings {
            addresses: vec![],
            ca,
            certificate: "/none".into(),
            key: "/none".into(),
        };
        settings.add_remote("box", remote).unwrap();
        settings
    }

    fn cursor(file: &CursorFile) -> Option<String> {
        file.load().unwrap().map(|position| position.cursor)
    }

    #[test]
    fn the_first_start_stays() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        let file = CursorFile::of(&settings, "box").unwrap();
        assert_eq!(cursor(&file), None);
        remember_start(&settings.places, "box", "7").unwrap();
        remember_start(&settings.places, "box", "9").unwrap();
        assert_eq!(cursor(&file).as_deref(), Some("7"));
        let mut position = file.load().unwrap().unwrap();
        position.advance("12", "run", 3);
        file.save(&position).unwrap();
        assert_eq!(file.load().unwrap(), Some(position.clone()));
        assert!(position.has_seen("run", 2) && position.has_seen("run", 3));
        assert!(!position.has_seen("run", 4) && !position.has_seen("other", 1));
    }

    #[test]
    fn another_daemon_of_the_same_name_starts_afresh() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        remember_start(&settings.places, "box", "7").unwrap();
        std::fs::write(home.path().join("ca.pem"), "another").unwrap();
        let file = CursorFile::of(&settings, "box").unwrap();
        assert_eq!(cursor(&file), None);
        remember_start(&settings.places, "box", "1").unwrap();
        assert_eq!(cursor(&file).as_deref(), Some("1"));
    }

    #[test]
    fn a_torn_file_is_noticed_and_replaced() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        let file = CursorFile::of(&settings, "box").unwrap();
        file.begin("7").unwrap();
        let whole = std::fs::read(&file.path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&file.path, &whole[..len]).unwrap();
            assert!(matches!(file.load(), Err(CursorError::Damaged { .. })), "{len}");
        }
        assert_eq!(file.begin("8").unwrap().cursor(), "8");
        file.forget().unwrap();
        file.forget().unwrap();
        assert_eq!(cursor(&file), None);
    }

    proptest! {
        #[test]
        fn a_position_remembers_the_newest_event_of_recent_runs(
            events in proptest::collection::vec((0..400_u32, 1..20_u64), 0..600),
        ) {
            let mut position = Position::at("0");
            for (run, seq) in &events {
                position.advance("1", &run.to_string(), *seq);
                prop_assert!(position.has_seen(&run.to_string(), *seq));
            }
            prop_assert!(position.seen.len() <= RUNS_MAX);
            for seen in &position.seen {
                let newest = events.iter().filter(|(run, _)| run.to_string() == seen.run).map(|(_, seq)| *seq);
                prop_assert!(Some(seen.seq) <= newest.max());
            }
        }
    }
}
