//! Goes through the directories of a tree one by one and decides what each holds.

use std::collections::HashMap;

use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::fstat;

use crate::path::{TreePath, is_git_spelling};
use crate::tree::error::{AtPath as _, FileError, RefusalReason, WalkError};
use crate::tree::git_directory::is_transient;
use crate::tree::globs::Globs;
use crate::tree::meta::{Meta, MetaKind};
use crate::tree::pattern::Shape;

use super::directory::{Child, Directory};
use super::listing::{Listing, entry};
use super::visit::{Manner, Visit};
use super::{
    GitDirectories, LeftOutReason, Origin, TrackedResult, Walk, WalkKind, WalkOptions,
    WalkRepository,
};

pub(super) fn list_tree(
    root: BorrowedFd<'_>,
    options: &WalkOptions,
    tracked: &mut dyn FnMut(&WalkRepository) -> TrackedResult,
) -> Result<Walk, WalkError> {
    let meta = Meta::from_stat(&fstat(root).at("look at", None)?);
    let mut lister = Lister::new(root, options, tracked);
    lister.run(Visit::root(Manner::ByRules))?;
    lister.listing.finish(meta)
}

pub(super) fn list_git_directory(
    git_directory: BorrowedFd<'_>,
    at: &TreePath,
) -> Result<Walk, WalkError> {
    let meta = Meta::from_stat(&fstat(git_directory).at("look at", None)?);
    let options = WalkOptions::default();
    let mut untracked = |_: &WalkRepository| Ok(None);
    let mut lister = Lister::new(git_directory, &options, &mut untracked);
    lister.run(Visit::root(Manner::GitDirectory))?;
    lister.listing.move_below(at);
    let itself = entry(at.clone(), WalkKind::Directory, &meta, Origin::Git);
    lister.listing.carry(itself, &meta);
    lister.listing.finish(meta)
}

/// Something that may be carried, and where it was found.
struct Candidate<'a> {
    directory: &'a Directory,
    visit: &'a Visit,
    child: &'a Child,
    path: TreePath,
}

impl Candidate<'_> {
    fn shape(&self) -> Shape {
        self.child.shape()
    }

    fn is_tracked(&self) -> bool {
        self.visit.tracks(&self.path)
    }

    /// The rule that ignores it, if one does.
    fn ignored(&self) -> Option<LeftOutReason> {
        self.visit.ignored(&self.path, self.shape())
    }

    fn look(&self) -> Result<Option<Meta>, FileError> {
        self.directory.look_at(self.child, &self.path)
    }
}

/// A walk under way.
pub(super) struct Lister<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) options: &'a WalkOptions,
    pub(super) tracked: &'a mut dyn FnMut(&WalkRepository) -> TrackedResult,
    include: Globs,
    exclude: Globs,
    pub(super) listing: Listing,
    to_visit: Vec<Visit>,
    /// Ignored directories that are carried as soon as anything in them is.
    ignored_directories: HashMap<TreePath, Meta>,
}

impl<'a> Lister<'a> {
    fn new(
        root: BorrowedFd<'a>,
        options: &'a WalkOptions,
        tracked: &'a mut dyn FnMut(&WalkRepository) -> TrackedResult,
    ) -> Self {
        Self {
            root,
            options,
            tracked,
            include: Globs::new(&options.include),
            exclude: Globs::new(&options.exclude),
            listing: Listing::default(),
            to_visit: Vec::new(),
            ignored_directories: HashMap::new(),
        }
    }

    fn run(&mut self, first: Visit) -> Result<(), WalkError> {
        self.to_visit.push(first);
        while let Some(visit) = self.to_visit.pop() {
            self.visit(visit)?;
        }
        Ok(())
    }

