//! Which entries a tree may hold, in which order.

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Entry, EntryProblem, Kind, Limits, ManifestError, RepositoryProblem, ResultManifest,
    SnapshotManifest, Timestamp,
};
use handoff_proto::wire::{self, StoredEntry, StoredSnapshot};
use prost::Message as _;

use super::{check_entries, decode, directory, file, repository_result, result, snapshot};

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
        assert!(super::decode(&snapshot(vec![directory(name)])).is_ok());
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
