//! Reading and writing trees of files without ever following a symbolic link.
//!
//! Both sides share this: the laptop lists what it carries, the daemon materialises it, the
//! harvest lists what a run left behind, and the laptop puts that in place. Trees may be hostile
//! and may change while they are worked on: every access goes through a descriptor of the root and
//! is resolved beneath it. Never runs git (whoever calls says what is tracked), never hashes and
//! never decides what happens to a result.

mod beneath;
mod edit;
mod error;
mod git_directory;
mod globs;
mod ignore_rules;
mod meta;
mod pattern;
mod read;
mod tracked;
mod walk;
mod wildcard;
mod writer;

pub use self::edit::{
    create_directory, remove_dir_if_empty, remove_file, replace_file, replace_symlink, set_metadata,
};
pub use self::error::{FileError, Refusal, RefusalReason, WalkError};
pub use self::globs::exact_glob;
pub use self::meta::{Meta, MetaKind};
pub use self::read::{lstat, open_regular, read_link, read_regular};
pub use self::tracked::{Case, Tracked, TrackedPaths};
pub use self::walk::{
    AskTracked, Dropped, GitDirectories, GitLocation, KnownNames, LeftOut, LeftOutReason, Names,
    Origin, Sample, TrackedResult, Walk, WalkDirectory, WalkEntry, WalkKind, WalkOptions,
    WalkRepository, walk, walk_at, walk_git_directory,
};
pub use self::writer::{Owner, Writer, write_chunks};

#[cfg(test)]
mod tests;
