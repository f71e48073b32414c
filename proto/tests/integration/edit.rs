//! Single paths of a tree in use are read and changed without following links.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use handoff_proto::manifest::Timestamp;
use handoff_proto::path::TreePath;
use handoff_proto::tree::{
    FileError, MetaKind, create_directory, lstat, open_regular, read_link, read_regular,
    remove_dir_if_empty, remove_file, replace_file, replace_symlink, set_metadata,
};

const NOW: Timestamp = Timestamp { secs: 1_700_000_000, nanos: 123_456_789 };

fn path(text: &str) -> TreePath {
    text.parse().unwrap()
}

/// A tree with a directory, a file, and links out of it to things that must stay as they are.
struct Fixture {
    directory: tempfile::TempDir,
    root: File,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("root/sub")).unwrap();
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("outside/file"), "untouched").unwrap();
        fs::write(at("root/file"), "old").unwrap();
        symlink("../outside", at("root/leaving")).unwrap();
        symlink("../outside/file", at("root/link")).unwrap();
        symlink("sub", at("root/staying")).unwrap();
        let root = File::open(at("root")).unwrap();
        Self { directory, root }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join("root").join(name)
    }

    fn check_outside(&self) {
        let outside = self.directory.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
        assert_eq!(fs::metadata(outside.join("file")).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    }
}

fn is_indirect<T>(result: Result<T, FileError>) -> bool {
    matches!(result, Err(FileError::Indirect { .. }))
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let fixture = Fixture::new();
    let old = fs::metadata(fixture.at("file")).unwrap();
    let size = replace_file(&fixture.root, &path("file"), 0o754, NOW, &mut &b"new"[..]).unwrap();
    assert_eq!(size, 3);
    let new = fs::metadata(fixture.at("file")).unwrap();
    assert_ne!(new.ino(), old.ino());
    assert_eq!(new.permissions().mode() & 0o7777, 0o754);
    assert_eq!((new.mtime(), new.mtime_nsec()), (NOW.secs, NOW.nanos.into()));
    assert_eq!(fs::read_to_string(fixture.at("file")).unwrap(), "new");
    // Names that were not there come into being the same way.
    replace_file(&fixture.root, &path("sub/new"), 0o600, NOW, &mut &b"x"[..]).unwrap();
    assert_eq!(fs::read_dir(fixture.at("sub")).unwrap().count(), 1);
}

#[test]
fn a_link_is_replaced_not_followed() {
    let fixture = Fixture::new();
    replace_file(&fixture.root, &path("link"), 0o644, NOW, &mut &b"new"[..]).unwrap();
    assert!(fs::symlink_metadata(fixture.at("link")).unwrap().is_file());
    replace_symlink(&fixture.root, &path("file"), b"/etc/\xff", NOW).unwrap();
    assert_eq!(read_link(&fixture.root, &path("file")).unwrap(), b"/etc/\xff");
    assert_eq!(fs::symlink_metadata(fixture.at("file")).unwrap().mtime_nsec(), NOW.nanos.into());
    fixture.check_outside();
}

#[test]
fn nothing_is_reached_through_a_link() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    for through in ["leaving/file", "staying/file", "leaving/new", "staying/new"] {
        let path = path(through);
        assert!(is_indirect(replace_file(root, &path, 0o644, NOW, &mut &b"x"[..])), "{through}");
        assert!(is_indirect(replace_symlink(root, &path, b"x", NOW)), "{through}");
        assert!(is_indirect(create_directory(root, &path, 0o755)), "{through}");
        assert!(is_indirect(remove_file(root, &path)), "{through}");
        assert!(is_indirect(remove_dir_if_empty(root, &path)), "{through}");
        assert!(is_indirect(set_metadata(root, &path, 0o777, NOW)), "{through}");
        assert!(is_indirect(read_regular(root, &path, 100)), "{through}");
        assert!(is_indirect(lstat(root, &path)), "{through}");
    }
    assert!(is_indirect(set_metadata(root, &path("link"), 0o777, NOW)));
    assert!(is_indirect(read_regular(root, &path("link"), 100)));
    fixture.check_outside();

    // The same paths without the link do work.
    create_directory(root, &path("sub/new"), 0o757).unwrap();
    assert_eq!(fs::metadata(fixture.at("sub/new")).unwrap().permissions().mode() & 0o7777, 0o757);
    set_metadata(root, &path("sub/new"), 0o700, NOW).unwrap();
    assert_eq!(fs::metadata(fixture.at("sub/new")).unwrap().mtime(), NOW.secs);
    assert_eq!(read_regular(root, &path("file"), 100).unwrap(), b"old");
}

