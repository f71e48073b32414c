//! Why a contract is not kept.

use handoff_proto::path::{AbsolutePath, PathError};
use thiserror::Error;

use crate::egress::RuleError;

/// A contract that cannot be kept as it is written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TermsError {
    /// Nothing to run.
    #[error("contract names no command")]
    NoCommand,
    /// The account is missing.
    #[error("contract names no account")]
    NoAccount,
    /// A path is no absolute path in normal form.
    #[error("contract's {what} cannot be used")]
    Path {
        /// Which path.
        what: &'static str,
        /// The rule that it breaks.
        #[source]
        source: PathError,
    },
    /// A path lies where the system's or the sandbox's own files are.
    #[error(
        "contract's {what} `{path}` lies beneath /{top}, which belongs to the sandbox's system: move it elsewhere"
    )]
    Reserved {
        /// Which path.
        what: &'static str,
        /// The path.
        path: AbsolutePath,
        /// The reserved directory.
        top: String,
    },
    /// A path that must be in the tree is not.
    #[error("contract's {what} `{path}` is not beneath the root `{root}`")]
    OutsideRoot {
        /// Which path.
        what: &'static str,
        /// The path.
        path: AbsolutePath,
        /// The root.
        root: AbsolutePath,
    },
    /// A cache would hide the tree or the home.
    #[error("cache `{cache}` would hide `{hidden}`: name a directory beneath it")]
    HidingCache {
        /// The cache.
        cache: AbsolutePath,
        /// What it would hide.
        hidden: AbsolutePath,
    },
    /// The agent's directory would hide the tree or the home.
    #[error("directory of the agent `{directory}` would hide `{hidden}`: move it elsewhere")]
    HidingAgent {
        /// The directory.
        directory: AbsolutePath,
        /// What it would hide.
        hidden: AbsolutePath,
    },
    /// A character that would be read as something else.
    #[error("contract's {what} `{text}` holds a character that cannot stand there")]
    Character {
        /// What holds it.
        what: &'static str,
        /// The escaped text.
        text: String,
    },
    /// A list, a text or all texts together are over their limit.
    #[error("contract has {count} {what}, the limit is {limit}")]
    TooMany {
        /// What there is too much of, as a plural.
        what: &'static str,
        /// How much there is.
        count: usize,
        /// How much there may be.
        limit: usize,
    },
    /// An entry of the list of hosts.
    #[error("contract's list of hosts: {0}")]
    Host(#[from] RuleError),
    /// A terminal of no size, or of one that no terminal has.
    #[error("contract's terminal cannot have {rows} rows and {columns} columns")]
    Terminal {
        /// How many rows.
        rows: u32,
        /// How many columns.
        columns: u32,
    },
    /// Extra bits in the umask.
    #[error("contract's umask {0:o} has bits outside 777")]
    Umask(u32),
}
