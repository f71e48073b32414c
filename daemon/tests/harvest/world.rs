//! A laptop's tree, its snapshot, a run's workspace, and a store that forgets nothing.
//!
//! The harvest is called directly here, without its jail: what it does to hostile content must not
//! depend on the jail around it.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use handoff_daemon::harvest::{self, Collection, HarvestError, HarvestOutcome, IngestLimits};
use handoff_daemon::store::{BlobError, BlobStore, BlobWriter, StoreError, Usage, UserName};
use handoff_daemon::workspace::{self, Bound, Layout, Owner, Snapshot, materialise, write_base};
use handoff_proto::chunk::{Chunk, ChunkId, chunk_reader};
use handoff_proto::manifest::{
    Entry, Head, Kind, ObjectFormat, Oid, Operation, RefName, Repository, RepositoryState,
    ResultManifest, SnapshotManifest, VERSION,
};
use handoff_proto::path::TreePath;
use handoff_proto::tree::{self, GitLocation, Tracked, WalkKind, WalkOptions, WalkRepository};

/// What a disk of the daemon may take in addition to the snapshot.
pub(crate) const DISK_BYTES: u64 = 1 << 30;

/// Content of all users in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<HashMap<(UserName, ChunkId), Bytes>>>);

struct MemoryWriter {
    memory: Memory,
    user: UserName,
    pending: HashMap<(UserName, ChunkId), Bytes>,
}

impl Memory {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("lock").len()
    }

    pub(crate) fn ids(&self) -> Vec<ChunkId> {
        self.0.lock().expect("lock").keys().map(|(_, id)| *id).collect()
    }

    pub(crate) fn forget(&self, id: &ChunkId) {
        self.0.lock().expect("lock").retain(|(_, known), _| known != id);
    }
}

#[tonic::async_trait]
impl BlobStore for Memory {
    async fn lacks(&self, user: &UserName, ids: &[ChunkId]) -> Result<Vec<ChunkId>, StoreError> {
        let known = self.0.lock().expect("lock");
        Ok(ids.iter().filter(|id| !known.contains_key(&(user.clone(), **id))).copied().collect())
    }

    async fn usage(&self, user: &UserName) -> Result<Usage, StoreError> {
        let known = self.0.lock().expect("lock");
        let sizes =
            known.iter().filter(|((owner, _), _)| owner == user).map(|(_, b)| b.len() as u64);
        Ok(Usage { bytes: sizes.clone().sum(), blobs: sizes.count() as u64 })
    }

    async fn owners(&self) -> Result<Vec<UserName>, StoreError> {
        let known = self.0.lock().expect("lock");
        let owners: std::collections::HashSet<UserName> =
            known.keys().map(|(owner, _)| owner.clone()).collect();
        Ok(owners.into_iter().collect())
    }

    async fn list(&self, user: &UserName) -> Result<Vec<(ChunkId, u64)>, StoreError> {
        let known = self.0.lock().expect("lock");
        let of_user = known.iter().filter(|((owner, _), _)| owner == user);
        Ok(of_user.map(|((_, id), content)| (*id, content.len() as u64)).collect())
    }

    fn writer(&self, user: &UserName) -> Box<dyn BlobWriter> {
        let (memory, user) = (self.clone(), user.clone());
        Box::new(MemoryWriter { memory, user, pending: HashMap::new() })
    }

