//! The daemon's hold on the terminal of a job's command: keys and sizes there, how far they have come
//! back. What the terminal shows is output like any other. Starts nothing.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use tokio::time::timeout;

use super::connection::{ANSWER_MAX, AttachError, Connection};
use super::looking::Looking;
use super::message::{FromSupervisor, ToSupervisor, Typist};
use super::output::Position;

/// Longest piece that is told at once: far below what a line may hold.
const PIECE_LEN: usize = 64 << 10;

/// Somebody's keyboard and window, at the terminal of a job's command.
#[derive(Debug)]
pub struct Terminal {
    path: PathBuf,
    /// Whose.
    name: String,
    connection: Option<Connection>,
    /// How many of their bytes were told, and are typed.
    told: u64,
    typed: u64,
    /// Whether the supervisor says what is typed; an older one does not.
    is_answered: bool,
}

/// What was found of a terminal.
#[derive(Debug)]
pub struct Found {
    /// The terminal.
    pub terminal: Terminal,
    /// Where the last screens of what it showed begin.
    pub tail: Position,
    /// What it shows beside what is kept.
    pub looking: Looking,
}

impl Terminal {
    /// Finds the terminal of a job for somebody of this name, perhaps again.
    ///
    /// # Errors
    ///
    /// Fails with what is left of the job if it has no supervisor.
    pub async fn find(job_dir: &Path, name: &str) -> Result<Found, AttachError> {
        let (_hears_news, state) = Connection::call(job_dir).await?;
        let is_answered = state.typists.is_some();
        let mut typists = state.typists.into_iter().flatten();
        let typed = typists.find(|typist| typist.name == name).map_or(0, |typist| typist.at);
        // Whoever types hears no other news: a connection of its own, which never asked for them.
        let terminal = Self {
            path: job_dir.to_owned(),
            name: name.to_owned(),
            connection: None,
            told: typed,
            typed,
            is_answered,
        };
        let looking = Looking::begin(job_dir).await;
        Ok(Found { terminal, tail: state.output_tail, looking })
    }

    /// How many of their bytes are typed, as far as that was told.
    #[must_use]
    pub const fn typed(&self) -> u64 {
        self.typed
    }

    /// How many of their bytes were told, typed or not.
    #[must_use]
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// Types bytes from this number on. Those that were typed before are not typed again.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor cannot be told; finding the terminal again tells how far it has come.
    pub async fn type_keys(&mut self, at: u64, keys: &[u8]) -> Result<(), AttachError> {
        let mut at = at;
        if self.told == 0 {
            self.typed = at;
        }
        for piece in keys.chunks(PIECE_LEN) {
            let by = Some(Typist { name: self.name.clone(), at });
            self.tell(&ToSupervisor::Type { base64: BASE64.encode(piece), by }).await?;
            at = at.saturating_add(piece.len() as u64);
            self.told = self.told.max(at);
        }
        Ok(())
    }

    /// Changes the size.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor cannot be told.
    pub async fn resize(&mut self, rows: u16, columns: u16) -> Result<(), AttachError> {
        self.tell(&ToSupervisor::Resize { rows, columns }).await
    }

    /// Waits until more is typed of what was told; returns how much. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor has gone, or did not take what was told: finding the terminal again
    /// tells from where on.
    pub async fn more_typed(&mut self) -> Result<u64, AttachError> {
        loop {
            if !self.is_answered && self.typed < self.told {
                self.typed = self.told;
                return Ok(self.typed);
            }
            let Some(connection) = &mut self.connection else {
                return std::future::pending().await;
            };
            match connection.receive().await {
                Ok(FromSupervisor::Typed { typist }) if typist.name == self.name => {
                    // What the supervisor had taken when it was found, it types in any case.
                    self.typed = self.typed.max(typist.at);
                    return Ok(self.typed);
                }
                Ok(FromSupervisor::Untaken { typist }) if typist.name == self.name => {
                    return Err(AttachError::KeysRefused { path: self.path.clone() });
                }
                Ok(_) => {}
                Err(source) => return Err(self.lost(source)),
            }
        }
    }

    /// Whether its command has ended, so that nobody needs it any more.
    pub async fn is_over(&self) -> bool {
        matches!(Connection::call(&self.path).await, Err(AttachError::NotRunning(_)))
    }

    async fn tell(&mut self, message: &ToSupervisor) -> Result<(), AttachError> {
        // Half a line must never be followed by another: let go until it is written.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.path).await.map_err(|source| self.lost(source))?,
        };
        // One that takes nothing for so long must not keep the keyboard.
        match timeout(ANSWER_MAX, connection.send(message)).await {
            Ok(Ok(())) => {
                self.connection = Some(connection);
                Ok(())
            }
            Ok(Err(source)) => Err(self.lost(source)),
            Err(elapsed) => Err(self.lost(elapsed.into())),
        }
    }

    fn lost(&mut self, source: io::Error) -> AttachError {
        self.connection = None;
        AttachError::Unreachable { path: self.path.clone(), source }
    }
}
