//! Takes the paths of a tree from one state of a record to the other.
//!
//! Every access is resolved beneath the root's descriptor. Files are written beside their place
//! and renamed, links are made last, a directory is removed only when it is empty. Doing it again
//! after it was cut off gives the same.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd};

use handoff_proto::manifest::Timestamp;
use handoff_proto::path::TreePath;
use handoff_proto::tree::{
    FileError, Meta, MetaKind, create_directory, lstat, remove_dir_if_empty, remove_file,
    replace_file, replace_symlink, set_metadata,
};

pub use self::state::{is_halfway, is_in_state, stranger_in_the_way};
use super::journal::{Node, Record, Side, TreeStep};
use super::strangers::names;

/// The bits without which nothing in a directory can be changed.
const WRITABLE: u32 = 0o700;

/// Where the contents of files come from.
pub trait Contents {
    /// The content of the file of this step.
    ///
    /// # Errors
    ///
    /// Where it cannot be had.
    fn open(&self, step: usize) -> io::Result<Box<dyn Read + '_>>;
}

/// A path could not be brought into the state that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A file could not be accessed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The content of a file is not there.
    #[error("cannot read the content of `{path}`")]
    Content {
        /// The file.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
    /// A directory that must go holds something.
    #[error("`{0}` cannot be replaced: it is not empty")]
    NotEmpty(TreePath),
    /// A directory cannot be listed.
    #[error("cannot list `{path}`")]
    List {
        /// The directory.
        path: TreePath,
        /// Why.
        source: io::Error,
    },
}

/// Brings every path of the record to this side. `before_each` is told of each change to come.
///
/// # Errors
///
/// Where a path cannot be changed; those before it are then in the new state.
pub fn transition(
    root: BorrowedFd<'_>,
    record: &Record,
    to: Side,
    contents: &dyn Contents,
    before_each: &mut dyn FnMut(&TreePath),
) -> Result<(), TreeError> {
    let work = Work { root, steps: &record.tree, to, contents };
    relax(root, record)?;
    for (_, step) in work.steps_rev() {
        if work.must_go(step)? {
            before_each(&step.path.0);
            work.remove(step)?;
        }
    }
    for kind in [Pass::Directories, Pass::Files, Pass::Links] {
        for (number, step) in record.tree.iter().enumerate() {
            if work.is_due(step, kind)? {
                before_each(&step.path.0);
                work.make(number, step)?;
            }
        }
    }
    finish_directories(root, record, to)
}

/// Removes new files that a process left beside their places when it died.
///
/// # Errors
///
/// Where a directory cannot be listed or a file not removed.
pub fn remove_leftovers(root: BorrowedFd<'_>, record: &Record) -> Result<(), TreeError> {
    let prefix = format!(".handoff-new-{}-", record.process).into_bytes();
    let parents: BTreeSet<Option<TreePath>> =
        record.tree.iter().map(|step| step.path.0.parent()).collect();
    for parent in parents {
        if let Some(parent) = &parent
            && !is_directory(root, parent)?
        {
            continue;
        }
        let shown = || parent.clone().unwrap_or_else(|| record.tree[0].path.0.clone());
        let found = names(root, parent.as_ref())
            .map_err(|source| TreeError::List { path: shown(), source })?;
        for name in found.iter().filter(|name| name.starts_with(&prefix)) {
            let path = match &parent {
                Some(parent) => parent.join(name),
                None => TreePath::parse(name),
            };
            if let Ok(path) = path {
                remove_file(root, &path)?;
            }
        }
    }
    Ok(())
}

/// What is made in one go over the steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Directories,
    Files,
    Links,
}

struct Work<'a> {
    root: BorrowedFd<'a>,
    steps: &'a [TreeStep],
    to: Side,
    contents: &'a dyn Contents,
}

impl<'a> Work<'a> {
    /// What is in a directory before the directory itself.
    fn steps_rev(&self) -> impl Iterator<Item = (usize, &'a TreeStep)> {
        self.steps.iter().enumerate().rev()
    }

