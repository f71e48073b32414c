//! Attempt: read a file of root's that is in plain sight. Uid 1000 inside must not be uid 0 to the
//! kernel.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use handoff_sandbox::Access;
use handoff_tests::escape::{Lab, doing};

fn attempt(lab: &Lab) {
    let shown = lab.directory_of_run("shown");
    for (name, mode) in [("secret", 0o600), ("public", 0o644)] {
        fs::write(shown.join(name), "canary").expect("write");
        fs::set_permissions(shown.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
    }
    // This process is root: the act works for who the file belongs to.
    assert_eq!(fs::read_to_string(shown.join("secret")).expect("root reads it"), "canary");

    let open = |name| format!("open($file, '<', '/shown/{name}')");
    let acts = [("secret", open("secret")), ("public", open("public"))];
    let inside = lab.jail("read").mount(&shown, "/shown", Access::ReadWrite).run(&doing(&acts));
    inside.says("public", "ok");
    inside.says("secret", "EACCES");
}

handoff_tests::attempt!(attempt);
