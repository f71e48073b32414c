//! Files that earlier versions wrote; what users have stored must open for ever.
//!
//! Never change a file in `tests/golden`. A new version of a format adds one. To write the file of
//! a format that is not released yet, run the tests with HANDOFF_GOLDEN=write.

use std::path::PathBuf;

use handoff_proto::bundle::{BundleLimits, Item, Reader, Writer};
use handoff_proto::chunk::{Chunk, ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Entry, Head, IndexEntry, IndexFlags, Kind, Limits, ObjectFormat, Oid, Operation, Repository,
    RepositoryResult, RepositoryState, ResultManifest, Session, SnapshotManifest, Timestamp,
    VERSION, VERSION_WITH_SESSION, index_digest,
};
use handoff_proto::path::TreePath;

/// The content of a golden file; `fresh` is what this version would write.
fn golden(name: &str, fresh: &[u8]) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect();
    if std::env::var_os("HANDOFF_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, fresh).unwrap();
    }
    std::fs::read(path).unwrap()
}

fn entry(path: &[u8], mode: u32, mtime: (i64, u32), kind: Kind) -> Entry {
    let mtime = Timestamp { secs: mtime.0, nanos: mtime.1 };
    Entry { path: TreePath::parse(path).unwrap(), mode, mtime, kind }
}

fn file(contents: &[&[u8]]) -> Kind {
    let chunks: Vec<ChunkRef> = contents.iter().map(|content| chunk(content)).collect();
    Kind::File { size: chunks.iter().map(|chunk| u64::from(chunk.size)).sum(), chunks }
}

fn chunk(content: &[u8]) -> ChunkRef {
    ChunkRef { id: ChunkId::of(content), size: u32::try_from(content.len()).unwrap() }
}

fn link(target: &[u8]) -> Kind {
    Kind::Symlink { target: target.to_vec() }
}

fn index() -> Vec<IndexEntry> {
    let entry = |path: &str, mode, stage, flags| IndexEntry {
        path: path.parse().unwrap(),
        mode,
        oid: Oid::Sha1([0x5a; 20]),
        stage,
        flags,
    };
    let flags = IndexFlags::SKIP_WORKTREE.with(IndexFlags::INTENT_TO_ADD);
    vec![
        entry("a.txt", 0o100_644, 0, IndexFlags::NONE),
        entry("conflict", 0o100_755, 1, IndexFlags::NONE),
        entry("conflict", 0o100_755, 2, IndexFlags::ASSUME_UNCHANGED),
        entry("link", 0o120_000, 0, flags),
        entry("sub", 0o160_000, 0, IndexFlags::NONE),
    ]
}

fn snapshot() -> SnapshotManifest {
    let state = RepositoryState {
        object_format: ObjectFormat::Sha1,
        head: Head::Branch("refs/heads/main".parse().unwrap(), Some(Oid::Sha1([0x11; 20]))),
        refs: vec![
            ("refs/heads/main".parse().unwrap(), Oid::Sha1([0x11; 20])),
            ("refs/tags/v1".parse().unwrap(), Oid::Sha1([0x22; 20])),
        ],
        index_digest: index_digest(&index()),
        in_progress: vec![
            (Operation::Merge, vec![Oid::Sha1([0x33; 20]), Oid::Sha1([0x44; 20])]),
            (Operation::Rebase, Vec::new()),
        ],
    };
    let unborn = RepositoryState {
        object_format: ObjectFormat::Sha256,
        head: Head::Branch("refs/heads/topic/x".parse().unwrap(), None),
        refs: Vec::new(),
        index_digest: index_digest(&[]),
        in_progress: Vec::new(),
    };
    let now = (1_700_000_000, 123_456_789);
    SnapshotManifest {
        version: VERSION,
        root: "/home/me/project".parse().unwrap(),
        root_mode: 0o755,
        root_mtime: Timestamp { secs: now.0, nanos: now.1 },
        entries: vec![
            entry(b".git", 0o755, now, Kind::Directory),
            entry(b".git/HEAD", 0o644, now, file(&[b"ref: refs/heads/main\n"])),
            entry(b".git/modules", 0o755, now, Kind::Directory),
            entry(b".git/modules/sub", 0o755, now, Kind::Directory),
            entry(b"a.txt", 0o644, (-1, 999_999_999), file(&[b"first", b"second"])),
            entry(b"empty", 0o600, (0, 0), file(&[])),
            entry(b"link", 0o777, now, link(b"../leaving/\xff")),
            entry(b"sub", 0o700, now, Kind::Directory),
            entry(b"sub/\xff\n", 0o000, now, file(&[b"x"])),
            // Sorts behind what is in `sub`, though a dot is less than a slash.
            entry(b"sub.txt", 0o777, now, file(&[b"x"])),
        ],
        repositories: vec![
            Repository { path: None, git_dir: ".git".parse().unwrap(), state },
            Repository {
                path: Some("sub".parse().unwrap()),
                git_dir: ".git/modules/sub".parse().unwrap(),
                state: unborn,
            },
        ],
        session: None,
    }
}

