//! The doors of a fenced network: sockets that live in the run's network namespace and are served
//! from outside it. No process but the run's is in there, and no socket file is in its sight.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

/// Where all doors are, as the run sees it: a loopback address that nobody has by accident, so that
/// the run's own servers on 127.0.0.1 keep every port.
pub const DOOR_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// Names a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A proxy for programs that are told of it.
    Proxy,
    /// Services of the caller's own, such as APIs for which it has the credentials.
    Services,
    /// Plain HTTP of programs that know of no proxy.
    Http,
    /// TLS of programs that know of no proxy.
    Tls,
    /// Names, asked for over TCP.
    NamesTcp,
    /// Names, asked for by datagram. The only door that is no listener.
    NamesUdp,
}

impl Door {
    /// Every door, in the order in which [`Doors`] hold them.
    pub const ALL: [Self; 6] =
        [Self::Proxy, Self::Services, Self::Http, Self::Tls, Self::NamesTcp, Self::NamesUdp];

    /// The port on [`DOOR_ADDRESS`]: the protocol's own where a program insists on it.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Proxy => 3128,
            Self::Services => 3129,
            Self::Http => 80,
            Self::Tls => 443,
            Self::NamesTcp | Self::NamesUdp => 53,
        }
    }
}

/// The sockets of all doors, in the order of [`Door::ALL`].
#[derive(Debug)]
pub struct Doors(pub [OwnedFd; Door::ALL.len()]);

impl Doors {
    /// Takes descriptors for the doors, if there are as many.
    #[must_use]
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        descriptors.try_into().ok().map(Self)
    }
}
