//! Random manifests.

use std::collections::BTreeMap;

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Entry, Head, IndexEntry, IndexFlags, Kind, ObjectFormat, Oid, Operation, RefName, Repository,
    RepositoryResult, RepositoryState, ResultManifest, Session, SnapshotId, SnapshotManifest,
    Timestamp, index_digest, version_of,
};
use handoff_proto::path::TreePath;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// A name that no rule forbids, often an unpleasant one.
pub(crate) fn name() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&[u8]] = &[
        b"a",
        b"b",
        b"a.b",
        b"A",
        b"a b",
        b"-",
        b"\n",
        b"\xff\xfe",
        b"\xc3\xa9",
        b"\x1b[2J",
        b"...",
        b"a\\b",
        b"~",
    ];
    prop_oneof![
        3 => select(NAMES).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>().prop_filter("a name", |b| !b"/.\0".contains(b)), 1..20),
    ]
}

pub(crate) fn timestamp() -> impl Strategy<Value = Timestamp> {
    // What every common file system can hold.
    (-2_000_000_000_i64..4_000_000_000, 0_u32..1_000_000_000)
        .prop_map(|(secs, nanos)| Timestamp { secs, nanos })
}

/// What is at the end of a path.
#[derive(Clone, Debug)]
pub(crate) enum Leaf {
    /// A file with this content.
    File(Vec<u8>),
    /// An empty directory, unless something else is put in it.
    Directory,
    /// A link with this target.
    Symlink(Vec<u8>),
}

fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        5 => vec(any::<u8>(), 0..100).prop_map(Leaf::File),
        1 => Just(Leaf::Directory),
        1 => prop_oneof![
            Just(&b"/etc/passwd"[..]), Just(&b"../../.."[..]), Just(&b"dangling"[..]),
            Just(&b"a"[..]), Just(&b"\xff\n"[..]),
        ].prop_map(|target| Leaf::Symlink(target.to_vec())),
    ]
}

/// A tree: entries as a manifest has them, and the content of each file.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) entries: Vec<Entry>,
    pub(crate) contents: BTreeMap<TreePath, Vec<u8>>,
}

/// A valid tree whose directories this user can read and write.
pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let meta = (0_u32..0o1000, timestamp());
    vec((vec(name(), 1..5), leaf(), meta), 0..30).prop_map(|sketch| {
        let mut entries = BTreeMap::new();
        let mut contents = BTreeMap::new();
        for (components, leaf, (mode, mtime)) in sketch {
            place(&mut entries, &mut contents, &components, leaf, mode, mtime);
        }
        Tree { entries: entries.into_values().collect(), contents }
    })
}

fn place(
    entries: &mut BTreeMap<TreePath, Entry>,
    contents: &mut BTreeMap<TreePath, Vec<u8>>,
    components: &[Vec<u8>],
    leaf: Leaf,
    mode: u32,
    mtime: Timestamp,
) {
    for depth in 1..components.len() {
        let path = TreePath::parse(&components[..depth].join(&b'/')).unwrap();
        let directory =
            Entry { path: path.clone(), mode: mode | 0o700, mtime, kind: Kind::Directory };
        if !entries.entry(path).or_insert(directory).is_directory() {
            return;
        }
    }
    let path = TreePath::parse(&components.join(&b'/')).unwrap();
    if entries.contains_key(&path) {
        return;
    }
    let (mode, kind) = match leaf {
        Leaf::Directory => (mode | 0o700, Kind::Directory),
        Leaf::Symlink(target) => (0o777, Kind::Symlink { target }),
        Leaf::File(content) => {
            let kind = Kind::File { size: content.len() as u64, chunks: chunks(&content) };
            contents.insert(path.clone(), content);
            (mode | 0o400, kind)
        }
    };
    entries.insert(path.clone(), Entry { path, mode, mtime, kind });
}

/// Small content is one chunk; in pieces of 33 bytes it makes more interesting manifests.
fn chunks(content: &[u8]) -> Vec<ChunkRef> {
    let chunk = |piece: &[u8]| ChunkRef {
        id: ChunkId::of(piece),
        size: u32::try_from(piece.len()).unwrap(),
    };
    content.chunks(33).map(chunk).collect()
}

fn oid(format: ObjectFormat) -> impl Strategy<Value = Oid> {
    any::<[u8; 32]>().prop_map(move |bytes| Oid::from_bytes(&bytes[..format.oid_len()]).unwrap())
}

fn ref_name() -> impl Strategy<Value = RefName> {
    "refs/(heads|tags|remotes/origin)/[a-z]{1,3}(/[a-z]{1,3})?".prop_map(|s| s.parse().unwrap())
}

fn refs(format: ObjectFormat) -> impl Strategy<Value = Vec<(RefName, Oid)>> {
    vec((ref_name(), oid(format)), 0..6).prop_map(|mut refs| {
        refs.sort_by(|(a, _), (b, _)| a.cmp(b));
        refs.dedup_by(|(a, _), (b, _)| a == b);
        refs
    })
}

