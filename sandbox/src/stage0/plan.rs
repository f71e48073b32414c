//! Decides what goes where on the stage, and in which order. Pure.

use std::path::{Path, PathBuf};

use super::arguments::SCRATCHES;
use crate::spec::{Account, Limits, Spec, enclosing};

/// A directory of limited size that starts empty and ends with the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scratch {
    pub(super) target: PathBuf,
    pub(super) mode: u32,
    pub(super) bytes: u64,
}

/// Directories that every program expects to be able to write.
const SHARED_SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];

/// Names the link that `/var/tmp` is when nothing is mounted below it.
const VAR_TMP: &str = "/var/tmp";

/// Returns where the mounts and overlays of a policy appear.
pub(super) fn targets(spec: &Spec) -> Vec<&Path> {
    let mounts = spec.mounts.iter().map(|mount| mount.target.as_path());
    mounts.chain(spec.overlays.iter().map(|overlay| overlay.target.as_path())).collect()
}

/// Returns every directory that a run with this policy may write, and what of the mounts is a file.
/// Read-only mounts can be inside.
pub(crate) fn writable(spec: &Spec) -> Vec<PathBuf> {
    let mounts = spec.mounts.iter().map(|mount| (mount.access, &mount.target));
    let overlays = spec.overlays.iter().map(|overlay| (overlay.access, &overlay.target));
    let shown = mounts.chain(overlays).filter(|(access, _)| access.is_writable());
    let scratches = scratches(&targets(spec), &spec.account, &spec.limits);
    let made = scratches.into_iter().map(|scratch| scratch.target);
    let own = SCRATCHES.iter().map(PathBuf::from);
    shown.map(|(_, target)| target.clone()).chain(made).chain(own).collect()
}

/// Returns the scratch directories that a run with these mounts needs.
pub(super) fn scratches(targets: &[&Path], account: &Account, limits: &Limits) -> Vec<Scratch> {
    let covered = |path: &Path| enclosing(targets.iter().copied(), path).is_some();
    let mut scratches: Vec<Scratch> = SHARED_SCRATCH
        .iter()
        .map(|path| Scratch { target: path.into(), mode: 0o1777, bytes: limits.tmp_bytes })
        .filter(|scratch| !covered(&scratch.target))
        .filter(|scratch| scratch.target != Path::new(VAR_TMP) || below_var_tmp(targets))
        .collect();
    let in_scratch = |scratch: &Scratch| account.home.starts_with(&scratch.target);
    if !covered(&account.home) && !scratches.iter().any(in_scratch) {
        scratches.push(Scratch {
            target: account.home.clone(),
            mode: 0o700,
            bytes: limits.tmp_bytes,
        });
    }
    scratches
}

/// Tells whether `/var/tmp` can be a link to `/tmp`.
pub(super) fn links_var_tmp(targets: &[&Path]) -> bool {
    !below_var_tmp(targets) && enclosing(targets.iter().copied(), Path::new(VAR_TMP)).is_none()
}

fn below_var_tmp(targets: &[&Path]) -> bool {
    targets.iter().any(|target| target.starts_with(VAR_TMP))
}

/// Sorts so that whatever is mounted on comes before what is mounted in it.
pub(super) fn outer_first<T>(nodes: &mut [T], target: impl Fn(&T) -> &Path) {
    nodes.sort_by_key(|node| target(node).components().count());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(home: &str, targets: &[&str], expected: &[&str]) {
        let account = Account { uid: 1, gid: 1, user: "a".into(), home: home.into() };
        let targets: Vec<&Path> = targets.iter().map(Path::new).collect();
        let scratches = scratches(&targets, &account, &Limits::default());
        let found: Vec<&Path> = scratches.iter().map(|s| s.target.as_path()).collect();
        let expected: Vec<&Path> = expected.iter().map(Path::new).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn tmp_is_scratch_unless_it_is_itself_mounted() {
        check("/home/a", &["/home/a"], &["/tmp"]);
        check("/home/a", &["/home/a", "/tmp/x/ws"], &["/tmp"]);
        check("/home/a", &["/home/a", "/tmp"], &[]);
    }

    #[test]
    fn a_home_that_nothing_covers_is_scratch() {
        check("/home/a", &[], &["/tmp", "/home/a"]);
        check("/home/a", &["/home"], &["/tmp"]);
        check("/tmp/a", &[], &["/tmp"]);
    }

    #[test]
    fn var_tmp_is_real_only_if_something_is_mounted_in_it() {
        check("/home/a", &["/home/a", "/var/tmp/ws"], &["/tmp", "/var/tmp"]);
        check("/home/a", &["/home/a", "/var"], &["/tmp"]);
        assert!(links_var_tmp(&[Path::new("/var/www")]));
        assert!(!links_var_tmp(&[Path::new("/var/tmp/ws")]));
        assert!(!links_var_tmp(&[Path::new("/var")]));
    }

    #[test]
    fn outer_directories_come_first() {
        let mut nodes = [Path::new("/a/b/c"), Path::new("/x/y"), Path::new("/a")];
        outer_first(&mut nodes, |node| node);
        assert_eq!(nodes, ["/a", "/x/y", "/a/b/c"].map(Path::new));
    }
}
