//! Random trees against a model: what a plan does to a tree is what the result says.

use std::collections::{BTreeMap, BTreeSet};

use handoff_proto::chunk::{ChunkId, ChunkRef};
use handoff_proto::manifest::{
    Head, IndexEntry, IndexFlags, Kind, ObjectFormat, Oid, Repository, RepositoryResult,
    RepositoryState, Timestamp, VERSION, index_digest,
};
use handoff_proto::path::AbsolutePath;
use proptest::prelude::*;

use super::*;

/// A tree as a model: what is at each path.
type Model = BTreeMap<TreePath, Node>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(u8, bool),
    Link(u8),
}

/// What is on the disk and was never handed off.
#[derive(Default)]
struct Disk {
    uncaptured: BTreeMap<TreePath, Occupant>,
    checked_out: Vec<RefName>,
}

impl Surroundings for Disk {
    fn occupant(&self, path: &TreePath) -> io::Result<Option<Occupant>> {
        Ok(self.uncaptured.get(path).copied())
    }

    fn uncaptured_beneath(&self, directory: &TreePath) -> io::Result<Option<TreePath>> {
        let beneath = |path: &&TreePath| path.starts_with(directory) && *path != directory;
        Ok(self.uncaptured.keys().find(beneath).cloned())
    }

    fn checked_out_elsewhere(&self, _repository: Option<&TreePath>) -> &[RefName] {
        &self.checked_out
    }
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn entries(model: &Model) -> Vec<Entry> {
    let entry = |(path, node): (&TreePath, &Node)| {
        let (mode, kind) = match node {
            Node::Directory => (0o755, Kind::Directory),
            Node::Link(to) => (0o777, Kind::Symlink { target: vec![b'a' + to] }),
            Node::File(content, executable) => {
                let chunks = vec![ChunkRef { id: ChunkId::of(&[*content]), size: 1 }];
                (if *executable { 0o755 } else { 0o644 }, Kind::File { size: 1, chunks })
            }
        };
        Entry { path: path.clone(), mode, mtime: Timestamp::default(), kind }
    };
    model.iter().map(entry).collect()
}

fn snapshot(model: &Model) -> SnapshotManifest {
    SnapshotManifest {
        version: VERSION,
        root: AbsolutePath::parse(b"/home/ada/project").unwrap(),
        root_mode: 0o755,
        root_mtime: Timestamp::default(),
        entries: entries(model),
        repositories: Vec::new(),
        session: None,
    }
}

fn result(base: &SnapshotManifest, model: &Model) -> ResultManifest {
    ResultManifest {
        version: VERSION,
        base: base.id(),
        root: base.root.clone(),
        entries: entries(model),
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    }
}

/// Does to a model what a plan says.
fn applied(plan: &Plan, local: &Model) -> Vec<Entry> {
    let mut after: BTreeMap<TreePath, Entry> =
        entries(local).into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for change in &plan.tree {
        assert_eq!(after.remove(&change.path), change.before, "{}", change.path);
        after.extend(change.after.clone().map(|entry| (change.path.clone(), entry)));
    }
    after.into_values().collect()
}

/// Trees over few names, so that two of them have much in common.
fn models() -> impl Strategy<Value = Model> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let node = prop_oneof![
        Just(Node::Directory),
        (0..3_u8, any::<bool>()).prop_map(|(content, executable)| Node::File(content, executable)),
        (0..2_u8).prop_map(Node::Link),
    ];
    let place = (prop::collection::vec(name, 1..4), node);
    prop::collection::vec(place, 0..12).prop_map(|places| {
        let mut model = Model::new();
        for (names, node) in places {
            let place = path(&names.join("/"));
            let parents = std::iter::successors(place.parent(), TreePath::parent);
            let parents: Vec<TreePath> = parents.collect();
            let beneath = |found: &TreePath| found.starts_with(&place);
            if parents
                .iter()
                .any(|parent| !matches!(model.get(parent), None | Some(Node::Directory)))
                || model.keys().any(beneath)
            {
                continue;
            }
            model.extend(parents.into_iter().map(|parent| (parent, Node::Directory)));
            model.insert(place, node);
        }
        model
    })
}

