//! Opens the doors of a fenced network and hands them to the caller. They are made here because a
//! socket belongs for ever to the network namespace that it was made in, whoever holds it later.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::channel::Channel;
use crate::doors::{DOOR_ADDRESS, Door};
use crate::report::{Refusal, Refuse as _, Report, Step};
use crate::spec::Network;

/// Connections that wait to be taken. A build tool opens dozens at once.
const BACKLOG: i32 = 256;

/// Opens all doors and reports them, if the network is fenced.
pub(super) fn open(network: Network, channel: &OwnedFd) -> Result<(), Refusal> {
    if network != Network::Fenced {
        return Ok(());
    }
    let doors: Vec<OwnedFd> =
        Door::ALL.into_iter().map(open_one).collect::<Result<_, Refusal>>()?;
    let channel = channel.try_clone().refuse(Step::Doors, "use the channel")?;
    let doors: Vec<_> = doors.iter().map(OwnedFd::as_fd).collect();
    Channel::new(channel)
        .send_with(&Report::Doors, &doors)
        .refuse(Step::Doors, "hand the doors over")
}

fn open_one(door: Door) -> Result<OwnedFd, Refusal> {
    let datagram = door == Door::NamesUdp;
    let kind = if datagram { SocketType::DGRAM } else { SocketType::STREAM };
    let address = SocketAddrV4::new(DOOR_ADDRESS, door.port());
    let open = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
        bind(&socket, &address)?;
        if !datagram {
            listen(&socket, BACKLOG)?;
        }
        Ok::<_, rustix::io::Errno>(socket)
    };
    open().refuse(Step::Doors, format_args!("open {address}"))
}
