//! Attempt: have the kernel write a core dump, or start the host's helper with one, as root and
//! outside of every namespace.

use std::fs;

use handoff_tests::escape::{Lab, bash};

const LIMIT: &str = "grep 'core file' /proc/self/limits | tr -s ' '";

fn attempt(lab: &Lab) {
    let outside = lab.outside(&bash(LIMIT));
    assert!(outside.succeeded().contains("unlimited"), "the host sets no limit: {outside:?}");

    // One byte: too short for a file, and the kernel's word for "start no helper", which 0 is not.
    let jail = lab.jail("crash");
    let workspace = jail.spec.mounts[1].source.clone();
    let script =
        format!("{LIMIT}; ulimit -c unlimited 2>/dev/null || echo fixed; sh -c 'kill -SEGV $$'");
    let inside = jail.run(&bash(&script));
    assert_eq!(inside.stdout, "Max core file size 1 1 bytes \nfixed\n");
    assert_eq!(inside.code, 128 + libc::SIGSEGV);
    assert_eq!(fs::read_dir(&workspace).expect("list").count(), 0, "a core was written");
}

handoff_tests::attempt!(attempt);
