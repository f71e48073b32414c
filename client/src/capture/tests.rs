//! Captures real repositories, puts them down elsewhere and asks git whether they are the same.

use handoff_proto::chunk::ChunkIdSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_proto::manifest::{Head, Kind, Operation};
use handoff_proto::tree::WalkError;
use tempfile::TempDir;

use super::*;

struct Tree {
    home: TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(tree.path("tree")).unwrap();
        tree
    }

    /// A repository with one commit, an ignored file and one change of each kind.
    fn with_repository() -> Self {
        let tree = Self::new();
        tree.make_repository("tree");
        tree.write("tree/staged", "staged");
        tree.git("tree", &["add", "staged"]);
        tree.write("tree/committed", "changed");
        tree.write("tree/untracked", "untracked");
        tree.write("tree/ignored", "ignored");
        tree
    }

    fn make_repository(&self, at: &str) {
        self.git(".", &["init", "--quiet", "--initial-branch=main", at]);
        self.write(&format!("{at}/committed"), "committed");
        self.write(&format!("{at}/.gitignore"), "ignored\n");
        self.git(at, &["add", "."]);
        self.git(at, &["commit", "--quiet", "--message=one"]);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn git(&self, at: &str, words: &[&str]) -> String {
        git(&self.path(at), words)
    }

    fn options(&self, at: &str) -> Options {
        Options::new(AbsolutePath::try_from(self.path(at).as_path()).unwrap())
    }

    fn try_capture(&self, at: &str) -> Result<Capture, CaptureError> {
        capture(&self.options(at), &|_| {})
    }

    fn capture(&self, at: &str) -> Capture {
        self.try_capture(at).unwrap()
    }

    /// Captures a tree, removes everything and puts it down where it was.
    fn moved(self, at: &str) -> (Self, Capture) {
        let captured = self.capture(at);
        let laid_down = tempfile::tempdir().unwrap();
        put_down(&captured, laid_down.path());
        let target = self.path(at);
        fs::remove_dir_all(self.home.path()).unwrap();
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        assert!(
            Command::new("cp")
                .arg("-a")
                .arg(laid_down.path())
                .arg(&target)
                .status()
                .unwrap()
                .success()
        );
        (self, captured)
    }
}

