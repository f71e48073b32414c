//! Manifests are read back as they were written, and hostile ones are refused by name.

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Change, ChangeKind, Entry, EntryProblem, Head, IndexEntry, IndexFlags, Kind, Limits,
    ManifestError, ObjectFormat, Oid, RefName, Repository, RepositoryProblem, RepositoryResult,
    RepositoryState, ResultManifest, SnapshotId, SnapshotManifest, Timestamp, VERSION, differences,
    index_digest,
};
use handoff_proto::path::TreePath;
use handoff_proto::wire::{self, StoredEntry, StoredSnapshot};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;

use crate::support::trees;

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

#[test]
fn entries_out_of_order_or_twice_are_refused() {
    check_entries(vec![directory("b"), directory("a")], "a", EntryProblem::Unsorted);
    check_entries(vec![directory("a"), file("a", "x")], "a", EntryProblem::Duplicate);
    // Sorted as plain bytes `a.b` would come before `a/b`.
    let by_bytes = vec![directory("a"), file("a.b", "x"), file("a/b", "x")];
    check_entries(by_bytes, "a/b", EntryProblem::Unsorted);
    assert!(decode(&snapshot(vec![directory("a"), file("a/b", "x"), file("a.b", "x")])).is_ok());
}

#[test]
fn an_entry_needs_a_directory_above_it() {
    check_entries(vec![file("a/b", "x")], "a/b", EntryProblem::Parent);
    check_entries(vec![file("a", "x"), file("a/b", "x")], "a/b", EntryProblem::Parent);
    check_entries(vec![directory("a"), file("a/b/c", "x")], "a/b/c", EntryProblem::Parent);
    let link = Entry { kind: Kind::Symlink { target: b"/".to_vec() }, ..directory("a") };
    check_entries(vec![link, file("a/b", "x")], "a/b", EntryProblem::Parent);
    // A sibling with the directory's name as prefix is not in it.
    check_entries(vec![directory("a"), file("ab/c", "x")], "ab/c", EntryProblem::Parent);
}

#[test]
fn sizes_modes_times_and_targets_have_bounds() {
    let mut wrong = file("a", "four");
    wrong.kind = Kind::File { size: 5, chunks: wrong.chunks().to_vec() };
    check_entries(vec![wrong], "a", EntryProblem::Size { size: 5, chunks: 4 });

    let chunk = |size| ChunkRef { id: ChunkId::of(b""), size };
    let empty = Entry { kind: Kind::File { size: 0, chunks: vec![chunk(0)] }, ..file("a", "") };
    check_entries(vec![empty], "a", EntryProblem::ChunkSize(0));
    let size = (1 << 20) + 1;
    let large = Kind::File { size: size.into(), chunks: vec![chunk(size)] };
    check_entries(vec![Entry { kind: large, ..file("a", "") }], "a", EntryProblem::ChunkSize(size));

    check_entries(vec![Entry { mode: 0o4755, ..directory("a") }], "a", EntryProblem::Mode(0o4755));
    let mtime = Timestamp { secs: 0, nanos: 1_000_000_000 };
    let problem = EntryProblem::Nanoseconds(1_000_000_000);
    check_entries(vec![Entry { mtime, ..directory("a") }], "a", problem);

    for target in [Vec::new(), vec![b'x'; 4096], b"a\0b".to_vec()] {
        let link = Entry { kind: Kind::Symlink { target }, ..directory("a") };
        check_entries(vec![link], "a", EntryProblem::SymlinkTarget);
    }
}

