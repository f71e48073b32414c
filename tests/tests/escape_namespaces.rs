//! Attempt: make a new namespace, in which one would be root again.

use handoff_tests::escape::{Lab, bash, call, doing};

fn clone(flag: i32) -> String {
    // A child that this succeeds in making ends at once.
    let flags = i64::from(flag | libc::SIGCHLD);
    format!(
        "do {{ my $pid = syscall({}, {flags}, 0, 0, 0, 0); exit 0 if $pid == 0; $pid != -1 }}",
        libc::SYS_clone
    )
}

fn attempt(lab: &Lab) {
    let acts = [
        ("clone", clone(libc::CLONE_NEWUSER)),
        ("fork", clone(0)),
        call("unshare", libc::SYS_unshare, &libc::CLONE_NEWUSER.to_string()),
        call("clone3", libc::SYS_clone3, "0, 0"),
    ];
    let outside = lab.outside(&doing(&acts));
    outside.says("clone", "ok");
    outside.says("unshare", "ok");
    outside.says("clone3", "EINVAL");

    let inside = lab.jail("calls").run(&doing(&acts));
    inside.says("fork", "ok");
    inside.says("clone", "EPERM");
    inside.says("unshare", "EPERM");
    inside.says("clone3", "ENOSYS");

    for flag in [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWCGROUP,
    ] {
        let acts = [
            ("clone", clone(flag)),
            ("both", clone(flag | libc::CLONE_NEWUSER)),
            call("unshare", libc::SYS_unshare, &flag.to_string()),
        ];
        let inside = lab.jail(&format!("flag-{}", flag.cast_unsigned())).run(&doing(&acts));
        for name in ["clone", "both", "unshare"] {
            inside.says(name, "EPERM");
        }
    }

    let tool = "unshare -Ur true 2>&1 && echo made";
    assert_eq!(lab.outside(&bash(tool)).stdout, "made\n");
    let inside = lab.jail("tool").run(&bash(tool));
    assert!(inside.stdout.contains("Operation not permitted"), "{inside:?}");
}

handoff_tests::attempt!(attempt);
