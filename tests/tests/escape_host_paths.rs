//! Attempt: find anything of the host that the policy does not show.

use std::fs;
use std::path::Path;

use handoff_tests::escape::{Lab, bash, doing};

const HIDDEN: [&str; 9] = [
    "/root",
    "/sys",
    "/boot",
    "/var/lib",
    "/var/log",
    "/etc/shadow",
    "/etc/gitconfig-canary",
    "/oldroot",
    "/newroot",
];

fn attempt(lab: &Lab) {
    let other = lab.directory_of_run("other-run");
    fs::write(other.join("canary"), "").expect("write");
    let other = other.to_str().expect("text");
    // The last three of the list do not exist anywhere: bubblewrap's own leftovers, and a name
    // that nothing must invent.
    for path in HIDDEN[..6].iter().copied().chain([other]) {
        assert!(Path::new(path).exists(), "{path} exists on the host");
    }
    let look = |path: &str| format!("-e '{path}'");
    let acts: Vec<_> = HIDDEN.iter().map(|path| (*path, look(path))).collect();
    let inside = lab.jail("look").run(&doing(&acts));
    for path in HIDDEN {
        inside.says(path, "ENOENT");
    }
    let acts = [("other", look(other)), ("own", look("/home/alice/src/app"))];
    let inside = lab.jail("other").run(&doing(&acts));
    inside.says("own", "ok");
    inside.says("other", "ENOENT");

    let inside = lab
        .jail("list")
        .run(&bash("cd /home; echo *; cd /run; echo *; cd /tmp; echo *; cd /var; echo *"));
    assert_eq!(inside.succeeded(), "alice\n*\n*\ntmp\n");
}

handoff_tests::attempt!(attempt);
