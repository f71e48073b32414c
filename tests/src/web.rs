//! Web servers on this machine, at loopback addresses of their own, so that they can have the ports
//! that everybody expects: for what is reached through the fence.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::said;

/// How long a test waits for requests.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running web server; ends with this value.
#[derive(Debug)]
pub struct Web {
    directory: TempDir,
    address: Ipv4Addr,
    servers: Vec<Child>,
    seen: Arc<(Mutex<Vec<Value>>, Condvar)>,
}

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Plain HTTP on this port.
    Plain(u16),
    /// TLS on this port, with a certificate for this server's names.
    Tls(u16),
}

impl Web {
    /// Serves these ports under these names, with variables of its own; needs root where a port is
    /// below 1024.
    #[must_use]
    pub fn serve(names: &[&str], ports: &[Port], variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::Builder::new().prefix("web-").tempdir().expect("directory");
        fs::create_dir(directory.path().join("root")).expect("directory");
        let (address, servers) = (own_address(), Vec::new());
        let mut web = Self { directory, address, servers, seen: Arc::default() };
        web.certify(names);
        for port in ports {
            let server = web.start(*port, variables);
            web.servers.push(server);
        }
        web
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// What it serves.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Serves a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        fs::write(path, content).expect("write");
    }

    /// The authority that vouches for it, as PEM.
    #[must_use]
    pub fn authority(&self) -> String {
        fs::read_to_string(self.directory.path().join("ca.pem")).expect("authority")
    }

    /// What was asked for so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.seen.0.lock().expect("requests").clone()
    }

    /// Waits until somebody asks for this path.
    ///
    /// # Panics
    ///
    /// After two minutes.
    #[track_caller]
    pub fn wait_for(&self, path: &str) {
        drop(self.wait(path, |seen| seen.iter().any(|request| request["path"] == path)));
    }

    /// Waits until there were so many requests; returns them, and any that came beside them.
    ///
    /// # Panics
    ///
    /// After two minutes.
    #[must_use]
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Value> {
        self.wait(&format!("{count} requests"), |seen| seen.len() >= count)
    }

    #[track_caller]
    fn wait(&self, what: &str, is_enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let (seen, news) = &*self.seen;
        let seen = seen.lock().expect("requests");
        let waited = news.wait_timeout_while(seen, PATIENCE, |seen| !is_enough(seen));
        let (seen, timeout) = waited.expect("requests");
        assert!(!timeout.timed_out(), "no {what}: {seen:#?}");
        seen.clone()
    }

    /// The line of `[network.addresses]` that places this server.
    #[must_use]
    pub fn placed(&self, name: &str) -> String {
        format!("\"{name}\" = [\"{}\"]\n", self.address)
    }

    fn certify(&self, names: &[&str]) {
        let at = |name: &str| self.directory.path().join(name);
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let ca = ["-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"];
        openssl(&at("ca.pem"), &at("ca.key"), &ca);
        let names = format!("subjectAltName={}", names.join(","));
        let authority = [at("ca.pem"), at("ca.key")].map(|path| path.display().to_string());
        let server =
            ["-subj", "/CN=test", "-addext", &names, "-CA", &authority[0], "-CAkey", &authority[1]];
        openssl(&at("server.pem"), &at("server.key"), &server);
    }

    fn start(&self, port: Port, variables: &[(&str, &str)]) -> Child {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/web.py");
        let (number, tls) = match port {
            Port::Plain(number) => (number, false),
            Port::Tls(number) => (number, true),
        };
        let mut server = Command::new("/usr/bin/python3");
        server.arg(program).args([self.address.to_string(), number.to_string()]);
        server.arg(self.root());
        if tls {
            server.args(["server.pem", "server.key"].map(|name| self.directory.path().join(name)));
        }
        server.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        server.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = server.spawn().expect("python3");
        let mut line = String::new();
        let mut lines = BufReader::new(server.stdout.take().expect("stdout"));
        lines.read_line(&mut line).expect("read");
        assert_eq!(line, "ready\n", "the server at {}:{number} did not start", self.address);
        let seen = self.seen.clone();
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let request = serde_json::from_str(&line).expect("a request");
                seen.0.lock().expect("requests").push(request);
                seen.1.notify_all();
            }
        });
        server
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // One that has ended is what is wanted.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

/// Makes a certificate and its key, valid for a day.
fn openssl(certificate: &Path, key: &Path, more: &[&str]) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "1", "-out"]).arg(certificate).arg("-keyout").arg(key);
    drop(said(command.args(more)).ok());
}

/// A loopback address that no other server of these tests has at the same time.
fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    // Not 127.0.x.y, which programs use, nor 127.1.x.y, where the doors are.
    Ipv4Addr::new(127, 77_u8.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)), high, low.max(1))
}
