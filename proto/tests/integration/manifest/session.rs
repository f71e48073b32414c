//! What a session in a manifest may be.

use handoff_proto::manifest::{
    Entry, EntryProblem, Kind, ManifestError, Session, SnapshotManifest, VERSION_WITH_SESSION,
};

use super::*;

fn with(change: impl FnOnce(&mut Session)) -> Result<SnapshotManifest, ManifestError> {
    let mut session = Session {
        agent: "claude".to_owned(),
        id: "1-2".to_owned(),
        directory: "/home/me/.claude".parse().unwrap(),
        files: vec![empty("a"), empty("b/c")],
    };
    change(&mut session);
    let (version, session) = (VERSION_WITH_SESSION, Some(session));
    decode(&SnapshotManifest { version, session, ..snapshot(Vec::new()) })
}

fn empty(path: &str) -> Entry {
    let kind = Kind::File { size: 0, chunks: Vec::new() };
    Entry { path: path.parse().unwrap(), mode: 0o600, mtime: Timestamp::default(), kind }
}

fn problem(change: impl FnOnce(&mut Session)) -> EntryProblem {
    match with(change) {
        Err(ManifestError::SessionEntry { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_holds_files_each_once_and_none_beneath_another() {
    assert!(with(|_| ()).is_ok());
    assert_eq!(problem(|session| session.files.reverse()), EntryProblem::Unsorted);
    assert_eq!(problem(|session| session.files.push(empty("b/c"))), EntryProblem::Duplicate);
    assert_eq!(problem(|session| session.files.insert(1, empty("a/b"))), EntryProblem::Parent);
    assert_eq!(problem(|session| session.files[0].kind = Kind::Directory), EntryProblem::NotFile);
    let link = || Kind::Symlink { target: b"/etc/passwd".to_vec() };
    assert_eq!(problem(|session| session.files[0].kind = link()), EntryProblem::NotFile);
    assert_eq!(problem(|session| session.files[0].mode = 0o4600), EntryProblem::Mode(0o4600));
    assert_eq!(
        problem(|session| session.files.insert(0, empty(".git"))),
        EntryProblem::GitSpelling
    );
}

#[test]
fn its_names_are_plain() {
    assert!(with(|session| session.id.clear()).is_ok());
    let refused = with(|session| session.agent.clear());
    assert_eq!(refused, Err(ManifestError::SessionName("agent")));
    for name in ["a b", "\u{e9}", "a\n", &"x".repeat(201)] {
        let refused = with(|session| name.clone_into(&mut session.id));
        assert_eq!(refused, Err(ManifestError::SessionName("session")), "{name:?}");
        let refused = with(|session| name.clone_into(&mut session.agent));
        assert_eq!(refused, Err(ManifestError::SessionName("agent")), "{name:?}");
    }
}

#[test]
fn the_version_tells_whether_there_is_one() {
    let without = SnapshotManifest { version: VERSION_WITH_SESSION, ..snapshot(Vec::new()) };
    assert_eq!(decode(&without), Err(ManifestError::SessionVersion));
    let session = with(|_| ()).unwrap().session;
    let hidden = SnapshotManifest { session, ..snapshot(Vec::new()) };
    assert_eq!(decode(&hidden), Err(ManifestError::SessionVersion));
}

#[test]
fn its_content_counts() {
    let manifest = with(|_| ()).unwrap();
    assert_eq!((manifest.content_bytes(), manifest.chunks().count()), (0, 0));
}
