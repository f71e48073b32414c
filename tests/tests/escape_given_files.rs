//! Attempt: have files changed that are not the run's, by what is in a directory that is given to
//! the run and taken back.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use handoff_tests::escape::{Caller, Lab, SUBORDINATE, USER};
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

fn lab(caller: Caller) -> Lab {
    Lab::new(env!("CARGO_BIN_EXE_jail"), caller)
}

fn owner(path: &Path) -> (u32, u32) {
    let meta = path.symlink_metadata().expect("look");
    (meta.uid(), meta.gid())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

/// A directory of the user's with whatever a run may leave, and all that is in it.
fn hostile(lab: &Lab) -> (PathBuf, Vec<PathBuf>) {
    let top = lab.directory_of_caller("tree");
    fs::create_dir_all(top.join("closed/inner")).expect("directories");
    fs::write(top.join("closed/inner/file"), "content").expect("write");
    fs::write(top.join("setuid"), "content").expect("write");
    fs::hard_link(top.join("setuid"), top.join("again")).expect("link");
    symlink(lab.path("canary"), top.join("link")).expect("link");
    symlink(lab.path("canary-directory"), top.join("closed/link")).expect("link");
    mknodat(CWD, top.join("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("fifo");
    let paths = ["closed", "closed/inner", "closed/inner/file", "closed/link"];
    let paths = paths.into_iter().chain(["setuid", "again", "link", "fifo", ""]);
    let paths: Vec<PathBuf> = paths.map(|name| top.join(name)).collect();
    for path in &paths {
        lchown(path, Some(USER), Some(USER)).expect("chown");
    }
    for closed in ["closed/inner/file", "closed/inner", "closed", "fifo"] {
        mode(&top.join(closed), 0o000);
    }
    mode(&top.join("setuid"), 0o4755);
    (top, paths)
}

#[test]
fn everything_in_a_directory_is_given_and_taken_back_and_nothing_else() {
    let lab = lab(Caller::Subordinate);
    fs::write(lab.path("canary"), "alive").expect("write");
    fs::create_dir(lab.path("canary-directory")).expect("directory");
    fs::write(lab.path("canary-directory/file"), "alive").expect("write");
    let canaries =
        ["canary", "canary-directory", "canary-directory/file"].map(|name| lab.path(name));
    for canary in &canaries {
        chown(canary, Some(USER), Some(USER)).expect("chown");
    }
    let (top, paths) = hostile(&lab);
    let distinct = u64::try_from(paths.len()).expect("number") - 1;
    let missing = lab.path("missing");
    for (to, before) in
        [(SUBORDINATE, USER), (SUBORDINATE + 1, SUBORDINATE), (USER, SUBORDINATE + 1)]
    {
        assert_eq!(owner(&top), (before, before));
        let given = lab.give(to, &[&top, &missing]).expect("given");
        // The user's own file of two names is changed by its last one, the others' by the first.
        assert_eq!((given.changed, given.left), (distinct, 0));
        for path in &paths {
            assert_eq!(owner(path), (to, to), "{}", path.display());
        }
    }
    for canary in &canaries {
        assert_eq!(owner(canary), (USER, USER));
    }
    assert_eq!(top.join("closed/inner").metadata().expect("look").mode() & 0o7777, 0o000);
    assert_eq!(top.join("setuid").metadata().expect("look").mode() & 0o7777, 0o755);
    let again = lab.give(USER, &[&top]).expect("given");
    assert_eq!(again.changed, 1, "only the top, which tells that it is done");
}

#[test]
fn a_file_with_a_name_elsewhere_stays_the_users() {
    let lab = lab(Caller::Subordinate);
    let top = lab.directory_of_caller("tree");
    let secret = lab.path("secret");
    fs::write(&secret, "secret").expect("write");
    chown(&secret, Some(USER), Some(USER)).expect("chown");
    fs::hard_link(&secret, top.join("planted")).expect("link");
    fs::hard_link(&secret, top.join("twice")).expect("link");
    let given = lab.give(SUBORDINATE, &[&top]).expect("given");
    assert_eq!((given.changed, given.left), (1, 1));
    assert_eq!(owner(&secret), (USER, USER));
    assert_eq!(owner(&top), (SUBORDINATE, SUBORDINATE));
}

#[test]
fn somebody_elses_files_are_left_and_no_depth_is_too_deep() {
    let lab = lab(Caller::Subordinate);
    let top = lab.directory_of_caller("tree");
    fs::create_dir(top.join("roots")).expect("directory");
    fs::write(top.join("roots/file"), "").expect("write");
    let given = lab.give(SUBORDINATE, &[&top]).expect("given");
    assert_eq!((given.changed, given.left), (1, 1));
    assert_eq!(owner(&top.join("roots/file")), (0, 0));

    let deep = lab.directory_of_caller("deep");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, &deep, flags, Mode::empty()).expect("open");
    let name = CString::new("d").expect("name");
    for _ in 0..5000 {
        mkdirat(&at, &name, Mode::RWXU).expect("mkdir");
        at = openat(&at, &name, flags, Mode::empty()).expect("open");
        rustix::fs::fchown(
            &at,
            Some(rustix::fs::Uid::from_raw(USER)),
            Some(rustix::fs::Gid::from_raw(USER)),
        )
        .expect("chown");
    }
    let given = lab.give(SUBORDINATE, &[&deep]).expect("given");
    assert_eq!((given.changed, given.left), (5001, 0));
    let stat = rustix::fs::fstat(&at).expect("look");
    assert_eq!((stat.st_uid, stat.st_gid), (SUBORDINATE, SUBORDINATE));
    // The standard library would hold a descriptor for each level, and leave none for other tests.
    let removed = std::process::Command::new("rm").arg("-rf").arg(deep.join("d")).status();
    assert!(removed.expect("rm").success());
}

#[test]
fn nobody_gives_what_is_not_theirs_to_give() {
    let with_ids = lab(Caller::Subordinate);
    let top = with_ids.directory_of_caller("tree");
    for uid in [0, 12_345, SUBORDINATE + 16] {
        let refusal = with_ids.give(uid, &[&top]).expect_err("refused");
        assert!(refusal.detail.contains("none of the user's subordinate ids"), "{refusal}");
    }
    let without = lab(Caller::User);
    let top = without.directory_of_caller("tree");
    let refusal = without.give(SUBORDINATE, &[&top]).expect_err("refused");
    assert!(refusal.detail.contains("no subordinate ids"), "{refusal}");
    assert_eq!(owner(&top), (USER, USER));
}

#[test]
fn the_trial_run_has_a_uid_of_its_own_where_there_are_some() {
    let uid = |caller| {
        let layers = lab(caller).probe(("HANDOFF_NOTHING", ""));
        let found = layers.into_iter().find(|layer| layer.name == handoff_sandbox::LayerName::Uid);
        found.expect("the layer")
    };
    let with_ids = uid(Caller::Subordinate);
    assert_eq!(with_ids.state, handoff_sandbox::LayerState::InForce, "{with_ids:?}");
    let without = uid(Caller::User);
    assert_eq!(without.state, handoff_sandbox::LayerState::Partial, "{without:?}");
    assert!(without.detail.contains("no subordinate ids"), "{without:?}");
    assert!(without.fix.as_deref().unwrap_or_default().contains("usermod"), "{without:?}");
}