fn result() -> ResultManifest {
    let now = (1_700_000_000, 123_456_789);
    ResultManifest {
        version: VERSION,
        base: snapshot().id(),
        root: "/home/me/project".parse().unwrap(),
        entries: vec![
            entry(b"a.txt", 0o644, now, file(&[b"changed"])),
            entry(b"new", 0o755, now, Kind::Directory),
            entry(b"sub", 0o700, now, Kind::Directory),
            entry(b"sub/link", 0o777, now, link(b"a")),
        ],
        repositories: vec![
            RepositoryResult {
                path: None,
                object_format: ObjectFormat::Sha1,
                head: Head::Detached(Oid::Sha1([0x55; 20])),
                refs: vec![("refs/heads/main".parse().unwrap(), Oid::Sha1([0x55; 20]))],
                index: index(),
                in_progress: vec![(Operation::CherryPick, vec![Oid::Sha1([0x66; 20])])],
                pack: vec![chunk(b"PACK...")],
            },
            RepositoryResult {
                path: Some("sub".parse().unwrap()),
                object_format: ObjectFormat::Sha256,
                head: Head::Branch("refs/heads/x".parse().unwrap(), Some(Oid::Sha256([7; 32]))),
                refs: Vec::new(),
                index: Vec::new(),
                in_progress: Vec::new(),
                pack: Vec::new(),
            },
        ],
        new_repositories: vec!["new".parse().unwrap()],
        session: None,
    }
}

#[test]
fn a_snapshot_of_version_1_opens() {
    let stored = golden("snapshot-1.bin", &snapshot().encode());
    let decoded = SnapshotManifest::decode(&stored, &Limits::DEFAULT).unwrap();
    assert_eq!(decoded, snapshot());
    assert_eq!(decoded.encode(), stored);
    assert_eq!(decoded.id().to_string(), SNAPSHOT_ID);
}

#[test]
fn a_result_of_version_1_opens() {
    let stored = golden("result-1.bin", &result().encode());
    let decoded = ResultManifest::decode(&stored, &Limits::DEFAULT).unwrap();
    assert_eq!(decoded, result());
    assert_eq!(decoded.encode(), stored);
    assert_eq!(decoded.id().to_string(), RESULT_ID);
}

fn session() -> Option<Session> {
    let now = (1_700_000_000, 123_456_789);
    Some(Session {
        agent: "claude".to_owned(),
        id: "6fe487e1-a3f6-4eb2-ad69-e6f9d1d97a38".to_owned(),
        directory: "/home/me/.claude".parse().unwrap(),
        files: vec![
            entry(b"CLAUDE.md", 0o600, now, file(&[b"x"])),
            entry(b"projects/-p/6fe487e1/a.txt", 0o600, now, file(&[])),
            entry(b"projects/-p/6fe487e1.jsonl", 0o600, now, file(&[b"first", b"second"])),
        ],
    })
}

#[test]
fn manifests_of_version_2_open() {
    let (version, session) = (VERSION_WITH_SESSION, session());
    let with = SnapshotManifest { version, session: session.clone(), ..snapshot() };
    let stored = golden("snapshot-2.bin", &with.encode());
    assert_eq!(SnapshotManifest::decode(&stored, &Limits::DEFAULT).unwrap(), with);
    assert_eq!(with.encode(), stored);
    let with = ResultManifest { version, session, ..result() };
    let stored = golden("result-2.bin", &with.encode());
    assert_eq!(ResultManifest::decode(&stored, &Limits::DEFAULT).unwrap(), with);
    assert_eq!(with.encode(), stored);
}

const SNAPSHOT_ID: &str = "262efcc46bfa66df3584e9d8677fb8afa6aeb4a268a78cbd14510ab0310051e5";
const RESULT_ID: &str = "be9f36409169f098893b0b43ed429cf13ac196d085664179218f24ac79901b85";

#[test]
fn a_bundle_of_version_1_opens() {
    let manifest = snapshot().encode();
    let contents: [&[u8]; 4] = [b"ref: refs/heads/main\n", b"first", b"second", b"x"];
    let mut writer = Writer::new(Vec::new(), 3).unwrap();
    writer.manifest(&manifest).unwrap();
    for content in contents {
        writer.chunk(&ChunkId::of(content), content).unwrap();
    }
    let fresh = writer.finish().unwrap();
    let stored = golden("bundle-1.tar.zst", &fresh);

    let mut reader = Reader::new(&*stored, BundleLimits::new(1 << 20, 1 << 20));
    assert_eq!(reader.next_item().unwrap(), Some(Item::Manifest(manifest)));
    reader.expect(snapshot().chunks()).unwrap();
    for content in contents {
        let chunk = Chunk::verify(ChunkId::of(content), content.to_vec()).unwrap();
        let item = Item::Chunk(chunk);
        assert_eq!(reader.next_item().unwrap(), Some(item));
    }
    assert_eq!(reader.next_item().unwrap(), None);
    assert_eq!(reader.missing().count(), 0);
    // Another zstd may compress otherwise; the archive in it is the same to the byte.
    assert!(zstd::decode_all(&*stored).unwrap() == zstd::decode_all(&*fresh).unwrap());
}
