//! Captures real repositories, puts them down elsewhere and asks git whether they are the same.

mod moving;
mod remembered;
mod repositories;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff_proto::chunk::ChunkIdSet;
use handoff_proto::manifest::Kind;
use handoff_proto::tree::WalkError;
use tempfile::TempDir;

use super::*;

/// A directory on a file system that tells of what comes and goes in its directories.
#[cfg(target_os = "linux")]
pub(super) fn open_telling(path: &Path) -> Directory {
    let directory = Directory::open(path).unwrap();
    let cause = "set TMPDIR to a directory on ext4, xfs, btrfs or tmpfs";
    assert!(telling_device(directory.fd()).is_some(), "{cause}");
    directory
}

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

    /// The same with a cache that all of these share.
    fn remembering(&self, at: &str) -> Options {
        Options { stat_cache: Some(self.path("cache")), ..self.options(at) }
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

fn git_command(at: &Path, words: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.current_dir(at)
        .args(["-c", "user.name=A", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
        .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
        .args(words)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    git
}

fn git(at: &Path, words: &[&str]) -> String {
    let output = git_command(at, words).output().unwrap();
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
fn large_files_are_read_in_chunks() {
    let tree = Tree::new();
    let content: Vec<u8> =
        (0_u32..1_500_000).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(tree.path("tree/large"), &content).unwrap();
    let (tree, captured) = tree.moved("tree");
    assert!(captured.manifest.entries[0].chunks().len() > 5);
    assert_eq!(fs::read(tree.path("tree/large")).unwrap(), content);
}