    async fn get(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError> {
        self.read_blocking(user, id)
    }

    fn read_blocking(&self, user: &UserName, id: &ChunkId) -> Result<Bytes, BlobError> {
        let known = self.0.lock().expect("lock");
        known.get(&(user.clone(), *id)).cloned().ok_or(BlobError::Missing { id: *id })
    }

    async fn delete(&self, _: &UserName, ids: &[ChunkId]) -> Result<(), StoreError> {
        ids.iter().for_each(|id| self.forget(id));
        Ok(())
    }
}

impl BlobWriter for MemoryWriter {
    fn put_verified(&mut self, chunk: Chunk<&[u8]>) -> Result<(), BlobError> {
        let content = Bytes::copy_from_slice(chunk.content());
        self.pending.insert((self.user.clone(), chunk.id()), content);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        self.memory.0.lock().expect("lock").extend(self.pending);
        Ok(())
    }
}

/// A laptop and a daemon in one directory.
#[derive(Debug)]
pub(crate) struct World {
    top: tempfile::TempDir,
    pub(crate) blobs: Memory,
    pub(crate) user: UserName,
    pub(crate) layout: Layout,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::Builder::new().prefix("harvest").tempdir().expect("directory"))
    }

    /// A world in memory where there is such a place: a disk takes its time over many directories.
    pub(crate) fn in_memory() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        Self::at(memory.or_else(|_| tempfile::tempdir()).expect("directory"))
    }

    fn at(top: tempfile::TempDir) -> Self {
        let layout = Layout::new(top.path().join("run"));
        layout.create(Bound::Watch).expect("layout");
        fs::create_dir(top.path().join("laptop")).expect("laptop");
        let user = UserName::parse("ada").expect("user");
        Self { top, blobs: Memory::default(), user, layout }
    }

    /// A world in which the laptop's tree is a repository with one commit.
    pub(crate) fn with_repository() -> Self {
        Self::new().initialised()
    }

    pub(crate) fn initialised(self) -> Self {
        let world = self;
        git(&world.laptop(), &["init", "-q", "-b", "main"]);
        for (name, content) in [("a.txt", "a\n"), ("b.txt", "b\n"), ("dir/c.txt", "c\n")] {
            write(&world.laptop().join(name), content);
        }
        commit(&world.laptop(), "first");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    /// The tree on the laptop.
    pub(crate) fn laptop(&self) -> PathBuf {
        self.path("laptop")
    }

    /// The tree of the run.
    pub(crate) fn tree(&self) -> PathBuf {
        self.layout.workspace()
    }

    /// Captures the laptop's tree and materialises it for the run.
    pub(crate) fn hand_off(&self) -> SnapshotManifest {
        let snapshot = self.capture(&self.laptop());
        self.materialise(&snapshot);
        snapshot
    }

    pub(crate) fn materialise(&self, snapshot: &SnapshotManifest) {
        materialise(&self.blobs, &self.user, snapshot, &self.layout, Owner::Daemon, None)
            .expect("materialised");
        let (manifest, encoded) = (snapshot.clone(), snapshot.encode().into());
        let snapshot = Snapshot { manifest, encoded };
        write_base(&self.blobs, &self.user, &snapshot, &self.layout).expect("base");
    }

    /// What the client does, with as little as these tests need.
    pub(crate) fn capture(&self, tree: &Path) -> SnapshotManifest {
        let mut writer = self.blobs.writer(&self.user);
        let options = WalkOptions::default();
        let mut tracked = |repository: &WalkRepository| {
            let directory = in_tree(tree, repository.path.as_ref());
            let listed = git(&directory, &["ls-files", "-z"]);
            let paths = listed.split('\0').filter_map(|path| path.parse().ok()).collect();
            Ok(Some(Tracked { paths, ..Tracked::default() }))
        };
        let walk = tree::walk(tree, &options, &mut tracked).expect("walk");
        let entries = walk.entries.into_iter().map(|entry| {
            let kind = match entry.kind {
                WalkKind::Directory => Kind::Directory,
                WalkKind::Symlink { target } => Kind::Symlink { target },
                WalkKind::File { size } => {
                    let path = tree.join(entry.path.as_os_path());
                    let mut chunks = Vec::new();
                    chunk_reader(fs::File::open(path).expect("open"), |chunk, content| {
                        chunks.push(chunk);
                        writer.put(&chunk.id, content).expect("put");
                        Ok::<(), std::io::Error>(())
                    })
                    .expect("read");
                    Kind::File { size, chunks }
                }
            };
            Entry { path: entry.path, mode: entry.mode, mtime: entry.mtime, kind }
        });
        let snapshot = SnapshotManifest {
            version: VERSION,
            root: "/home/alice/src/app".parse().expect("root"),
            root_mode: walk.root.permissions(),
            root_mtime: walk.root.mtime,
            entries: entries.collect(),
            repositories: walk.repositories.iter().map(|found| repository(tree, found)).collect(),
            session: None,
        };
        writer.commit().expect("commit");
        snapshot.validate(&handoff_proto::manifest::Limits::DEFAULT).expect("valid");
        snapshot
    }

    /// Collects what is in the run's tree.
    pub(crate) fn collect(&self) -> Collection {
        self.try_collect(Vec::new()).expect("collected")
    }

    pub(crate) fn try_collect(
        &self,
        mount_points: Vec<TreePath>,
    ) -> Result<Collection, harvest::CollectError> {
        let scratch = self.path("scratch");
        workspace::remove(&scratch).expect("removed");
        fs::create_dir(&scratch).expect("scratch");
        harvest::collect(&harvest::Request {
            session: None,
            tree: self.tree(),
            base: self.layout.base(),
            scratch,
            mount_points,
        })
    }

    /// Collects, writes and takes in.
    pub(crate) fn harvest(&self, base: &SnapshotManifest) -> Harvested {
        let collection = self.collect();
        let bytes = bundle(&collection);
        let outcome = self.ingest(&bytes, base).expect("taken in");
        let manifest = collection.manifest.clone();
        assert_eq!(outcome.result, manifest.id());
        for chunk in manifest.chunks() {
            let stored = self.blobs.read_blocking(&self.user, &chunk.id).expect("stored");
            assert_eq!(stored.len(), chunk.size as usize);
        }
        let notes = collection.notes.iter().map(ToString::to_string).collect();
        Harvested { manifest, notes, bytes, outcome }
    }

    pub(crate) fn ingest(
        &self,
        bytes: &[u8],
        base: &SnapshotManifest,
    ) -> Result<HarvestOutcome, HarvestError> {
        let limits = IngestLimits::of_run(base, DISK_BYTES);
        harvest::ingest(bytes, &self.blobs, &self.user, base, None, &limits)
    }

    /// The content of a file of a manifest.
    pub(crate) fn content(&self, entry: &Entry) -> Vec<u8> {
        self.chunks(entry.chunks())
    }

    pub(crate) fn chunks(&self, chunks: &[handoff_proto::chunk::ChunkRef]) -> Vec<u8> {
        let read = |chunk: &handoff_proto::chunk::ChunkRef| {
            self.blobs.read_blocking(&self.user, &chunk.id).expect("stored")
        };
        chunks.iter().flat_map(read).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Deep and closed directories are too much for the temporary directory's own clean-up.
        drop(workspace::remove(self.layout.run()));
    }
}