fn git(at: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
        .args(words)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn put_down(capture: &Capture, to: &Path) {
    let wanted: ChunkIdSet = capture.manifest.chunks().map(|chunk| chunk.id).collect();
    let mut chunks = capture.chunks(wanted.clone());
    let mut content = std::collections::HashMap::new();
    while let Some((id, bytes)) = chunks.next_chunk().unwrap() {
        assert!(content.insert(id, bytes.to_vec()).is_none());
    }
    assert_eq!(content.len(), wanted.len());
    for entry in &capture.manifest.entries {
        let path = to.join(entry.path.as_os_path());
        match &entry.kind {
            Kind::Directory => fs::create_dir(&path).unwrap(),
            Kind::Symlink { target } => symlink(OsStr::from_bytes(target), &path).unwrap(),
            Kind::File { size, chunks } => {
                let bytes: Vec<u8> =
                    chunks.iter().flat_map(|chunk| content[&chunk.id].clone()).collect();
                assert_eq!(bytes.len() as u64, *size);
                fs::write(&path, bytes).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
            }
        }
    }
}

fn paths(capture: &Capture) -> Vec<String> {
    let outside_git =
        capture.manifest.entries.iter().filter(|entry| !entry.path.has_git_component());
    outside_git.map(|entry| entry.path.to_string()).collect()
}

const STATUS: [&str; 5] =
    ["status", "--porcelain=v2", "--branch", "--untracked-files=all", "--show-stash"];

#[test]
fn a_repository_is_the_same_after_it_was_carried() {
    let tree = Tree::with_repository();
    tree.git("tree", &["stash", "--include-untracked", "--quiet"]);
    tree.write("tree/staged", "again");
    tree.git("tree", &["add", "staged"]);
    tree.write("tree/untracked", "again");
    let before = tree.git("tree", &STATUS);
    let captured = tree.capture("tree");
    assert_eq!(paths(&captured), [".gitignore", "committed", "staged", "untracked"]);
    let repository = &captured.manifest.repositories[0];
    assert_eq!(repository.path, None);
    assert!(
        matches!(&repository.state.head, Head::Branch(name, Some(_)) if name.as_bytes() == b"refs/heads/main")
    );
    assert_eq!(repository.state.refs.len(), 2);
    let (tree, _) = tree.moved("tree");
    assert_eq!(tree.git("tree", &STATUS), before);
    tree.git("tree", &["fsck", "--strict"]);
}

#[test]
fn the_same_tree_has_the_same_id_and_a_change_another() {
    let tree = Tree::with_repository();
    let first = tree.capture("tree");
    assert_eq!(tree.capture("tree").id, first.id);
    tree.write("tree/untracked", "other");
    assert_ne!(tree.capture("tree").id, first.id);
}

#[test]
fn ignored_files_are_left_out_unless_included_and_excluded_ones_never_carried() {
    let tree = Tree::with_repository();
    let captured = tree.capture("tree");
    assert_eq!(captured.left_out.len(), 1);
    assert_eq!(captured.left_out[0].path.as_bytes(), b"ignored");
    let options = Options {
        include: vec![b"ignored".to_vec()],
        exclude: vec![b"untracked".to_vec()],
        ..tree.options("tree")
    };
    let captured = capture(&options, &|_| {}).unwrap();
    assert_eq!(paths(&captured), [".gitignore", "committed", "ignored", "staged"]);
}

#[test]
fn a_linked_worktree_becomes_a_repository_of_its_own() {
    let tree = Tree::with_repository();
    tree.git("tree", &["worktree", "add", "--quiet", "-b", "side", "../linked"]);
    tree.write("linked/untracked", "u");
    tree.write("linked/committed", "changed");
    tree.git("linked", &["add", "committed"]);
    let before = tree.git("linked", &STATUS);
    let log = tree.git("linked", &["log", "--all", "--format=%H %D"]);
    let (tree, captured) = tree.moved("linked");
    assert_eq!(captured.manifest.repositories[0].git_dir.as_bytes(), b".git");
    assert_eq!(tree.git("linked", &STATUS), before);
    assert_eq!(tree.git("linked", &["log", "--all", "--format=%H %D"]), log);
    assert!(!tree.path("linked/.git/commondir").exists());
    assert!(!tree.path("linked/.git/worktrees").exists());
    tree.git("linked", &["fsck", "--strict"]);
    tree.git("linked", &["commit", "--quiet", "--message=two"]);
}

#[test]
fn a_worktree_of_a_bare_repository_is_not_bare() {
    let tree = Tree::with_repository();
    tree.git(".", &["clone", "--quiet", "--bare", "tree", "bare"]);
    tree.git("bare", &["worktree", "add", "--quiet", "../linked", "main"]);
    let before = tree.git("linked", &STATUS);
    let (tree, _) = tree.moved("linked");
    assert_eq!(tree.git("linked", &STATUS), before);
}

#[test]
fn a_worktree_within_the_tree_stays_as_it_is() {
    let tree = Tree::with_repository();
    tree.git("tree", &["worktree", "add", "--quiet", "-b", "side", "inner"]);
    let before = tree.git("tree/inner", &STATUS);
    let (tree, captured) = tree.moved("tree");
    let git_dirs: Vec<_> =
        captured.manifest.repositories.iter().map(|r| r.git_dir.to_string()).collect();
    assert_eq!(git_dirs, [".git", ".git/worktrees/inner"]);
    assert_eq!(tree.git("tree/inner", &STATUS), before);
}

#[test]
fn borrowed_objects_come_along() {
    let tree = Tree::with_repository();
    tree.git(".", &["clone", "--quiet", "--shared", "tree", "clone"]);
    tree.write("clone/new", "new");
    tree.git("clone", &["add", "new"]);
    let (tree, _) = tree.moved("clone");
    assert!(!tree.path("clone/.git/objects/info/alternates").exists());
    tree.git("clone", &["fsck", "--strict", "--full"]);
    tree.git("clone", &["commit", "--quiet", "--message=two"]);
}

#[test]
fn submodules_and_nested_repositories_are_carried_with_their_state() {
    let tree = Tree::with_repository();
    tree.make_repository("library");
    tree.git("tree", &["submodule", "--quiet", "add", "../library", "sub"]);
    tree.make_repository("tree/nested");
    tree.write("tree/sub/committed", "changed in sub");
    tree.write("tree/nested/untracked", "u");
    let before = [
        tree.git("tree", &STATUS),
        tree.git("tree/sub", &STATUS),
        tree.git("tree/nested", &STATUS),
    ];
    let (tree, captured) = tree.moved("tree");
    let git_dirs: Vec<_> =
        captured.manifest.repositories.iter().map(|r| r.git_dir.to_string()).collect();
    assert_eq!(git_dirs, [".git", "nested/.git", ".git/modules/sub"]);
    let after = [
        tree.git("tree", &STATUS),
        tree.git("tree/sub", &STATUS),
        tree.git("tree/nested", &STATUS),
    ];
    assert_eq!(after, before);
}

#[test]
fn a_submodule_handed_off_alone_is_a_repository() {
    let tree = Tree::with_repository();
    tree.make_repository("library");
    tree.git("tree", &["submodule", "--quiet", "add", "../library", "sub"]);
    let before = tree.git("tree/sub", &STATUS);
    let (tree, _) = tree.moved("tree/sub");
    assert_eq!(tree.git("tree/sub", &STATUS), before);
}

#[test]
fn credentials_stay_here() {
    let tree = Tree::with_repository();
    tree.git("tree", &["remote", "add", "origin", "https://me:s3cret@host/x.git"]);
    tree.git("tree", &["config", "http.https://host/.extraHeader", "Authorization: s3cret"]);
    tree.git("tree", &["config", "alias.x", "log"]);
    let on_disk = fs::read_to_string(tree.path("tree/.git/config")).unwrap();
    let (tree, captured) = tree.moved("tree");
    let carried = fs::read_to_string(tree.path("tree/.git/config")).unwrap();
    assert!(on_disk.contains("s3cret") && !carried.contains("s3cret"), "{carried}");
    assert_eq!(tree.git("tree", &["config", "remote.origin.url"]), "https://host/x.git\n");
    assert_eq!(tree.git("tree", &["config", "alias.x"]), "log\n");
    let (path, keys) = &captured.redacted[0];
    assert_eq!(path.as_bytes(), b".git/config");
    assert_eq!(keys, &["remote.origin.url", "http.https://host/.extraheader"]);
}

#[test]
fn a_merge_in_progress_stays_in_progress() {
    let tree = Tree::with_repository();
    tree.git("tree", &["stash", "--quiet"]);
    tree.git("tree", &["switch", "--quiet", "--create", "side"]);
    tree.write("tree/committed", "side");
    tree.git("tree", &["commit", "--quiet", "--all", "--message=side"]);
    tree.git("tree", &["switch", "--quiet", "main"]);
    tree.write("tree/committed", "main");
    tree.git("tree", &["commit", "--quiet", "--all", "--message=main"]);
    let merge = Command::new("git")
        .current_dir(tree.path("tree"))
        .args(["merge", "side"])
        .output()
        .unwrap();
    assert!(!merge.status.success());
    let before = tree.git("tree", &STATUS);
    let captured = tree.capture("tree");
    let state = &captured.manifest.repositories[0].state;
    assert_eq!(state.in_progress.len(), 1);
    assert_eq!((state.in_progress[0].0, state.in_progress[0].1.len()), (Operation::Merge, 1));
    let (tree, _) = tree.moved("tree");
    assert_eq!(tree.git("tree", &STATUS), before);
}

#[test]
fn a_repository_without_a_commit_and_a_detached_head_are_states_too() {
    let tree = Tree::new();
    tree.git("tree", &["init", "--quiet", "--initial-branch=new"]);
    let head = |tree: &Tree| tree.capture("tree").manifest.repositories[0].state.head.clone();
    assert!(
        matches!(head(&tree), Head::Branch(name, None) if name.as_bytes() == b"refs/heads/new")
    );
    let tree = Tree::with_repository();
    tree.git("tree", &["checkout", "--quiet", "--detach"]);
    assert!(matches!(head(&tree), Head::Detached(_)));
}

#[test]
fn a_directory_without_git_is_carried_whole_but_for_handoffignore() {
    let tree = Tree::new();
    tree.write("tree/.handoffignore", "*.tmp\n");
    tree.write("tree/.gitignore", "kept\n");
    for name in ["kept", "a.tmp", "empty/x.tmp"] {
        tree.write(&format!("tree/{name}"), name);
    }
    symlink("nowhere", tree.path("tree/link")).unwrap();
    let captured = tree.capture("tree");
    assert_eq!(paths(&captured), [".gitignore", ".handoffignore", "empty", "kept", "link"]);
    assert!(captured.manifest.repositories.is_empty());
}

#[test]
fn what_cannot_be_carried_is_refused_by_name() {
    let tree = Tree::new();
    let _socket = UnixListener::bind(tree.path("tree/socket")).unwrap();
    let error = tree.try_capture("tree").unwrap_err();
    assert!(matches!(error, CaptureError::Walk { source: WalkError::Refused { .. }, .. }));
    assert!(crate::exit::chain_text(&error).contains("`socket` is a socket"), "{error}");
    let options = Options::new("/usr/share".parse().unwrap());
    let error = capture(&options, &|_| {}).unwrap_err();
    assert!(matches!(error, CaptureError::Reserved { .. }), "{error}");
}

#[test]
fn content_that_changes_after_the_capture_is_not_sent() {
    let tree = Tree::with_repository();
    let captured = tree.capture("tree");
    let entry = captured
        .manifest
        .entries
        .iter()
        .find(|entry| entry.path.as_bytes() == b"untracked")
        .unwrap();
    let wanted = ChunkIdSet::from_iter([entry.chunks()[0].id]);
    assert!(captured.chunks(wanted.clone()).next_chunk().unwrap().is_some());
    tree.write("tree/untracked", "Untracked");
    assert!(captured.chunks(wanted.clone()).next_chunk().is_err());
    fs::remove_file(tree.path("tree/untracked")).unwrap();
    assert!(captured.chunks(wanted).next_chunk().is_err());
}

#[test]
fn what_is_only_touched_is_sent_and_what_changed_unseen_is_found_by_its_hash() {
    let tree = Tree::with_repository();
    let path = tree.path("tree/untracked");
    let past = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let mut captured = tree.capture("tree");
    let at = captured.manifest.entries.iter().position(|e| e.path.as_bytes() == b"untracked");
    let at = at.unwrap();
    let wanted = ChunkIdSet::from_iter([captured.manifest.entries[at].chunks()[0].id]);
    // Other times, the same content.
    fs::File::options().append(true).open(&path).unwrap().set_modified(past).unwrap();
    assert!(captured.chunks(wanted.clone()).next_chunk().unwrap().is_some());
    assert!(captured.find_changed(wanted.clone()).is_none());
    // As after a write through a mapping, which may leave the times as they were.
    fs::write(&path, "Untracked").unwrap();
    captured.stamps[at] = Some(Stamp::of(&fs::File::open(&path).unwrap()).unwrap());
    assert!(captured.chunks(wanted.clone()).next_chunk().unwrap().is_some());
    let changed = captured.find_changed(wanted).unwrap();
    assert_eq!(changed.path.as_bytes(), b"untracked");
}

#[test]
fn large_files_are_read_in_chunks() {
    let tree = Tree::new();
    let content: Vec<u8> =
        (0_u32..1_500_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.path("tree/large"), &content).unwrap();
    let (tree, captured) = tree.moved("tree");
    assert!(captured.manifest.entries[0].chunks().len() > 5);
    assert_eq!(fs::read(tree.path("tree/large")).unwrap(), content);
}

#[test]
fn a_file_that_never_stands_still_is_named() {
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = Tree::new();
    let path = tree.path("tree/growing.log");
    fs::write(&path, vec![7; 32 << 20]).unwrap();
    let done = AtomicBool::new(false);
    let captured = thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
            }
        });
        let captured = tree.try_capture("tree");
        done.store(true, Ordering::Relaxed);
        captured
    });
    let error = captured.unwrap_err();
    assert!(
        crate::exit::chain_text(&error).contains("`growing.log` changes all the time"),
        "{error}"
    );
    tree.try_capture("tree").unwrap();
}

