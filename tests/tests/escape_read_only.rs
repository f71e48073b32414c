//! Attempt: write where only the sandbox writes, or where a mount is for reading.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use handoff_sandbox::Access;
use handoff_tests::escape::{Lab, doing};

const READ_ONLY: [&str; 10] = [
    "/x",
    "/usr/x",
    "/bin/x",
    "/etc/x",
    "/home/x",
    "/dev/x",
    "/var/x",
    "/handoff/x",
    "/opt/x",
    "/opt/tool/x",
];

const WRITABLE: [&str; 6] = [
    "/home/alice/x",
    "/home/alice/src/x",
    "/home/alice/src/app/x",
    "/tmp/x",
    "/dev/shm/x",
    "/run/x",
];

fn attempt(lab: &Lab) {
    let tool = lab.directory_of_run("tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o777)).expect("chmod");
    let append = |path: &str| format!("open($f, '>>', '{path}')");
    let control = tool.join("written-outside");
    let outside = lab.outside(&doing(&[("control", append(control.to_str().expect("text")))]));
    outside.says("control", "ok");

    let acts: Vec<_> =
        READ_ONLY.iter().chain(&WRITABLE).map(|path| (*path, append(path))).collect();
    let inside = lab.jail("write").mount(&tool, "/opt/tool", Access::ReadOnly).run(&doing(&acts));
    for path in WRITABLE {
        inside.says(path, "ok");
    }
    for path in READ_ONLY {
        inside.says(path, "EROFS");
    }
    assert_eq!(fs::read_dir(&tool).expect("list").count(), 1, "only the control wrote");
    assert!(lab.path("write-ws").join("x").is_file(), "the workspace is the host's own");

    // The right to write cannot be taken back either.
    let remount = format!(
        "syscall({}, text('none'), text('/opt/tool'), text('none'), {}, 0) != -1",
        libc::SYS_mount,
        libc::MS_REMOUNT | libc::MS_BIND
    );
    let inside = lab
        .jail("remount")
        .mount(&tool, "/opt/tool", Access::ReadOnly)
        .run(&doing(&[("remount", remount)]));
    inside.says("remount", "EPERM");
}

handoff_tests::attempt!(attempt);
