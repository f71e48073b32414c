//! Whether only root decides what is found at a path.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Mode;

/// Checks that nobody but root can put something else in the place of `path`, which has no links
/// in it: every directory above it is root's, and nobody else can rename what is in it.
///
/// # Errors
///
/// Fails with the directory that others can change, or if one cannot be looked at.
pub(super) fn check_above(path: &Path) -> io::Result<()> {
    path.ancestors().skip(1).try_for_each(|directory| check(directory, Mode::SVTX))
}

/// Checks that `path` itself, too, is root's and nobody else can write it.
///
/// # Errors
///
/// Fails with what others can change, or if something cannot be looked at.
pub(super) fn check_all(path: &Path) -> io::Result<()> {
    check_above(path)?;
    check(path, Mode::empty())
}

/// Others may write what bears one of the bits of `unless`.
fn check(path: &Path, unless: Mode) -> io::Result<()> {
    let meta = path.symlink_metadata()?;
    let mode = Mode::from_raw_mode(meta.mode());
    let others_write = mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.intersects(unless);
    if meta.uid() != 0 || meta.is_symlink() || others_write {
        let detail = format!("{} is not for root alone to change", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    /// Needs root, to whom places can belong.
    #[test]
    fn a_place_is_roots_only_if_everything_above_it_is() {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let top = tempfile::tempdir().expect("directory");
        let (above, file) = (top.path().join("above"), top.path().join("above/file"));
        fs::create_dir(&above).expect("directory");
        fs::write(&file, "").expect("file");
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
        };
        mode(&above, 0o755);
        mode(&file, 0o644);
        check_all(&file).expect("root's");
        mode(&above, 0o1777);
        check_all(&file).expect("what is root's cannot be renamed in a sticky directory");
        mode(&above, 0o775);
        check_all(&file).expect_err("a group can rename it");
        mode(&above, 0o755);
        mode(&file, 0o664);
        check_all(&file).expect_err("a group can write it");
        check_above(&file).expect("whoever it belongs to");
        mode(&file, 0o644);
        chown(&above, Some(54_321), None).expect("chown");
        let error = check_above(&file).expect_err("somebody else's").to_string();
        assert!(error.contains("above is not for root alone"), "{error}");
    }
}
