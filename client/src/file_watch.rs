//! Waits until a file or a directory changes.

use std::io;
use std::path::Path;
use std::time::Duration;

/// How long a moment is where changes cannot be watched.
#[cfg(not(target_os = "linux"))]
const MOMENT: Duration = Duration::from_millis(100);

/// Tells when something about a file, or in a directory, may have changed.
///
/// What happened before [`FileWatch::new`] is not told; look after that and before waiting.
#[derive(Debug)]
pub struct FileWatch {
    #[cfg(target_os = "linux")]
    inotify: rustix::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl FileWatch {
    /// Watches from now on.
    ///
    /// # Errors
    ///
    /// Where the path does not exist or the system has no watches left.
    pub fn new(path: &Path) -> io::Result<Self> {
        use rustix::fs::inotify;
        let inotify =
            inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::DELETE
            | inotify::WatchFlags::MOVE;
        inotify::add_watch(&inotify, path, events)?;
        Ok(Self { inotify })
    }

    /// Waits for the next change. Needs a runtime; may be dropped while it waits.
    ///
    /// # Errors
    ///
    /// Where the system does not tell any more.
    pub async fn changed(&mut self) -> io::Result<()> {
        // The runtime has no type of its own for inotify; this one only reads and polls.
        let waker =
            tokio::net::unix::pipe::Receiver::from_owned_fd_unchecked(self.inotify.try_clone()?)?;
        loop {
            waker.readable().await?;
            match waker.try_read(&mut [0; 4096]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }

    /// Blocks until the next change, or until the time is over.
    ///
    /// # Errors
    ///
    /// Where the system does not tell any more.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        use rustix::event::{PollFd, PollFlags, poll};
        use rustix::io::Errno;
        let limit = at_most.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&self.inotify, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = [0; 4096];
        match rustix::io::read(&self.inotify, &mut events) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl FileWatch {
    /// Watches from now on.
    ///
    /// # Errors
    ///
    /// Never here.
    pub fn new(_path: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits a moment: this system has no watch that is worth its code.
    ///
    /// # Errors
    ///
    /// Never here.
    pub async fn changed(&mut self) -> io::Result<()> {
        tokio::time::sleep(MOMENT).await;
        Ok(())
    }

    /// Blocks for a moment.
    ///
    /// # Errors
    ///
    /// Never here.
    pub fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        std::thread::park_timeout(at_most.min(MOMENT));
        Ok(())
    }
}
