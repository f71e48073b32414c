//! Manifests made by hand, apart from the code that is tested.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_client::pull::chunks::Chunks;
use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{
    Entry, Kind, Limits, Repository, RepositoryState, ResultManifest, SnapshotManifest, Timestamp,
    VERSION, index_digest,
};
use handoff_proto::path::{AbsolutePath, TreePath};

use super::git::{pack_of, state_of};
use super::{Returned, World, path};

/// What is never carried in these tests, as if an ignore file said so.
const IGNORED: [&str; 2] = ["target", ".env"];

pub(super) fn capture(home: &Path, root: &Path) -> SnapshotManifest {
    let (mut entries, mut found) = (Vec::new(), Vec::new());
    walk(root, root, &mut entries, &mut found, &mut |_, _| {});
    entries.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
    found.sort();
    let repositories = found
        .into_iter()
        .map(|at: Option<TreePath>| {
            let state = state_of(home, &beneath(root, at.as_ref()));
            let git_dir = at.as_ref().map_or_else(|| path(".git"), |at| at.join(b".git").unwrap());
            Repository {
                path: at,
                git_dir,
                state: RepositoryState {
                    object_format: state.object_format,
                    head: state.head,
                    refs: state.refs,
                    index_digest: index_digest(&state.index),
                    in_progress: state.in_progress,
                },
            }
        })
        .collect();
    SnapshotManifest {
        version: VERSION,
        root: AbsolutePath::try_from(root).unwrap(),
        root_mode: 0o755,
        root_mtime: Timestamp::default(),
        entries,
        repositories,
        session: None,
    }
}

pub(super) fn harvest(world: &World, base: &SnapshotManifest) -> Returned {
    let (home, root) = (world.home(), world.remote());
    let mut chunks = Chunks::new(&home).unwrap();
    let (mut entries, mut found) = (Vec::new(), Vec::new());
    walk(&root, &root, &mut entries, &mut found, &mut |chunk, content| {
        chunks.add(chunk, content).unwrap();
    });
    entries.sort_by(|a: &Entry, b| a.path.cmp(&b.path));
    found.sort();
    let (known, new): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|at| base.repositories.iter().any(|repository| repository.path == *at));
    let repositories = known
        .into_iter()
        .map(|at| {
            let mut state = state_of(&home, &beneath(&root, at.as_ref()));
            let was = base.repositories.iter().find(|repository| repository.path == at).unwrap();
            let pack = pack_of(&home, &beneath(&root, at.as_ref()), &state, &was.state);
            chunk_reader(pack.as_slice(), |chunk, content| {
                chunks.add(chunk, content).unwrap();
                state.pack.push(chunk);
                std::io::Result::Ok(())
            })
            .unwrap();
            state.path = at;
            state
        })
        .collect();
    let result = ResultManifest {
        version: VERSION,
        base: base.id(),
        root: base.root.clone(),
        entries,
        repositories,
        new_repositories: new.into_iter().flatten().collect(),
        session: None,
    };
    result.validate(&Limits::DEFAULT).unwrap();
    Returned { base: base.clone(), result, chunks }
}

/// Takes what a file holds into a result that is made by hand.
pub(crate) fn file(returned: &mut Returned, at: &str, mode: u32, content: &[u8]) {
    let mut found: Vec<ChunkRef> = Vec::new();
    chunk_reader(content, |chunk, content| {
        returned.chunks.add(chunk, content).unwrap();
        found.push(chunk);
        std::io::Result::Ok(())
    })
    .unwrap();
    put(returned, at, mode, Kind::File { size: content.len() as u64, chunks: found });
}

/// Adds or replaces an entry of a result, and the directories above it.
pub(crate) fn put(returned: &mut Returned, at: &str, mode: u32, kind: Kind) {
    let entry = Entry { path: path(at), mode, mtime: Timestamp { secs: 1, nanos: 2 }, kind };
    let entries = &mut returned.result.entries;
    let mut parent = entry.path.parent();
    while let Some(above) = parent {
        if !entries.iter().any(|entry| entry.path == above) {
            let mtime = Timestamp::default();
            entries.push(Entry { path: above.clone(), mode: 0o755, mtime, kind: Kind::Directory });
        }
        parent = above.parent();
    }
    entries.retain(|other| other.path != entry.path);
    entries.push(entry);
    entries.sort_by(|a, b| a.path.cmp(&b.path));
}

fn beneath(root: &Path, at: Option<&TreePath>) -> PathBuf {
    at.map_or(root.to_owned(), |at| root.join(at.as_os_path()))
}

fn walk(
    root: &Path,
    directory: &Path,
    entries: &mut Vec<Entry>,
    repositories: &mut Vec<Option<TreePath>>,
    sink: &mut dyn FnMut(ChunkRef, &[u8]),
) {
    for found in fs::read_dir(directory).unwrap() {
        let full = found.unwrap().path();
        let relative = full.strip_prefix(root).unwrap();
        let name = full.file_name().unwrap();
        if name == ".git" {
            let at = relative.parent().filter(|at| !at.as_os_str().is_empty());
            repositories.push(at.map(|at| TreePath::parse(at.as_os_str().as_bytes()).unwrap()));
            continue;
        }
        if IGNORED.iter().any(|ignored| OsStr::new(ignored) == name) {
            continue;
        }
        let meta = full.symlink_metadata().unwrap();
        let kind = if meta.is_dir() {
            walk(root, &full, entries, repositories, sink);
            Kind::Directory
        } else if meta.is_symlink() {
            Kind::Symlink { target: fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec() }
        } else {
            let mut chunks = Vec::new();
            let size = chunk_reader(fs::File::open(&full).unwrap(), |chunk, content| {
                sink(chunk, content);
                chunks.push(chunk);
                std::io::Result::Ok(())
            })
            .unwrap();
            Kind::File { size, chunks }
        };
        entries.push(Entry {
            path: TreePath::parse(relative.as_os_str().as_bytes()).unwrap(),
            mode: if meta.is_symlink() { 0o777 } else { meta.mode() & 0o777 },
            mtime: Timestamp {
                secs: meta.mtime(),
                nanos: u32::try_from(meta.mtime_nsec()).unwrap(),
            },
            kind,
        });
    }
}
