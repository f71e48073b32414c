//! The way without `openat2`, which the tests' own system would never take.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fd::AsFd as _;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{Mounts, open_stepwise};

#[test]
fn opening_step_by_step_refuses_links_just_the_same() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("a/b")).unwrap();
    fs::write(directory.path().join("a/b/file"), "content").unwrap();
    symlink("a", directory.path().join("link")).unwrap();
    symlink("file", directory.path().join("a/b/link")).unwrap();
    let root = fs::File::open(directory.path()).unwrap();
    let open = |path: &str| {
        let flags = if path.ends_with('/') { OFlags::DIRECTORY } else { OFlags::RDONLY };
        let path = path.trim_end_matches('/');
        open_stepwise(root.as_fd(), path.as_bytes(), flags, Mode::empty(), Mounts::Refused)
            .map(|_| ())
    };

    assert_eq!(open("a/b/file"), Ok(()));
    assert_eq!(open("a"), Ok(()));
    assert_eq!(open("link/b/file"), Err(Errno::LOOP));
    assert_eq!(open("a/b/link"), Err(Errno::LOOP));
    assert_eq!(open("link"), Err(Errno::LOOP));
    assert_eq!(open("link/"), Err(Errno::LOOP));
    assert_eq!(open("a/"), Ok(()));
    assert_eq!(open("a/b/file/"), Err(Errno::NOTDIR));
    assert_eq!(open("a/b/file/below"), Err(Errno::NOTDIR));
    assert_eq!(open("missing/file"), Err(Errno::NOENT));
}