/// A result and how it came about.
#[derive(Debug)]
pub(crate) struct Harvested {
    pub(crate) manifest: ResultManifest,
    pub(crate) notes: Vec<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) outcome: HarvestOutcome,
}

impl Harvested {
    pub(crate) fn entry(&self, path: &str) -> Option<&Entry> {
        self.manifest.entry(&path.parse().expect("path"))
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.manifest.entries.iter().map(|entry| entry.path.to_string()).collect()
    }

    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let outcome = &self.outcome;
        (outcome.files_added, outcome.files_modified, outcome.files_removed)
    }

    pub(crate) fn has_note(&self, text: &str) -> bool {
        self.notes.iter().any(|note| note.contains(text))
    }
}

pub(crate) fn bundle(collection: &Collection) -> Vec<u8> {
    let mut bytes = Vec::new();
    harvest::write(collection, &mut bytes).expect("written");
    bytes
}

/// Runs git as a user who has set nothing but a name.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = git_command(directory).args(arguments).output().expect("git");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?} in {}: {said}", directory.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn git_command(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(directory)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"])
        .args(["-c", "protocol.file.allow=always", "-c", "gc.auto=0"])
        .args(["-c", "maintenance.auto=false"]);
    git
}

pub(crate) fn commit(directory: &Path, message: &str) {
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-q", "-m", message]);
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("parent")).expect("directory");
    fs::write(path, content).expect("write");
}

fn in_tree(tree: &Path, path: Option<&TreePath>) -> PathBuf {
    path.map_or_else(|| tree.to_owned(), |path| tree.join(path.as_os_path()))
}

fn repository(tree: &Path, found: &WalkRepository) -> Repository {
    let directory = in_tree(tree, found.path.as_ref());
    assert_ne!(found.git, GitLocation::Symlink);
    let ask = |arguments: &[&str]| git(&directory, arguments).trim_end().to_owned();
    let oid = |text: &str| Oid::parse(text.as_bytes()).expect("object id");
    let listed = ask(&["for-each-ref", "--format=%(refname) %(objectname) %(symref)"]);
    let mut refs: Vec<(RefName, Oid)> = listed
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|words| words.get(2).is_none_or(|symref| symref.is_empty()))
        .map(|words| (words[0].parse().expect("reference"), oid(words[1])))
        .collect();
    refs.sort();
    let head = fs::read_to_string(
        tree.join(found.git_dir.as_ref().expect("git directory").as_os_path()).join("HEAD"),
    )
    .expect("HEAD");
    let head = match head.trim_end().strip_prefix("ref: ") {
        Some(name) => {
            let name: RefName = name.parse().expect("reference");
            let at = refs.iter().find(|(known, _)| *known == name).map(|(_, oid)| *oid);
            Head::Branch(name, at)
        }
        None => Head::Detached(oid(head.trim_end())),
    };
    let git_dir = found.git_dir.clone().expect("git directory");
    let in_progress = Operation::ALL
        .into_iter()
        .filter_map(|operation| {
            let file = tree.join(git_dir.as_os_path()).join(operation.head_file()?);
            let heads = fs::read_to_string(file).ok()?;
            Some((operation, heads.lines().map(oid).collect()))
        })
        .collect();
    let object_format = match ask(&["rev-parse", "--show-object-format"]).as_str() {
        "sha256" => ObjectFormat::Sha256,
        _ => ObjectFormat::Sha1,
    };
    let state = RepositoryState { object_format, head, refs, index_digest: [0; 32], in_progress };
    Repository { path: found.path.clone(), git_dir, state }
}
