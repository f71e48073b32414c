//! Asking the launcher: the daemon's side.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::request::Request;
use crate::supervisor::ANSWER_LEN_MAX;

/// How long an answer may take: a supervisor answers as soon as it holds its job, and a trial run
/// takes a moment on the slowest machine.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Asks the launcher behind this socket and returns what it, or who it started, answers. Blocks.
///
/// # Errors
///
/// Fails if there is no launcher or it does not answer.
pub fn ask(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    exchange(socket, request).map_err(|error| {
        let named = socket.display();
        let text = format!(
            "ask the launcher at {named}: {error}; see `systemctl status handoffd-launcher.socket`"
        );
        io::Error::new(error.kind(), text)
    })
}

fn exchange(socket: &Path, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = Vec::new();
    match stream.take(ANSWER_LEN_MAX).read_to_end(&mut answer) {
        // Who is refused before the request was read.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(answer)
}
