//! The part of the version 2 tree that the service manager gave to an ordinary user's daemon
//! (`Delegate=yes` in its unit).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::ROUNDS_MAX;

/// By which systemd (251 and newer) marks what it has delegated; see `CONTROL_GROUP_INTERFACE` in
/// its documentation. What merely belongs to the user can hold other programs of the user's.
const MARK: &str = "user.delegate";

/// Where the daemon's own processes go: a group has either processes or groups with limits in it.
const DAEMON: &str = "handoffd";

/// Finds the delegated group around this process, given what `/proc/self/cgroup` says.
pub(super) fn find(root: &Path, own: &str, uid: u32) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let names = Path::new(own).components();
    // A path that begins with `..` is outside of what this process sees of the tree.
    if !names.clone().all(|name| matches!(name, Component::Normal(_))) {
        return None;
    }
    let around = Path::new(own).ancestors().map(|group| root.join(group));
    around.take_while(|group| group != root).find(|group| is_delegated(group, uid))
}

fn is_delegated(group: &Path, uid: u32) -> bool {
    let mut mark = [0; 8];
    let marked = rustix::fs::getxattr(group, MARK, &mut mark)
        .is_ok_and(|length| mark.get(..length) == Some(b"1".as_slice()));
    marked && fs::metadata(group).is_ok_and(|metadata| metadata.uid() == uid)
}

/// Moves every process of the group itself into a group below it.
pub(super) fn vacate(group: &Path) -> io::Result<()> {
    let ours = group.join(DAEMON);
    let mut moved = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let listed = fs::read_to_string(group.join("cgroup.procs"))?;
        let new: Vec<&str> = listed.lines().filter(|pid| moved.insert((*pid).to_owned())).collect();
        if new.is_empty() {
            return Ok(());
        }
        super::make(&ours)?;
        for pid in new {
            match super::set(&ours.join("cgroup.procs"), pid) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other?,
            }
        }
    }
    Err(io::Error::other(format!("processes in {} multiply", group.display())))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    /// A tree as the service manager makes it, as far as files on disk can be one.
    fn tree() -> (tempfile::TempDir, u32) {
        let root = tempfile::tempdir().expect("temporary directory");
        let service = root.path().join("system.slice/handoffd.service");
        fs::create_dir_all(service.join(DAEMON)).expect("mkdir");
        for group in [&service, &service.join(DAEMON)] {
            fs::write(group.join("cgroup.procs"), "").expect("write");
        }
        (root, rustix::process::geteuid().as_raw())
    }

    fn mark(group: &Path) {
        setxattr(group, MARK, b"1", XattrFlags::empty()).expect("mark it");
    }

    #[test]
    fn only_what_is_marked_and_ones_own_counts_as_delegated() {
        let (root, uid) = tree();
        let service = root.path().join("system.slice/handoffd.service");
        let find = |own: &str, uid| find(root.path(), own, uid);
        let own = "3:memory:/x\n0::/system.slice/handoffd.service\n";
        assert_eq!(find(own, uid), None, "not marked");
        mark(&service);
        assert_eq!(find(own, uid), Some(service.clone()));
        assert_eq!(find(own, uid + 1), None, "somebody else's");
        let below = "0::/system.slice/handoffd.service/handoffd\n";
        assert_eq!(find(below, uid), Some(service));
        for elsewhere in ["0::/system.slice\n", "0::/\n", "0::/../x\n", "3:memory:/x\n", ""] {
            assert_eq!(find(elsewhere, uid), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_mark_on_the_whole_tree_is_not_taken_for_the_daemons() {
        let (root, uid) = tree();
        mark(root.path());
        assert_eq!(find(root.path(), "0::/system.slice\n", uid), None);
    }

    #[test]
    fn processes_are_moved_out_of_the_way() {
        let (root, _) = tree();
        let service = root.path().join("system.slice/handoffd.service");
        fs::write(service.join("cgroup.procs"), "41\n42\n").expect("write");
        vacate(&service).expect("vacate");
        // The kernel's file moves what is written to it; this one shows the last of it.
        let moved = fs::read_to_string(service.join(DAEMON).join("cgroup.procs")).expect("read");
        assert_eq!(moved, "42");
    }

    #[test]
    fn a_group_that_cannot_be_vacated_is_an_error() {
        let (root, _) = tree();
        let service = root.path().join("system.slice/handoffd.service");
        fs::write(service.join("cgroup.procs"), "41\n").expect("write");
        fs::remove_file(service.join(DAEMON).join("cgroup.procs")).expect("remove");
        vacate(&service).expect_err("there is no door");
    }
}
