//! Attempt: get out of the jail through the run's own terminal, whose other end is outside.

use std::process::Command;

use handoff_sandbox::TerminalSize;
use handoff_tests::escape::{Act, Lab, doing};
use handoff_tests::terminal::Seat;

/// Makes a request of a descriptor's terminal, with eight bytes of zero as its argument.
fn request(file: &str, request: u32) -> String {
    format!("do {{ open($t, '+<', '{file}') && ioctl($t, {request}, $c = \"\\0\" x 8) }}")
}

/// `TIOCSTI` types, `TIOCSETD` changes the driver, `TIOCGWINSZ` is what every terminal answers.
const TYPE: u32 = 0x5412;
const SET_DRIVER: u32 = 0x5423;
const ASK_SIZE: u32 = 0x5413;

/// `TIOCLINUX` pastes into the machine's own screen, where the terminal is that.
const PASTE: u32 = 0x541c;

/// `TIOCGPTPEER` opens the inner end anew for whoever has the outer one.
const PEER: u32 = 0x5441;

fn acts() -> Vec<Act> {
    vec![
        ("size", request("/dev/tty", ASK_SIZE)),
        ("type", request("/dev/tty", TYPE)),
        ("again", request("/dev/stdin", TYPE)),
        ("driver", request("/dev/tty", SET_DRIVER)),
        ("paste", request("/dev/tty", PASTE)),
        ("peer", request("/dev/tty", PEER)),
        // Process 1 made the terminal: whatever it kept is there.
        ("kept", "do { opendir($d, '/proc/1/fd') && readdir($d) }".into()),
        // Nobody else in the jail has the outer end, which calls itself by the maker's name.
        (
            "outer",
            "do { my $n = grep { (readlink($_) // '') =~ /ptmx/ } glob('/proc/[0-9]*/fd/*'); \
             $! = 2 unless $n; $n }"
                .into(),
        ),
    ]
}

fn attempt(lab: &Lab) {
    let command = doing(&acts());
    // As root, which may look into process 1 and type into any terminal of its own.
    let mut outside = Command::new("setsid");
    outside.args(["--ctty", "--wait"]).args(&command);
    let mut outside = Seat::take(outside, 24, 80);
    outside.ends();
    let shown = outside.shown();
    for done in ["size ok\r\n", "type ok\r\n", "again ok\r\n", "driver ok\r\n", "kept ok\r\n"] {
        assert!(shown.contains(done), "{done:?} in {shown:?}");
    }
    // A terminal that is not the machine's screen knows nothing of pasting, and only the outer end
    // has a peer; the search finds the maker where somebody has it.
    assert!(shown.contains("peer EIO") || shown.contains("peer ENOTTY"), "{shown:?}");

    let mut jail = lab.jail("own");
    jail.spec.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let inside = jail.run(&command);
    inside.says("size", "ok");
    for denied in ["type", "again", "driver", "paste"] {
        inside.says(denied, "EPERM");
    }
    inside.says("kept", "EACCES");
    inside.says("outer", "ENOENT");
    assert!(!inside.stdout.contains("peer ok"), "{inside:?}");
}

handoff_tests::attempt!(attempt);