/// Captures with a cache until the caller is done, while something else writes.
fn captures_while(tree: &Tree, write: impl Fn(usize) + Sync) -> Vec<Result<Capture, CaptureError>> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let options = Options { stat_cache: Some(tree.path("cache")), ..tree.options("tree") };
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                write(round);
                round += 1;
            }
        });
        let captured = (0..10).map(|_| capture(&options, &|_| {})).collect();
        done.store(true, Ordering::Relaxed);
        captured
    })
}

#[test]
fn a_remembered_capture_is_the_same_as_one_that_reads_everything() {
    let tree = Tree::with_repository();
    let options = Options { stat_cache: Some(tree.path("cache")), ..tree.options("tree") };
    // What is old enough is remembered, what has just been written is not.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for name in ["committed", "untracked"] {
        let file = fs::File::options().write(true).open(tree.path("tree").join(name)).unwrap();
        file.set_modified(old).unwrap();
    }
    for round in 0..4 {
        assert_eq!(capture(&options, &|_| {}).unwrap().id, tree.capture("tree").id, "{round}");
        // Same size, and the same time of modification as before.
        let path = tree.path("tree/untracked");
        fs::write(&path, format!("untracke{round}")).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(capture(&options, &|_| {}).unwrap().id, tree.capture("tree").id);
}

