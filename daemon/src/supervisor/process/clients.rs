//! Those who are attached: root and the job's owner, whoever else gets at the socket. A slow or
//! dead one is never waited for and never holds more than a bounded piece of memory. Decides
//! nothing about the job.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use data_encoding::BASE64;
use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt::socket_peercred;

use super::complain;
use crate::supervisor::message::{FromSupervisor, Incoming, State, ToSupervisor, Typist, to_line};
use crate::supervisor::output::Position;
use crate::supervisor::rights::Rights;

/// How many may be connected at once: several daemons that follow each other have one each.
const CLIENTS_MAX: usize = 64;

/// How much may wait for one that does not read; it can attach again.
const OUTGOING_LEN_MAX: usize = 512 * 1024;

/// How much output that is not kept may wait for one who looks: what comes on top is left out.
const UNKEPT_LEN_MAX: usize = 256 * 1024;

/// Everybody who is connected, and the door.
#[derive(Debug)]
pub(super) struct Clients {
    /// None once it has failed.
    listener: Option<UnixListener>,
    rights: Rights,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// How far output was announced; none before it asked for news.
    output_told: Option<Position>,
    /// Whether it has told how the command stands, and so will tell when that changes.
    follows: bool,
    /// Under which name it types.
    types_as: Option<String>,
    /// Whether it is shown what is not kept of the output, and how much of that was too much for it.
    looks: bool,
    skipped: u64,
}

impl Clients {
    pub(super) const fn new(listener: UnixListener, rights: Rights) -> Self {
        Self { listener: Some(listener), rights, clients: Vec::new() }
    }

    /// Lists what to poll.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let door = self.listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN));
        door.chain(self.clients.iter().map(|client| {
            let writes =
                if client.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            PollFd::new(&client.stream, PollFlags::IN | writes)
        }))
    }

    /// Reads and writes what can be, says hello to who attaches, and returns other requests.
    pub(super) fn serve(&mut self, state: impl Fn() -> State) -> Vec<ToSupervisor> {
        self.accept();
        let mut requests = Vec::new();
        self.clients.retain_mut(|client| client.serve(&state, &mut requests).is_ok());
        requests
    }

    /// Tells everybody who is attached.
    pub(super) fn tell(&mut self, news: &FromSupervisor) {
        let told = |client: &mut Client| match client.output_told {
            Some(_) => client.say(news).is_ok(),
            None => true,
        };
        self.clients.retain_mut(told);
    }

    /// Tells typists how far they have come.
    pub(super) fn tell_typed(&mut self, typist: &Typist) {
        self.tell_typist(typist, &FromSupervisor::Typed { typist: typist.clone() });
    }

    /// Tells typists what to type again.
    pub(super) fn tell_untaken(&mut self, typist: &Typist) {
        self.tell_typist(typist, &FromSupervisor::Untaken { typist: typist.clone() });
    }

    fn tell_typist(&mut self, typist: &Typist, news: &FromSupervisor) {
        self.clients.retain_mut(|client| match &client.types_as {
            Some(name) if *name == typist.name => client.say(news).is_ok(),
            Some(_) | None => true,
        });
    }

    /// Shows output that is not kept to those who look, as fast as they read.
    pub(super) fn show_unkept(&mut self, after: Position, bytes: &[u8]) {
        if !self.clients.iter().any(|client| client.looks) {
            return;
        }
        let base64 = BASE64.encode(bytes);
        self.clients.retain_mut(|client| {
            if !client.looks {
                return true;
            }
            if client.outgoing.len() + base64.len() > UNKEPT_LEN_MAX {
                client.skipped += bytes.len() as u64;
                return true;
            }
            let skipped = std::mem::take(&mut client.skipped);
            let base64 = base64.clone();
            client.say(&FromSupervisor::Unkept { after, base64, skipped }).is_ok()
        });
    }

    /// Announces output to everybody who has heard all earlier news.
    pub(super) fn tell_output(&mut self, end: Position) {
        self.clients.retain_mut(|client| client.say_output(end).is_ok());
    }

    /// Whether somebody tells when the command waits for its user.
    pub(super) fn is_followed(&self) -> bool {
        self.clients.iter().any(|client| client.follows)
    }

    /// Lets nobody in any more.
    pub(super) fn close_door(&mut self) {
        self.listener = None;
    }

    fn accept(&mut self) {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, _unnamed)) => match socket_peercred(&stream) {
                    Ok(peer) if self.rights.admits(peer.uid) => self.admit(stream),
                    Ok(peer) => complain("accept a connection", &format!("from {:?}", peer.uid)),
                    Err(error) => complain("accept a connection", &error),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    complain("accept a connection", &error);
                    self.listener = None;
                }
            }
        }
    }

    fn admit(&mut self, stream: UnixStream) {
        if let Err(error) = stream.set_nonblocking(true) {
            complain("accept a connection", &error);
            return;
        }
        if self.clients.len() == CLIENTS_MAX {
            // The newest is the one that counts.
            self.clients.remove(0);
        }
        self.clients.push(Client {
            stream,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            output_told: None,
            follows: false,
            types_as: None,
            looks: false,
            skipped: 0,
        });
    }
}

