//! Attempt: learn from the processes that set the jail up. The caller's environment and the
//! policy's arguments must be nowhere.

use handoff_tests::escape::{Lab, bash, doing};

const CANARY: &str = "canary-5f1c";
const SEARCH: &str = "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n'";

fn attempt(lab: &Lab) {
    let variable = format!("SECRET={CANARY}");
    let command = ["/usr/bin/env", &variable, "/bin/bash", "-c", SEARCH];
    assert!(lab.outside(&command).stdout.contains(CANARY), "the search finds what is there");

    let inside = lab.jail("search").caller_variable("SECRET", CANARY).run(&bash(SEARCH));
    assert!(inside.stdout.contains("HOME=/home/alice"), "{inside:?}");
    assert!(!inside.stdout.contains(CANARY), "{inside:?}");
    let source = lab.path("search-ws");
    assert!(!inside.stdout.contains(source.to_str().expect("text")), "{inside:?}");

    // PTRACE_ATTACH is 16.
    let peek = format!("syscall({}, 16, 1, 0, 0) != -1", libc::SYS_ptrace);
    let acts = [
        ("self", "open($f, '<', '/proc/self/environ')".into()),
        ("environ", "open($f, '<', '/proc/1/environ')".into()),
        ("memory", "open($f, '+<', '/proc/1/mem')".into()),
        ("root", "opendir($d, '/proc/1/root/')".into()),
        ("descriptors", "opendir($d, '/proc/1/fd')".into()),
        ("attach", peek),
    ];
    let inside = lab.jail("peek").run(&doing(&acts));
    inside.says("self", "ok");
    for name in ["environ", "memory", "root", "descriptors"] {
        inside.says(name, "EACCES");
    }
    inside.says("attach", "EPERM");
}

handoff_tests::attempt!(attempt);
