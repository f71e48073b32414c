//! A tree is written exactly as its entries say, and nowhere else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use handoff_proto::manifest::{Entry, Kind, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Owner, Walk, WalkKind, WalkOptions, Writer, walk};
use proptest::prelude::*;

use crate::support::{self, trees};

const NOW: Timestamp = Timestamp { secs: 1_700_000_000, nanos: 123_456_789 };

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

fn write(root: &Path, tree: &trees::Tree) -> Result<(), FileError> {
    let mut writer = Writer::open(root, None)?;
    writer.root_directory(0o750, NOW);
    for entry in &tree.entries {
        let Entry { path, mode, mtime, kind } = entry;
        match kind {
            Kind::Directory => writer.directory(path, *mode, *mtime)?,
            Kind::Symlink { target } => writer.symlink(path, target, *mtime),
            Kind::File { size, .. } => {
                let chunks = tree.contents[path].chunks(33).map(Ok);
                let written = writer.file_from_chunks(path, *mode, *mtime, chunks)?;
                assert_eq!(written, *size);
            }
        }
    }
    writer.finish()
}

fn walk_whole(root: &Path) -> Walk {
    walk(root, &WalkOptions::default(), &mut |_| Ok(None)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: support::cases(100), ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_found(tree in trees::tree()) {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &tree).unwrap();
        let walk = walk_whole(directory.path());

        prop_assert_eq!(walk.root.permissions(), 0o750);
        prop_assert_eq!(walk.root.mtime, NOW);
        prop_assert_eq!(walk.entries.len(), tree.entries.len());
        for (found, entry) in walk.entries.iter().zip(&tree.entries) {
            prop_assert_eq!(&found.path, &entry.path);
            prop_assert_eq!(found.mode, entry.mode);
            prop_assert_eq!(found.mtime, entry.mtime);
            match (&found.kind, &entry.kind) {
                (WalkKind::Directory, Kind::Directory) => {}
                (WalkKind::Symlink { target: found }, Kind::Symlink { target }) => {
                    prop_assert_eq!(found, target);
                }
                (WalkKind::File { size: found }, Kind::File { size, .. }) => {
                    prop_assert_eq!(found, size);
                    let content = fs::read(directory.path().join(entry.path.as_os_path()));
                    prop_assert_eq!(&content.unwrap(), &tree.contents[&entry.path]);
                }
                _ => prop_assert!(false, "{found:?} is not {entry:?}"),
            }
        }
    }
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(directory.path(), None).unwrap();
    writer.directory(&path("open"), 0o777, NOW).unwrap();
    writer.directory(&path("closed"), 0o000, NOW).unwrap();
    writer.file(&path("open/file"), 0o777, NOW, &mut &b"x"[..]).unwrap();
    writer.file(&path("closed/file"), 0o000, NOW, &mut &b"x"[..]).unwrap();
    // Other bits than permissions are not for a sandbox to set.
    writer.file(&path("setuid"), 0o6755, NOW, &mut &b"x"[..]).unwrap();
    writer.finish().unwrap();
    let mode = |name: &str| {
        fs::symlink_metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("open"), 0o777);
    assert_eq!(mode("open/file"), 0o777);
    assert_eq!(mode("closed"), 0o000);
    assert_eq!(mode("setuid"), 0o755);
}

#[test]
fn nothing_is_written_through_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("existing"), "untouched").unwrap();
    symlink("../outside", root.join("leaving")).unwrap();
    symlink("inside", root.join("staying")).unwrap();
    fs::create_dir(root.join("inside")).unwrap();
    symlink("../outside/existing", root.join("file")).unwrap();
    symlink("/proc/self/cwd", root.join("magic")).unwrap();

    let mut writer = Writer::open(&root, None).unwrap();
    let content = || &b"from the sandbox"[..];
    for through in ["leaving/new", "staying/new", "leaving/existing", "magic/new"] {
        let refused = writer.file(&path(through), 0o644, NOW, &mut content());
        assert!(matches!(refused, Err(FileError::Indirect { .. })), "{through}: {refused:?}");
        let refused = writer.directory(&path(through), 0o755, NOW);
        assert!(refused.is_err(), "{through}");
    }
    let refused = writer.file(&path("file"), 0o644, NOW, &mut content()).unwrap_err();
    assert!(refused.to_string().contains("`file`"), "{refused}");
    assert_eq!(fs::read_to_string(outside.join("existing")).unwrap(), "untouched");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.join("inside")).unwrap().count(), 0);

    // The same acts without the link do work.
    writer.file(&path("inside/new"), 0o644, NOW, &mut content()).unwrap();
    writer.finish().unwrap();
    assert_eq!(fs::read_to_string(root.join("inside/new")).unwrap(), "from the sandbox");
}

/// A link that the tree itself brings must not be in place while files are written.
#[test]
fn a_link_of_the_tree_cannot_catch_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    let mut writer = Writer::open(&root, None).unwrap();
    writer.symlink(&path("a"), outside.to_str().unwrap().as_bytes(), NOW);
    let refused = writer.file(&path("a/file"), 0o644, NOW, &mut &b"x"[..]);
    assert!(refused.unwrap_err().is_not_found());
    writer.directory(&path("a"), 0o755, NOW).unwrap();
    writer.file(&path("a/file"), 0o644, NOW, &mut &b"x"[..]).unwrap();
    assert!(writer.finish().is_err());
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "mine").unwrap();
    let mut writer = Writer::open(directory.path(), None).unwrap();
    assert!(writer.file(&path("file"), 0o644, NOW, &mut &b"x"[..]).is_err());
    assert!(writer.directory(&path("file"), 0o644, NOW).is_err());
    writer.symlink(&path("file"), b"target", NOW);
    assert!(writer.finish().unwrap_err().to_string().contains("`file`"));
    assert_eq!(fs::read_to_string(directory.path().join("file")).unwrap(), "mine");
}

#[test]
fn a_failing_source_is_told_from_a_failing_disk() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("chunk missing"))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let writer = Writer::open(directory.path(), None).unwrap();
    let failed = writer.file(&path("file"), 0o644, NOW, &mut Failing).unwrap_err();
    assert!(matches!(failed, FileError::Content { .. }), "{failed:?}");
}

#[test]
fn files_are_given_to_the_owner_that_root_names() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root may give files away");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let owner = Owner { uid: 65_534, gid: 65_533 };
    let mut writer = Writer::open(directory.path(), Some(owner)).unwrap();
    writer.directory(&path("directory"), 0o2755 & 0o777, NOW).unwrap();
    writer.file(&path("directory/file"), 0o755, NOW, &mut &b"x"[..]).unwrap();
    writer.symlink(&path("link"), b"/etc/passwd", NOW);
    writer.finish().unwrap();
    for name in ["directory", "directory/file", "link"] {
        let meta = fs::symlink_metadata(directory.path().join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (owner.uid, owner.gid), "{name}");
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (NOW.secs, NOW.nanos.into()), "{name}");
    }
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
}

#[test]
fn files_may_be_written_from_several_threads() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(directory.path(), None).unwrap();
    writer.directory(&path("d"), 0o755, NOW).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0..50 {
                    let path = path(&format!("d/{thread}-{number}"));
                    writer.file(&path, 0o644, NOW, &mut &b"x"[..]).unwrap();
                }
            });
        }
    });
    writer.finish().unwrap();
    assert_eq!(walk_whole(directory.path()).entries.len(), 201);
}
