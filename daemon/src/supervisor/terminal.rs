//! The daemon's hold on the terminal of a job's command: keys and sizes, one way. What the terminal
//! shows is output like any other. Starts nothing.

use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use tokio::time::timeout;

use super::connection::{ANSWER_MAX, AttachError, Connection};
use super::message::ToSupervisor;
use super::output::Position;

/// How often a supervisor is told something before it counts as unreachable.
const TRIES_MAX: usize = 2;

/// Longest piece that is told at once: far below what a line may hold.
const PIECE_LEN: usize = 64 << 10;

/// Somebody's keyboard and window, at the terminal of a job's command.
#[derive(Debug)]
pub struct Terminal {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Terminal {
    /// Finds the terminal of a job, and where the last screens of what it showed begin.
    ///
    /// # Errors
    ///
    /// Fails with what is left of the job if it has no supervisor.
    pub async fn find(job_dir: &Path) -> Result<(Self, Position), AttachError> {
        let (_hears_news, state) = Connection::call(job_dir).await?;
        // Whoever types hears nothing: a connection of its own, which never asked for news.
        Ok((Self { path: job_dir.to_owned(), connection: None }, state.output_tail))
    }

    /// Types. What is typed while its supervisor cannot be reached is lost.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor cannot be told.
    pub async fn type_keys(&mut self, keys: &[u8]) -> Result<(), AttachError> {
        for piece in keys.chunks(PIECE_LEN) {
            self.tell(&ToSupervisor::Type { base64: BASE64.encode(piece) }).await?;
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

    async fn tell(&mut self, message: &ToSupervisor) -> Result<(), AttachError> {
        let mut failure = io::Error::from(io::ErrorKind::NotConnected);
        for _ in 0..TRIES_MAX {
            // Half a line must never be followed by another: let go until it is written.
            let opened = match self.connection.take() {
                Some(connection) => Ok(connection),
                None => Connection::open(&self.path).await,
            };
            let told = match opened {
                // One that takes nothing for so long must not keep the keyboard.
                Ok(mut connection) => match timeout(ANSWER_MAX, connection.send(message)).await {
                    Ok(sent) => sent.map(|()| connection),
                    Err(elapsed) => Err(elapsed.into()),
                },
                Err(error) => Err(error),
            };
            match told {
                Ok(connection) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        Err(AttachError::Unreachable { path: self.path.clone(), source: failure })
    }
}
