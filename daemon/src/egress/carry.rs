//! Moves bytes from one connection to another within the kernel, by way of a pipe: two copies of
//! every byte less than reading and writing them. What there is for it elsewhere is kept by one
//! person each and is as long, with `unsafe`.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is asked for at once, and the room of a pipe in which much is on its way: what the kernel
/// gives everybody (`fs.pipe-max-size`).
const ASKED_BYTES: usize = 1 << 20;

/// The room of a pipe as it is made: 16 places, each of which holds a page, or up to 32 KiB where the
/// kernel has memory in larger pieces.
const USUAL_BYTES: usize = 64 << 10;

/// What is read at once where bytes cannot be moved.
const READ_BYTES: usize = 4096;

/// Carries in both directions until both sides have said all. A side that has ends, as seen by the
/// other, while that may go on.
///
/// # Errors
///
/// When one of the connections breaks.
pub(super) async fn carry(one: &TcpStream, other: &TcpStream) -> io::Result<()> {
    tokio::try_join!(carry_to(one, other), carry_to(other, one)).map(drop)
}

async fn carry_to(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (mut pipe, mut buffer) = (Pipe::new()?, [0; READ_BYTES]);
    loop {
        // The pipe is empty here, so that what would block is the connection.
        match from.async_io(Interest::READABLE, || pipe.fill(from, &mut buffer)).await? {
            Got::End => return end(to),
            Got::Held(mut held) => {
                pipe.grow_for(held);
                while held > 0 {
                    held -= to.async_io(Interest::WRITABLE, || pipe.empty(to, held)).await?;
                }
            }
            Got::Read(read) => {
                let mut rest = &buffer[..read];
                while !rest.is_empty() {
                    let write = || Ok(send(to, rest, SendFlags::NOSIGNAL)?);
                    rest = &rest[to.async_io(Interest::WRITABLE, write).await?..];
                }
            }
        }
    }
}

/// What came.
#[derive(Debug)]
enum Got {
    /// So many bytes are in the pipe.
    Held(usize),
    /// So many bytes are in the buffer.
    Read(usize),
    End,
}

/// Tells the other side that no more comes.
fn end(to: &TcpStream) -> io::Result<()> {
    match shutdown(to, Shutdown::Write) {
        // It has gone already, and needs no telling.
        Err(Errno::NOTCONN) => Ok(()),
        done => Ok(done?),
    }
}

/// Where bytes are on their way. Beyond what the kernel lets one user have in pipes it makes them
/// smaller, which costs nothing but speed.
#[derive(Debug)]
struct Pipe {
    end: OwnedFd,
    start: OwnedFd,
    has_grown: bool,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (end, start) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { end, start, has_grown: false })
    }

    /// Makes more room once so much came that a pipe of the usual size may have been full: each round
    /// of a large transfer wakes two processes, which costs as much as moving some pages.
    fn grow_for(&mut self, held: usize) {
        if held >= USUAL_BYTES && !std::mem::replace(&mut self.has_grown, true) {
            // Who has as much as the kernel gives goes on with what there is.
            let _unchanged = fcntl_setpipe_size(&self.start, ASKED_BYTES);
        }
    }

    /// Takes what has come. Moving bytes stops for good where one is marked as urgent, as if there
    /// was nothing more; reading goes on behind it, and only reading knows the end.
    fn fill(&self, from: &TcpStream, buffer: &mut [u8]) -> io::Result<Got> {
        match splice(from, None, &self.start, None, ASKED_BYTES, SpliceFlags::NONBLOCK) {
            Ok(0) | Err(Errno::AGAIN) => match recv(from, buffer, RecvFlags::DONTWAIT)? {
                (0, _) => Ok(Got::End),
                (read, _) => Ok(Got::Read(read)),
            },
            Ok(held) => Ok(Got::Held(held)),
            Err(error) => Err(error.into()),
        }
    }

    fn empty(&self, to: &TcpStream, held: usize) -> io::Result<usize> {
        Ok(splice(&self.end, None, to, None, held, SpliceFlags::NONBLOCK)?)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// More than all buffers on the way take.
    const MUCH: usize = 32 << 20;

    /// The two ends of a connection.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address");
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (connected.expect("connect"), accepted.expect("accept").0)
    }

    /// Bytes of which no two neighbours of a page look alike.
    fn bytes(seed: usize) -> Vec<u8> {
        (0..MUCH).map(|at| ((at * 31 + at / 4096 + seed) % 251).to_le_bytes()[0]).collect()
    }

    #[tokio::test]
    async fn both_directions_carry_everything_at_the_same_time_and_each_ends_by_itself() {
        let ((client, near), (far, host)) = (connection().await, connection().await);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_host, mut to_host) = host.into_split();
        let say = async {
            let (question, answer) = (bytes(1), bytes(2));
            to_client.write_all(&question).await.expect("ask");
            // The half that has said all closes; the other one goes on.
            to_client.shutdown().await.expect("end");
            to_host.write_all(&answer).await.expect("answer");
            to_host.shutdown().await.expect("end");
        };
        let hear = async {
            let (mut asked, mut answered) = (Vec::new(), Vec::new());
            from_host.read_to_end(&mut asked).await.expect("hear");
            assert!(asked == bytes(1), "the host hears something else");
            from_client.read_to_end(&mut answered).await.expect("hear");
            assert!(answered == bytes(2), "the client hears something else");
        };
        let (carried, (), ()) = tokio::join!(carry(&near, &far), say, hear);
        carried.expect("carry");
    }

    #[tokio::test]
    async fn urgent_bytes_neither_end_nor_hold_up_what_comes_after_them() {
        let ((mut client, near), (far, mut host)) = (connection().await, connection().await);
        let say = async {
            for round in 0..3 {
                client.write_all(b"before").await.expect("say");
                send(&client, b"!", SendFlags::OOB).expect("say urgently");
                client.write_all(&bytes(round)).await.expect("say");
            }
            client.shutdown().await.expect("end");
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.expect("hear");
            assert_eq!(heard, b"heard");
        };
        let hear = async {
            let mut heard = Vec::new();
            host.read_to_end(&mut heard).await.expect("hear");
            // The urgent ones are beside the stream.
            let said = (0..3).flat_map(|round| [b"before".to_vec(), bytes(round)]);
            assert!(heard == said.flatten().collect::<Vec<_>>(), "{} bytes", heard.len());
            host.write_all(b"heard").await.expect("answer");
            host.shutdown().await.expect("end");
        };
        let all = async { tokio::join!(carry(&near, &far), say, hear).0 };
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, all).await.expect("in time").expect("carry");
    }

    #[tokio::test]
    async fn a_side_that_breaks_off_ends_both() {
        let ((client, near), (far, host)) = (connection().await, connection().await);
        client.set_zero_linger().expect("linger");
        drop(client);
        carry(&near, &far).await.expect_err("broken");
        drop((near, far));
        let mut host = host;
        assert_eq!(host.read(&mut [0; 1]).await.expect("read"), 0);
    }
}
