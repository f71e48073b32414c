//! Attempt: read the files of another run that came into sight, as they would if mounts failed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use handoff_sandbox::Access;
use handoff_tests::escape::{Caller, Lab, doing};

fn attempt(lab: &Lab) {
    let tree = lab.path("tree");
    fs::create_dir(&tree).expect("mkdir");
    let file = tree.join("canary");
    fs::write(&file, "canary").expect("write");
    let give = |uid: u32| {
        for path in [&tree, &file] {
            chown(path, Some(uid), Some(uid)).expect("give it away");
        }
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o700)).expect("chmod");
    };
    let acts = [
        ("read", "open($f, '<', '/tree/canary')"),
        ("write", "open($f, '>>', '/tree/canary')"),
        ("list", "opendir($d, '/tree')"),
        ("make", "open($f, '>', '/tree/new')"),
    ];
    let acts = acts.map(|(name, act)| (name, act.to_owned()));
    let look = |name| lab.jail(name).mount(&tree, "/tree", Access::ReadWrite).run(&doing(&acts));

    give(lab.host_uid());
    let own = look("own");
    for (name, _) in &acts {
        own.says(name, "ok");
    }
    // The other run's, then the daemon's.
    for (jail, uid) in [("others", lab.host_uid() + 1), ("daemons", lab.caller_uid())] {
        give(uid);
        let outcome = look(jail);
        for (name, _) in &acts {
            outcome.says(name, "EACCES");
        }
    }
}

/// An ordinary user without subordinate ids has one uid for all runs: there is nothing to test.
#[test]
fn as_root() {
    attempt(&Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Root));
}

#[test]
fn as_an_ordinary_user_with_subordinate_ids() {
    attempt(&Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Subordinate));
}