#[test]
fn a_damaged_memory_only_costs_time() {
    let tree = Tree::with_repository();
    let options = Options { stat_cache: Some(tree.path("cache")), ..tree.options("tree") };
    let first = capture(&options, &|_| {}).unwrap().id;
    for file in fs::read_dir(tree.path("cache")).unwrap() {
        fs::write(file.unwrap().path(), "handoff-stat-v0\n").unwrap();
    }
    assert_eq!(capture(&options, &|_| {}).unwrap().id, first);
    fs::remove_dir_all(tree.path("cache")).unwrap();
    fs::write(tree.path("cache"), "no directory").unwrap();
    assert_eq!(capture(&options, &|_| {}).unwrap().id, first);
}

#[test]
fn an_editor_that_saves_by_renaming_leaves_the_old_text_or_the_new() {
    let tree = Tree::with_repository();
    let captured = captures_while(&tree, |round| {
        fs::write(tree.path("new"), format!("{round}").repeat(1000)).unwrap();
        fs::rename(tree.path("new"), tree.path("tree/untracked")).unwrap();
    });
    for captured in captured {
        let captured = captured.unwrap();
        let path = "untracked".parse().unwrap();
        assert!(captured.manifest.entry(&path).is_some());
    }
}

#[test]
fn a_build_whose_files_come_and_go_is_captured_or_refused_by_name() {
    let tree = Tree::with_repository();
    let captured = captures_while(&tree, |round| {
        let path = tree.path("tree").join(format!("object-{}", round % 8));
        fs::write(&path, "o").unwrap();
        fs::remove_file(&path).unwrap();
    });
    for captured in captured {
        match captured {
            Ok(captured) => assert!(paths(&captured).contains(&"committed".to_owned())),
            Err(error) => assert!(
                matches!(error, CaptureError::Unsettled { .. } | CaptureError::Read { .. }),
                "{error}"
            ),
        }
    }
}

