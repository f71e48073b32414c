//! Reads keys from our terminal without a thread that would go on waiting for one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::termios::ttyname;
use tokio::net::unix::pipe::Receiver;

/// How many bytes of keys are read at once.
const KEYS_LEN: usize = 4096;

/// Whatever terminal is in charge of us: other users may not open theirs by name, not even after
/// they have become us.
const IN_CHARGE: &str = "/dev/tty";

/// The terminal that is our standard input.
#[derive(Debug)]
pub struct Keyboard {
    terminal: Receiver,
}

impl Keyboard {
    /// Opens it once more, for ourselves: who else has it would be surprised if it did not block
    /// any more.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened or waited for.
    pub fn open() -> io::Result<Self> {
        let name = ttyname(io::stdin(), Vec::new())?;
        let name = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let terminal = open(name).or_else(|_not_ours| open(Path::new(IN_CHARGE)))?;
        Ok(Self { terminal: Receiver::from_file_unchecked(terminal)? })
    }

    /// Waits for keys; none are an end: the terminal has gone. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// Where they cannot be read.
    pub async fn keys(&self) -> io::Result<Vec<u8>> {
        loop {
            self.terminal.readable().await?;
            let mut keys = vec![0; KEYS_LEN];
            match self.terminal.try_read(&mut keys) {
                Ok(read) => {
                    keys.truncate(read);
                    return Ok(keys);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}
