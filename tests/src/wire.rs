//! A network between laptop and daemon that can be cut: a forwarder on loopback.

use std::{
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
    /// Bytes to the daemon that may still pass before everything is cut once.
    allowance: AtomicU64,
    passed: AtomicU64,
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
            allowance: AtomicU64::new(u64::MAX),
            passed: AtomicU64::new(0),
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
        self.shared.allowance.store(bytes, Ordering::SeqCst);
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

    fn forward(&self, laptop: TcpStream, daemon: TcpStream) {
        let both = [&laptop, &daemon].map(|stream| stream.try_clone().expect("clone"));
        self.shared.open.lock().expect("lock").extend(both);
        let (from_daemon, to_laptop) =
            (daemon.try_clone().expect("clone"), laptop.try_clone().expect("clone"));
        let wire = self.clone();
        thread::spawn(move || drop(wire.copy(laptop, daemon)));
        thread::spawn(move || drop(io::copy(&mut { from_daemon }, &mut { to_laptop })));
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return to.shutdown(Shutdown::Write);
            }
            let bytes = count as u64;
            let before = self.shared.allowance.load(Ordering::SeqCst);
            if before < bytes {
                self.shared.allowance.store(u64::MAX, Ordering::SeqCst);
                self.cut();
                return Ok(());
            }
            if before != u64::MAX {
                self.shared.allowance.fetch_sub(bytes, Ordering::SeqCst);
            }
            to.write_all(&buffer[..count])?;
            self.shared.passed.fetch_add(bytes, Ordering::SeqCst);
        }
    }
}
