//! Attempt: have the run started with a wall missing. Each missing wall is a refusal that names
//! it; nothing runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use handoff_sandbox::{LayerName, Step};
use handoff_tests::escape::{Caller, Jail, Lab, Outcome, bash};

const BUBBLEWRAP: &str = "HANDOFF_BWRAP";

fn attempt(lab: &Lab) {
    assert_eq!(run(lab.jail("whole")).succeeded(), "ran\n");

    let none = lab.jail("none").caller_variable(BUBBLEWRAP, "/no/such/bwrap");
    refused(none, Step::Bubblewrap, "apt install bubblewrap");
    let old = fake(lab, "old", "#!/bin/sh\necho bubblewrap 0.6.2\n");
    refused(lab.jail("old").caller_variable(BUBBLEWRAP, old), Step::Bubblewrap, "0.6");
    let other = fake(lab, "other", "#!/bin/sh\necho something else\n");
    refused(
        lab.jail("other").caller_variable(BUBBLEWRAP, other),
        Step::Bubblewrap,
        "does not answer",
    );
    // Says the right thing, then runs the command without any jail.
    let liar = fake(
        lab,
        "liar",
        "#!/bin/sh\n[ \"$1\" = --version ] && exec echo bubblewrap 0.9.0\nexec /handoff/init\n",
    );
    refused(lab.jail("liar").caller_variable(BUBBLEWRAP, liar), Step::Bubblewrap, "");
    let shared = fake(lab, "shared", "#!/bin/sh\necho bubblewrap 0.9.0\n");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("chmod");
    refused(
        lab.jail("shared").caller_variable(BUBBLEWRAP, shared),
        Step::Bubblewrap,
        "only its owner",
    );

    let mut root = lab.jail("root");
    root.spec.host_uid = Some(0);
    refused(root, Step::Identity, "root on the host");
    let mut inside = lab.jail("inside");
    inside.spec.account.uid = 0;
    refused(inside, Step::Policy, "uid 0");
    let mut wrong = lab.jail("wrong");
    wrong.spec.host_uid = match lab.caller() {
        Caller::Root => None,
        Caller::User | Caller::Subordinate => Some(12_345),
    };
    refused(wrong, Step::Identity, "host uid");

    let mut required = lab.jail("required");
    required.spec.require = vec![LayerName::Landlock, LayerName::Disk];
    refused(required, Step::Required, "disk");
    if lab.caller() == Caller::User {
        let mut required = lab.jail("uid");
        required.spec.require = vec![LayerName::Uid];
        refused(required, Step::Required, "same uid");
        let nested = ["/usr/bin/bwrap", "--bind", "/", "/", "--proc", "/proc", "--dev", "/dev"];
        let nested = nested.into_iter().chain(["--unshare-user", "--disable-userns", "--"]);
        refused(lab.jail("userns").started_by(nested), Step::Namespaces, "user namespace");
    }
    if lab.caller() == Caller::Subordinate {
        // Whoever can change it chooses the ids that the run gets.
        let maps = Path::new("/usr/bin/newuidmap");
        lab.install(maps, "newuidmap", 0o4755);
        assert_eq!(run(lab.jail("copy")).succeeded(), "ran\n");
        for (name, mode) in [("groups", 0o4775), ("anybodys", 0o4757)] {
            lab.install(maps, "newuidmap", mode);
            refused(lab.jail(name), Step::Identity, "not a program that only root can change");
        }
    }
}

fn fake(lab: &Lab, name: &str, script: &str) -> String {
    let written = lab.path(&format!("{name}.sh"));
    fs::write(&written, script).expect("write");
    lab.install(&written, name, 0o755);
    lab.path(name).into_os_string().into_string().expect("text")
}

fn run(jail: Jail<'_>) -> Outcome {
    jail.run(&bash("touch ran; echo ran"))
}

#[track_caller]
fn refused(jail: Jail<'_>, step: Step, detail: &str) {
    let workspace = jail.spec.mounts[1].source.clone();
    let outcome = run(jail);
    let refusal = outcome.refusal();
    assert_eq!(refusal.step, step, "{refusal}");
    assert!(refusal.detail.contains(detail), "{refusal}");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (125, ""), "{outcome:?}");
    assert!(!workspace.join("ran").exists(), "the command ran");
}

handoff_tests::attempt!(attempt);
