//! Attempt: get at files that are not the run's, in a directory whose owner's files are shown as
//! the run's own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use handoff_sandbox::{Access, HostUser, Step};
use handoff_tests::escape::{Caller, Lab, RUN, USER, bash};

const OWNER: HostUser = HostUser { uid: USER, gid: USER + 1 };

#[test]
fn the_run_is_the_owner_and_nobody_else() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::Root);
    let shown = lab.path("shown");
    fs::create_dir(&shown).expect("directory");
    chown(&shown, Some(OWNER.uid), Some(OWNER.gid)).expect("chown");
    for (name, owner) in [("own", OWNER.uid), ("root", 0), ("run", RUN), ("other", 54_500)] {
        fs::write(shown.join(name), format!("{name}'s\n")).expect("write");
        fs::set_permissions(shown.join(name), fs::Permissions::from_mode(0o600)).expect("mode");
        chown(shown.join(name), Some(owner), Some(owner)).expect("chown");
    }
    chown(shown.join("own"), None, Some(OWNER.gid)).expect("chown");
    let script = "cd /home/alice/shown; cat own && echo more >> own && chmod 640 own && echo new > new \
                  && mkdir -p deep/er; for name in root run other; do cat $name; echo hit >> $name; done";
    let control =
        lab.outside(&bash(&script.replace("/home/alice/shown", &shown.to_string_lossy())));
    assert!(control.succeeded().contains("root's\nrun's\nother's"), "{control:?}");
    for name in ["own", "root", "run", "other"] {
        fs::write(shown.join(name), format!("{name}'s\n")).expect("write");
    }
    for name in ["new", "deep"] {
        std::process::Command::new("rm").arg("-r").arg(shown.join(name)).status().expect("rm");
    }

    let jail = lab.jail("writable").mount(&shown, "/home/alice/shown", Access::ReadWriteOf(OWNER));
    // A place to mount on is made in what the run may write.
    let jail =
        jail.mount(&lab.directory_of_run("inner"), "/home/alice/shown/in/ner", Access::ReadOnly);
    let outcome = jail.run(&bash(script));
    assert_eq!(outcome.stdout, "own's\n", "{outcome:?}");
    for name in ["root", "run", "other"] {
        assert!(outcome.stderr.contains(&format!("cat: {name}: Permission denied")), "{outcome:?}");
        assert_eq!(fs::read_to_string(shown.join(name)).expect("read"), format!("{name}'s\n"));
    }
    assert_eq!(fs::read_to_string(shown.join("own")).expect("read"), "own's\nmore\n");
    for name in ["own", "new", "deep/er", "in", "in/ner"] {
        let meta = shown.join(name).metadata().expect(name);
        assert_eq!((meta.uid(), meta.gid()), (OWNER.uid, OWNER.gid), "{name} on the disk");
    }

    let jail = lab.jail("readable").mount(&shown, "/home/alice/shown", Access::ReadOnlyOf(OWNER));
    let outcome = jail.run(&bash("cd /home/alice/shown; cat own root; echo hit >> own"));
    assert_eq!(outcome.stdout, "own's\nmore\n", "{outcome:?}");
    assert!(outcome.stderr.contains("own: Read-only file system"), "{outcome:?}");
}

#[test]
fn only_root_says_whose_files_are_the_runs() {
    let lab = Lab::new(env!("CARGO_BIN_EXE_jail"), Caller::User);
    let shown = lab.directory_of_run("shown");
    let honest = lab.jail("own").mount(&shown, "/home/alice/shown", Access::ReadWrite);
    let _output = honest.run(&bash("touch /home/alice/shown/file")).succeeded().len();
    for access in [Access::ReadOnlyOf(OWNER), Access::ReadWriteOf(OWNER)] {
        let jail = lab.jail("mapped").mount(&shown, "/home/alice/shown", access);
        let outcome = jail.run(&bash("true"));
        assert_eq!(outcome.refusal().step, Step::Source, "{outcome:?}");
    }
}
