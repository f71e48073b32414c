//! What is listed, and what needs consent.

use handoff_proto::manifest::{
    Head, IndexEntry, IndexFlags, ObjectFormat, Oid, Operation, RefName, Repository,
    RepositoryResult, RepositoryState, Timestamp, VERSION,
};
use handoff_proto::path::AbsolutePath;

use super::*;

/// A tree from lines such as `file a/b`, `exec tool`, `link l -> target`.
fn tree(lines: &[&str]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in lines {
        let (word, rest) = line.split_once(' ').unwrap();
        let (path, target) = rest.split_once(" -> ").unwrap_or((rest, ""));
        let path = TreePath::parse(path.as_bytes()).unwrap();
        let file = Kind::File { size: 0, chunks: Vec::new() };
        let (mode, kind) = match word {
            "file" => (0o644, file),
            "exec" => (0o755, file),
            "dir" => (0o755, Kind::Directory),
            _ => (0o777, Kind::Symlink { target: target.as_bytes().to_vec() }),
        };
        let parents = std::iter::successors(path.parent(), TreePath::parent);
        for parent in parents {
            if !entries.iter().any(|entry| entry.path == parent) {
                let (mode, mtime) = (0o755, Timestamp::default());
                entries.push(Entry { path: parent, mode, mtime, kind: Kind::Directory });
            }
        }
        entries.push(Entry { path, mode, mtime: Timestamp::default(), kind });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn base(entries: Vec<Entry>) -> SnapshotManifest {
    SnapshotManifest {
        version: VERSION,
        root: AbsolutePath::parse(b"/home/ada/project").unwrap(),
        root_mode: 0o755,
        root_mtime: Timestamp::default(),
        entries,
        repositories: Vec::new(),
        session: None,
    }
}

fn result(base: &SnapshotManifest, entries: Vec<Entry>) -> ResultManifest {
    ResultManifest {
        version: VERSION,
        base: base.id(),
        root: base.root.clone(),
        entries,
        repositories: Vec::new(),
        new_repositories: Vec::new(),
        session: None,
    }
}

fn check(before: &[&str], after: &[&str], expected: &[(&str, Reason)]) {
    let base = base(tree(before));
    let found = review(&base, &result(&base, tree(after)));
    let found: Vec<(String, Reason)> =
        found.into_iter().map(|finding| (finding.path.to_string(), finding.reason)).collect();
    let expected: Vec<(String, Reason)> =
        expected.iter().map(|(path, reason)| ((*path).to_owned(), *reason)).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_runs_without_being_asked_needs_consent() {
    use Reason::{AgentSettings, EditorSettings, EntersWithDirectory};
    let paths = [
        (".claude/settings.json", AgentSettings),
        (".codex/config.toml", AgentSettings),
        (".envrc", EntersWithDirectory),
        (".idea/workspace.xml", EditorSettings),
        (".mcp.json", AgentSettings),
        (".vscode/tasks.json", EditorSettings),
        ("AGENTS.md", AgentSettings),
        ("CLAUDE.md", AgentSettings),
        ("sub/.Claude/hooks/x.sh", AgentSettings),
        ("sub/.ENVRC", EntersWithDirectory),
        ("sub/agents.md", AgentSettings),
    ];
    let lines: Vec<String> = paths.iter().map(|(path, _)| format!("file {path}")).collect();
    check(&[], &lines.iter().map(String::as_str).collect::<Vec<_>>(), &paths);
    assert!(paths.iter().all(|(_, reason)| reason.needs_consent()));
}

#[test]
fn what_runs_in_the_course_of_work_is_listed() {
    use Reason::{BuildScript, GitSettings, Hook, ToolSettings};
    let paths = [
        (".cargo/config.toml", ToolSettings),
        (".gitattributes", GitSettings),
        (".github/workflows/ci.yml", Hook),
        (".gitmodules", GitSettings),
        (".husky/pre-commit", Hook),
        (".npmrc", ToolSettings),
        (".yarnrc.yml", ToolSettings),
        ("Makefile", BuildScript),
        ("build.rs", BuildScript),
        ("conftest.py", BuildScript),
        ("package.json", BuildScript),
        ("rust-toolchain.toml", ToolSettings),
    ];
    let lines: Vec<String> = paths.iter().map(|(path, _)| format!("file {path}")).collect();
    check(&[], &lines.iter().map(String::as_str).collect::<Vec<_>>(), &paths);
    assert!(!paths.iter().any(|(_, reason)| reason.needs_consent()));
}

#[test]
fn only_changes_are_listed() {
    let same = ["file .envrc", "exec tool", "link out -> /etc", "file Makefile"];
    check(&same, &same, &[]);
    check(&same, &[], &[]);
    check(&["file a.rs"], &["file a.rs", "file b.rs", "dir .vscode"], &[]);
}

#[test]
fn new_executables_and_links_that_lead_out_are_listed() {
    check(
        &["file became", "exec was", "file plain"],
        &["exec became", "exec was", "file plain", "exec new"],
        &[("became", Reason::Executable), ("new", Reason::Executable)],
    );
    check(
        &[],
        &[
            "link a/inside -> ../b/c",
            "link a/root -> ..",
            "link a/above -> ../../x",
            "link absolute -> /etc/passwd",
            "link into-git -> .git/hooks",
            "link up -> a/../..",
        ],
        &[
            ("a/above", Reason::LinkOut),
            ("absolute", Reason::LinkOut),
            ("into-git", Reason::LinkOut),
            ("up", Reason::LinkOut),
        ],
    );
    check(&[], &["link .vscode -> somewhere"], &[(".vscode", Reason::EditorSettings)]);
}

#[test]
fn a_directory_that_git_takes_for_a_repository_needs_consent() {
    let bare = ["file lib/HEAD", "file lib/config", "dir lib/objects", "dir lib/refs"];
    check(&[], &bare, &[("lib", Reason::EmbeddedRepository)]);
    // One part is enough to make it one.
    check(&["file lib/HEAD", "dir lib/objects"], &bare[..], &[("lib", Reason::EmbeddedRepository)]);
    check(
        &[],
        &["file lib/head", "dir lib/Objects", "dir lib/refs"],
        &[("lib", Reason::EmbeddedRepository)],
    );
    check(&[], &["file lib/HEAD", "dir lib/objects"], &[]);
    // A fixture that was there and stays is nobody's business, unless its settings change.
    check(&bare, &bare, &[]);
    let mut hook = bare.to_vec();
    hook.push("exec lib/hooks/post-checkout");
    check(
        &bare,
        &hook,
        &[("lib", Reason::EmbeddedRepository), ("lib/hooks/post-checkout", Reason::Executable)],
    );
    check(
        &[],
        &["file HEAD", "dir objects", "dir refs"],
        &[
            ("HEAD", Reason::EmbeddedRepository),
            ("objects", Reason::EmbeddedRepository),
            ("refs", Reason::EmbeddedRepository),
        ],
    );
}

#[test]
fn submodules_that_nobody_had_are_listed() {
    let oid = Oid::Sha1([7; 20]);
    let entry = |path: &str| IndexEntry {
        path: TreePath::parse(path.as_bytes()).unwrap(),
        mode: 0o160_000,
        oid,
        stage: 0,
        flags: IndexFlags::NONE,
    };
    let branch = || Head::Branch(RefName::parse(b"refs/heads/main").unwrap(), Some(oid));
    let known = |path: Option<&str>, index: &[IndexEntry]| Repository {
        path: path.map(|path| TreePath::parse(path.as_bytes()).unwrap()),
        git_dir: TreePath::parse(b".git").unwrap(),
        state: RepositoryState {
            object_format: ObjectFormat::Sha1,
            head: branch(),
            refs: Vec::new(),
            index_digest: index_digest(index),
            in_progress: Vec::<(Operation, Vec<Oid>)>::new(),
        },
    };
    let mut base = base(Vec::new());
    base.repositories = vec![known(None, &[entry("known")]), known(Some("known"), &[])];
    let mut returned = result(&base, Vec::new());
    returned.repositories = vec![RepositoryResult {
        path: None,
        object_format: ObjectFormat::Sha1,
        head: branch(),
        refs: Vec::new(),
        index: vec![entry("known")],
        in_progress: Vec::new(),
        pack: Vec::new(),
    }];
    assert_eq!(review(&base, &returned), []);
    returned.repositories[0].index.push(entry("new"));
    let found = review(&base, &returned);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.to_string().as_str(), found[0].reason), ("new", Reason::Gitlink));
}
