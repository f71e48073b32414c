//! The socket between the caller and the stages: one JSON object a line. Knows lines, who sent them
//! and what descriptors came along, not what they mean.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, UCred, recv, recvmsg, send,
    sendmsg, shutdown, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::doors::Door;

/// Longest line. Refusals quote what failed, so there is room, but a peer gone wrong cannot make
/// us keep everything that it writes.
const LINE_MAX: usize = 64 * 1024;

/// Most descriptors that come along: one for each door.
const DESCRIPTORS_MAX: usize = Door::ALL.len();

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
    descriptors: Vec<OwnedFd>,
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
        let (received, descriptors) = (Vec::new(), Vec::new());
        Self { socket, received, sender: None, descriptors, closed: false }
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

    /// Sends one message, with descriptors beside it.
    pub(crate) fn send_with(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // The space is rounded up, and would hold one more than the other side expects.
        let fits = descriptors.len() <= DESCRIPTORS_MAX;
        if !fits || !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let parts = [IoSlice::new(&line)];
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        // The socket is empty and takes many times as much.
        if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Takes the descriptors that came along so far.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
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
        let mut space = [MaybeUninit::uninit();
            rustix::cmsg_space!(ScmCredentials(1), ScmRights(DESCRIPTORS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = rustix::io::retry_on_intr(|| {
            let mut buffers = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            recvmsg(&self.socket, &mut buffers, &mut ancillary, flags)
        })?;
        for part in ancillary.drain() {
            match part {
                RecvAncillaryMessage::ScmCredentials(sender) => self.sender = Some(sender),
                // The newest only: nobody fills our table of descriptors.
                RecvAncillaryMessage::ScmRights(descriptors) => {
                    self.descriptors = descriptors.collect();
                }
                _ => {}
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
    fn descriptors_arrive_with_their_message() {
        let (mut near, far) = pair().expect("socket pair");
        let (read, write) = rustix::pipe::pipe().expect("pipe");
        let far = Channel::new(far);
        far.send_with(&7_u32, &[read.as_fd(), write.as_fd()]).expect("send");
        assert!(near.take_descriptors().is_empty());
        assert!(matches!(near.receive().expect("receive"), Received::Message(7_u32)));
        let [ours, theirs] = <[OwnedFd; 2]>::try_from(near.take_descriptors()).expect("two");
        rustix::io::write(&theirs, b"x").expect("write");
        assert_eq!(rustix::io::read(&ours, &mut [0; 2]).expect("read"), 1);
        let many = [read.as_fd(); DESCRIPTORS_MAX + 1];
        far.send_with(&7_u32, &many).expect_err("more than there are doors");
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
