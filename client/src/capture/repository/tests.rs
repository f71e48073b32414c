//! Compares what is read here with what git says, on repositories in every state.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new(format: &str) -> Self {
        let world = Self { home: tempfile::tempdir().unwrap() };
        let format = format!("--object-format={format}");
        world.git(".", &["init", "--quiet", "--initial-branch=main", &format, "tree"]);
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path("tree").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs git, which may well fail, and answers whether it did not.
    fn try_git(&self, at: &str, words: &[&str]) -> bool {
        let mut git = Command::new("git");
        git.current_dir(self.path(at))
            .args(["-c", "user.name=A", "-c", "user.email=a@b"])
            .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
            .args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        git.output().unwrap().status.success()
    }

    fn git(&self, at: &str, words: &[&str]) {
        assert!(self.try_git(at, words), "git {words:?}");
    }

    fn commit(&self, at: &str) {
        self.git(at, &["add", "--all"]);
        self.git(at, &["commit", "--quiet", "--allow-empty", "--message=x"]);
    }
}

/// What both ways say; whether ours could say anything.
fn compare(worktree: &Path) -> bool {
    let asked = asked::open(worktree).unwrap().expect("a repository");
    let (theirs, their_paths) = asked::look(&asked).unwrap();
    let Some(plain) = plain::open(worktree) else { return false };
    assert_eq!(plain.git_dir, asked.git_dir);
    assert_eq!(plain.common_dir, asked.common_dir);
    assert_eq!(plain.object_format, asked.object_format);
    let Some((ours, paths)) = plain::look(&plain, &|_| None).unwrap() else { return false };
    assert_eq!(ours.state, theirs.state);
    let mut unique: Vec<_> = paths.iter().collect();
    let mut expected: Vec<_> = their_paths.iter().collect();
    unique.dedup();
    expected.dedup();
    assert_eq!(unique, expected);
    assert!(plain.is_still(&ours).unwrap());
    true
}

/// Something that changes what git would say.
#[derive(Clone, Debug)]
enum Step {
    Write(u8),
    Add(u8),
    IntentToAdd(u8),
    AssumeUnchanged(u8),
    SkipWorktree(u8),
    Commit,
    Branch(u8),
    Switch(u8),
    Detach,
    Tag(u8),
    Pack,
    DeleteBranch(u8),
    Merge(u8),
    Symbolic(u8),
    IndexVersion(u8),
    Stash,
    Bisect,
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0_u8..4;
    prop_oneof![
        number().prop_map(Step::Write),
        number().prop_map(Step::Write),
        number().prop_map(Step::Add),
        number().prop_map(Step::IntentToAdd),
        number().prop_map(Step::AssumeUnchanged),
        number().prop_map(Step::SkipWorktree),
        Just(Step::Commit),
        Just(Step::Commit),
        number().prop_map(Step::Branch),
        number().prop_map(Step::Switch),
        Just(Step::Detach),
        number().prop_map(Step::Tag),
        Just(Step::Pack),
        number().prop_map(Step::DeleteBranch),
        number().prop_map(Step::Merge),
        number().prop_map(Step::Symbolic),
        (2_u8..5).prop_map(Step::IndexVersion),
        Just(Step::Stash),
        Just(Step::Bisect),
    ]
}

