//! A laptop with a repository, the copy that a run worked on, and what both come to.

mod git;
mod manifests;
mod picture;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

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
use handoff_proto::manifest::{ResultManifest, SnapshotManifest};
use handoff_proto::path::{AbsolutePath, TreePath};

use manifests::{capture, harvest};

pub(crate) use git::{git, git_fed};
pub(crate) use manifests::{file, put};
pub(crate) use picture::{Picture, assert_same};

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

    /// Commits on two branches, `main` and `other`, so that their merge has a conflict.
    pub(crate) fn commit_on_two_branches(&self) {
        let local = self.local();
        self.git(&local, &["checkout", "-q", "-b", "other"]);
        self.write("README.md", "other\n");
        self.git(&local, &["commit", "-q", "-a", "-m", "other"]);
        self.git(&local, &["checkout", "-q", "main"]);
        self.write("README.md", "main\n");
        self.git(&local, &["commit", "-q", "-a", "-m", "main"]);
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
}

impl Drop for World {
    fn drop(&mut self) {
        if self.owner.is_some() {
            make_writable(&self.home);
        }
    }
}

const CONFIG: &str = "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n[core]\n\thooksPath = /dev/null\n[protocol \"file\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n";

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