impl Client {
    /// Does what can be done without waiting. An error is the end of this client.
    fn serve(
        &mut self,
        state: &impl Fn() -> State,
        requests: &mut Vec<ToSupervisor>,
    ) -> io::Result<()> {
        self.flush()?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.incoming.push(&bytes[..read])?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        while let Some(request) = self.incoming.next()? {
            match request {
                ToSupervisor::Attach => self.greet(state())?,
                ToSupervisor::Pace { .. } => {
                    self.follows = true;
                    requests.push(request);
                }
                ToSupervisor::Type { ref by, .. } => {
                    self.types_as = by.as_ref().map(|by| by.name.clone());
                    requests.push(request);
                }
                ToSupervisor::Look => self.looks = true,
                ToSupervisor::Stop { .. }
                | ToSupervisor::Kill
                | ToSupervisor::Input { .. }
                | ToSupervisor::Resize { .. }
                | ToSupervisor::Renewed { .. }
                | ToSupervisor::InputEnd => requests.push(request),
                ToSupervisor::Unknown => {}
            }
        }
        Ok(())
    }

    fn greet(&mut self, state: State) -> io::Result<()> {
        self.output_told = Some(state.output_end);
        self.say(&FromSupervisor::Hello { state })
    }

    fn say_output(&mut self, end: Position) -> io::Result<()> {
        let behind = self.output_told.is_some_and(|told| told < end);
        if behind && self.outgoing.is_empty() {
            self.output_told = Some(end);
            self.say(&FromSupervisor::Output { end })?;
        }
        Ok(())
    }

    fn say(&mut self, news: &FromSupervisor) -> io::Result<()> {
        self.outgoing.extend(to_line(news)?);
        if self.outgoing.len() > OUTGOING_LEN_MAX {
            return Err(io::Error::other("does not read"));
        }
        self.flush()
    }

    /// Writes as much as the peer takes now.
    fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(written) => drop(self.outgoing.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::message::{Pace, Phase};

    fn state() -> State {
        State {
            phase: Phase::SettingUp { step: "step".into() },
            output_end: Position::START,
            egress: crate::egress::Summary::default(),
            output_limited: false,
            output_tail: Position::START,
            inputs: Vec::new(),
            typists: None,
        }
    }

    fn connected(clients: &mut Clients) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().expect("socket pair");
        clients.admit(ours);
        theirs
    }

    /// Seen at once, also while a process that another test starts has the socket, too.
    fn hang_up(peer: UnixStream) {
        peer.shutdown(std::net::Shutdown::Both).expect("hang up");
    }

    fn nobody() -> Clients {
        Clients { listener: None, rights: Rights::Own, clients: Vec::new() }
    }

