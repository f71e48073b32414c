//! Moves bytes from one connection to another within the kernel, by way of a pipe: two copies of
//! every byte less than reading and writing them. What there is for it elsewhere is kept by one
//! person each and is as long, with `unsafe`.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What is asked for at once: more than a pipe of the usual 16 places takes, each of which holds
/// up to 32 KiB of what came over a network.
const ASKED_BYTES: usize = 1 << 20;

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
    let pipe = Pipe::new()?;
    loop {
        // The pipe is empty here, so that what would block is the connection.
        let mut held = from.async_io(Interest::READABLE, || pipe.fill(from)).await?;
        if held == 0 {
            return end(to);
        }
        while held > 0 {
            held -= to.async_io(Interest::WRITABLE, || pipe.empty(to, held)).await?;
        }
    }
}

/// Tells the other side that no more comes.
fn end(to: &TcpStream) -> io::Result<()> {
    match shutdown(to, Shutdown::Write) {
        // It has gone already, and needs no telling.
        Err(Errno::NOTCONN) => Ok(()),
        done => Ok(done?),
    }
}

/// Where bytes are on their way. Of the usual size: beyond what the kernel lets one user have in
/// pipes it makes them smaller, which costs nothing but speed.
#[derive(Debug)]
struct Pipe {
    end: OwnedFd,
    start: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (end, start) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self { end, start })
    }

    fn fill(&self, from: &TcpStream) -> io::Result<usize> {
        Ok(splice(from, None, &self.start, None, ASKED_BYTES, SpliceFlags::NONBLOCK)?)
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
