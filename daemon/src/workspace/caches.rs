//! Directories that outlive a run: one per user, root and path.
//!
//! Where runs have host uids of their own, a cache is given to the run that is about to use it: here
//! where the daemon is root, else with the rest of what the run may write, see `given`. Two runs of
//! the same directory at the same time share it; if they have uids of their own, the later one owns
//! it.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use handoff_proto::path::AbsolutePath;
use handoff_sandbox::{Access, Mount};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Uid, chownat, fchown, open, openat};
use rustix::io::Errno;

use super::given;
use super::mounts::mount;
use super::owner::Owner;
use super::terms::Terms;
use crate::store::UserName;

/// Deeper than any cache nests by itself; what is beneath keeps its owner.
const DEPTH_MAX: usize = 128;

/// Makes the caches of a contract and returns their mounts.
///
/// # Errors
///
/// When one cannot be made or given to the run.
pub(super) fn caches(
    directory: &Path,
    user: &UserName,
    terms: &Terms,
    owner: Owner,
) -> io::Result<Vec<Mount>> {
    terms
        .caches
        .iter()
        .map(|path| {
            let source = place(directory, user, &terms.root, path);
            DirBuilder::new().mode(0o700).recursive(true).create(&source)?;
            match owner {
                Owner::Own(uid) if source.metadata()?.uid() != uid.get() => {
                    let uid = uid.get();
                    give_away(&source, Uid::from_raw(uid), Gid::from_raw(uid))?;
                }
                // Some earlier run may have had a uid of its own.
                Owner::Daemon => {
                    given::take(std::slice::from_ref(&source)).map_err(io::Error::other)?;
                }
                Owner::Own(_) | Owner::Given(_) => {}
            }
            Ok(mount(&source, path, Access::ReadWrite))
        })
        .collect()
}

/// Lengths before each part keep different triples from running together.
fn place(directory: &Path, user: &UserName, root: &AbsolutePath, path: &AbsolutePath) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    for part in [user.as_str().as_bytes(), root.as_bytes(), path.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    directory.join(hasher.finalize().to_hex().as_str())
}

/// Changes the owner of everything in a directory, links themselves included.
fn give_away(directory: &Path, uid: Uid, gid: Gid) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = open(directory, flags, Mode::empty())?;
    let mut levels = vec![Dir::new(top)?];
    loop {
        let may_descend = levels.len() < DEPTH_MAX;
        let Some(level) = levels.last_mut() else { return Ok(()) };
        let Some(entry) = level.next() else {
            // The directory itself last: its owner says that all beneath is done.
            fchown(level.fd()?, Some(uid), Some(gid))?;
            levels.pop();
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let child = openat(level.fd()?, name, flags, Mode::empty());
        match child {
            Ok(child) if may_descend => levels.push(Dir::new(child)?),
            Ok(child) => fchown(child, Some(uid), Some(gid))?,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                chownat(level.fd()?, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::terms::tests::contract;

    #[test]
    fn a_cache_is_the_same_for_the_same_user_root_and_path_only() {
        let state = tempfile::tempdir().expect("directory");
        let source = |user: &str, root: &str, cache: &str| {
            let mut contract = contract();
            contract.root = root.into();
            contract.directory = root.into();
            contract.caches = vec![cache.into()];
            let terms = Terms::parse(&contract).expect("terms");
            let user = UserName::parse(user).expect("user");
            let mounts = caches(state.path(), &user, &terms, Owner::Daemon).expect("caches");
            assert!(mounts[0].source.is_dir());
            assert_eq!(mounts[0].target, Path::new(cache));
            mounts[0].source.clone()
        };
        let first = source("ada", "/home/alice/app", "/home/alice/.npm");
        assert_eq!(first, source("ada", "/home/alice/app", "/home/alice/.npm"));
        assert_ne!(first, source("bob", "/home/alice/app", "/home/alice/.npm"));
        assert_ne!(first, source("ada", "/home/alice/app2", "/home/alice/.npm"));
        assert_ne!(first, source("ada", "/home/alice/app", "/home/alice/.m2"));
    }
}