    fn heard(stream: &UnixStream) -> String {
        stream.set_nonblocking(true).expect("non-blocking");
        let mut text = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = { stream }.read(&mut bytes) {
            text.extend_from_slice(&bytes[..read]);
        }
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn only_who_attaches_hears_news_and_the_state_comes_first() {
        let mut clients = nobody();
        let (mut attached, silent) = (connected(&mut clients), connected(&mut clients));
        attached.write_all(b"{\"type\":\"attach\"}\n").expect("attach");
        assert_eq!(clients.serve(state), []);
        clients.tell(&FromSupervisor::OutputLimited);
        let heard_all = heard(&attached);
        let lines: Vec<&str> = heard_all.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(r#"{"type":"hello""#));
        assert_eq!(lines[1], r#"{"type":"output_limited"}"#);
        assert_eq!(heard(&silent), "");
    }

    #[test]
    fn a_request_arrives_although_its_sender_has_gone() {
        let mut clients = nobody();
        let mut peer = connected(&mut clients);
        peer.write_all(b"{\"type\":\"kill\"}\n").expect("ask");
        hang_up(peer);
        assert_eq!(clients.serve(state), [ToSupervisor::Kill]);
        assert_eq!(clients.serve(state), []);
        assert!(clients.clients.is_empty());
    }

    #[test]
    fn a_command_is_followed_as_long_as_who_told_its_pace_is_there() {
        let mut clients = nobody();
        let (mut peer, _silent) = (connected(&mut clients), connected(&mut clients));
        clients.serve(state);
        assert!(!clients.is_followed());
        peer.write_all(b"{\"type\":\"pace\",\"event\":1,\"pace\":\"works\"}\n").expect("tell");
        assert_eq!(clients.serve(state), [ToSupervisor::Pace { event: 1, pace: Pace::Works }]);
        assert!(clients.is_followed());
        hang_up(peer);
        clients.serve(state);
        assert!(!clients.is_followed());
    }

    #[test]
    fn who_speaks_nonsense_is_dropped() {
        let mut clients = nobody();
        let mut peer = connected(&mut clients);
        peer.write_all(b"GET / HTTP/1.1\r\n").expect("speak");
        assert_eq!(clients.serve(state), []);
        assert!(clients.clients.is_empty());
    }

    #[test]
    fn a_peer_that_does_not_read_costs_bounded_memory() {
        let mut clients = nobody();
        let mut peer = connected(&mut clients);
        peer.write_all(b"{\"type\":\"attach\"}\n").expect("attach");
        clients.serve(state);
        for position in 0..200_000 {
            clients.tell_output(Position::new(position));
        }
        assert_eq!(clients.clients.len(), 1, "announcements wait for their turn");
        assert!(clients.clients[0].outgoing.len() < 1024);
        for _ in 0..200_000 {
            clients.tell(&FromSupervisor::OutputLimited);
        }
        assert!(clients.clients.is_empty(), "other news cannot wait for ever");
    }

    #[test]
    fn who_looks_and_does_not_read_misses_something_and_is_told_how_much() {
        let mut clients = nobody();
        let (mut looks, silent) = (connected(&mut clients), connected(&mut clients));
        looks.write_all(b"{\"type\":\"look\"}\n").expect("look");
        clients.serve(state);
        let piece = [b'x'; 1 << 16];
        for _ in 0..100 {
            clients.show_unkept(Position::new(9), &piece);
            assert!(clients.clients[0].outgoing.len() <= 2 * UNKEPT_LEN_MAX);
        }
        let mut shown = 0;
        let mut incoming = Incoming::default();
        incoming.push(heard(&looks).as_bytes()).expect("lines");
        clients.serve(state);
        incoming.push(heard(&looks).as_bytes()).expect("lines");
        for _ in 0..9 {
            clients.serve(state);
            incoming.push(heard(&looks).as_bytes()).expect("lines");
        }
        while let Some(FromSupervisor::Unkept { skipped: 0, .. }) = incoming.next().expect("news") {
            shown += 1;
        }
        clients.show_unkept(Position::new(9), b"last");
        let line = heard(&looks);
        let missing = (100 - shown) << 16;
        assert!(shown > 1 && line.contains(&format!("\"skipped\":{missing}}}")), "{shown} {line}");
        assert_eq!(heard(&silent), "");
    }

    #[test]
    fn the_newest_is_always_let_in() {
        let mut clients = nobody();
        let peers: Vec<UnixStream> = (0..=CLIENTS_MAX).map(|_| connected(&mut clients)).collect();
        assert_eq!(clients.clients.len(), CLIENTS_MAX);
        let newest = peers.last().expect("peers");
        { newest }.write_all(b"{\"type\":\"attach\"}\n").expect("attach");
        clients.serve(state);
        assert!(heard(newest).contains("hello"));
    }
}