fn take(world: &World, at: usize, step: &Step) {
    let file = |number: &u8| format!("d{}/f.{number}", number % 2);
    let branch = |number: &u8| format!("b/{number}");
    let git = |words: &[&str]| world.try_git("tree", words);
    match step {
        Step::Write(number) => {
            world.write(&file(number), &format!("{at}"));
            true
        }
        Step::Add(number) => git(&["add", &file(number)]),
        Step::IntentToAdd(number) => git(&["add", "--intent-to-add", &file(number)]),
        Step::AssumeUnchanged(number) => {
            git(&["update-index", "--assume-unchanged", &file(number)])
        }
        Step::SkipWorktree(number) => git(&["update-index", "--skip-worktree", &file(number)]),
        Step::Commit => git(&["commit", "--quiet", "--all", "--message=x"]),
        Step::Branch(number) => git(&["branch", &branch(number)]),
        Step::Switch(number) => git(&["switch", "--quiet", &branch(number)]),
        Step::Detach => git(&["switch", "--quiet", "--detach"]),
        Step::Tag(number) => git(&["tag", "--annotate", "--message=t", &format!("t{number}")]),
        Step::Pack => git(&["pack-refs", "--all"]),
        Step::DeleteBranch(number) => git(&["branch", "-D", &branch(number)]),
        Step::Merge(number) => git(&["merge", "--quiet", &branch(number)]),
        Step::Symbolic(number) => {
            git(&["symbolic-ref", "refs/remotes/o/HEAD", &format!("refs/heads/b/{number}")])
        }
        Step::IndexVersion(version) => {
            git(&["update-index", "--index-version", &version.to_string()])
        }
        Step::Stash => git(&["stash", "--quiet"]),
        Step::Bisect => git(&["bisect", "start"]),
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn files_say_what_git_says(
        steps in proptest::collection::vec(step(), 1..16),
        format in prop_oneof!["sha1", "sha256"],
    ) {
        let world = World::new(&format);
        for (at, step) in steps.iter().enumerate() {
            take(&world, at, step);
        }
        prop_assert!(compare(&world.path("tree")), "a plain repository needs no git");
    }
}

#[test]
fn conflicts_and_linked_worktrees_are_read() {
    let world = World::new("sha1");
    world.write("f", "one");
    world.commit("tree");
    world.git("tree", &["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    fs::write(world.path("linked/f"), "two").unwrap();
    world.commit("linked");
    world.write("f", "three");
    world.commit("tree");
    assert!(!world.try_git("tree", &["merge", "side"]));
    world.git("linked", &["bisect", "start"]);
    world.git("linked", &["update-ref", "refs/worktree/own", "HEAD"]);
    world.git("tree", &["update-ref", "refs/worktree/own", "HEAD~0"]);
    assert!(compare(&world.path("tree")));
    assert!(compare(&world.path("linked")));
}

#[test]
fn what_is_not_plain_is_asked_of_git() {
    let cases: [(&str, &[&str]); 4] = [
        ("a split index", &["update-index", "--split-index"]),
        ("settings that include others", &["config", "include.path", "/dev/null"]),
        ("a branch that is a link", &["symbolic-ref", "refs/heads/main", "refs/heads/other"]),
        ("reftable", &["refs", "migrate", "--ref-format=reftable"]),
    ];
    for (what, words) in cases {
        let world = World::new("sha1");
        world.write("f", "one");
        world.commit("tree");
        // Older versions of git know no reftable.
        if world.try_git("tree", words) {
            assert!(!compare(&world.path("tree")), "{what}");
        }
    }
}

#[test]
fn a_change_after_the_look_is_noticed() {
    let changes: [&[&str]; 4] = [
        &["commit", "--quiet", "--allow-empty", "--message=x"],
        &["branch", "new"],
        &["rm", "--quiet", "--cached", "f"],
        &["bisect", "start"],
    ];
    for change in changes {
        let world = World::new("sha1");
        world.write("f", "one");
        world.commit("tree");
        let repository = LocalRepository::open(&world.path("tree")).unwrap().unwrap();
        let (seen, _) = repository.look(&|_| None).unwrap();
        assert!(repository.is_still(&seen).unwrap());
        world.git("tree", change);
        assert!(!repository.is_still(&seen).unwrap(), "{change:?}");
    }
}

#[test]
fn a_repository_of_somebody_else_is_left_to_git() {
    use std::os::unix::fs::chown;
    let world = World::new("sha1");
    let nobody = Some(65534);
    // Only root can give files away.
    if chown(world.path("tree/.git"), nobody, None).is_err() {
        return;
    }
    assert!(plain::open(&world.path("tree")).is_none());
    assert!(toplevel(&world.path("tree")).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_damaged_index_is_no_panic(at in 0_usize..400, byte in any::<u8>(), cut in any::<bool>()) {
        let world = World::new("sha1");
        world.write("a/b", "one");
        world.write("a/c", "two");
        world.git("tree", &["add", "."]);
        world.git("tree", &["update-index", "--index-version", if at % 2 == 0 { "4" } else { "2" }]);
        let mut index = fs::read(world.path("tree/.git/index")).unwrap();
        let at = at % index.len();
        if cut { index.truncate(at) } else { index[at] = byte }
        if let Some(file) = crate::index_file::IndexFile::parse(index, ObjectFormat::Sha1) {
            let entries = file.entries();
            prop_assert!(file.into_tracked().iter().len() >= entries.map_or(0, |all| all.len()));
        }
    }
}
