//! Manifests are read back as they were written, and hostile ones are refused by name.

mod differences;
mod encoding;
mod entries;
mod random;
mod repositories;
mod session;

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Entry, EntryProblem, Head, IndexEntry, IndexFlags, Kind, Limits, ManifestError, ObjectFormat,
    Oid, Repository, RepositoryResult, RepositoryState, ResultManifest, SnapshotId,
    SnapshotManifest, Timestamp, VERSION,
};

const NOW: Timestamp = Timestamp { secs: 1_700_000_000, nanos: 123_456_789 };

fn directory(path: &str) -> Entry {
    Entry { path: path.parse().unwrap(), mode: 0o755, mtime: NOW, kind: Kind::Directory }
}

fn file(path: &str, content: &str) -> Entry {
    let size = u32::try_from(content.len()).unwrap();
    let chunks = vec![ChunkRef { id: ChunkId::of(content.as_bytes()), size }];
    let kind = Kind::File { size: size.into(), chunks };
    Entry { path: path.parse().unwrap(), mode: 0o644, mtime: NOW, kind }
}

fn snapshot(entries: Vec<Entry>) -> SnapshotManifest {
    SnapshotManifest {
        version: VERSION,
        root: "/home/me/project".parse().unwrap(),
        root_mode: 0o755,
        root_mtime: NOW,
        entries,
        repositories: Vec::new(),
        session: None,
    }
}

fn result(entries: Vec<Entry>) -> ResultManifest {
    ResultManifest {
        version: VERSION,
        base: SnapshotId::of(b""),
        root: "/home/me/project".parse().unwrap(),
        entries,
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    }
}

fn decode(manifest: &SnapshotManifest) -> Result<SnapshotManifest, ManifestError> {
    SnapshotManifest::decode(&manifest.encode(), &Limits::DEFAULT)
}

/// Encoding and decoding must find exactly this problem with this path.
fn check_entries(entries: Vec<Entry>, path: &str, problem: EntryProblem) {
    let expected = ManifestError::Entry { path: path.to_owned(), problem };
    assert_eq!(decode(&snapshot(entries)), Err(expected));
}

fn repository_result(index_path: &str) -> RepositoryResult {
    RepositoryResult {
        path: None,
        object_format: ObjectFormat::Sha1,
        head: Head::Branch("refs/heads/main".parse().unwrap(), None),
        refs: Vec::new(),
        index: vec![index_entry(index_path, 0)],
        in_progress: Vec::new(),
        pack: Vec::new(),
    }
}

fn index_entry(path: &str, stage: u8) -> IndexEntry {
    IndexEntry {
        path: path.parse().unwrap(),
        mode: 0o100_644,
        oid: Oid::Sha1([7; 20]),
        stage,
        flags: IndexFlags::NONE,
    }
}

fn repository(path: Option<&str>, git_dir: &str) -> Repository {
    Repository {
        path: path.map(|path| path.parse().unwrap()),
        git_dir: git_dir.parse().unwrap(),
        state: RepositoryState {
            object_format: ObjectFormat::Sha1,
            head: Head::Detached(Oid::Sha1([1; 20])),
            refs: Vec::new(),
            index_digest: [0; 32],
            in_progress: Vec::new(),
        },
    }
}