proptest! {
    #[test]
    fn a_plan_turns_the_tree_into_the_result(before in models(), after in models()) {
        let base = snapshot(&before);
        let result = result(&base, &after);
        match decide(&base, &base, &result, "fix", &Disk::default()).unwrap() {
            Decision::InPlace(plan) => {
                prop_assert_eq!(applied(&plan, &before), entries(&after));
                let deleted = plan.tree.iter().filter(|change| change.after.is_none());
                for change in deleted {
                    prop_assert!(before.contains_key(&change.path));
                }
            }
            Decision::UpToDate => {
                let leaves = |model: &Model| -> Model {
                    model.clone().into_iter().filter(|(_, node)| *node != Node::Directory).collect()
                };
                prop_assert_eq!(leaves(&before), leaves(&after));
            }
            Decision::Diverged(reasons) => prop_assert!(false, "{:?}", reasons),
        }
    }

    #[test]
    fn pulling_again_does_nothing(before in models(), after in models()) {
        let base = snapshot(&before);
        let result = result(&base, &after);
        let local = snapshot(&after);
        let decision = decide(&base, &local, &result, "fix", &Disk::default()).unwrap();
        prop_assert_eq!(decision, Decision::UpToDate);
    }

    #[test]
    fn a_tree_that_changed_is_never_touched(before in models(), now in models(), after in models()) {
        let (base, local) = (snapshot(&before), snapshot(&now));
        let result = result(&base, &after);
        let decision = decide(&base, &local, &result, "fix", &Disk::default()).unwrap();
        if before != now {
            prop_assert!(!matches!(decision, Decision::InPlace(_)));
        }
        prop_assert_eq!(divergences(&base, &local).is_empty(), before == now);
    }

    #[test]
    fn what_was_not_handed_off_is_never_written(before in models(), after in models(), others in models()) {
        let base = snapshot(&before);
        let result = result(&base, &after);
        let occupant = |(path, node): (TreePath, Node)| {
            let kind = if node == Node::Directory { Occupant::Directory } else { Occupant::Other };
            (path, kind)
        };
        let free = |(path, _): &(TreePath, Node)| !before.contains_key(path);
        let disk = Disk { uncaptured: others.into_iter().filter(free).map(occupant).collect(), ..Disk::default() };
        let touched: BTreeSet<TreePath> = match decide(&base, &base, &result, "fix", &disk) {
            Ok(Decision::InPlace(plan)) => plan.tree.into_iter().map(|change| change.path).collect(),
            Ok(_) => BTreeSet::new(),
            Err(PlanError::Occupied(path) | PlanError::Held { held: path, .. }) => {
                prop_assert!(disk.uncaptured.contains_key(&path));
                BTreeSet::new()
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert!(disk.uncaptured.keys().all(|path| !touched.contains(path)));
    }
}

/// One repository in an empty tree.
struct Sides {
    base: SnapshotManifest,
    local: SnapshotManifest,
    result: ResultManifest,
    disk: Disk,
}

fn oid(byte: u8) -> Oid {
    Oid::Sha1([byte; 20])
}

fn name(text: &str) -> RefName {
    RefName::parse(text.as_bytes()).unwrap()
}

fn on(branch: &str, tip: u8) -> Head {
    Head::Branch(name(branch), Some(oid(tip)))
}

impl Sides {
    /// On `main` at commit 1, on both sides.
    fn new() -> Self {
        let refs = vec![(name("refs/heads/main"), oid(1)), (name("refs/heads/other"), oid(2))];
        let state = RepositoryState {
            object_format: ObjectFormat::Sha1,
            head: on("refs/heads/main", 1),
            refs: refs.clone(),
            index_digest: index_digest(&[]),
            in_progress: Vec::new(),
        };
        let mut base = snapshot(&Model::new());
        base.repositories = vec![Repository { path: None, git_dir: path(".git"), state }];
        let mut result = result(&base, &Model::new());
        result.repositories = vec![RepositoryResult {
            path: None,
            object_format: ObjectFormat::Sha1,
            head: on("refs/heads/main", 1),
            refs,
            index: Vec::new(),
            in_progress: Vec::new(),
            pack: Vec::new(),
        }];
        Self { local: base.clone(), base, result, disk: Disk::default() }
    }

    /// The run ends on this branch at this commit.
    fn ends_on(mut self, branch: &str, tip: u8) -> Self {
        let repository = &mut self.result.repositories[0];
        repository.head = on(branch, tip);
        repository.refs.retain(|(found, _)| *found != name(branch));
        repository.refs.push((name(branch), oid(tip)));
        repository.refs.sort();
        self
    }

    fn local(&mut self) -> &mut RepositoryState {
        &mut self.local.repositories[0].state
    }

    fn decide(&self) -> Decision {
        decide(&self.base, &self.local, &self.result, "fix", &self.disk).unwrap()
    }

    fn plan(&self) -> RepositoryPlan {
        match self.decide() {
            Decision::InPlace(mut plan) => plan.repositories.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn reasons(&self) -> Vec<Divergence> {
        match self.decide() {
            Decision::Diverged(reasons) => reasons,
            other => panic!("{other:?}"),
        }
    }
}

const HERE: RepositoryPath = RepositoryPath(None);

#[test]
fn the_branch_of_head_moves_and_other_branches_are_kept_apart() {
    assert_eq!(Sides::new().decide(), Decision::UpToDate);
    let mut sides = Sides::new().ends_on("refs/heads/main", 7);
    let refs = &mut sides.result.repositories[0].refs;
    refs[1].1 = oid(8);
    refs.push((name("refs/remotes/origin/x"), oid(9)));
    refs.push((name("refs/tags/v1"), oid(9)));
    let plan = sides.plan();
    let change = |at: &str, before: Option<u8>, after: u8| RefChange {
        name: name(at),
        before: before.map(oid),
        after: oid(after),
    };
    let expected = [
        change("refs/handoff/fix/other", None, 8),
        change("refs/handoff/fix/tags/v1", None, 9),
        change("refs/heads/main", Some(1), 7),
    ];
    assert_eq!(plan.refs, expected);
    assert_eq!((plan.head, plan.index, plan.in_progress.len()), (None, None, 0));
}

#[test]
fn head_follows_the_run_to_another_branch() {
    let plan = Sides::new().ends_on("refs/heads/topic", 7).plan();
    assert_eq!(plan.refs.len(), 1);
    assert_eq!((plan.refs[0].before, plan.refs[0].after), (None, oid(7)));
    assert_eq!(plan.head.unwrap().after, on("refs/heads/topic", 7));

    // A branch that somebody moved here, or works on elsewhere, is not taken over.
    let mut sides = Sides::new().ends_on("refs/heads/other", 7);
    sides.local().refs[1].1 = oid(5);
    assert_eq!(sides.reasons(), [Divergence::Branch(HERE, name("refs/heads/other"))]);
    let mut sides = Sides::new().ends_on("refs/heads/other", 7);
    sides.disk.checked_out.push(name("refs/heads/other"));
    assert_eq!(sides.reasons(), [Divergence::CheckedOut(HERE, name("refs/heads/other"))]);
}

#[test]
fn what_counts_as_changed_here_is_exactly_that() {
    type Change = fn(&mut RepositoryState);
    let changes: [(Change, Divergence); 4] = [
        (|state| state.head = on("refs/heads/main", 4), Divergence::Head(HERE)),
        (|state| state.head = Head::Detached(oid(1)), Divergence::Head(HERE)),
        (|state| state.index_digest = [9; 32], Divergence::Index(HERE)),
        (
            |state| state.in_progress.push((Operation::Merge, vec![oid(3)])),
            Divergence::InProgress(HERE),
        ),
    ];
    for (change, expected) in changes {
        let mut sides = Sides::new().ends_on("refs/heads/topic", 7);
        change(sides.local());
        assert_eq!(sides.reasons(), [expected]);
    }
    // Branches that the run has nothing to do with, and what was fetched, do not count.
    let mut sides = Sides::new().ends_on("refs/heads/main", 7);
    sides.local().refs[1].1 = oid(5);
    sides.local().refs.push((name("refs/remotes/origin/main"), oid(6)));
    assert_eq!(sides.plan().refs.len(), 1);
}

#[test]
fn operations_in_progress_begin_and_end_but_rebases_stay_away() {
    let mut sides = Sides::new();
    sides.result.repositories[0].in_progress =
        vec![(Operation::Merge, vec![oid(3)]), (Operation::Rebase, vec![oid(4)])];
    let plan = sides.plan();
    let merge = OperationChange { operation: Operation::Merge, after: Some(vec![oid(3)]) };
    assert_eq!(plan.in_progress, [merge]);
    let Decision::InPlace(plan) = sides.decide() else { panic!("it fits") };
    assert_eq!(plan.left_out, [LeftOut::Operation(HERE, Operation::Rebase)]);

    // A rebase that was in progress here and went on there cannot be followed.
    let mut sides = Sides::new();
    let rebase = vec![(Operation::Rebase, vec![oid(4)])];
    sides.base.repositories[0].state.in_progress = rebase.clone();
    sides.result.base = sides.base.id();
    sides.local().in_progress = rebase;
    let mut sides = sides.ends_on("refs/heads/main", 7);
    assert_eq!(sides.reasons(), [Divergence::Rebase(HERE)]);
    sides.result.repositories[0].in_progress = vec![(Operation::Rebase, vec![oid(4)])];
    assert!(matches!(sides.decide(), Decision::InPlace(_)));
}

#[test]
fn another_index_is_staged() {
    let mut sides = Sides::new();
    let entry = IndexEntry {
        path: path("a"),
        mode: 0o100_644,
        oid: oid(3),
        stage: 0,
        flags: IndexFlags::NONE,
    };
    sides.result.repositories[0].index = vec![entry.clone()];
    assert_eq!(sides.plan().index, Some(vec![entry]));
}

#[test]
fn a_repository_that_is_not_here_any_more_is_left_out() {
    let mut sides = Sides::new().ends_on("refs/heads/main", 7);
    sides.local.repositories.clear();
    assert_eq!(sides.reasons(), [Divergence::RepositoryGone(HERE)]);
}

#[test]
fn a_repository_of_which_only_files_came_back_is_named() {
    let mut sides = Sides::new();
    sides.result.repositories.clear();
    sides.result.entries = entries(&Model::from([(path("a"), Node::File(1, false))]));
    let Decision::InPlace(plan) = sides.decide() else { panic!("it fits") };
    assert_eq!(plan.left_out, [LeftOut::History(HERE)]);
}

#[test]
fn results_that_break_a_rule_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut ResultManifest)| {
        let mut sides = Sides::new();
        change(&mut sides.result);
        decide(&sides.base, &sides.local, &sides.result, "fix", &sides.disk)
            .unwrap_err()
            .to_string()
    };
    let text = refused(&|result| result.repositories[0].head = on("refs/tags/v1", 1));
    assert!(text.contains("refs/tags/v1"), "{text}");
    let text = refused(&|result| result.repositories[0].object_format = ObjectFormat::Sha256);
    assert!(text.contains("object format"), "{text}");
    for spelling in
        [".gitmodules", ".GitModules", ".gitmodules ", "gitmod~1", "GI7EBA~1", ".gitmodules:x"]
    {
        let text = refused(&|result| {
            let kind = Kind::Symlink { target: b"x".to_vec() };
            let mtime = Timestamp::default();
            result.entries = vec![Entry { path: path(spelling), mode: 0o777, mtime, kind }];
        });
        assert!(text.contains(spelling), "{text}");
    }
}
