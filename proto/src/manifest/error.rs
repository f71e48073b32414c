//! Why a manifest is refused.

use crate::path::PathError;

use super::ref_name::RefNameError;

/// Why a manifest is refused; whatever concerns a path names it, escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The encoding exceeds `Limits::manifest_bytes_max`.
    #[error("the manifest has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The size of the encoding in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// One of the other limits.
    #[error("the manifest holds more than {limit} {what}")]
    TooMany {
        /// What there is too much of, as a plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Not the protobuf message that was expected.
    #[error("the manifest is malformed: {0}")]
    Malformed(String),
    /// A session where the version allows none, or none where it promises one.
    #[error("the manifest's version and its session do not go together")]
    SessionVersion,
    /// The name of the agent or the id of the session.
    #[error("the {0} of the manifest's session has no proper name")]
    SessionName(&'static str),
    /// The agent's directory is not an absolute path.
    #[error("the directory of the manifest's session is invalid")]
    SessionDirectory(#[source] PathError),
    /// One file of the session breaks a rule.
    #[error("session file `{path}`: {problem}")]
    SessionEntry {
        /// The escaped path of the file.
        path: String,
        /// The rule.
        #[source]
        problem: EntryProblem,
    },
    /// Written by a newer program.
    #[error("the manifest has version {0}, this program reads versions 1 and 2; update it")]
    UnknownVersion(u32),
    /// The content is fine but encoded in a second way, which would give it a second id.
    #[error("the manifest is not in its canonical encoding")]
    NotCanonical,
    /// The root is not an absolute path.
    #[error("the root of the manifest is invalid")]
    Root(#[source] PathError),
    /// The root's permission bits or time are invalid.
    #[error("the root's {0}")]
    RootMeta(#[source] EntryProblem),
    /// The id of the base is not 32 bytes long.
    #[error("the id of the base is not 32 bytes long")]
    Base,
    /// One entry breaks a rule.
    #[error("entry `{path}`: {problem}")]
    Entry {
        /// The escaped path of the entry.
        path: String,
        /// The rule.
        #[source]
        problem: EntryProblem,
    },
    /// One repository breaks a rule.
    #[error("repository `{path}`: {problem}")]
    Repository {
        /// The escaped path of the repository; `.` for the root's.
        path: String,
        /// The rule.
        #[source]
        problem: RepositoryProblem,
    },
}

/// The rule that an entry breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// Not a path in a tree.
    #[error("{0}")]
    Path(#[from] PathError),
    /// It should stand before its predecessor.
    #[error("it is out of order")]
    Unsorted,
    /// It is there twice.
    #[error("it is there twice")]
    Duplicate,
    /// What holds it is missing or no directory.
    #[error("its parent is not a directory of the manifest")]
    Parent,
    /// Bits outside 0777.
    #[error("mode {0:o} has bits outside 777")]
    Mode(u32),
    /// A time outside its range.
    #[error("time with {0} nanoseconds")]
    Nanoseconds(u32),
    /// Neither file, directory nor symbolic link.
    #[error("it has no kind")]
    NoKind,
    /// Chunks that are no multiple of 36 bytes.
    #[error("its list of chunks is cut off")]
    ChunkRecord,
    /// A chunk of no bytes or over 1 MiB.
    #[error("a chunk of {0} bytes")]
    ChunkSize(u32),
    /// Size and chunks differ.
    #[error("it has {size} bytes, its chunks {chunks}")]
    Size {
        /// The declared size in bytes.
        size: u64,
        /// What the chunks add up to.
        chunks: u64,
    },
    /// A directory or a link among the files of a session.
    #[error("it is no regular file")]
    NotFile,
    /// No target, one over 4095 bytes or one with a NUL.
    #[error("the target of the symbolic link is empty, too long or holds a NUL byte")]
    SymlinkTarget,
    /// `.git` in some spelling, in a result.
    #[error("a result may not hold `.git` in any spelling")]
    GitSpelling,
}

/// The rule that a repository breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryProblem {
    /// Not a path in a tree.
    #[error("{0}")]
    Path(#[from] PathError),
    /// It is out of order or there twice.
    #[error("it is out of order or there twice")]
    Unsorted,
    /// No entry of that path is a directory.
    #[error("there is no such directory in the manifest")]
    Directory,
    /// No entry of that path is a directory.
    #[error("there is no directory `{0}` in the manifest, where its git directory should be")]
    GitDirectory(String),
    /// `.git` in some spelling in the path, in a result.
    #[error("a result may not hold `.git` in any spelling")]
    GitSpelling,
    /// Neither SHA-1 nor SHA-256.
    #[error("unknown object format")]
    ObjectFormat,
    /// The state is missing.
    #[error("its state is missing")]
    NoState,
    /// The head is missing, or neither on a branch nor at a commit.
    #[error("its head is missing")]
    NoHead,
    /// A name that git would refuse.
    #[error("`{name}` is not a reference's name: {problem}")]
    RefName {
        /// The escaped name.
        name: String,
        /// The rule.
        #[source]
        problem: RefNameError,
    },
    /// Not as long as the object format says.
    #[error("the object id of {0} does not fit the object format")]
    Oid(String),
    /// References out of order or there twice.
    #[error("reference `{0}` is out of order or there twice")]
    RefOrder(String),
    /// Not 32 bytes.
    #[error("the digest of its index is not 32 bytes long")]
    IndexDigest,
    /// Operations unknown, out of order or there twice.
    #[error("an operation in progress is unknown, out of order or there twice")]
    Operation,
    /// An index entry whose path is no path in a tree or holds `.git`.
    #[error("index entry `{0}` has a path that git refuses")]
    IndexPath(String),
    /// An index entry that is not a file, link or submodule, or has an unknown stage or flag.
    #[error("index entry `{0}` has an invalid mode, stage or flag")]
    IndexEntry(String),
    /// Index entries out of order or there twice.
    #[error("index entry `{0}` is out of order or there twice")]
    IndexOrder(String),
    /// The chunks of the pack break a rule.
    #[error("its pack: {0}")]
    Pack(#[source] EntryProblem),
}
