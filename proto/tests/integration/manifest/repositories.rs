//! What a manifest says of repositories: heads, references, indexes.

use handoff_proto::manifest::{
    IndexEntry, IndexFlags, Limits, ManifestError, ObjectFormat, Oid, RefName, Repository,
    RepositoryProblem, RepositoryResult, ResultManifest, SnapshotManifest, index_digest,
};

use super::{decode, directory, index_entry, repository, repository_result, result, snapshot};

#[test]
fn repositories_are_checked_against_the_tree_and_git() {
    let entries = vec![directory(".git"), directory("sub"), directory("sub/.git")];
    let check = |repositories: Vec<Repository>, path: &str, problem: RepositoryProblem| {
        let manifest = SnapshotManifest { repositories, ..snapshot(entries.clone()) };
        let path = path.to_owned();
        assert_eq!(decode(&manifest), Err(ManifestError::Repository { path, problem }));
    };
    let (outer, inner) = (repository(None, ".git"), repository(Some("sub"), "sub/.git"));
    let both = vec![outer.clone(), inner.clone()];
    assert!(decode(&SnapshotManifest { repositories: both, ..snapshot(entries.clone()) }).is_ok());

    check(vec![inner.clone(), outer.clone()], ".", RepositoryProblem::Unsorted);
    check(vec![inner.clone(), inner.clone()], "sub", RepositoryProblem::Unsorted);
    check(vec![repository(Some("x"), ".git")], "x", RepositoryProblem::Directory);
    let problem = RepositoryProblem::GitDirectory("x/.git".to_owned());
    check(vec![repository(None, "x/.git")], ".", problem);

    let mut mixed = outer.clone();
    mixed.state.object_format = ObjectFormat::Sha256;
    check(vec![mixed], ".", RepositoryProblem::Oid("HEAD".to_owned()));

    let mut unsorted = outer;
    let named = |name: &str| (name.parse::<RefName>().unwrap(), Oid::Sha1([2; 20]));
    unsorted.state.refs = vec![named("refs/heads/b"), named("refs/heads/a")];
    check(vec![unsorted], ".", RepositoryProblem::RefOrder("refs/heads/a".to_owned()));
}

#[test]
fn an_index_is_in_gits_order() {
    let check = |index: Vec<IndexEntry>, fine: bool| {
        let repositories = vec![RepositoryResult { index, ..repository_result("x") }];
        let manifest = ResultManifest { repositories, ..result(Vec::new()) };
        let decoded = ResultManifest::decode(&manifest.encode(), &Limits::DEFAULT);
        assert_eq!(decoded.is_ok(), fine, "{decoded:?}");
    };
    // Plain bytes: a dot comes before a slash.
    check(vec![index_entry("a.b", 0), index_entry("a/b", 0)], true);
    check(vec![index_entry("a/b", 0), index_entry("a.b", 0)], false);
    check(vec![index_entry("a", 1), index_entry("a", 2), index_entry("a", 3)], true);
    check(vec![index_entry("a", 2), index_entry("a", 2)], false);
    check(vec![index_entry("a", 4)], false);
    check(vec![IndexEntry { mode: 0o040_000, ..index_entry("a", 0) }], false);
}

#[test]
fn reference_names_are_those_that_git_accepts() {
    let git = crate::support::git::Git::init(tempfile::tempdir().unwrap().path());
    let names = [
        "refs/heads/main",
        "refs/heads/a/b",
        "refs/heads/@",
        "refs/heads/a@b",
        "refs/heads/-a",
        "refs/heads/é",
        "refs/heads/a.lockx",
        "refs/x",
        "refs/heads/.a",
        "refs/heads/a.lock",
        "refs/heads/a.lock/b",
        "refs/heads/a..b",
        "refs/heads/a@{b",
        "refs/heads/a.",
        "refs/heads/",
        "refs//a",
        "refs/heads/a b",
        "refs/heads/a~",
        "refs/heads/a^",
        "refs/heads/a:",
        "refs/heads/a?",
        "refs/heads/a*",
        "refs/heads/a[",
        "refs/heads/a\\",
        "refs/heads/a\x7f",
        "refs/heads/a\nb",
        "refs/heads/a./b",
    ];
    for name in names {
        let theirs = git.succeeds(&["check-ref-format", name]);
        assert_eq!(name.parse::<RefName>().is_ok(), theirs, "{name:?}");
    }
    // git would take these, but HEAD, branches and results never name them.
    for name in ["HEAD", "MERGE_HEAD", "heads/main", "refs", "config/x"] {
        assert!(name.parse::<RefName>().is_err());
    }
}

#[test]
fn the_digest_of_an_index_is_of_its_content() {
    let index = [index_entry("a", 0), index_entry("b", 0)];
    let digest = index_digest(&index);
    let reversed: Vec<_> = index.iter().cloned().rev().collect();
    assert_eq!(index_digest(&reversed), digest);
    assert_ne!(index_digest(&index[..1]), digest);
    let flagged = IndexEntry { flags: IndexFlags::INTENT_TO_ADD, ..index[0].clone() };
    assert_ne!(index_digest(&[flagged, index[1].clone()]), digest);
}
