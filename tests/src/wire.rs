//! A network between laptop and daemon that can be cut and held up: a forwarder on loopback.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

use handoff_proto::invitation::Invitation;

/// Forwards connections until it is told otherwise; ends with the process.
#[derive(Clone, Debug)]
pub struct Wire {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    open: Vec<TcpStream>,
    /// What happens once so many more bytes have gone to the daemon; one after the other.
    plan: VecDeque<(u64, Event)>,
    passed: u64,
    returned: u64,
    to_daemon: Flow,
    to_laptop: Flow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Cut,
    Hold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Flows,
    Held,
}

impl Wire {
    /// A wire to this address.
    #[must_use]
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let address = listener.local_addr().expect("address");
        let state = State {
            target: target.parse().expect("address"),
            open: Vec::new(),
            plan: VecDeque::new(),
            passed: 0,
            returned: 0,
            to_daemon: Flow::Flows,
            to_laptop: Flow::Flows,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let wire = Self { address, shared };
        let forwarding = wire.clone();
        thread::spawn(move || {
            for laptop in listener.incoming().flatten() {
                let target = forwarding.state().target;
                if let Ok(daemon) = TcpStream::connect(target) {
                    forwarding.forward(laptop, daemon);
                }
            }
        });
        wire
    }

    /// The invitation as a daemon behind this wire would print it.
    #[must_use]
    pub fn through(&self, invitation: &str) -> String {
        let invitation = Invitation::decode(invitation).expect("invitation");
        let addresses = vec![self.address.to_string()];
        Invitation { addresses, ..invitation }.encode().expect("invitation")
    }

    /// Leads new connections to another address: the daemon was restarted.
    pub fn lead_to(&self, target: &str) {
        self.state().target = target.parse().expect("address");
    }

    /// Cuts every connection once this many more bytes have gone to the daemon, and only then.
    pub fn cut_after(&self, bytes: u64) {
        self.cut_after_each(&[bytes]);
    }

    /// The same several times, each counted from the one before.
    pub fn cut_after_each(&self, bytes: &[u64]) {
        self.state().plan = bytes.iter().map(|bytes| (*bytes, Event::Cut)).collect();
    }

    /// Lets nothing more through to the daemon once this many more bytes have gone there.
    pub fn hold_after(&self, bytes: u64) {
        self.state().plan = VecDeque::from([(bytes, Event::Hold)]);
    }

    /// Lets nothing more through to the laptop.
    pub fn hold_replies(&self) {
        self.state().to_laptop = Flow::Held;
    }

    /// Waits until it holds what goes to the daemon.
    pub fn wait_until_held(&self) {
        let flows = |state: &mut State| state.to_daemon == Flow::Flows;
        drop(self.shared.changed.wait_while(self.state(), flows).expect("lock"));
    }

    /// Lets through again what it holds on the way to the daemon.
    pub fn release_requests(&self) {
        self.state().to_daemon = Flow::Flows;
        self.shared.changed.notify_all();
    }

    /// Lets through again all that it holds.
    pub fn release(&self) {
        let mut state = self.state();
        (state.to_daemon, state.to_laptop) = (Flow::Flows, Flow::Flows);
        self.shared.changed.notify_all();
    }

    /// Cuts every connection now; what it holds is lost.
    pub fn cut(&self) {
        let mut state = self.state();
        for stream in state.open.drain(..) {
            // Closed already is as good.
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(state);
        self.release();
    }

    /// How many bytes have gone to the daemon.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.state().passed
    }

    /// How many bytes have gone either way.
    #[must_use]
    pub fn both_ways(&self) -> u64 {
        let state = self.state();
        state.passed + state.returned
    }

    /// How many planned events are still to come.
    #[must_use]
    pub fn events_left(&self) -> usize {
        self.state().plan.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("lock")
    }

    fn forward(&self, laptop: TcpStream, daemon: TcpStream) {
        let both = [&laptop, &daemon].map(|stream| stream.try_clone().expect("clone"));
        self.state().open.extend(both);
        let (from_daemon, to_laptop) =
            (daemon.try_clone().expect("clone"), laptop.try_clone().expect("clone"));
        let (there, back) = (self.clone(), self.clone());
        thread::spawn(move || drop(there.copy(laptop, daemon)));
        thread::spawn(move || drop(back.copy_back(from_daemon, to_laptop)));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            match self.next_event(count as u64) {
                None => {}
                Some(Event::Cut) => {
                    self.cut();
                    return Ok(());
                }
                Some(Event::Hold) => self.hold(),
            }
            self.wait_for(|state| state.to_daemon);
            to.write_all(&buffer[..count])?;
            self.state().passed += count as u64;
        }
    }

    fn copy_back(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            self.wait_for(|state| state.to_laptop);
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            to.write_all(&buffer[..count])?;
            self.state().returned += count as u64;
        }
    }

    /// What happens before so many bytes go to the daemon.
    fn next_event(&self, bytes: u64) -> Option<Event> {
        let mut state = self.state();
        let (left, event) = state.plan.front_mut()?;
        if *left >= bytes {
            *left -= bytes;
            return None;
        }
        let event = *event;
        state.plan.pop_front();
        Some(event)
    }

    fn hold(&self) {
        self.state().to_daemon = Flow::Held;
        self.shared.changed.notify_all();
    }

    fn wait_for(&self, flow: impl Fn(&State) -> Flow) {
        let held = |state: &mut State| flow(state) == Flow::Held;
        drop(self.shared.changed.wait_while(self.state(), held).expect("lock"));
    }
}
