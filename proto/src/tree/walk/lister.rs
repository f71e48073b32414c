//! Goes through the directories of a tree on several threads and decides what each holds.

use std::sync::Mutex;
use std::thread;

use rustix::fd::{AsFd as _, BorrowedFd};
use rustix::fs::fstat;

use crate::path::{TreePath, is_git_spelling};
use crate::tree::error::{AtPath as _, FileError, RefusalReason, WalkError};
use crate::tree::git_directory::is_transient;
use crate::tree::globs::Globs;
use crate::tree::meta::Meta;
use crate::tree::pattern::Shape;

use super::directory::Directory;
use super::listing::{Carried, Listed, Listing, Whole, entry};
use super::names::Name;
use super::queue::Queue;
use super::visit::{Manner, Visit};
use super::{
    AskTracked, GitDirectories, LeftOutReason, Origin, Walk, WalkKind, WalkOptions, WalkRepository,
};

pub(super) fn list_tree(
    root: BorrowedFd<'_>,
    options: &WalkOptions<'_>,
    tracked: &mut AskTracked<'_>,
) -> Result<Walk, WalkError> {
    let meta = Meta::from_stat(&fstat(root).at("look at", None)?);
    Lister::new(root, options, tracked).run(Visit::root(Manner::ByRules))?.finish(meta)
}

pub(super) fn list_git_directory(
    git_directory: BorrowedFd<'_>,
    at: &TreePath,
) -> Result<Walk, WalkError> {
    let meta = Meta::from_stat(&fstat(git_directory).at("look at", None)?);
    let options = WalkOptions::default();
    let mut untracked = |_: &WalkRepository| Ok(None);
    let lister = Lister::new(git_directory, &options, &mut untracked);
    let mut whole = lister.run(Visit::root(Manner::GitDirectory))?;
    whole.move_below(entry(at.clone(), WalkKind::Directory, &meta, Origin::Git));
    whole.note(at, &meta);
    whole.finish(meta)
}

/// Something that may be carried, and where it was found.
struct Candidate<'a> {
    directory: &'a Directory,
    visit: &'a Visit,
    child: &'a Name,
    name: &'a [u8],
    path: TreePath,
}

impl Candidate<'_> {
    fn shape(&self) -> Shape {
        self.child.shape()
    }

    fn is_tracked(&self) -> bool {
        self.visit.tracks(self.name)
    }

    fn has_tracked(&self) -> bool {
        self.visit.tracks_below(self.name)
    }

    /// The rule that ignores it, if one does.
    fn ignored(&self) -> Option<LeftOutReason> {
        self.visit.ignored(&self.path, self.shape())
    }

    fn look(&self) -> Result<Option<Meta>, FileError> {
        self.directory.look_at(self.name, &self.path)
    }
}

/// A walk under way, shared by its threads.
pub(super) struct Lister<'a, 'b> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) options: &'a WalkOptions<'a>,
    /// One repository at a time is asked about.
    pub(super) tracked: Mutex<&'a mut AskTracked<'b>>,
    include: Globs,
    exclude: Globs,
}

impl<'a, 'b> Lister<'a, 'b> {
    fn new(
        root: BorrowedFd<'a>,
        options: &'a WalkOptions<'a>,
        tracked: &'a mut AskTracked<'b>,
    ) -> Self {
        Self {
            root,
            options,
            tracked: Mutex::new(tracked),
            include: Globs::new(&options.include),
            exclude: Globs::new(&options.exclude),
        }
    }

    fn run(&self, first: Visit) -> Result<Whole, WalkError> {
        let queue = Queue::new(first);
        let listings = thread::scope(|scope| {
            let work = || self.work(&queue);
            // Where a system allows no more threads, those that there are do the work.
            let others: Vec<_> = (1..self.options.threads.get())
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut listings = vec![work()];
            for other in others {
                listings
                    .push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            listings.into_iter().collect::<Result<Vec<_>, _>>()
        })?;
        Ok(Whole::new(listings, queue.numbered()))
    }

    /// Visits directories until none is left.
    fn work(&self, queue: &Queue) -> Result<Listing, WalkError> {
        let mut listing = Listing::default();
        while let Some((visit, _turn)) = queue.next() {
            let number = visit.number;
            let mut visiting = Visiting {
                lister: self,
                listing: &mut listing,
                listed: Listed::default(),
                below: Vec::new(),
            };
            visiting.visit(visit).inspect_err(|_| queue.stop())?;
            let Visiting { mut listed, below, .. } = visiting;
            if !below.is_empty() {
                listed.first_below = queue.add(below);
            }
            listing.directories.push((number, listed));
        }
        Ok(listing)
    }
}

/// The visit to one directory.
struct Visiting<'a, 'w, 'b> {
    lister: &'a Lister<'w, 'b>,
    listing: &'a mut Listing,
    listed: Listed,
    /// The directories in it that are looked into.
    below: Vec<Visit>,
}

