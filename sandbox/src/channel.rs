//! The socket between the caller and the stages: one JSON object a line. Knows lines and who sent
//! them, not what they mean.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, Shutdown,
    SocketFlags, SocketType, UCred, recv, recvmsg, send, shutdown, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest line. Refusals quote what failed, so there is room, but a peer gone wrong cannot make
/// us keep everything that it writes.
const LINE_MAX: usize = 64 * 1024;

/// Makes the two ends; the first one learns who sent what it receives.
pub(crate) fn pair() -> io::Result<(Channel, OwnedFd)> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_passcred(&ours, true)?;
    Ok((Channel::new(ours), theirs))
}

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: OwnedFd,
    received: Vec<u8>,
    sender: Option<UCred>,
    closed: bool,
}

/// What is there to read.
#[derive(Debug)]
pub(crate) enum Received<T> {
    Message(T),
    NothingYet,
    Closed,
}

impl Channel {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, received: Vec::new(), sender: None, closed: false }
    }

    /// Sends one message. A peer that has gone is an error, not a signal.
    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let sent = rustix::io::retry_on_intr(|| send(&self.socket, rest, SendFlags::NOSIGNAL))?;
            rest = &rest[sent..];
        }
        Ok(())
    }

    /// Returns the next message if one has arrived; never waits.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Received<T>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Ok(Received::Message(serde_json::from_slice(&line)?));
            }
            if self.closed {
                return Ok(Received::Closed);
            }
            if self.received.len() > LINE_MAX {
                return Err(io::Error::other("a report is longer than any report can be"));
            }
            if !self.fill()? {
                return Ok(Received::NothingYet);
            }
        }
    }

    /// Ends the channel, which tells the peer that nobody is interested any more.
    pub(crate) fn hang_up(&self) -> io::Result<()> {
        Ok(shutdown(&self.socket, Shutdown::Both)?)
    }

    /// Waits until there is something to read or the peer has gone.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        Ok(())
    }

    /// Returns who sent the bytes received last, as the kernel tells it.
    pub(crate) fn sender(&self) -> Option<&UCred> {
        self.sender.as_ref()
    }

    /// Reads once; tells whether anything came of it.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0_u8; 4096];
        // At the end of the stream the kernel's credentials have no process id, which the safe
        // interface cannot represent; so look first.
        let peek = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        match rustix::io::retry_on_intr(|| recv(&self.socket, &mut bytes[..1], peek)) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => {
                self.closed = true;
                return Ok(true);
            }
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.socket, &mut buffers, &mut ancillary, RecvFlags::DONTWAIT)
        })?;
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmCredentials(sender) = part {
                self.sender = Some(sender);
            }
        }
        self.received.extend_from_slice(&bytes[..message.bytes]);
        Ok(true)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_and_in_order_with_their_sender() {
        let (mut near, far) = pair().expect("socket pair");
        let far = Channel::new(far);
        assert!(matches!(near.receive::<u32>().expect("receive"), Received::NothingYet));
        far.send(&7_u32).expect("send");
        far.send(&8_u32).expect("send");
        drop(far);
        assert!(matches!(near.receive().expect("receive"), Received::Message(7_u32)));
        assert!(matches!(near.receive().expect("receive"), Received::Message(8_u32)));
        assert!(matches!(near.receive::<u32>().expect("receive"), Received::Closed));
        let sender = near.sender().expect("a sender");
        assert_eq!(sender.pid, rustix::process::getpid());
    }

    #[test]
    fn a_message_of_another_kind_is_an_error() {
        let (mut near, far) = pair().expect("socket pair");
        Channel::new(far).send(&"text").expect("send");
        near.receive::<u32>().expect_err("a number was expected");
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let (mut near, far) = pair().expect("socket pair");
        let writer = std::thread::spawn(move || {
            let flood = vec![b'x'; LINE_MAX + 4096];
            // The reader gives up first, so the last of it may not be taken.
            let _unread = send(&far, &flood, SendFlags::NOSIGNAL);
            far
        });
        let error = loop {
            near.wait().expect("wait");
            match near.receive::<u32>() {
                Ok(Received::NothingYet) => {}
                Ok(other) => panic!("expected an error, got {other:?}"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("longer"));
        drop(near);
        drop(writer.join().expect("writer"));
    }
}
