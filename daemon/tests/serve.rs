//! The `handoffd` program from the outside: its commands, its exit codes, what it prints.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use handoff_proto::invitation::Invitation;
use tempfile::TempDir;

/// A place for a daemon: settings and state, apart from every other one.
struct Place(TempDir);

/// A running daemon; killed when the test forgets to stop it.
struct Daemon {
    child: Child,
    address: SocketAddr,
}

impl Place {
    fn new(settings: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("directory"));
        fs::write(place.0.path().join("handoffd.toml"), settings).expect("settings");
        place
    }

    fn state(&self) -> std::path::PathBuf {
        self.0.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handoffd"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("HANDOFFD_STATE", self.state())
            .env("HANDOFFD_CONFIG", self.0.path().join("handoffd.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("handoffd")
    }

    fn serve(&self, arguments: &[&str]) -> Daemon {
        let mut child = self
            .command(&[&["serve"], arguments].concat())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("handoffd");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = Vec::new();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .inspect(|line| seen.push(line.clone()))
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
        let address = address.unwrap_or_else(|| panic!("it does not listen: {seen:?}"));
        // It must never wait for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        Daemon { child, address: address.parse().expect("an address") }
    }
}

impl Daemon {
    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks an exit code and what the error says.
fn check_failure(output: &Output, code: i32, part: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.contains(part), "{error}");
    assert_eq!(text(&output.stdout), "");
}

const ANY_PORT: &str = "[listen]\naddress = \"127.0.0.1:0\"\n";

#[test]
fn a_daemon_serves_invites_and_stops() {
    let place = Place::new(ANY_PORT);
    let daemon = place.serve(&[]);
    let file = fs::read_to_string(place.state().join("address")).expect("address");
    assert_eq!(file, format!("{}\n", daemon.address));

    let invited = place.run(&["invite", "ada", "--valid", "5m"]);
    let printed = text(&invited.stdout);
    assert_eq!(invited.status.code(), Some(0), "{}", text(&invited.stderr));
    assert_eq!(printed.lines().count(), 1, "the invitation alone");
    let invitation = Invitation::decode(&printed).expect("an invitation");
    assert_eq!(invitation.addresses, [daemon.address.to_string()]);
    assert!(text(&invited.stderr).contains("works on this machine only"));

    assert_eq!(text(&place.run(&["user", "ls"]).stdout), "");
    check_failure(&place.run(&["user", "revoke", "eve"]), 8, "user eve has no devices");
    check_failure(&place.run(&["invite", "Ada"]), 2, "user name \"Ada\" is not allowed");
    let doctor = place.run(&["doctor"]);
    assert!(text(&doctor.stdout).starts_with("daemon: running, 0 runs going on"));

    assert_eq!(place.run(&["stop"]).status.code(), Some(0));
    // It has ended by then, so that another one can start.
    drop(place.serve(&[]));
    assert_eq!(daemon.exit_code(), Some(0));
    let again = place.serve(&[]);
    assert_eq!(place.run(&["stop"]).status.code(), Some(0));
    assert_eq!(again.exit_code(), Some(0));
    for file in ["admin.sock", "address"] {
        assert!(!place.state().join(file).exists(), "{file}");
    }
    check_failure(&place.run(&["stop"]), 6, "no daemon is running in ");
}

#[test]
fn a_second_daemon_in_the_same_place_is_refused() {
    let place = Place::new(ANY_PORT);
    let daemon = place.serve(&[]);
    check_failure(&place.run(&["serve"]), 5, "is in use by another handoffd");
    TcpStream::connect(daemon.address).expect("the first one goes on");
    let pid = rustix::process::Pid::from_child(&daemon.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("kill");
    assert_eq!(daemon.exit_code(), Some(0), "SIGTERM is a wish, not an accident");
    place.serve(&[]);
}

#[test]
fn a_local_daemon_listens_on_this_machine_whatever_the_settings_say() {
    let place = Place::new("[listen]\naddress = \"0.0.0.0:1\"\n");
    let daemon = place.serve(&["--local"]);
    assert!(daemon.address.ip().is_loopback());
    let child = place.run(&["stop"]);
    assert_eq!(child.status.code(), Some(0));
}

#[test]
fn wrong_settings_and_usage_exit_2() {
    let place = Place::new("[listen]\nadress = \"127.0.0.1:0\"\n");
    check_failure(&place.run(&["serve"]), 2, "did you mean listen.address?");
    check_failure(&place.run(&["serve", "--nonsense"]), 2, "--nonsense");
    check_failure(&place.run(&["invite"]), 2, "<USER>");
    let missing = place.0.path().join("missing.toml");
    let missing = missing.to_str().expect("text");
    check_failure(&place.run(&["serve", "--config", missing]), 2, "cannot read settings from");
    check_failure(&place.run(&["audit", "ls", "--all"]), 2, "is not built yet");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("listener");
    let address = taken.local_addr().expect("address");
    let place = Place::new(&format!("[listen]\naddress = \"{address}\"\n"));
    check_failure(&place.run(&["serve"]), 1, &format!("cannot listen on {address}"));
    assert!(!Path::new(&place.state().join("address")).exists());
}

#[test]
fn help_goes_to_standard_output() {
    let place = Place::new("");
    let mut help = String::new();
    let output = place.run(&["--help"]);
    output.stdout.as_slice().read_to_string(&mut help).expect("text");
    assert_eq!(output.status.code(), Some(0));
    for command in ["serve", "stop", "invite", "user", "doctor", "credential", "audit", "gc"] {
        assert!(help.contains(command), "{command}: {help}");
    }
    assert!(!help.contains("supervise"), "hidden commands are hidden");
}
