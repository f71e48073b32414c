//! Small files and names of a git directory, read with a limit and never through a link.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use handoff_proto::manifest::Oid;
use handoff_proto::path::TreePath;
use handoff_proto::tree::{self, FileError, Meta, MetaKind};
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2};

use super::{GitDirectory, GitError};

impl GitDirectory<'_> {
    /// Whether git would take it for a git directory at all.
    pub(in super::super) fn is_repository(&self) -> Result<bool, FileError> {
        let objects = self.lstat(b"objects")?.map(|meta| meta.kind);
        Ok(self.lstat(b"HEAD")?.is_some() && objects == Some(MetaKind::Directory))
    }

    /// The path of something in the git directory, relative to the root of the tree.
    pub(super) fn join(&self, name: &[u8]) -> Result<TreePath, GitError> {
        self.path
            .join(name)
            .map_err(|_| GitError::Odd { path: self.path.to_string(), problem: "lies too deep" })
    }

    /// Reads a file; `None` if there is none.
    pub(super) fn read(&self, name: &[u8], max: u64) -> Result<Option<Vec<u8>>, GitError> {
        match tree::read_regular(self.root, &self.join(name)?, max) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in a directory beneath the git directory and what they are.
    pub(super) fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, MetaKind)>, GitError> {
        let listed = || -> io::Result<Vec<(Vec<u8>, MetaKind)>> {
            let mut names = Vec::new();
            for entry in Dir::read_from(open_directory(self.root, path)?)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let child = path.join(name).map_err(io::Error::other)?;
                if let Some(meta) = tree::lstat(self.root, &child).map_err(io::Error::other)? {
                    names.push((name.to_vec(), meta.kind));
                }
            }
            Ok(names)
        };
        listed().map_err(|source| GitError::List { path: path.to_string(), source })
    }

    /// What is in the git directory under this name.
    pub(super) fn lstat(&self, name: &[u8]) -> Result<Option<Meta>, FileError> {
        match self.path.join(name) {
            Ok(path) => tree::lstat(self.root, &path),
            Err(_) => Ok(None),
        }
    }

    /// An object id at the beginning of a line, followed by white space or nothing, as git reads it.
    pub(super) fn leading_oid(&self, line: &[u8]) -> Option<Oid> {
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let oid = Oid::parse(&line[..end].to_ascii_lowercase()).ok()?;
        (oid.format() == self.format).then_some(oid)
    }

    /// The object ids of a file with one on each line.
    pub(super) fn oids(&self, content: &[u8]) -> Option<Vec<Oid>> {
        let lines = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| self.leading_oid(line)).collect()
    }

    pub(super) fn odd(&self, name: &[u8], problem: &'static str) -> GitError {
        let path = self.path.join(name).map_or_else(|_| self.path.to_string(), |p| p.to_string());
        GitError::Odd { path, problem }
    }
}

/// Opens a directory of the tree to which no link leads.
fn open_directory(root: BorrowedFd<'_>, path: &TreePath) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(root, path.as_os_path(), flags, Mode::empty(), resolve)?)
}
