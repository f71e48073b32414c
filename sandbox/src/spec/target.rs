//! Where in the jail something may be mounted, decided by name alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use crate::report::{Refusal, Step};

/// Top-level directories that the jail makes itself. Names beginning with `lib` are reserved too.
const RESERVED: [&str; 9] = ["usr", "bin", "sbin", "etc", "proc", "dev", "sys", "run", "boot"];

/// The top-level directory that holds our own executable.
const OURS: &str = "handoff";

/// Checks that something may appear at a path of the jail.
pub(crate) fn check(target: &Path) -> Result<(), Refusal> {
    let refuse = |why: &str| {
        Err(Refusal::new(Step::Target, format!("{} cannot be used: {why}", target.display())))
    };
    if !is_plain(target) {
        return refuse("it is not an absolute path without . and ..");
    }
    let Some(top) = top(target) else {
        return refuse("it is the root");
    };
    if is_reserved(top) {
        return refuse(&format!("/{} belongs to the sandbox", Path::new(top).display()));
    }
    Ok(())
}

/// Returns the first component below the root.
fn top(target: &Path) -> Option<&OsStr> {
    match target.components().nth(1) {
        Some(Component::Normal(top)) => Some(top),
        _ => None,
    }
}

/// Tells whether a path is absolute and written in the one way that its components give.
pub(super) fn is_plain(path: &Path) -> bool {
    let rebuilt: std::path::PathBuf = path.components().collect();
    path.is_absolute()
        && rebuilt.as_os_str() == path.as_os_str()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && !path.as_os_str().as_bytes().contains(&0)
}

/// Returns the longest of `paths` that is `target` or above it.
pub(crate) fn enclosing<'a>(
    paths: impl IntoIterator<Item = &'a Path>,
    target: &Path,
) -> Option<&'a Path> {
    paths
        .into_iter()
        .filter(|path| target.starts_with(path))
        .max_by_key(|path| path.components().count())
}

fn is_reserved(top: &OsStr) -> bool {
    top.as_bytes().starts_with(b"lib") || top == OURS || RESERVED.iter().any(|name| top == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_top_level_but_the_reserved_ones_may_be_used() {
        for target in
            ["/home/alice/src", "/root", "/tmp/x/y", "/Users/al", "/opt/t", "/builds", "/library2"]
                .iter()
                .filter(|target| !target.starts_with("/lib"))
        {
            check(Path::new(target)).expect(target);
        }
        for target in
            ["/usr/local/x", "/etc", "/lib64/x", "/libexec", "/proc/1", "/handoff/x", "/run/u"]
        {
            let refusal = check(Path::new(target)).expect_err(target);
            assert_eq!(refusal.step, Step::Target);
            assert!(refusal.detail.contains("belongs to the sandbox"), "{refusal}");
        }
    }

    #[test]
    fn paths_that_are_not_plain_are_refused() {
        for target in
            ["", "/", "home/x", "/home/../etc", "/home/./x", "/home//x", "/home/x/", "/a\0b"]
        {
            let refusal = check(Path::new(target)).expect_err(target);
            assert_eq!(refusal.step, Step::Target);
        }
    }

    #[test]
    fn the_innermost_enclosing_path_counts() {
        let paths = ["/home", "/home/alice", "/home/al"].map(Path::new);
        assert_eq!(enclosing(paths, Path::new("/home/alice/x")), Some(paths[1]));
        assert_eq!(enclosing(paths, Path::new("/home/alicex")), Some(paths[0]));
        assert_eq!(enclosing(paths, Path::new("/opt")), None);
    }
}
