//! One directory of the tree while it is open: its names, its rules, its repository.

use std::sync::PoisonError;

use rustix::fd::BorrowedFd;
use rustix::fs::{Access, AtFlags, Dir, FileType, accessat, fstat, readlinkat, statat};
use rustix::io::Errno;

use crate::path::TreePath;
use crate::tree::beneath::{self, Mounts};
use crate::tree::error::{AtPath as _, FileError, RefusalReason, WalkError};
use crate::tree::git_directory::{GIT_FILE_MAX, git_file_target, pointed_to};
use crate::tree::ignore_rules::IgnoreRules;
use crate::tree::meta::{Meta, MetaKind};
use crate::tree::pattern::{Patterns, Shape};
use crate::tree::read::read_regular;
use crate::tree::tracked::{Case, Tracked};

use super::lister::Lister;
use super::names::{KnownNames, Name, Names, WalkDirectory};
use super::visit::{Inside, Visit};
use super::{GitLocation, WalkKind, WalkRepository};

/// The longest ignore file that is read, in bytes; the longest in public use have some hundred KB.
const IGNORE_FILE_MAX: u64 = 4 * 1024 * 1024;

/// A directory that is open.
pub(super) struct Directory {
    /// Kept for its descriptor once it has been read.
    dir: Dir,
    /// What it was before its names were read, where callers remember names.
    meta: Option<Meta>,
    names: Names,
    were_known: bool,
}

impl Name {
    pub(super) fn shape(&self) -> Shape {
        if self.kind == MetaKind::Directory { Shape::Directory } else { Shape::Other }
    }

    pub(super) fn is_socket(&self) -> bool {
        self.kind == MetaKind::Socket
    }
}

impl Directory {
    /// Opens a directory beneath the root and finds out all names in it.
    pub(super) fn read(
        root: BorrowedFd<'_>,
        path: Option<&TreePath>,
        known: Option<&dyn KnownNames>,
    ) -> rustix::io::Result<Self> {
        let mut dir = Dir::new(beneath::open_directory(root, path, Mounts::Crossed)?)?;
        let Some(known) = known else {
            let names = read_names(&mut dir)?;
            return Ok(Self { dir, meta: None, names, were_known: false });
        };
        let meta = Meta::from_stat(&fstat(dir.fd()?)?);
        let remembered = known.names(path, &meta).and_then(Names::decode);
        let were_known = remembered.is_some();
        let names = match remembered {
            Some(names) => names,
            None => read_names(&mut dir)?,
        };
        Ok(Self { dir, meta: Some(meta), names, were_known })
    }

    /// What is worth remembering of the directory at this path.
    pub(super) fn remember(self, path: Option<TreePath>) -> Option<WalkDirectory> {
        let Self { meta, names, were_known, .. } = self;
        Some(WalkDirectory { path, meta: meta?, names: (!were_known).then_some(names) })
    }

    fn fd(&self) -> rustix::io::Result<BorrowedFd<'_>> {
        self.dir.fd()
    }

    /// What it holds, sorted by name.
    pub(super) fn children(&self) -> impl Iterator<Item = (&[u8], &Name)> {
        self.names.iter()
    }

    /// The one look at a carried file; `None` if it is gone, which only names that were read just
    /// now may be: a known one that is not there makes all known ones doubtful.
    pub(super) fn look_at(&self, name: &[u8], path: &TreePath) -> Result<Option<Meta>, FileError> {
        let found = self.fd().and_then(|fd| statat(fd, name, AtFlags::SYMLINK_NOFOLLOW));
        match found {
            Ok(stat) => Ok(Some(Meta::from_stat(&stat))),
            Err(Errno::NOENT) if self.were_known => {
                Err(FileError::Changed { path: path.to_string() })
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).at("look at", Some(path)),
        }
    }

    /// What a carried thing is, or why it cannot be carried.
    pub(super) fn kind(
        &self,
        child: &Name,
        name: &[u8],
        path: &TreePath,
        meta: &Meta,
    ) -> Result<Result<WalkKind, RefusalReason>, FileError> {
        // Rules may speak differently about what it is now.
        if (meta.kind == MetaKind::Directory) != (child.kind == MetaKind::Directory) {
            let path = path.to_string();
            return Err(FileError::Changed { path });
        }
        Ok(match meta.kind {
            MetaKind::File if !self.is_readable(name, meta) => Err(RefusalReason::Unreadable),
            MetaKind::File => Ok(WalkKind::File { size: meta.size }),
            MetaKind::Directory => Ok(WalkKind::Directory),
            MetaKind::Symlink => Ok(WalkKind::Symlink {
                target: self
                    .fd()
                    .and_then(|fd| readlinkat(fd, name, Vec::new()))
                    .at("read the link", Some(path))?
                    .into_bytes(),
            }),
            MetaKind::Socket => Err(RefusalReason::Socket),
            MetaKind::Fifo => Err(RefusalReason::Fifo),
            MetaKind::Device => Err(RefusalReason::Device),
        })
    }

    /// Asks the system only where the permission bits leave a doubt.
    fn is_readable(&self, name: &[u8], meta: &Meta) -> bool {
        const READABLE_BY_ALL: u32 = 0o444;
        meta.mode & READABLE_BY_ALL == READABLE_BY_ALL
            || self
                .fd()
                .and_then(|fd| accessat(fd, name, Access::READ_OK, AtFlags::EACCESS))
                .is_ok()
    }

    /// The rules in an ignore file of this directory.
    fn patterns(&self, name: &[u8], case: Case) -> Result<Option<Patterns>, FileError> {
        if self.names.get(name).is_none() {
            return Ok(None);
        }
        let path = TreePath::child(None, name)
            .map_err(|_| FileError::NotRegular { path: crate::path::escaped(name) })?;
        let fd = self.fd().at("open", Some(&path))?;
        let content = ignore_file(fd, &path)?;
        Ok(content.map(|content| Patterns::parse(&content, case)))
    }
}

