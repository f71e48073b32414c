//! Git of the user, and what it says about a repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use handoff_proto::manifest::{
    Head, IndexEntry, IndexFlags, ObjectFormat, Oid, Operation, RefName, RepositoryResult,
    RepositoryState,
};
use handoff_proto::path::TreePath;

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
        .args(["-c", "maintenance.auto=false", "-c", "gc.auto=0"])
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

/// A repository as its own git describes it.
pub(super) fn state_of(home: &Path, at: &Path) -> RepositoryResult {
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
pub(super) fn pack_of(
    home: &Path,
    at: &Path,
    now: &RepositoryResult,
    base: &RepositoryState,
) -> Vec<u8> {
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
