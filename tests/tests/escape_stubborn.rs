//! Attempt: outlive one's own run.

use std::fs;
use std::path::Path;

use handoff_tests::escape::{Caller, Lab, perl};
use rustix::event::{Timespec, poll};

/// Ignores every signal that can be ignored, leaves the session twice, keeps forking.
const STAY: &str = "$| = 1; $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT USR1 USR2 PIPE); \
    for (1..3) { if (fork == 0) { require POSIX; POSIX::setsid(); if (fork == 0) { \
    open(STDIN, '<', '/dev/null'); open(STDOUT, '>', '/dev/null'); open(STDERR, '>', '/dev/null'); \
    while (1) { my $pid = fork; if (defined $pid && $pid == 0) { select(undef, undef, undef, 0.01); exit 0 } \
    wait } } exit 0 } wait } print \"up\\n\"; sleep 1000 while 1";

fn attempt(lab: &Lab) {
    let marker = format!("stubborn-{}-{}", std::process::id(), lab.host_uid());
    let script = format!("my $marker = '{marker}'; {STAY}");
    let mut live = lab.jail("stay").start(&perl(&script));
    assert_eq!(live.line(), "up");
    let pid = live.host_pid();
    assert!(with(&marker).len() > 3, "they are there, and the search finds them");

    let ended = live.kill();
    assert_eq!(ended.code, 124, "{ended:?}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(with(&marker), Vec::<String>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains("stay-ws"), "{mounts}");
    assert!(!has_group(lab, "stay"));

    // Killed while it is being set up, at whatever moment that is.
    for round in 0..10 {
        let ended = lab.jail(&format!("early-{round}")).start(&perl(&script)).kill();
        assert_eq!(ended.code, 124, "{ended:?}");
    }
    assert_eq!(with(&marker), Vec::<String>::new());

    for round in 0..30 {
        let name = format!("abandoned-{round}");
        let live = lab.jail(&name).start(&perl(&script));
        wait_a_little(round);
        live.kill_caller_early();
        // As above: the next run of the name removes what the dead caller could not.
        assert_eq!(lab.jail(&name).run(&["true"]).code, 0);
    }
    assert_eq!(with(&marker), Vec::<String>::new());

    let mut live = lab.jail("orphan").start(&perl(&script));
    assert_eq!(live.line(), "up");
    live.kill_caller();
    assert_eq!(with(&marker), Vec::<String>::new());
    // The control group that nobody removed does not keep the next run of that name from having
    // one, which is removed.
    assert_eq!(lab.jail("orphan").run(&["true"]).code, 0);
    assert!(!has_group(lab, "orphan"));

    // A command that ends by itself leaves nothing behind either.
    let script = script.replace("sleep 1000 while 1", "exit 7");
    let ended = lab.jail("leave").run(&perl(&script));
    assert_eq!(ended.code, 7, "{ended:?}");
    assert_eq!(with(&marker), Vec::<String>::new());
    if lab.caller() == Caller::Root {
        assert!(ended.oom_kills.is_some(), "there was a control group: {ended:?}");
    }
}

/// Lets the caller get a little further each time: up to some 30 ms, which set-up takes.
fn wait_a_little(round: i64) {
    let moment = Timespec { tv_sec: 0, tv_nsec: round * 1_000_000 };
    poll(&mut [], Some(&moment)).expect("wait");
}

/// Tells whether the control group of a jail is still there.
fn has_group(lab: &Lab, jail: &str) -> bool {
    let name = lab.jail(jail).spec.name;
    ["memory/handoff", "pids/handoff", "handoff"]
        .iter()
        .any(|tree| Path::new("/sys/fs/cgroup").join(tree).join(&name).exists())
}

/// Lists the processes whose arguments contain the marker.
fn with(marker: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").expect("list");
    processes
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().into_string().ok()?;
            let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            (command.contains(marker)).then_some(pid)
        })
        .collect()
}

handoff_tests::attempt!(attempt);