#[test]
fn while_git_commits_and_packs_a_capture_is_of_one_moment() {
    let tree = Tree::with_repository();
    let captured = captures_while(&tree, |round| {
        tree.write("tree/committed", &round.to_string());
        tree.git("tree", &["commit", "--quiet", "--all", "--message=x"]);
        if round % 3 == 2 {
            tree.git("tree", &["gc", "--quiet", "--prune=now"]);
        }
    });
    for captured in captured {
        let captured = match captured {
            Ok(captured) => captured,
            Err(error) => {
                let is_refusal =
                    matches!(error, CaptureError::Unsettled { .. } | CaptureError::Locked(_));
                assert!(is_refusal, "{error}");
                continue;
            }
        };
        let repository = &captured.manifest.repositories[0];
        let Head::Branch(name, oid) = &repository.state.head else { panic!("{repository:?}") };
        let main = repository.state.refs.iter().find(|(of, _)| of == name);
        assert_eq!(main.map(|(_, oid)| *oid), *oid);
    }
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    use std::sync::Mutex;
    // Files that are older than a cache trusts, which a test cannot make without waiting.
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").canonicalize().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let options = Options {
        stat_cache: Some(cache.path().join("trees")),
        ..Options::new(AbsolutePath::try_from(sources.as_path()).unwrap())
    };
    let bytes = Mutex::new(Vec::new());
    let count = |reading| {
        if let Reading::Begins(size) = reading {
            bytes.lock().unwrap().push(size);
        }
    };
    let first = capture(&options, &count).unwrap();
    let second = capture(&options, &count).unwrap();
    assert_eq!(first.id, second.id);
    let bytes = bytes.into_inner().unwrap();
    assert!(bytes[0] > 0);
    assert_eq!(bytes[1], 0);
}
