//! A laptop with a repository, the copy that a run worked on, and what both come to.
//!
//! The manifests are made by hand here, apart from the code that is tested.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_client::pull::apply::{ApplyError, Step, put_in_place};
use handoff_client::pull::chunks::Chunks;
use handoff_client::pull::elsewhere::{ElsewhereError, Manifests, Placed, put_elsewhere};
use handoff_client::pull::git::Git;
use handoff_client::pull::journal::{Journal, JournalError};
use handoff_client::pull::plan::{Decision, Plan, PlanError, decide};
use handoff_client::pull::prepare::Source;
use handoff_client::pull::root::Root;
use handoff_client::pull::survey::Survey;
use handoff_client::pull::undo::{UndoError, Undone, recover, undo};
use handoff_proto::chunk::{ChunkRef, chunk_reader};
use handoff_proto::manifest::{
    Entry, Head, IndexEntry, IndexFlags, Kind, Limits, ObjectFormat, Oid, Operation, RefName,
    Repository, RepositoryResult, RepositoryState, ResultManifest, SnapshotManifest, Timestamp,
    VERSION, index_digest,
};
use handoff_proto::path::{AbsolutePath, TreePath};

/// What is never carried in these tests, as if an ignore file said so.
const IGNORED: [&str; 2] = ["target", ".env"];

/// A home with a tree, the run's copy of it, and the client's state.
pub(crate) struct World {
    home: PathBuf,
    owner: Option<tempfile::TempDir>,
}

/// A result and the contents that it needs.
pub(crate) struct Returned {
    pub(crate) base: SnapshotManifest,
    pub(crate) result: ResultManifest,
    pub(crate) chunks: Chunks,
}

/// What a directory holds, byte for byte: mode, content and modification time of each path.
pub(crate) type Picture = BTreeMap<Vec<u8>, (u32, Vec<u8>, Option<i64>)>;

impl World {
    pub(crate) fn new() -> Self {
        let owner = tempfile::tempdir().unwrap();
        let home = owner.path().canonicalize().unwrap();
        fs::write(home.join(".gitconfig"), CONFIG).unwrap();
        fs::create_dir(home.join("project")).unwrap();
        Self { home, owner: Some(owner) }
    }

    /// With a repository in which two files are committed.
    pub(crate) fn with_repository() -> Self {
        let world = Self::new();
        world.git(&world.local(), &["init", "-q", "-b", "main"]);
        world.write("README.md", "hello\n");
        world.write("src/main.rs", "fn main() {}\n");
        world.write(".gitignore", "target\n.env\n");
        world.git(&world.local(), &["add", "."]);
        world.git(&world.local(), &["commit", "-q", "-m", "first"]);
        world
    }

    /// In a home that somebody else made and cleans up.
    pub(crate) fn at(home: &Path) -> Self {
        Self { home: home.to_owned(), owner: None }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.home.clone()
    }

    pub(crate) fn local(&self) -> PathBuf {
        self.home().join("project")
    }

    pub(crate) fn remote(&self) -> PathBuf {
        self.home().join("run")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home().join("state")
    }

    pub(crate) fn beside(&self) -> PathBuf {
        self.home().join("project.handoff-fix")
    }

