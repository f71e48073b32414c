//! A network between laptop and daemon that can be cut: a forwarder on loopback.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
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
    open: Mutex<Vec<TcpStream>>,
    /// How many bytes have gone to the daemon in all when everything is to be cut, ascending.
    cuts: Mutex<VecDeque<u64>>,
    passed: AtomicU64,
    returned: AtomicU64,
}

impl Wire {
    /// A wire to this address.
    #[must_use]
    pub fn to(target: &str) -> Self {
        let target: SocketAddr = target.parse().expect("address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let address = listener.local_addr().expect("address");
        let shared = Arc::new(Shared {
            open: Mutex::default(),
            cuts: Mutex::default(),
            passed: AtomicU64::new(0),
            returned: AtomicU64::new(0),
        });
        let wire = Self { address, shared };
        let forwarding = wire.clone();
        thread::spawn(move || {
            for laptop in listener.incoming().flatten() {
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

    /// Cuts every connection once this many more bytes have gone to the daemon, and only then.
    pub fn cut_after(&self, bytes: u64) {
        self.cut_at([self.passed() + bytes]);
    }

    /// Cuts every connection each time that so many bytes have gone to the daemon in all; in
    /// ascending order.
    pub fn cut_at(&self, points: impl IntoIterator<Item = u64>) {
        *self.shared.cuts.lock().expect("lock") = points.into_iter().collect();
    }

    /// How many of these cuts are still to come.
    #[must_use]
    pub fn cuts_left(&self) -> usize {
        self.shared.cuts.lock().expect("lock").len()
    }

    /// Cuts every connection now.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().expect("lock").drain(..) {
            // Closed already is as good.
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// How many bytes have gone to the daemon.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// How many bytes have gone either way.
    #[must_use]
    pub fn both_ways(&self) -> u64 {
        self.passed() + self.shared.returned.load(Ordering::SeqCst)
    }

    fn forward(&self, laptop: TcpStream, daemon: TcpStream) {
        let both = [&laptop, &daemon].map(|stream| stream.try_clone().expect("clone"));
        self.shared.open.lock().expect("lock").extend(both);
        let (from_daemon, to_laptop) =
            (daemon.try_clone().expect("clone"), laptop.try_clone().expect("clone"));
        let wire = self.clone();
        thread::spawn(move || drop(wire.copy(laptop, daemon)));
        let wire = self.clone();
        thread::spawn(move || drop(wire.copy_back(from_daemon, to_laptop)));
    }

    fn copy_back(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            to.write_all(&buffer[..count])?;
            self.shared.returned.fetch_add(count as u64, Ordering::SeqCst);
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            if self.is_time_to_cut(count as u64) {
                self.cut();
                return Ok(());
            }
            to.write_all(&buffer[..count])?;
            self.shared.passed.fetch_add(count as u64, Ordering::SeqCst);
        }
    }

    /// Whether the next cut is within the bytes that would pass now; it is done with then.
    fn is_time_to_cut(&self, bytes: u64) -> bool {
        let mut cuts = self.shared.cuts.lock().expect("lock");
        let due = cuts.front().is_some_and(|point| self.passed() + bytes > *point);
        if due {
            cuts.pop_front();
        }
        due
    }
}
