//! Brings up the only interface that a run without network has.

use std::os::fd::AsFd as _;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::Network;
use crate::sys;

/// Brings loopback up if the network is the run's own.
pub(super) fn up(network: Network) -> Result<(), Refusal> {
    if network == Network::Host {
        return Ok(());
    }
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .refuse(Step::Loopback, "open a socket")?;
    sys::loopback_up(socket.as_fd()).refuse(Step::Loopback, "bring loopback up")
}