/// Reads all names of a directory that was not read before.
fn read_names(dir: &mut Dir) -> rustix::io::Result<Names> {
    let mut names = Names::default();
    while let Some(item) = dir.read() {
        let item = item?;
        let name = item.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match item.file_type() {
            FileType::Unknown => match kind_of(dir.fd()?, name) {
                Err(Errno::NOENT) => continue,
                kind => kind?,
            },
            known => MetaKind::from_file_type(known),
        };
        names.push(name, kind);
    }
    names.sort();
    Ok(names)
}

fn kind_of(fd: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<MetaKind> {
    let stat = statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Meta::from_stat(&stat).kind)
}

/// Reads an ignore file; like git, takes a link, a directory or a missing file for no rules.
fn ignore_file(root: BorrowedFd<'_>, path: &TreePath) -> Result<Option<Vec<u8>>, FileError> {
    match read_regular(root, path, IGNORE_FILE_MAX) {
        Ok(content) => Ok(Some(content)),
        Err(FileError::Indirect { .. } | FileError::NotRegular { .. }) => Ok(None),
        Err(FileError::Io { source, .. })
            if matches!(
                source.kind(),
                std::io::ErrorKind::NotFound
                    | std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Lister<'_, '_> {
    /// Makes the directory a repository's if it holds a `.git` and the caller agrees.
    pub(super) fn enter_repository(
        &self,
        directory: &Directory,
        visit: &mut Visit,
    ) -> Result<Option<WalkRepository>, WalkError> {
        let Some(repository) = self.repository(directory, visit.path.as_ref())? else {
            return Ok(None);
        };
        let answer = {
            let mut tracked = self.tracked.lock().unwrap_or_else(PoisonError::into_inner);
            tracked(&repository)
        };
        let answer = answer.map_err(|source| WalkError::Tracked {
            repository: visit.path.as_ref().map_or_else(|| ".".to_owned(), TreePath::to_string),
            source,
        })?;
        let Some(tracked) = answer else {
            return Ok(None);
        };
        visit.git_rules = self.outer_rules(&repository, &tracked, visit.path_bytes())?;
        visit.repository = Some(Inside::new(tracked));
        Ok(Some(repository))
    }

    /// The repository that a directory's `.git` would make.
    fn repository(
        &self,
        directory: &Directory,
        path: Option<&TreePath>,
    ) -> Result<Option<WalkRepository>, WalkError> {
        let Some(child) = directory.names.get(b".git") else {
            return Ok(None);
        };
        let Ok(git_path) = TreePath::child(path, b".git") else {
            return Ok(None);
        };
        let (git, git_dir) = match child.kind {
            MetaKind::Directory => (GitLocation::Directory, Some(git_path)),
            MetaKind::Symlink => (GitLocation::Symlink, None),
            MetaKind::File => {
                let content = read_regular(self.root, &git_path, GIT_FILE_MAX)?;
                if git_file_target(&content).is_none() {
                    return Ok(None);
                }
                (GitLocation::File, pointed_to(&content, path))
            }
            MetaKind::Socket | MetaKind::Fifo | MetaKind::Device => return Ok(None),
        };
        let path = path.cloned();
        Ok(Some(WalkRepository { path, git, git_dir }))
    }

    /// The rules outside the working tree: the user's, then `info/exclude`, which is stronger.
    fn outer_rules(
        &self,
        repository: &WalkRepository,
        tracked: &Tracked,
        base: &[u8],
    ) -> Result<IgnoreRules, WalkError> {
        let user = Patterns::parse(&self.options.excludes_file, tracked.case);
        let rules = IgnoreRules::default().with(user, base);
        let in_tree = || match &repository.git_dir {
            Some(git_dir) => match git_dir.join(b"info/exclude") {
                Ok(path) => ignore_file(self.root, &path),
                Err(_) => Ok(None),
            },
            None => Ok(None),
        };
        let info_exclude = match &tracked.info_exclude {
            Some(content) => Some(content.clone()),
            None => in_tree()?,
        };
        Ok(match info_exclude {
            Some(content) => rules.with(Patterns::parse(&content, tracked.case), base),
            None => rules,
        })
    }

    /// Adds the rules that a directory's own ignore files hold.
    pub(super) fn add_rules(
        &self,
        directory: &Directory,
        visit: &mut Visit,
    ) -> Result<(), WalkError> {
        if let Some(inside) = &visit.repository
            && let Some(patterns) = directory.patterns(b".gitignore", inside.case)?
        {
            visit.git_rules = visit.git_rules.with(patterns, visit.path_bytes());
        }
        if let Some(patterns) = directory.patterns(b".handoffignore", Case::Sensitive)? {
            visit.handoff_rules = visit.handoff_rules.with(patterns, visit.path_bytes());
        }
        Ok(())
    }
}
