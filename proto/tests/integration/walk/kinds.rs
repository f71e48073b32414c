//! Kinds of files: links, what is refused by name, attributes that are lost, depth.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use handoff_proto::path::TreePath;
use handoff_proto::tree::{RefusalReason, Tracked, WalkError, WalkKind, WalkOptions, walk};

use super::{carried, globs, rules, walk_with, write};

#[test]
fn links_are_carried_and_never_followed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    write(&root, &["sub/file"]);
    write(directory.path(), &["outside/file"]);
    rules(directory.path(), "outside/rules", "sub/\n");
    for (target, name) in [
        (&b"../outside"[..], "leaving"),
        (b"sub", "staying"),
        (b"/nowhere/\xff\n", "dangling"),
        (b"../outside/rules", ".handoffignore"),
        (b"loop", "loop"),
    ] {
        symlink(std::ffi::OsStr::from_bytes(target), root.join(name)).unwrap();
    }
    let walk = walk_with(&root, &WalkOptions::default());
    assert_eq!(
        carried(&walk),
        [".handoffignore", "dangling", "leaving", "loop", "staying", "sub/", "sub/file"]
    );
    let target = WalkKind::Symlink { target: b"/nowhere/\xff\n".to_vec() };
    assert_eq!(walk.entries[1].kind, target);
    assert_eq!(walk.entries[1].mode, 0o777);
}

fn refusals(root: &Path, options: &WalkOptions<'_>) -> (Vec<(String, RefusalReason)>, usize) {
    match walk(root, options, &mut |_| Ok(Some(Tracked::default()))) {
        Err(WalkError::Refused { refused, more }) => {
            (refused.into_iter().map(|refusal| (refusal.path, refusal.reason)).collect(), more)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["sub/file"]);
    let fifo = |name: &str| {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, root.join(name), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
    };
    fifo("sub/pipe\n");
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    let (refused, more) = refusals(root, &WalkOptions::default());
    let expected = [
        ("socket".to_owned(), RefusalReason::Socket),
        ("sub/pipe\\n".to_owned(), RefusalReason::Fifo),
    ];
    assert_eq!((&refused[..], more), (&expected[..], 0));

    for number in 0..25 {
        fifo(&format!("sub/{number}"));
    }
    let (refused, more) = refusals(root, &WalkOptions::default());
    assert_eq!((refused.len(), more), (20, 7));

    // What is left out need not be carried.
    let options = WalkOptions { exclude: globs(&["socket", "sub"]), ..WalkOptions::default() };
    assert!(walk(root, &options, &mut |_| Ok(None)).is_ok());
}

#[test]
fn unreadable_files_and_directories_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["closed/file", "file", "fine"]);
    let set = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("closed", 0o000);
    set("file", 0o200);
    let expected = [
        ("closed".to_owned(), RefusalReason::Unreadable),
        ("file".to_owned(), RefusalReason::Unreadable),
    ];
    // Root may read everything; only this thread becomes nobody.
    let mut refused = std::thread::scope(|scope| {
        let walk = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
                let nobody = rustix::fs::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            refusals(root, &WalkOptions::default()).0
        });
        walk.join().unwrap()
    });
    refused.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(refused, expected);
    set("closed", 0o700);
}

#[test]
fn attributes_that_are_lost_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, &["a", "b", "plain"]);
    fs::hard_link(root.join("a"), root.join("a2")).unwrap();
    fs::set_permissions(root.join("b"), fs::Permissions::from_mode(0o4755)).unwrap();
    let walk = walk_with(root, &WalkOptions::default());
    let names = |paths: &[TreePath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&walk.dropped.hard_links.first), ["a", "a2"]);
    assert_eq!(names(&walk.dropped.special_bits.first), ["b"]);
    assert_eq!(walk.dropped.hard_links.count, 2);
    assert_eq!(walk.entries[2].mode, 0o755);
}

#[test]
fn a_tree_deeper_than_descriptors_reach_is_walked_and_one_too_deep_refused() {
    let directory = tempfile::tempdir().unwrap();
    let make = |depth: usize| {
        let mut at = rustix::fs::open(
            directory.path(),
            rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        for _ in 0..depth {
            // The deeper part of the tree continues the one before.
            let _existing = rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU);
            let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
            at = rustix::fs::openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap();
        }
    };
    make(2048);
    let walk = walk_with(directory.path(), &WalkOptions::default());
    assert_eq!(walk.entries.len(), 2048);
    make(2049);
    let (refused, _) = refusals(directory.path(), &WalkOptions::default());
    assert!(matches!(refused[..], [(_, RefusalReason::Path(_))]));
    // The standard library would hold a descriptor for each level, and leave none for other tests.
    let removed =
        std::process::Command::new("rm").arg("-rf").arg(directory.path().join("d")).status();
    assert!(removed.unwrap().success());
}
