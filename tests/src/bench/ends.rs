//! The two ends of a link: where client programs start, and where servers do.

use std::net::{IpAddr, Ipv4Addr};

/// What to put before programs so that they use the link, and the address of its far end.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// Before `handoff`, `rsync`, `git`.
    pub(super) near: Vec<String>,
    /// Before `handoffd`, `sshd`.
    pub(super) far: Vec<String>,
    /// Where the servers listen.
    pub(super) address: IpAddr,
}

impl Ends {
    /// Both on this machine's loopback.
    pub(super) const fn loopback() -> Self {
        Self { near: Vec::new(), far: Vec::new(), address: IpAddr::V4(Ipv4Addr::LOCALHOST) }
    }
}