    /// Writes a local file, the directories above it as well.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        write(&self.local().join(path), content.as_ref());
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.local().join(path)).unwrap()
    }

    pub(crate) fn git(&self, directory: &Path, words: &[&str]) -> String {
        git(&self.home(), directory, words)
    }

    /// Hands off: from here on the run works on a copy.
    pub(crate) fn hand_off(&self) -> SnapshotManifest {
        let status = Command::new("cp").arg("-a").arg(self.local()).arg(self.remote()).status();
        assert!(status.unwrap().success());
        self.capture()
    }

    pub(crate) fn capture(&self) -> SnapshotManifest {
        capture(&self.home(), &self.local())
    }

    /// What the run returns, with the objects that the base lacks.
    pub(crate) fn harvest(&self, base: &SnapshotManifest) -> Returned {
        harvest(self, base)
    }

    pub(crate) fn root(&self) -> Root {
        Root::open(&self.root_path()).unwrap()
    }

    pub(crate) fn root_path(&self) -> AbsolutePath {
        AbsolutePath::try_from(self.local().as_path()).unwrap()
    }

    pub(crate) fn journal(&self) -> Journal {
        // A process that another test is just starting may hold a copy of the last lock.
        for _ in 0..1_000_000 {
            match Journal::open(&self.state(), &self.root_path()) {
                Err(JournalError::Busy) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
        panic!("the journal stays locked");
    }

    pub(crate) fn decide(&self, returned: &Returned) -> Result<Decision, PlanError> {
        let local = self.capture();
        let root = self.root();
        let mut elsewhere = BTreeMap::new();
        for repository in &local.repositories {
            let path = match &repository.path {
                Some(path) => self.local().join(path.as_os_path()),
                None => self.local(),
            };
            let git = Git::open(&path).unwrap().unwrap();
            elsewhere.insert(repository.path.clone(), git.checked_out_elsewhere().unwrap());
        }
        let survey = Survey::new(root.handle(), &local, elsewhere);
        decide(&returned.base, &local, &returned.result, "fix", &survey)
    }

    pub(crate) fn plan(&self, returned: &Returned) -> Plan {
        match self.decide(returned).unwrap() {
            Decision::InPlace(plan) => plan,
            other => panic!("expected a plan, got {other:?}"),
        }
    }

    pub(crate) fn apply(
        &self,
        returned: &Returned,
        plan: &Plan,
        watch: &mut dyn FnMut(&Step),
    ) -> Result<(), ApplyError> {
        self.apply_to(&self.capture(), returned, plan, watch)
    }

    /// Puts in place where the local tree was captured before.
    pub(crate) fn apply_to(
        &self,
        local: &SnapshotManifest,
        returned: &Returned,
        plan: &Plan,
        watch: &mut dyn FnMut(&Step),
    ) -> Result<(), ApplyError> {
        let journal = self.journal();
        put_in_place(&self.root(), plan, local, &returned.chunks, &source(), &journal, watch)
    }

    /// Plans and puts in place.
    pub(crate) fn pull(&self, returned: &Returned) {
        let plan = self.plan(returned);
        self.apply(returned, &plan, &mut |_| {}).unwrap();
    }

    pub(crate) fn pull_elsewhere(&self, returned: &Returned) -> Result<Placed, ElsewhereError> {
        let local = self.capture();
        let manifests = Manifests { base: &returned.base, local: &local, result: &returned.result };
        let (root, journal) = (self.root(), self.journal());
        put_elsewhere(&root, &self.beside(), manifests, &returned.chunks, &source(), &journal)
    }

    pub(crate) fn undo(&self) -> Result<Undone, UndoError> {
        undo(&self.root(), &self.journal(), &mut |_| {})
    }

    pub(crate) fn recover(&self) -> Result<bool, UndoError> {
        recover(&self.root(), &self.journal())
    }

    /// All that a user could notice in the tree; of git what `git` itself says.
    pub(crate) fn notice(&self, directory: &Path) -> (Picture, Vec<String>) {
        let mut files = Picture::new();
        picture(directory, directory, &mut files, &|path| path == Path::new(".git"));
        if !directory.join(".git").exists() {
            return (files, Vec::new());
        }
        let asks: [&[&str]; 6] = [
            &["for-each-ref", "--format=%(refname) %(objectname)"],
            &["ls-files", "--stage", "-v"],
            &["status", "--porcelain=v2", "--branch", "--ignored"],
            &["diff", "--raw", "--no-abbrev"],
            &["stash", "list"],
            &["config", "--list", "--local"],
        ];
        let mut said: Vec<String> = asks.iter().map(|words| self.git(directory, words)).collect();
        let git_dir = self.git(directory, &["rev-parse", "--absolute-git-dir"]);
        for name in
            ["HEAD", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "MERGE_MSG", "MERGE_MODE"]
        {
            let content = fs::read_to_string(Path::new(git_dir.trim()).join(name));
            said.push(format!("{name}: {:?}", content.ok()));
        }
        (files, said)
    }

    /// Everything in the home, but what pulling is meant to change.
    pub(crate) fn picture(&self, skip: &dyn Fn(&Path) -> bool) -> Picture {
        let mut found = Picture::new();
        picture(&self.home(), &self.home(), &mut found, skip);
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.owner.is_some() {
            make_writable(&self.home);
        }
    }
}

const CONFIG: &str = "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n[core]\n\thooksPath = /dev/null\n[protocol \"file\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n";

/// Compares what two directories hold and names what differs.
#[track_caller]
pub(crate) fn assert_same(found: &Picture, expected: &Picture, when: &str) {
    let paths: std::collections::BTreeSet<_> = found.keys().chain(expected.keys()).collect();
    let differing: Vec<_> = paths
        .into_iter()
        .filter(|path| found.get(*path) != expected.get(*path))
        .map(|path| {
            let shown = |picture: &Picture| {
                picture.get(path).map(|(mode, content, mtime)| {
                    let content = String::from_utf8_lossy(&content[..content.len().min(60)]);
                    format!("{mode:o} {content:?} {mtime:?}")
                })
            };
            format!(
                "{}: {:?} != {:?}",
                String::from_utf8_lossy(path),
                shown(found),
                shown(expected)
            )
        })
        .collect();
    assert!(differing.is_empty(), "{when}:\n{}", differing.join("\n"));
}

pub(crate) fn source() -> Source {
    Source { run: "abcdefghij".to_owned(), name: "fix".to_owned(), result: "00".to_owned() }
}

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Lets everything beneath a directory be removed.
pub(crate) fn make_writable(directory: &Path) {
    let done = Command::new("chmod").args(["-R", "u+rwX"]).arg(directory).status();
    assert!(done.unwrap().success());
}

fn git_command(home: &Path, directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z")
        .env("GIT_EDITOR", "true")
        .current_dir(directory);
    command
}

pub(crate) fn git(home: &Path, directory: &Path, words: &[&str]) -> String {
    let output = git_command(home, directory).args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // A merge with conflicts exits 1, which some tests want.
    assert!(output.status.code() <= Some(1), "git {words:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn git_fed(home: &Path, directory: &Path, words: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = git_command(home, directory)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "git {words:?}");
    output.stdout
}

fn capture(home: &Path, root: &Path) -> SnapshotManifest {
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
    }
}

fn harvest(world: &World, base: &SnapshotManifest) -> Returned {
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

/// A repository as its own git describes it.
fn state_of(home: &Path, at: &Path) -> RepositoryResult {
    let ask = |words: &[&str]| git(home, at, words);
    let oid = |hex: &str| Oid::parse(hex.trim().as_bytes()).unwrap();
    let tip = Some(ask(&["rev-parse", "--verify", "-q", "HEAD"])).filter(|tip| !tip.is_empty());
    let branch = ask(&["symbolic-ref", "-q", "HEAD"]);
    let head = match branch.trim() {
        "" => Head::Detached(oid(&tip.unwrap())),
        name => Head::Branch(RefName::parse(name.as_bytes()).unwrap(), tip.as_deref().map(oid)),
    };
    let mut refs: Vec<_> = ask(&["for-each-ref", "--format=%(objectname) %(refname)"])
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(hex, name)| (RefName::parse(name.as_bytes()).unwrap(), oid(hex)))
        .collect();
    refs.sort();
    let git_dir = PathBuf::from(ask(&["rev-parse", "--absolute-git-dir"]).trim());
    let in_progress = Operation::ALL
        .into_iter()
        .filter_map(|operation| {
            let heads = fs::read_to_string(git_dir.join(operation.head_file()?)).ok()?;
            Some((operation, heads.lines().map(oid).collect()))
        })
        .collect();
    let object_format = match ask(&["rev-parse", "--show-object-format"]).trim() {
        "sha256" => ObjectFormat::Sha256,
        _ => ObjectFormat::Sha1,
    };
    RepositoryResult {
        path: None,
        object_format,
        head,
        refs,
        index: index_of(home, at),
        in_progress,
        pack: Vec::new(),
    }
}

fn index_of(home: &Path, at: &Path) -> Vec<IndexEntry> {
    let listed = git_fed(home, at, &["ls-files", "--stage", "--debug", "-z"], b"");
    let mut entries = Vec::new();
    let mut rest = listed.as_slice();
    while let Some(end) = rest.iter().position(|&byte| byte == 0) {
        let record = &rest[..end];
        let tab = record.iter().position(|&byte| byte == b'\t').unwrap();
        let words: Vec<&str> = std::str::from_utf8(&record[..tab]).unwrap().split(' ').collect();
        let debug = rest[end + 1..].split(|&byte| byte == b'\n').nth(4).unwrap();
        let bits = String::from_utf8_lossy(debug);
        let bits = u32::from_str_radix(bits.rsplit("flags: ").next().unwrap(), 16).unwrap();
        let mut flags = IndexFlags::NONE;
        for (bit, flag) in [
            (0x8000, IndexFlags::ASSUME_UNCHANGED),
            (0x4000_0000, IndexFlags::SKIP_WORKTREE),
            (0x2000_0000, IndexFlags::INTENT_TO_ADD),
        ] {
            if bits & bit != 0 {
                flags = flags.with(flag);
            }
        }
        entries.push(IndexEntry {
            path: TreePath::parse(&record[tab + 1..]).unwrap(),
            mode: u32::from_str_radix(words[0], 8).unwrap(),
            oid: Oid::parse(words[1].as_bytes()).unwrap(),
            stage: words[2].parse().unwrap(),
            flags,
        });
        let newlines = rest[end + 1..].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let after = newlines.map(|(at, _)| at).nth(4).unwrap();
        rest = &rest[end + 1 + after + 1..];
    }
    entries
}

/// A pack of what a repository names and the base does not.
fn pack_of(home: &Path, at: &Path, now: &RepositoryResult, base: &RepositoryState) -> Vec<u8> {
    let mut revisions = String::new();
    let heads = now.in_progress.iter().flat_map(|(_, heads)| heads);
    for oid in now.refs.iter().map(|(_, oid)| oid).chain(heads).chain(&now.head.oid()) {
        revisions.push_str(&format!("{oid}\n"));
    }
    for entry in now.index.iter().filter(|entry| entry.mode != 0o160_000) {
        if !entry.flags.contains(IndexFlags::INTENT_TO_ADD) {
            revisions.push_str(&format!("{}\n", entry.oid));
        }
    }
    for oid in base.refs.iter().map(|(_, oid)| oid).chain(&base.head.oid()) {
        revisions.push_str(&format!("^{oid}\n"));
    }
    let words = ["pack-objects", "--revs", "--stdout", "-q"];
    git_fed(home, at, &words, revisions.as_bytes())
}

fn picture(root: &Path, directory: &Path, found: &mut Picture, skip: &dyn Fn(&Path) -> bool) {
    for entry in fs::read_dir(directory).unwrap() {
        let full = entry.unwrap().path();
        let relative = full.strip_prefix(root).unwrap();
        if skip(relative) {
            continue;
        }
        let meta = full.symlink_metadata().unwrap();
        let (content, mtime) = if meta.is_dir() {
            picture(root, &full, found, skip);
            (b"directory".to_vec(), None)
        } else if meta.is_symlink() {
            (fs::read_link(&full).unwrap().as_os_str().as_bytes().to_vec(), None)
        } else {
            (fs::read(&full).unwrap(), Some(meta.mtime_nsec() + meta.mtime() * 1_000_000_000))
        };
        found.insert(relative.as_os_str().as_bytes().to_vec(), (meta.mode(), content, mtime));
    }
}
