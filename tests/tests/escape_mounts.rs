//! Attempt: change what is mounted.

use handoff_tests::escape::{Act, Lab, call, doing};

fn acts() -> Vec<Act> {
    vec![
        call("mount", libc::SYS_mount, "text('x'), text('/tmp'), text('tmpfs'), 0, 0"),
        call("umount2", libc::SYS_umount2, "text('/tmp'), 2"),
        call("fsopen", libc::SYS_fsopen, "text('tmpfs'), 0"),
        call("open_tree", libc::SYS_open_tree, "-100, text('/tmp'), 1"),
        call("chroot", libc::SYS_chroot, "text('/')"),
        call("pivot_root", libc::SYS_pivot_root, "text('/'), text('/')"),
        call("move_mount", libc::SYS_move_mount, "-1, text(''), -1, text(''), 0"),
        call("fsconfig", libc::SYS_fsconfig, "-1, 0, 0, 0, 0"),
        call("fsmount", libc::SYS_fsmount, "-1, 0, 0"),
        call("fspick", libc::SYS_fspick, "-1, text(''), 0"),
        call("mount_setattr", libc::SYS_mount_setattr, "-1, text(''), 0, 0, 0"),
        call("setns", libc::SYS_setns, "0, 0"),
    ]
}

fn attempt(lab: &Lab) {
    let outside = lab.outside_with_namespaces(&doing(&acts()));
    for name in ["mount", "umount2", "fsopen", "open_tree", "chroot"] {
        outside.says(name, "ok");
    }
    assert!(!outside.stdout.contains("EPERM"), "{outside:?}");

    let inside = lab.jail("calls").run(&doing(&acts()));
    for (name, _) in acts() {
        inside.says(name, "EPERM");
    }
}

handoff_tests::attempt!(attempt);
