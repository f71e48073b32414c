//! Attempt: use a descriptor that the caller forgot to close.

use std::fs;
use std::os::unix::fs::chown;

use handoff_tests::escape::{Lab, bash};

const READ: &str = "cat <&7 2>/dev/null; cd /proc/self/fd; echo *";

fn attempt(lab: &Lab) {
    let canary = lab.path("canary");
    fs::write(&canary, "canary\n").expect("write");
    chown(&canary, Some(lab.caller_uid()), None).expect("chown");
    let leak = format!("exec 7<{}; exec \"$@\"", canary.display());
    let leaking = ["/bin/bash", "-c", &leak, "bash"];

    let control: Vec<&str> = leaking.into_iter().chain(bash(READ)).collect();
    assert!(lab.outside(&control).stdout.starts_with("canary\n"), "the descriptor is inherited");

    let inside = lab.jail("leak").started_by(leaking).run(&bash(READ));
    // The shell has the directory open while it lists it.
    assert_eq!(inside.succeeded(), "0 1 2 3\n");
    assert_eq!(inside.stdout.matches("canary").count(), 0);
}

handoff_tests::attempt!(attempt);
