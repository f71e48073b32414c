//! The directory of a run's agent: what travelled of its session, and of what its user has set up.

use std::collections::BTreeSet;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use handoff_proto::manifest::{Entry, Session, Timestamp};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{FileError, Writer};

use super::content::Source;
use super::error::WorkspaceError;
use super::home::private_directory;
use super::layout::Layout;
use super::owner::Owner;
use crate::store::{BlobStore, UserName};

/// The mode of directories that the paths of files name.
const DIRECTORY_MODE: u32 = 0o700;

/// Longest file that is settled, which is read whole: more than clients send of all that is set up.
const SETTLED_MAX: u64 = 32 << 20;

/// Makes the directory of a run's agent, with the files of its session; `settle` says what the
/// content of the file of that name becomes, if that is something else. Blocks.
///
/// # Errors
///
/// When it cannot be made, a chunk is missing or damaged, the disk is full, or a file that is to be
/// settled is longer than any such file.
pub fn make_agent_directory(
    blobs: &dyn BlobStore,
    user: &UserName,
    session: Option<&Session>,
    layout: &Layout,
    owner: Owner,
    settled: &str,
    settle: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), WorkspaceError> {
    let agent = layout.agent();
    private_directory(&agent, owner).map_err(WorkspaceError::make(&agent))?;
    let Some(session) = session else { return Ok(()) };
    let mut writer = Writer::open(&agent, owner.for_tree())?;
    // As if it had been written here: agents clear away what has not been touched for long.
    let mtime = now();
    for directory in directories(&session.files) {
        writer.directory(&directory, DIRECTORY_MODE, mtime)?;
    }
    let files = session.files.iter().map(|file| Entry { mtime, ..file.clone() });
    let (own, files): (Vec<Entry>, Vec<Entry>) =
        files.partition(|file| file.path.as_bytes() == settled.as_bytes());
    check_settled(&own)?;
    let source = Source::new(blobs, user);
    for file in &own {
        let parts: io::Result<Vec<Bytes>> =
            file.chunks().iter().map(|chunk| source.read(chunk)).collect();
        let whole = parts.map(|parts| parts.concat());
        let content = whole.map(|text| settle(&text).unwrap_or(text));
        let Entry { path, mode, mtime, .. } = file;
        let _size = writer.file_from_chunks(path, *mode, *mtime, [content])?;
    }
    source.write(&files.iter().collect::<Vec<_>>(), &writer)?;
    Ok(writer.finish()?)
}

/// Refuses what would be too much for memory.
fn check_settled(own: &[Entry]) -> Result<(), WorkspaceError> {
    match own.iter().find(|file| file.size() > SETTLED_MAX) {
        None => Ok(()),
        Some(Entry { path, .. }) => {
            Err(FileError::TooLarge { path: path.to_string(), max: SETTLED_MAX }.into())
        }
    }
}

/// All directories that hold one of these files, each before what is in it.
fn directories(files: &[Entry]) -> BTreeSet<TreePath> {
    let mut directories = BTreeSet::new();
    for file in files {
        let mut parent = file.path.parent();
        while let Some(directory) = parent {
            parent = directory.parent();
            directories.insert(directory);
        }
    }
    directories
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        secs: i64::try_from(since.as_secs()).unwrap_or_default(),
        nanos: since.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::chunk::{ChunkId, ChunkRef};
    use handoff_proto::manifest::Kind;

    use super::*;

    #[test]
    fn a_file_that_is_read_whole_has_a_limit_however_little_was_sent_for_it() {
        let bytes = vec![0; 1 << 20];
        let chunk = ChunkRef { id: ChunkId::of(&bytes), size: 1 << 20 };
        let file = |chunks: u32| Entry {
            path: TreePath::parse(b".claude.json").expect("a path"),
            mode: 0o600,
            mtime: now(),
            kind: Kind::File {
                size: u64::from(chunks) << 20,
                chunks: vec![chunk; chunks as usize],
            },
        };
        check_settled(&[file(32)]).expect("as long as can be");
        let refused = check_settled(&[file(33)]).expect_err("too long");
        assert_eq!(refused.to_string(), "cannot write the workspace");
        let why = std::error::Error::source(&refused).expect("a reason");
        assert_eq!(why.to_string(), "`.claude.json` is larger than 33554432 bytes");
    }
}
