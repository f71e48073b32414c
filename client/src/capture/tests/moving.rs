//! Trees that change while they are captured, and between two captures.

use std::fs;
use std::path::Path;

use handoff_proto::chunk::ChunkIdSet;
use handoff_proto::manifest::Head;

use super::super::*;
use super::{Tree, paths};
use crate::exit::chain_text;

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
    assert!(chain_text(&error).contains("`growing.log` changes all the time"), "{error}");
    tree.try_capture("tree").unwrap();
}

/// Captures with a cache until the caller is done, while something else writes.
fn captures_while(tree: &Tree, write: impl Fn(usize) + Sync) -> Vec<Result<Capture, CaptureError>> {
    use std::sync::atomic::{AtomicBool, Ordering};
    let options = tree.remembering("tree");
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
    let options = tree.remembering("tree");
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
    let options = tree.remembering("tree");
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
    let path = "untracked".parse().unwrap();
    let mut whole = 0;
    for captured in captured {
        match captured {
            Ok(captured) => {
                assert!(captured.manifest.entry(&path).is_some());
                whole += 1;
            }
            // No editor saves as often as this one: it may come in between each time.
            Err(error) => assert!(chain_text(&error).contains("untracked"), "{error}"),
        }
    }
    assert!(whole > 5, "it is captured {whole} times of ten");
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