    /// Whether what is at the path must be removed before anything else can be there.
    fn must_go(&self, step: &TreeStep) -> Result<bool, TreeError> {
        let Some(found) = look(self.root, &step.path.0)? else { return Ok(false) };
        let is_directory = found.kind == MetaKind::Directory;
        Ok(match step.on(self.to) {
            None => true,
            Some(node) => node.is_directory() != is_directory,
        })
    }

    fn remove(&self, step: &TreeStep) -> Result<(), TreeError> {
        let path = &step.path.0;
        if !is_directory(self.root, path)? {
            return Ok(remove_file(self.root, path)?);
        }
        let removed = remove_dir_if_empty(self.root, path)?;
        // A directory that only has to go may stay as long as somebody's files are in it.
        if removed || step.on(self.to).is_none() {
            Ok(())
        } else {
            Err(TreeError::NotEmpty(path.clone()))
        }
    }

    fn is_due(&self, step: &TreeStep, pass: Pass) -> Result<bool, TreeError> {
        let Some(node) = step.on(self.to) else { return Ok(false) };
        let wanted_in = match node {
            Node::Directory { .. } => Pass::Directories,
            Node::File { .. } => Pass::Files,
            Node::Symlink { .. } => Pass::Links,
        };
        if pass != wanted_in {
            return Ok(false);
        }
        if node.is_directory() {
            return Ok(!is_directory(self.root, &step.path.0)?);
        }
        Ok(!is_in_state(self.root, &step.path.0, Some(node))?)
    }

    fn make(&self, number: usize, step: &TreeStep) -> Result<(), TreeError> {
        let path = &step.path.0;
        let Some(node) = step.on(self.to) else { return Ok(()) };
        match node {
            Node::Directory { mode, .. } => {
                create_directory(self.root, path, mode | WRITABLE)?;
            }
            Node::Symlink { target, .. } => {
                replace_symlink(self.root, path, &target.0, node.mtime())?;
            }
            Node::File { mode, .. } if !step.changes_content() => {
                set_metadata(self.root, path, *mode, node.mtime())?;
            }
            Node::File { mode, .. } => {
                let failed = |source| TreeError::Content { path: path.clone(), source };
                let mut content = self.contents.open(number).map_err(failed)?;
                replace_file(self.root, path, *mode, node.mtime(), &mut content)?;
            }
        }
        Ok(())
    }
}

/// Lets this user change what is in directories that forbid it.
fn relax(root: BorrowedFd<'_>, record: &Record) -> Result<(), TreeError> {
    for directory in &record.relaxed {
        let path = &directory.path.0;
        if is_directory(root, path)? {
            let (secs, nanos) = directory.mtime;
            let mtime = Timestamp { secs, nanos };
            set_metadata(root, path, directory.mode | WRITABLE, mtime)?;
        }
    }
    Ok(())
}

/// Gives directories their modes, and new ones their times, the deepest first.
fn finish_directories(root: BorrowedFd<'_>, record: &Record, to: Side) -> Result<(), TreeError> {
    let mut wanted: BTreeMap<&TreePath, (u32, Timestamp)> = BTreeMap::new();
    for directory in &record.relaxed {
        let (secs, nanos) = directory.mtime;
        wanted.insert(&directory.path.0, (directory.mode, Timestamp { secs, nanos }));
    }
    for step in &record.tree {
        if let Some(node @ Node::Directory { mode, .. }) = step.on(to) {
            wanted.insert(&step.path.0, (*mode, node.mtime()));
        }
    }
    for (path, (mode, mtime)) in wanted.into_iter().rev() {
        if is_directory(root, path)? {
            set_metadata(root, path, mode, mtime)?;
        }
    }
    Ok(())
}

fn is_directory(root: BorrowedFd<'_>, path: &TreePath) -> Result<bool, TreeError> {
    Ok(look(root, path)?.is_some_and(|meta| meta.kind == MetaKind::Directory))
}

/// What is at a path; nothing is beneath a link.
fn look(root: BorrowedFd<'_>, path: &TreePath) -> Result<Option<Meta>, TreeError> {
    match lstat(root.as_fd(), path) {
        Ok(found) => Ok(found),
        Err(FileError::Indirect { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