#[test]
#[cfg(target_os = "linux")]
fn nothing_is_written_into_another_file_system() {
    let root = File::open("/").unwrap();
    assert!(is_indirect(create_directory(&root, &path("proc/handoff"), 0o755)));
    assert!(is_indirect(replace_file(&root, &path("proc/handoff"), 0o644, NOW, &mut &b""[..])));
    // To look is allowed: a user's tree may hold mounts.
    assert!(lstat(&root, &path("proc/version")).unwrap().is_some());
}

#[test]
fn removing_takes_files_links_and_empty_directories() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    remove_file(root, &path("link")).unwrap();
    remove_file(root, &path("file")).unwrap();
    assert!(remove_file(root, &path("file")).unwrap_err().is_not_found());
    assert!(remove_file(root, &path("sub")).is_err());
    fs::write(fixture.at("sub/file"), "").unwrap();
    assert!(!remove_dir_if_empty(root, &path("sub")).unwrap());
    remove_file(root, &path("sub/file")).unwrap();
    assert!(remove_dir_if_empty(root, &path("sub")).unwrap());
    // Not even an "empty" link to a directory.
    assert!(remove_dir_if_empty(root, &path("leaving")).is_err());
    fixture.check_outside();
}

#[test]
fn a_failed_replacement_leaves_everything_as_it_was() {
    struct Failing;
    impl std::io::Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("chunk missing"))
        }
    }
    let fixture = Fixture::new();
    let before = fs::read_dir(fixture.at("")).unwrap().count();
    assert!(replace_file(&fixture.root, &path("file"), 0o644, NOW, &mut Failing).is_err());
    assert!(replace_file(&fixture.root, &path("sub"), 0o644, NOW, &mut &b"x"[..]).is_err());
    assert!(replace_symlink(&fixture.root, &path("sub"), b"x", NOW).is_err());
    assert_eq!(fs::read_to_string(fixture.at("file")).unwrap(), "old");
    assert_eq!(fs::read_dir(fixture.at("")).unwrap().count(), before);
}

#[test]
fn only_regular_files_are_read_and_only_so_far() {
    let fixture = Fixture::new();
    let root = &fixture.root;
    rustix::fs::mknodat(
        root,
        "fifo",
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let _listener = UnixListener::bind(fixture.at("socket")).unwrap();
    for name in ["fifo", "socket", "sub"] {
        let refused = read_regular(root, &path(name), 100);
        assert!(matches!(refused, Err(FileError::NotRegular { .. })), "{name}: {refused:?}");
    }
    assert_eq!(read_regular(root, &path("file"), 3).unwrap(), b"old");
    let refused = read_regular(root, &path("file"), 2);
    assert!(matches!(refused, Err(FileError::TooLarge { max: 2, .. })), "{refused:?}");
    assert!(read_regular(root, &path("missing"), 2).unwrap_err().is_not_found());
    assert_eq!(open_regular(root, &path("file")).unwrap().1.size, 3);
}

#[test]
fn looking_tells_what_is_there() {
    let fixture = Fixture::new();
    let kind = |name: &str| lstat(&fixture.root, &path(name)).unwrap().map(|meta| meta.kind);
    assert_eq!(kind("file"), Some(MetaKind::File));
    assert_eq!(kind("sub"), Some(MetaKind::Directory));
    assert_eq!(kind("link"), Some(MetaKind::Symlink));
    assert_eq!(kind("missing"), None);
    assert_eq!(kind("missing/too"), None);
    assert_eq!(kind("file/below"), None);
}
