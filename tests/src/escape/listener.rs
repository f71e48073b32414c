//! Somebody on the host's loopback who tells whether anything arrived.

use std::io::ErrorKind;
use std::net::TcpListener;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long a connection may take to arrive.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// A listener on the host's loopback.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on a free port.
    ///
    /// # Panics
    ///
    /// Where the host has no loopback.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        listener.set_nonblocking(true).expect("set");
        Self(listener)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("address").port()
    }

    /// Waits until somebody connects: the kernel hands a connection over after it was told that there
    /// is one.
    ///
    /// # Panics
    ///
    /// Where nobody does.
    #[track_caller]
    pub fn is_reached(&self) {
        let mut arrival = [PollFd::new(&self.0, PollFlags::IN)];
        assert_eq!(poll(&mut arrival, Some(&PATIENCE)).expect("wait"), 1, "nobody reached it");
        assert!(self.was_reached(), "nobody reached it");
    }

    /// Whether somebody has connected since the last time.
    #[must_use]
    pub fn was_reached(&self) -> bool {
        match self.0.accept() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}
