//! Entries on disk: whole or none, one holder, content as it was captured.

use handoff_proto::chunk::ChunkIdSet;
use std::sync::Arc;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::path::AbsolutePath;
use handoff_proto::wire;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq};
use proptest::sample::Index;

use super::spool::Spool;
use super::*;
use crate::capture::{Capture, Options, capture};
use crate::transfer::Offer;

fn captured(tree: &std::path::Path) -> Arc<Capture> {
    let options =
        Options::new(AbsolutePath::try_from(tree.canonicalize().unwrap().as_path()).unwrap());
    Arc::new(capture(&options, &|_| {}).unwrap())
}

fn entry(key: u8, capture: &Capture) -> Entry {
    let contract = wire::Contract { command: vec![b"make".to_vec()], ..wire::Contract::default() };
    let offer = Offer::again([key; 32], String::new(), contract);
    Entry {
        id: Entry::id_of(&offer),
        offer,
        remote: "box".to_owned(),
        daemon: "abc".to_owned(),
        root: capture.manifest.root.clone(),
        include: vec!["*.env".to_owned()],
        exclude: Vec::new(),
        snapshot: capture.id,
        at_unix_nanos: i64::from(key),
        standing: Standing::Sending,
    }
}

/// A home with an outbox, and a tree with two files.
fn places() -> (tempfile::TempDir, Outbox, Arc<Capture>) {
    let home = tempfile::tempdir().unwrap();
    let tree = home.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("one"), "1").unwrap();
    std::fs::write(tree.join("two"), "22").unwrap();
    let capture = captured(&tree);
    let outbox = Outbox::new(&Places::beneath(home.path()));
    (home, outbox, capture)
}

#[test]
fn the_stored_form_is_read_for_ever() {
    let golden = include_str!("../../tests/golden/outbox-entry-1.json");
    let read = Entry::decode(golden.as_bytes()).unwrap();
    assert_eq!(read.shown_name(), "make-test-ztcu");
    assert_eq!(read.offer.contract.command, [b"make".to_vec(), b"test".to_vec()]);
    assert_eq!(read.root.as_bytes(), b"/home/a/\xff");
    assert_eq!(read.standing, Standing::Waiting { why: "box is away".to_owned() });
    assert_eq!(String::from_utf8(read.encode()).unwrap(), golden.trim_end());
    let earlier = golden.replace("\"version\": 1", "\"version\": 1, \"manifest_bytes\": 123");
    assert_eq!(Entry::decode(earlier.as_bytes()).unwrap().id, read.id);
    let newer = golden.replace("\"version\": 1", "\"version\": 2");
    assert!(Entry::decode(newer.as_bytes()).is_none());
}

proptest::proptest! {
    #[test]
    fn a_mutated_entry_is_none_or_another_whole_one(
        edits in vec((any::<Index>(), any::<u8>()), 0..5),
        cut: Option<Index>,
    ) {
        let mut bytes = include_bytes!("../../tests/golden/outbox-entry-1.json").to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Some(read) = Entry::decode(&bytes) {
            let again = Entry::decode(&read.encode()).unwrap();
            prop_assert_eq!(again.encode(), read.encode());
            prop_assert_eq!(again.view(), read.view());
        }
    }
}

#[test]
fn an_entry_is_there_until_it_is_discarded_and_held_by_one() {
    let (_home, outbox, capture) = places();
    assert!(outbox.all().unwrap().is_empty());
    let (old, new) = (entry(1, &capture), entry(2, &capture));
    let held = outbox.keep(old.clone(), &capture.encoded).unwrap();
    drop(outbox.keep(new.clone(), &capture.encoded).unwrap());
    let ids = || outbox.all().unwrap().into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(ids(), [new.id.clone(), old.id.clone()]);
    assert!(matches!(outbox.hold(&old), Err(OutboxError::Busy { .. })));
    assert_eq!(held.manifest().unwrap().1, capture.manifest);
    drop(held);
    outbox.hold(&old).unwrap().unwrap().discard().unwrap();
    assert!(outbox.hold(&old).unwrap().is_none());
    assert_eq!(ids(), [new.id]);
}

#[test]
fn what_was_left_half_written_is_no_entry_and_is_removed() {
    let (_home, outbox, capture) = places();
    let (killed, next) = (entry(1, &capture), entry(2, &capture));
    let directory = outbox.entry_directory(&killed.id);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("manifest"), "half").unwrap();
    assert!(outbox.all().unwrap().is_empty());
    drop(outbox.keep(next, &capture.encoded).unwrap());
    assert!(!directory.exists());
}

#[test]
fn a_manifest_that_is_not_whole_is_noticed() {
    let (_home, outbox, capture) = places();
    let kept = entry(1, &capture);
    drop(outbox.keep(kept.clone(), &capture.encoded).unwrap());
    // As after a power cut.
    std::fs::write(outbox.entry_directory(&kept.id).join("manifest"), "").unwrap();
    let held = outbox.hold(&kept).unwrap().unwrap();
    assert!(matches!(held.manifest(), Err(OutboxError::Damaged { .. })));
}

#[test]
fn a_settled_entry_has_its_name_for_good() {
    let (_home, outbox, capture) = places();
    let mut held = outbox.keep(entry(1, &capture), &capture.encoded).unwrap();
    let name = held.entry().shown_name();
    held.settle(Standing::Waiting { why: "away".to_owned() }).unwrap();
    drop(held);
    let stored = outbox.all().unwrap().remove(0);
    assert_eq!((stored.offer.name.as_str(), stored.shown_name()), (name.as_str(), name.clone()));
    assert!(name.starts_with("make-"), "{name}");
}

#[test]
fn the_spool_holds_what_is_not_known_elsewhere_as_it_was() {
    let (home, _outbox, capture) = places();
    let spool = Spool::at(home.path());
    assert!(spool.ids().unwrap().is_empty());
    let known = chunk(&capture, "one");
    spool.write("make", &capture, &ChunkIdSet::from_iter([known.id])).unwrap();
    let two = chunk(&capture, "two");
    assert_eq!(spool.ids().unwrap(), ChunkIdSet::from_iter([two.id]));
    let mut reader = spool.read(std::iter::once(two)).unwrap();
    assert_eq!(reader.next_chunk().unwrap(), Some((two.id, b"22".to_vec())));
    assert_eq!(reader.next_chunk().unwrap(), None);
}

#[test]
fn a_tree_that_changes_while_it_is_set_aside_is_named() {
    let (home, _outbox, capture) = places();
    std::fs::write(home.path().join("tree/two"), "33").unwrap();
    let spool = Spool::at(home.path());
    let error = spool.write("make", &capture, &ChunkIdSet::default()).unwrap_err();
    assert!(matches!(error, OutboxError::Changed { .. }), "{error:?}");
    assert!(spool.ids().unwrap().is_empty());
}

/// The only chunk of a small file.
fn chunk(capture: &Capture, name: &str) -> ChunkRef {
    let mut entries = capture.manifest.entries.iter();
    entries.find(|entry| entry.path.as_bytes() == name.as_bytes()).unwrap().chunks()[0]
}