impl Visiting<'_, '_, '_> {
    fn visit(&mut self, mut visit: Visit) -> Result<(), WalkError> {
        let Some(directory) = self.read_directory(&visit)? else {
            return Ok(());
        };
        if matches!(visit.manner, Manner::ByRules | Manner::Included) {
            let repository = self.lister.enter_repository(&directory, &mut visit)?;
            self.listing.repositories.extend(repository);
            self.lister.add_rules(&directory, &mut visit)?;
        }
        for (name, child) in directory.children() {
            match TreePath::child(visit.path.as_ref(), name) {
                Ok(path) => {
                    let (directory, visit) = (&directory, &visit);
                    self.judge(Candidate { directory, visit, child, name, path })?;
                }
                Err(_) if visit.manner == Manner::Ignored => {}
                Err(error) => self.listed.refuse_name(visit.path.as_ref(), name, error),
            }
        }
        self.listing.looked_into.extend(directory.remember(visit.path));
        Ok(())
    }

    fn judge(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        if candidate.visit.manner == Manner::GitDirectory {
            self.in_git_directory(candidate)
        } else if candidate.name == b".git" {
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
        if self.lister.options.git == GitDirectories::Skip && is_git_spelling(candidate.name) {
            return Some(LeftOutReason::GitSpelling);
        }
        let excluded = self.lister.exclude.matches(candidate.path.as_bytes(), candidate.shape());
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
            candidate.has_tracked() || self.lister.include.may_match_below(path.as_bytes());
        if may_hold && let Some(meta) = candidate.look()? {
            let itself = entry(path.clone(), WalkKind::Directory, &meta, Origin::Included);
            self.listed.add(itself, &meta, Carried::WithContent, Some(self.below.len()));
            self.below.push(candidate.visit.below(candidate.path, Manner::Ignored));
        }
        Ok(())
    }

    fn carry_directory(
        &mut self,
        candidate: Candidate<'_>,
        manner: Manner,
    ) -> Result<(), WalkError> {
        let tracked = candidate.is_tracked() || candidate.has_tracked();
        let origin = match (manner, tracked) {
            (Manner::GitDirectory, _) => Origin::Git,
            (_, true) => Origin::Tracked,
            (Manner::Included, false) => Origin::Included,
            (Manner::ByRules | Manner::Ignored, false) => Origin::Untracked,
        };
        let below = candidate.visit.below(candidate.path.clone(), manner);
        if self.carry(candidate, origin, Some(self.below.len()))? {
            self.below.push(below);
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
        self.carry(candidate, origin, None).map(|_| ())
    }

    fn is_included(&self, candidate: &Candidate<'_>) -> bool {
        candidate.visit.manner == Manner::Included
            || self.lister.include.matches(candidate.path.as_bytes(), candidate.shape())
    }

    /// A thing called `.git`, whether or not it makes a repository.
    fn git_itself(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let carried = self.lister.options.git == GitDirectories::Carry;
        if !carried || candidate.visit.manner == Manner::Ignored {
            return Ok(());
        }
        match candidate.shape() {
            Shape::Directory => self.carry_directory(candidate, Manner::GitDirectory),
            Shape::Other => self.carry(candidate, Origin::Git, None).map(|_| ()),
        }
    }

    fn in_git_directory(&mut self, candidate: Candidate<'_>) -> Result<(), WalkError> {
        let is_directory = candidate.shape() == Shape::Directory;
        if is_transient(candidate.name, is_directory) {
            self.leave_out(candidate, LeftOutReason::GitTransient);
        } else if candidate.child.is_socket() {
            self.leave_out(candidate, LeftOutReason::GitSocket);
        } else if is_directory {
            self.carry_directory(candidate, Manner::GitDirectory)?;
        } else {
            self.carry(candidate, Origin::Git, None)?;
        }
        Ok(())
    }

    /// Carries one thing; `false` if it cannot be carried or is gone.
    fn carry(
        &mut self,
        candidate: Candidate<'_>,
        origin: Origin,
        below: Option<usize>,
    ) -> Result<bool, WalkError> {
        let Some(meta) = candidate.look()? else {
            return Ok(false);
        };
        let Candidate { directory, child, name, path, .. } = candidate;
        match directory.kind(child, name, &path, &meta)? {
            Ok(kind) => {
                let entry = entry(path, kind, &meta, origin);
                self.listed.add(entry, &meta, Carried::Always, below);
                Ok(true)
            }
            Err(reason) => {
                self.listed.refuse(&path, reason);
                Ok(false)
            }
        }
    }

    /// Reads a directory's names; `None` if it is gone or may not be read.
    fn read_directory(&mut self, visit: &Visit) -> Result<Option<Directory>, WalkError> {
        use rustix::io::Errno;
        let path = visit.path.as_ref();
        match Directory::read(self.lister.root.as_fd(), path, self.lister.options.known) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::ACCESS | Errno::PERM) if visit.manner == Manner::Ignored => Ok(None),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => match path {
                Some(path) => {
                    self.listed.refuse(path, RefusalReason::Unreadable);
                    Ok(None)
                }
                None => Err(errno).at("read the directory", None)?,
            },
            // It was a directory when it was looked at.
            Err(Errno::NOTDIR | Errno::LOOP) if path.is_some() => {
                let path = path.map_or_else(String::new, TreePath::to_string);
                Err(FileError::Changed { path })?
            }
            Err(errno) => Err(errno).at("read the directory", path)?,
        }
    }
}