fn head(format: ObjectFormat) -> impl Strategy<Value = Head> {
    prop_oneof![
        (ref_name(), option::of(oid(format))).prop_map(|(name, oid)| Head::Branch(name, oid)),
        oid(format).prop_map(Head::Detached),
    ]
}

fn in_progress(format: ObjectFormat) -> impl Strategy<Value = Vec<(Operation, Vec<Oid>)>> {
    let operations = proptest::sample::subsequence(Operation::ALL.to_vec(), 0..=2);
    operations.prop_flat_map(move |operations| {
        let with_heads = |operation| (Just(operation), vec(oid(format), 0..3));
        operations.into_iter().map(with_heads).collect::<Vec<_>>()
    })
}

fn index(format: ObjectFormat) -> impl Strategy<Value = Vec<IndexEntry>> {
    const MODES: &[u32] = &[0o100_644, 0o100_755, 0o120_000, 0o160_000];
    let entry = (vec(name(), 1..3), select(MODES), oid(format), 0_u8..4, 0_u8..8);
    vec(entry, 0..8).prop_map(|entries| {
        let mut index: Vec<IndexEntry> = entries
            .into_iter()
            .map(|(components, mode, oid, stage, flags)| IndexEntry {
                path: TreePath::parse(&components.join(&b'/')).unwrap(),
                mode,
                oid,
                stage,
                flags: IndexFlags::from_bits(flags).unwrap(),
            })
            .collect();
        let key = |entry: &IndexEntry| (entry.path.as_bytes().to_vec(), entry.stage);
        index.sort_by_key(key);
        index.dedup_by_key(|entry| key(entry));
        index
    })
}

fn format() -> impl Strategy<Value = ObjectFormat> {
    select(&[ObjectFormat::Sha1, ObjectFormat::Sha256][..])
}

fn state() -> impl Strategy<Value = RepositoryState> {
    repository_result().prop_map(|result| RepositoryState {
        object_format: result.object_format,
        head: result.head,
        refs: result.refs,
        index_digest: index_digest(&result.index),
        in_progress: result.in_progress,
    })
}

fn repository_result() -> impl Strategy<Value = RepositoryResult> {
    format().prop_flat_map(|object_format| {
        let parts = (
            head(object_format),
            refs(object_format),
            index(object_format),
            in_progress(object_format),
            vec(any::<u8>(), 0..100),
        );
        parts.prop_map(move |(head, refs, index, in_progress, pack)| RepositoryResult {
            path: None,
            object_format,
            head,
            refs,
            index,
            in_progress,
            pack: chunks(&pack),
        })
    })
}

/// The root and some of a tree's directories, sorted.
fn places(tree: &Tree) -> Vec<Option<TreePath>> {
    let directories = tree.entries.iter().filter(|entry| entry.is_directory());
    std::iter::once(None).chain(directories.map(|entry| Some(entry.path.clone()))).collect()
}

/// A valid session.
fn session() -> impl Strategy<Value = Session> {
    tree().prop_map(|tree| Session {
        agent: "claude".to_owned(),
        id: "6fe487e1".to_owned(),
        directory: "/home/me/.claude".parse().unwrap(),
        files: tree
            .entries
            .into_iter()
            .filter(|entry| matches!(entry.kind, Kind::File { .. }))
            .filter(|entry| !entry.path.has_git_component())
            .collect(),
    })
}

/// A valid snapshot.
pub(crate) fn snapshot() -> impl Strategy<Value = SnapshotManifest> {
    (tree(), 0_u32..0o1000, timestamp(), vec(state(), 0..3), option::of(session())).prop_map(
        |(tree, root_mode, root_mtime, states, session)| {
            let directory = tree.entries.iter().find(|entry| entry.is_directory());
            let repositories = directory.map_or_else(Vec::new, |git_dir| {
                let repository =
                    |(path, state)| Repository { path, git_dir: git_dir.path.clone(), state };
                places(&tree).into_iter().zip(states).map(repository).collect()
            });
            SnapshotManifest {
                version: version_of(session.as_ref()),
                root: "/home/me/project".parse().unwrap(),
                root_mode,
                root_mtime,
                entries: tree.entries,
                repositories,
                session,
            }
        },
    )
}

/// A valid result.
pub(crate) fn result() -> impl Strategy<Value = ResultManifest> {
    let parts = (tree(), any::<[u8; 32]>(), vec(repository_result(), 0..3), option::of(session()));
    parts.prop_map(|(tree, base, states, session)| {
        let mut places = places(&tree);
        let new_repositories = places.split_off(places.len().min(states.len()).max(1));
        let placed = places.into_iter().zip(states);
        ResultManifest {
            version: version_of(session.as_ref()),
            base: SnapshotId::from_bytes(base),
            root: "/home/me/project".parse().unwrap(),
            entries: tree.entries,
            repositories: placed.map(|(path, state)| RepositoryResult { path, ..state }).collect(),
            new_repositories: new_repositories.into_iter().flatten().collect(),
            session,
        }
    })
}