    fn visit(&mut self, mut visit: Visit) -> Result<(), WalkError> {
        let Some(directory) = self.read_directory(&visit)? else {
            return Ok(());
        };
        if matches!(visit.manner, Manner::ByRules | Manner::Included) {
            self.enter_repository(&directory, &mut visit)?;
            self.add_rules(&directory, &mut visit)?;
        }
        for child in &directory.children {
            match TreePath::child(visit.path.as_ref(), &child.name) {
                Ok(path) => {
                    let (directory, visit) = (&directory, &visit);
                    self.judge(Candidate { directory, visit, child, path })?;
                }
                Err(_) if visit.manner == Manner::Ignored => {}
                Err(error) => {
                    self.listing.refuse_name(visit.path.as_ref(), &child.name, error);
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        if candidate.visit.manner == Manner::GitDirectory {
            self.in_git_directory(candidate)
        } else if &*candidate.child.name == b".git" {
            self.git_itself(candidate)
        } else if let Some(reason) = self.kept_out(&candidate) {
            // What lies in a directory that is left out is not listed again.
            if candidate.visit.manner != Manner::Ignored {
                self.leave_out(candidate, reason);
            }
            Ok(())
        } else {
            match candidate.shape() {
                Shape::Directory => self.directory(candidate),
                Shape::Other => self.file(candidate),
            }
        }
    }

    /// What counts more than being tracked.
    fn kept_out(&self, candidate: &Candidate<'_>) -> Option<LeftOutReason> {
        if self.options.git == GitDirectories::Skip && is_git_spelling(&candidate.child.name) {
            return Some(LeftOutReason::GitSpelling);
        }
        let excluded = self.exclude.matches(candidate.path.as_bytes(), candidate.shape());
        excluded.then_some(LeftOutReason::Excluded)
    }

    fn leave_out(&mut self, candidate: Candidate<'_>, reason: LeftOutReason) {
        let is_directory = candidate.shape() == Shape::Directory;
        self.listing.leave_out(candidate.path, reason, is_directory);
    }

    /// A directory outside git directories.
    fn directory(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        if self.is_included(&candidate) {
            return self.carry_directory(candidate, Manner::Included);
        }
        // What is tracked by itself is a submodule.
        if candidate.is_tracked() {
            return self.carry_directory(candidate, Manner::ByRules);
        }
        match (candidate.visit.manner, candidate.ignored()) {
            (Manner::Ignored, _) => {}
            (_, None) => return self.carry_directory(candidate, Manner::ByRules),
            (_, Some(reason)) => self.listing.leave_out(candidate.path.clone(), reason, true),
        }
        self.search_ignored(candidate)
    }

    /// Looks into an ignored directory if something in it may be carried nevertheless.
    fn search_ignored(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let path = &candidate.path;
        let may_hold =
            candidate.visit.tracks_below(path) || self.include.may_match_below(path.as_bytes());
        if may_hold && let Some(meta) = candidate.look()? {
            self.ignored_directories.insert(path.clone(), meta);
            self.to_visit.push(candidate.visit.below(candidate.path, Manner::Ignored));
        }
        Ok(())
    }

    fn carry_directory(
        &mut self,
        candidate: Candidate<'_>,
        manner: Manner,
    ) -> Result<(), WalkError> {
        let tracked = candidate.is_tracked() || candidate.visit.tracks_below(&candidate.path);
        let origin = match (manner, tracked) {
            (Manner::GitDirectory, _) => Origin::Git,
            (_, true) => Origin::Tracked,
            (Manner::Included, false) => Origin::Included,
            (Manner::ByRules | Manner::Ignored, false) => Origin::Untracked,
        };
        if self.carry(&candidate, origin)? {
            self.to_visit.push(candidate.visit.below(candidate.path, manner));
        }
        Ok(())
    }

    /// Anything but a directory outside git directories.
    fn file(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let origin = if candidate.is_tracked() {
            Origin::Tracked
        } else if self.is_included(&candidate) {
            Origin::Included
        } else if candidate.visit.manner == Manner::Ignored {
            return Ok(());
        } else if let Some(reason) = candidate.ignored() {
            self.leave_out(candidate, reason);
            return Ok(());
        } else {
            Origin::Untracked
        };
        self.carry(&candidate, origin).map(|_| ())
    }

    fn is_included(&self, candidate: &Candidate<'_>) -> bool {
        candidate.visit.manner == Manner::Included
            || self.include.matches(candidate.path.as_bytes(), candidate.shape())
    }

    /// A thing called `.git`, whether or not it makes a repository.
    fn git_itself(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let carried = self.options.git == GitDirectories::Carry;
        if !carried || candidate.visit.manner == Manner::Ignored {
            return Ok(());
        }
        match candidate.shape() {
            Shape::Directory => self.carry_directory(candidate, Manner::GitDirectory),
            Shape::Other => self.carry(&candidate, Origin::Git).map(|_| ()),
        }
    }

    fn in_git_directory(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let is_directory = candidate.shape() == Shape::Directory;
        if is_transient(&candidate.child.name, is_directory) {
            self.leave_out(candidate, LeftOutReason::GitTransient);
        } else if candidate.child.kind == MetaKind::Socket {
            self.leave_out(candidate, LeftOutReason::GitSocket);
        } else if is_directory {
            self.carry_directory(candidate, Manner::GitDirectory)?;
        } else {
            self.carry(&candidate, Origin::Git)?;
        }
        Ok(())
    }

    /// Carries one thing, after the ignored directories that it lies in; `false` if it cannot be
    /// carried or is gone.
    fn carry(&mut self, candidate: &Candidate<'_>, origin: Origin) -> Result<bool, WalkError> {
        let Some(meta) = candidate.look()? else {
            return Ok(false);
        };
        let path = &candidate.path;
        let kind = match candidate.directory.kind(candidate.child, path, &meta)? {
            Ok(kind) => kind,
            Err(reason) => {
                self.listing.refuse(path, reason);
                return Ok(false);
            }
        };
        self.carry_ignored_parents(path, origin);
        self.listing.carry(entry(path.clone(), kind, &meta, origin), &meta);
        Ok(true)
    }

    fn carry_ignored_parents(&mut self, path: &TreePath, origin: Origin) {
        if self.ignored_directories.is_empty() {
            return;
        }
        let mut parent = path.parent();
        while let Some(path) = parent {
            let Some(meta) = self.ignored_directories.remove(&path) else {
                return;
            };
            parent = path.parent();
            self.listing.carry(entry(path, WalkKind::Directory, &meta, origin), &meta);
        }
    }

    /// Reads a directory's names; `None` if it is gone or may not be read.
    fn read_directory(&mut self, visit: &Visit) -> Result<Option<Directory>, WalkError> {
        use rustix::io::Errno;
        let path = visit.path.as_ref();
        match Directory::read(self.root.as_fd(), path) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if visit.manner == Manner::Ignored => Ok(None),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => match path {
                Some(path) => {
                    self.listing.refuse(path, RefusalReason::Unreadable);
                    Ok(None)
                }
                None => Err(errno).at("read the directory", None)?,
            },
            Err(errno) => Err(errno).at("read the directory", path)?,
        }
    }
}
