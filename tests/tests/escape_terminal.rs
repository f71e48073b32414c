//! Attempt: put words into the terminal of whoever looks at the run.

use handoff_tests::escape::{Lab, doing};

/// Opens a pseudo-terminal of one's own and types into it with the request of that number.
fn type_into(request: u32) -> String {
    format!(
        "do {{ open($m, '+<', '/dev/ptmx') && ioctl($m, 0x40045431, $unlock = pack('i', 0)) \
         && do {{ ioctl($m, 0x80045430, $n = pack('i', 0)); $n = unpack('i', $n); \
         require POSIX; $pid = fork; if ($pid == 0) {{ POSIX::setsid(); \
         open($s, '+<', \"/dev/pts/$n\") or POSIX::_exit(99); \
         ioctl($s, {request}, $c = \"\\0\" x 8) and POSIX::_exit(0); POSIX::_exit($!+0) }} \
         waitpid($pid, 0); $! = $? >> 8; $? == 0 }} }}"
    )
}

/// `TIOCSTI`, and one that every terminal answers, `TCGETS`-like: `TIOCGWINSZ`.
const TYPE: u32 = 0x5412;
const ASK_SIZE: u32 = 0x5413;

/// `TIOCSETD` with the address of a number: another driver for the line. Zero is the ordinary one.
const SET_DRIVER: u32 = 0x5423;

fn attempt(lab: &Lab) {
    let acts = [
        ("size", type_into(ASK_SIZE)),
        ("type", type_into(TYPE)),
        ("driver", type_into(SET_DRIVER)),
    ];
    // As root: newer kernels keep this from everybody else.
    let command = doing(&acts);
    let control =
        std::process::Command::new(&command[0]).args(&command[1..]).output().expect("run");
    let control = String::from_utf8_lossy(&control.stdout).into_owned();
    assert_eq!(control, "size ok\ntype ok\ndriver ok\n");

    let inside = lab.jail("type").run(&command);
    inside.says("size", "ok");
    inside.says("type", "EPERM");
    inside.says("driver", "EPERM");
}

handoff_tests::attempt!(attempt);
