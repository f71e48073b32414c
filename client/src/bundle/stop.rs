//! Lets blocking work end when nobody waits for it any more, so that it can clean up.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// How long an interrupt waits for the clean-up. Work that hangs in a system call is left behind.
const CLEAN_UP_MAX: Duration = Duration::from_secs(5);

/// Held by whoever waits: dropping it stops the work and waits until it has cleaned up.
#[derive(Debug)]
pub struct Stop {
    wanted: Arc<AtomicBool>,
    ended: Receiver<()>,
}

/// Held by the work; a stream through it fails once nobody wants the work any more.
#[derive(Clone, Debug)]
pub struct Wanted {
    wanted: Arc<AtomicBool>,
    _ended: Sender<()>,
}

/// A stream of work that can be stopped.
#[derive(Debug)]
pub struct Stoppable<S> {
    stream: S,
    wanted: Wanted,
}

/// Both ends.
#[must_use]
pub fn stop() -> (Stop, Wanted) {
    let wanted = Arc::new(AtomicBool::new(true));
    let (sender, ended) = mpsc::channel();
    (Stop { wanted: Arc::clone(&wanted), ended }, Wanted { wanted, _ended: sender })
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        // Nothing is ever sent: it ends when the work lets go of its end, or it hangs.
        let _ended_or_late = self.ended.recv_timeout(CLEAN_UP_MAX);
    }
}

impl Wanted {
    /// Passes a stream through.
    pub fn through<S>(&self, stream: S) -> Stoppable<S> {
        Stoppable { stream, wanted: self.clone() }
    }

    fn check(&self) -> io::Result<()> {
        if self.wanted.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err(io::Error::other("interrupted"))
        }
    }
}

impl<S> Stoppable<S> {
    /// The stream underneath.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: Read> Read for Stoppable<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wanted.check()?;
        self.stream.read(buffer)
    }
}

impl<S: Write> Write for Stoppable<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wanted.check()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
