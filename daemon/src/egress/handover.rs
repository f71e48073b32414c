//! How a gateway learns what it serves and tells what happens: one socket, which is its standard
//! input. First the policy, its sign-ins and the doors in, then notices out and renewed sign-ins in,
//! one JSON object a line.

use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use handoff_sandbox::{Door, Doors};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::notice::Notice;
use super::policy::Policy;
use super::sign_in::Renewed;
use crate::supervisor::Rights;

/// Longest policy: some thousand hosts.
const POLICY_MAX: u64 = 4 << 20;

/// Longest line about a sign-in: some tokens.
const RENEWED_MAX: usize = 64 * 1024;

/// What a gateway is told.
#[derive(Debug)]
pub(super) struct Told {
    /// What the run may reach.
    pub(super) policy: Policy,
    /// Its sign-ins.
    pub(super) sign_ins: Vec<Renewed>,
    /// With whose rights its credentials are read.
    pub(super) rights: Rights,
    /// What it serves.
    pub(super) doors: Doors,
}

/// The same, as it is written; the doors travel beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Written<P, S> {
    policy: P,
    sign_ins: S,
    rights: Rights,
}

/// Hands policy and doors to a gateway that holds the other end.
///
/// # Errors
///
/// When the socket does not take them.
pub(super) fn send(
    socket: &UnixStream,
    policy: &Policy,
    sign_ins: &[Renewed],
    rights: Rights,
    doors: &Doors,
) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec(&Written { policy, sign_ins, rights })?);
    let length = u32::try_from(text.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(Door::ALL.len()))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let doors: Vec<BorrowedFd<'_>> = doors.0.iter().map(OwnedFd::as_fd).collect();
    if !ancillary.push(SendAncillaryMessage::ScmRights(&doors)) {
        return Err(io::Error::other("no room for the doors"));
    }
    let parts = [IoSlice::new(&length)];
    sendmsg(socket, &parts, &mut ancillary, SendFlags::NOSIGNAL)?;
    io::Write::write_all(&mut &*socket, &text)
}

/// Takes over standard input and reads what comes first.
pub(super) fn receive() -> io::Result<(UnixStream, Told)> {
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(Door::ALL.len()))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut length)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    )?;
    let mut doors = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            doors.extend(descriptors);
        }
    }
    let doors = Doors::from_descriptors(doors).filter(|_| message.bytes == length.len());
    let doors = doors.ok_or_else(|| io::Error::other("this is no supervisor's socket"))?;
    let length = u64::from(u32::from_be_bytes(length));
    if length > POLICY_MAX {
        return Err(io::Error::other("the policy is longer than any policy can be"));
    }
    let mut text = Zeroizing::new(Vec::new());
    (&mut socket).take(length).read_to_end(&mut text)?;
    let Written { policy, sign_ins, rights } = serde_json::from_slice(&text)?;
    Ok((socket, Told { policy, sign_ins, rights, doors }))
}

/// Writes notices until the supervisor says that there is nothing more to serve; then, once
/// everything has ended, those that are left.
pub(super) async fn tell(
    socket: UnixStream,
    mut notices: mpsc::Receiver<Notice>,
    hear: impl Fn(Renewed),
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let (mut from, mut to) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let mut heard = Vec::new();
    loop {
        tokio::select! {
            notice = notices.recv() => match notice {
                Some(notice) => write(&mut to, &notice).await?,
                None => return Ok(()),
            },
            read = from.read_buf(&mut heard) => {
                if read? == 0 {
                    break;
                }
                while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                    let line = Zeroizing::new(heard.drain(..=end).collect::<Vec<u8>>());
                    hear(serde_json::from_slice(&line)?);
                }
                if heard.len() > RENEWED_MAX {
                    return Err(io::Error::other("the supervisor talks without an end"));
                }
            }
        }
    }
    end.await;
    while let Ok(notice) = notices.try_recv() {
        write(&mut to, &notice).await?;
    }
    Ok(())
}

/// Tells a gateway what became of a sign-in.
///
/// # Errors
///
/// When it does not take that at once.
pub(super) fn renew(socket: &UnixStream, renewed: &Renewed) -> io::Result<()> {
    let mut line = Zeroizing::new(serde_json::to_vec(renewed)?);
    line.push(b'\n');
    io::Write::write_all(&mut &*socket, &line)
}

async fn write(to: &mut OwnedWriteHalf, notice: &Notice) -> io::Result<()> {
    let mut line = serde_json::to_vec(notice)?;
    line.push(b'\n');
    to.write_all(&line).await
}