#[test]
fn a_result_never_holds_a_git_directory() {
    for name in [".git", ".GIT", "git~1", ".git ", ".g\u{200c}it", ".git::$INDEX_ALLOCATION"] {
        let decode = |manifest: &ResultManifest| {
            ResultManifest::decode(&manifest.encode(), &Limits::DEFAULT)
        };
        let problem = EntryProblem::GitSpelling;
        let path = handoff_proto::path::escaped(name.as_bytes());
        let refused = decode(&result(vec![directory(name)]));
        assert_eq!(refused, Err(ManifestError::Entry { path, problem }));
        // The same in the index.
        let mut indexed = result(Vec::new());
        indexed.repositories.push(repository_result(&format!("a/{name}/hooks")));
        let refused = decode(&indexed);
        assert!(matches!(
            refused,
            Err(ManifestError::Repository { problem: RepositoryProblem::IndexPath(_), .. })
        ));
        // A snapshot is the user's own.
        assert!(super::manifest::decode(&snapshot(vec![directory(name)])).is_ok());
    }
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

#[test]
fn hostile_paths_are_refused_escaped() {
    for (path, shown) in [
        (&b"../x"[..], "../x"),
        (b"/etc/passwd", "/etc/passwd"),
        (b"a/../../x", "a/../../x"),
        (b"a\0b", "a\\x00b"),
        (b"\x1b[2J/../x", "\\x1b[2J/../x"),
        (b"", ""),
    ] {
        let mut stored = StoredSnapshot::decode(&*snapshot(Vec::new()).encode()).unwrap();
        stored.entries.push(StoredEntry {
            path: path.to_vec(),
            mode: 0o755,
            modified: None,
            kind: Some(wire::stored_entry::Kind::Directory(wire::StoredDirectory {})),
        });
        let error =
            SnapshotManifest::decode(&stored.encode_to_vec(), &Limits::DEFAULT).unwrap_err();
        assert!(
            matches!(&error, ManifestError::Entry { path, problem: EntryProblem::Path(_) } if path == shown),
            "{error:?}"
        );
    }
}

#[test]
fn a_second_encoding_of_the_same_is_refused() {
    let encoded = snapshot(vec![file("a", "x")]).encode();
    let limits = &Limits::DEFAULT;
    assert!(SnapshotManifest::decode(&encoded, limits).is_ok());
    // The version again with another length; an unknown field; a default written out.
    for extra in [&[0x08, 0x81, 0x00][..], &[0x78, 0x01], &[0x72, 0x00]] {
        let refused = SnapshotManifest::decode(&[&encoded[..], extra].concat(), limits);
        assert_eq!(refused, Err(ManifestError::NotCanonical), "{extra:x?}");
    }
    let cut = &encoded[..encoded.len() - 1];
    assert!(matches!(SnapshotManifest::decode(cut, limits), Err(ManifestError::Malformed(_))));
}

#[test]
fn another_version_is_named() {
    let newer = SnapshotManifest { version: 2, ..snapshot(Vec::new()) };
    assert_eq!(decode(&newer), Err(ManifestError::UnknownVersion(2)));
    let refused = SnapshotManifest::decode(b"", &Limits::DEFAULT);
    assert_eq!(refused, Err(ManifestError::UnknownVersion(0)));
}

#[test]
fn every_limit_holds() {
    let manifest = snapshot(vec![directory("a"), file("a/b", "four")]);
    let encoded = manifest.encode();
    let check = |limits: Limits, text: &str| {
        let refused = SnapshotManifest::decode(&encoded, &limits).unwrap_err();
        assert_eq!(refused.to_string(), text);
    };
    let fine = Limits {
        manifest_bytes_max: encoded.len(),
        entries_max: 2,
        content_bytes_max: 4,
        ..Limits::DEFAULT
    };
    assert!(SnapshotManifest::decode(&encoded, &fine).is_ok());
    let text = format!("the manifest has {} bytes, the limit is 10", encoded.len());
    check(Limits { manifest_bytes_max: 10, ..fine }, &text);
    check(Limits { entries_max: 1, ..fine }, "the manifest holds more than 1 entries");
    let text = "the manifest holds more than 3 bytes of content";
    check(Limits { content_bytes_max: 3, ..fine }, text);
}

/// Millions of empty messages fit a few megabytes but would need gigabytes in memory.
#[test]
fn empty_messages_are_counted_before_they_are_built() {
    let header = snapshot(Vec::new()).encode();
    let repository = |state: &[u8]| {
        let mut bytes = vec![0x12, 0x01, b'a', 0x1a];
        prost::encode_length_delimiter(state.len(), &mut bytes).unwrap();
        bytes.extend_from_slice(state);
        let mut field = vec![0x32];
        prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
        [field, bytes].concat()
    };
    let limits = Limits { entries_max: 10, repositories_max: 10, refs_max: 10, ..Limits::DEFAULT };
    for (what, flood) in [
        ("repositories", [0x32, 0x00].repeat(1_000_000)),
        ("references", repository(&[0x1a, 0x00].repeat(1_000_000))),
        ("operations in progress", repository(&[0x2a, 0x00].repeat(1_000_000))),
    ] {
        let bytes = [&header[..], &flood].concat();
        let refused = SnapshotManifest::decode(&bytes, &limits).unwrap_err().to_string();
        // Empty references and repositories are refused at the first of them already.
        assert!(refused.contains(what) || refused.starts_with("repository `"), "{refused}");
    }
}

#[test]
fn chunks_are_whole_records() {
    let mut stored = StoredSnapshot::decode(&*snapshot(vec![file("a", "x")]).encode()).unwrap();
    if let Some(wire::stored_entry::Kind::File(file)) = &mut stored.entries[0].kind {
        file.chunks.pop();
    }
    let refused = SnapshotManifest::decode(&stored.encode_to_vec(), &Limits::DEFAULT);
    let problem = EntryProblem::ChunkRecord;
    assert_eq!(refused, Err(ManifestError::Entry { path: "a".to_owned(), problem }));
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

#[test]
fn repositories_are_checked_against_the_tree_and_git() {
    let entries = vec![directory(".git"), directory("sub"), directory("sub/.git")];
    let check = |repositories: Vec<Repository>, path: &str, problem: RepositoryProblem| {
        let manifest = SnapshotManifest { repositories, ..snapshot(entries.clone()) };
        let path = path.to_owned();
        assert_eq!(decode(&manifest), Err(ManifestError::Repository { path, problem }));
    };
    let (outer, inner) = (repository(None, ".git"), repository(Some("sub"), "sub/.git"));
    let both = vec![outer.clone(), inner.clone()];
    assert!(decode(&SnapshotManifest { repositories: both, ..snapshot(entries.clone()) }).is_ok());

    check(vec![inner.clone(), outer.clone()], ".", RepositoryProblem::Unsorted);
    check(vec![inner.clone(), inner.clone()], "sub", RepositoryProblem::Unsorted);
    check(vec![repository(Some("x"), ".git")], "x", RepositoryProblem::Directory);
    let problem = RepositoryProblem::GitDirectory("x/.git".to_owned());
    check(vec![repository(None, "x/.git")], ".", problem);

    let mut mixed = outer.clone();
    mixed.state.object_format = ObjectFormat::Sha256;
    check(vec![mixed], ".", RepositoryProblem::Oid("HEAD".to_owned()));

    let mut unsorted = outer;
    let named = |name: &str| (name.parse::<RefName>().unwrap(), Oid::Sha1([2; 20]));
    unsorted.state.refs = vec![named("refs/heads/b"), named("refs/heads/a")];
    check(vec![unsorted], ".", RepositoryProblem::RefOrder("refs/heads/a".to_owned()));
}

#[test]
fn an_index_is_in_gits_order() {
    let check = |index: Vec<IndexEntry>, fine: bool| {
        let repositories = vec![RepositoryResult { index, ..repository_result("x") }];
        let manifest = ResultManifest { repositories, ..result(Vec::new()) };
        let decoded = ResultManifest::decode(&manifest.encode(), &Limits::DEFAULT);
        assert_eq!(decoded.is_ok(), fine, "{decoded:?}");
    };
    // Plain bytes: a dot comes before a slash.
    check(vec![index_entry("a.b", 0), index_entry("a/b", 0)], true);
    check(vec![index_entry("a/b", 0), index_entry("a.b", 0)], false);
    check(vec![index_entry("a", 1), index_entry("a", 2), index_entry("a", 3)], true);
    check(vec![index_entry("a", 2), index_entry("a", 2)], false);
    check(vec![index_entry("a", 4)], false);
    check(vec![IndexEntry { mode: 0o040_000, ..index_entry("a", 0) }], false);
}

#[test]
fn reference_names_are_those_that_git_accepts() {
    let git = crate::support::git::Git::init(tempfile::tempdir().unwrap().path());
    let names = [
        "refs/heads/main",
        "refs/heads/a/b",
        "refs/heads/@",
        "refs/heads/a@b",
        "refs/heads/-a",
        "refs/heads/é",
        "refs/heads/a.lockx",
        "refs/x",
        "refs/heads/.a",
        "refs/heads/a.lock",
        "refs/heads/a.lock/b",
        "refs/heads/a..b",
        "refs/heads/a@{b",
        "refs/heads/a.",
        "refs/heads/",
        "refs//a",
        "refs/heads/a b",
        "refs/heads/a~",
        "refs/heads/a^",
        "refs/heads/a:",
        "refs/heads/a?",
        "refs/heads/a*",
        "refs/heads/a[",
        "refs/heads/a\\",
        "refs/heads/a\x7f",
        "refs/heads/a\nb",
        "refs/heads/a./b",
    ];
    for name in names {
        let theirs = git.succeeds(&["check-ref-format", name]);
        assert_eq!(name.parse::<RefName>().is_ok(), theirs, "{name:?}");
    }
    // git would take these, but HEAD, branches and results never name them.
    for name in ["HEAD", "MERGE_HEAD", "heads/main", "refs", "config/x"] {
        assert!(name.parse::<RefName>().is_err());
    }
}

#[test]
fn the_digest_of_an_index_is_of_its_content() {
    let index = [index_entry("a", 0), index_entry("b", 0)];
    let digest = index_digest(&index);
    let reversed: Vec<_> = index.iter().cloned().rev().collect();
    assert_eq!(index_digest(&reversed), digest);
    assert_ne!(index_digest(&index[..1]), digest);
    let flagged = IndexEntry { flags: IndexFlags::INTENT_TO_ADD, ..index[0].clone() };
    assert_ne!(index_digest(&[flagged, index[1].clone()]), digest);
}

#[test]
fn differences_are_in_kind_mode_and_content() {
    let before = [
        directory("d"),
        file("d/gone", "x"),
        file("mode", "x"),
        file("same", "x"),
        file("text", "x"),
    ];
    let later = Timestamp { secs: 1, nanos: 1 };
    let after = [
        file("d", "x"),
        Entry { mode: 0o755, ..file("mode", "x") },
        file("new", "x"),
        Entry { mtime: later, ..file("same", "x") },
        file("text", "y"),
    ];
    let change = |path: &str, kind| Change { path: path.parse().unwrap(), kind };
    let expected = [
        change("d", ChangeKind::Modified),
        change("d/gone", ChangeKind::Removed),
        change("mode", ChangeKind::Modified),
        change("new", ChangeKind::Added),
        change("text", ChangeKind::Modified),
    ];
    assert_eq!(differences(&before, &after), expected);
    assert_eq!(differences(&before, &before), []);
    assert_eq!(differences(&[], &before).len(), before.len());
}

/// Changes bytes, cuts and doubles pieces.
fn mutate(bytes: &[u8], edits: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (index, value, kind) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = index.index(bytes.len());
        match kind % 5 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, *value),
            _ => {
                let piece = bytes[at..].to_vec();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

/// Limits that random manifests exceed now and then.
const TIGHT: Limits = Limits {
    manifest_bytes_max: 4096,
    entries_max: 20,
    content_bytes_max: 1000,
    repositories_max: 2,
    refs_max: 6,
    index_entries_max: 6,
    heads_max: 2,
};

fn edits() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    vec(any::<(Index, u8, u8)>(), 0..4)
}

proptest! {
    #[test]
    fn a_snapshot_is_read_back(manifest in trees::snapshot()) {
        let encoded = manifest.encode();
        prop_assert_eq!(SnapshotId::of(&encoded), manifest.id());
        prop_assert_eq!(SnapshotManifest::decode(&encoded, &Limits::DEFAULT), Ok(manifest));
    }

    #[test]
    fn a_result_is_read_back(manifest in trees::result()) {
        let encoded = manifest.encode();
        prop_assert_eq!(ResultManifest::decode(&encoded, &Limits::DEFAULT), Ok(manifest));
    }

    #[test]
    fn what_is_decoded_is_valid_within_limits_and_the_only_spelling(
        manifest in trees::snapshot(),
        edits in edits(),
    ) {
        let bytes = mutate(&manifest.encode(), &edits);
        if let Ok(decoded) = SnapshotManifest::decode(&bytes, &TIGHT) {
            prop_assert!(bytes.len() <= TIGHT.manifest_bytes_max);
            prop_assert!(decoded.entries.len() <= TIGHT.entries_max);
            prop_assert!(decoded.chunks().map(|c| u64::from(c.size)).sum::<u64>() <= 1000);
            prop_assert!(decoded.repositories.len() <= TIGHT.repositories_max);
            prop_assert_eq!(decoded.validate(&TIGHT), Ok(()));
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn a_decoded_result_is_valid_within_limits_and_the_only_spelling(
        manifest in trees::result(),
        edits in edits(),
    ) {
        let bytes = mutate(&manifest.encode(), &edits);
        if let Ok(decoded) = ResultManifest::decode(&bytes, &TIGHT) {
            prop_assert!(!decoded.entries.iter().any(|entry| entry.path.has_git_component()));
            prop_assert!(decoded.chunks().map(|c| u64::from(c.size)).sum::<u64>() <= 1000);
            prop_assert_eq!(decoded.validate(&TIGHT), Ok(()));
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn random_bytes_are_no_manifest(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(SnapshotManifest::decode(&bytes, &TIGHT).is_err());
        prop_assert!(ResultManifest::decode(&bytes, &TIGHT).is_err());
    }

    #[test]
    fn applying_the_differences_leaves_none(a in trees::tree(), b in trees::tree()) {
        let paths = |kind| -> Vec<TreePath> {
            let changes = differences(&a.entries, &b.entries).into_iter();
            changes.filter(|change| change.kind == kind).map(|change| change.path).collect()
        };
        let (added, removed) = (paths(ChangeKind::Added), paths(ChangeKind::Removed));
        let has = |tree: &trees::Tree, path: &TreePath| tree.entries.iter().any(|e| e.path == *path);
        prop_assert!(added.iter().all(|path| has(&b, path) && !has(&a, path)));
        prop_assert!(removed.iter().all(|path| has(&a, path) && !has(&b, path)));
        prop_assert_eq!(a.entries.len() + added.len(), b.entries.len() + removed.len());
    }
}
