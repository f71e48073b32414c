//! Random histories of the embedded blob store against the simplest thing that could be right.

use std::collections::{HashMap, HashSet};

use handoff_daemon::store::{BlobError, Store, Usage, UserName, embedded::Embedded};
use handoff_proto::chunk::ChunkId;
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use crate::sample::{blob, user};

/// How many different blobs a history is about.
const BLOBS: usize = 8;

#[derive(Clone, Debug)]
enum Step {
    /// Puts these blobs and commits.
    Store(usize, Vec<usize>),
    /// Puts these blobs and gives up.
    GiveUp(usize, Vec<usize>),
    Delete(usize, Vec<usize>),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let of_user = || (0..2_usize, vec(0..BLOBS, 0..6));
    prop_oneof![
        4 => of_user().prop_map(|(user, blobs)| Step::Store(user, blobs)),
        1 => of_user().prop_map(|(user, blobs)| Step::GiveUp(user, blobs)),
        3 => of_user().prop_map(|(user, blobs)| Step::Delete(user, blobs)),
        1 => Just(Step::Reopen),
    ]
}

struct World {
    directory: TempDir,
    store: Option<Store>,
    users: [UserName; 2],
    blobs: Vec<(ChunkId, Vec<u8>)>,
    expected: HashMap<usize, HashSet<usize>>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("directory");
        let store = Some(Embedded::open(directory.path()).expect("store").interfaces());
        // From nothing to several blocks of the disk.
        let sizes = [0, 1, 300, 5000, 20_000, 70_000, 300_000, 1_000_000];
        let blobs = (1..).zip(sizes).map(|(seed, size)| blob(seed, size)).collect();
        let users = [user("ada"), user("eve")];
        Self { directory, store, users, blobs, expected: HashMap::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("it is open")
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Store(user, blobs) => {
                self.put(*user, blobs).commit().expect("commit");
                self.expected.entry(*user).or_default().extend(blobs);
            }
            Step::GiveUp(user, blobs) => drop(self.put(*user, blobs)),
            Step::Delete(user, blobs) => {
                let ids: Vec<ChunkId> = blobs.iter().map(|blob| self.blobs[*blob].0).collect();
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("rt");
                let deleted = self.store().blobs.delete(&self.users[*user], &ids);
                runtime.block_on(deleted).expect("delete");
                self.expected.entry(*user).or_default().retain(|blob| !blobs.contains(blob));
            }
            Step::Reopen => {
                self.store = None;
                let store = Embedded::open(self.directory.path()).expect("store");
                self.store = Some(store.interfaces());
            }
        }
    }

    fn put(&self, user: usize, blobs: &[usize]) -> Box<dyn handoff_daemon::store::BlobWriter> {
        let mut writer = self.store().blobs.writer(&self.users[user]);
        for blob in blobs {
            let (id, bytes) = &self.blobs[*blob];
            writer.put(id, bytes).expect("put");
        }
        writer
    }

    fn check(&self) {
        for (number, user) in self.users.iter().enumerate() {
            for (position, (id, bytes)) in self.blobs.iter().enumerate() {
                let expected =
                    self.expected.get(&number).is_some_and(|blobs| blobs.contains(&position));
                match self.store().blobs.read_blocking(user, id) {
                    Ok(read) => assert!(expected && read == bytes, "blob {position} of {user}"),
                    Err(BlobError::Missing { .. }) => {
                        assert!(!expected, "blob {position} of {user} is gone");
                    }
                    Err(error) => panic!("blob {position} of {user}: {error}"),
                }
            }
        }
        for (number, user) in self.users.iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("rt");
            let usage = runtime.block_on(self.store().blobs.usage(user)).expect("usage");
            let blobs = self.expected.get(&number).into_iter().flatten();
            let sizes = blobs.map(|blob| self.blobs[*blob].1.len() as u64);
            let (bytes, blobs) = (sizes.clone().sum(), sizes.count() as u64);
            assert_eq!(usage, Usage { bytes, blobs }, "what {user} has is counted");
        }
        if self.expected.values().all(HashSet::is_empty) {
            let segments = self.directory.path().join("segments");
            let used: u64 = std::fs::read_dir(segments)
                .expect("list")
                .map(|entry| entry.expect("entry").metadata().expect("metadata").len())
                .sum();
            assert_eq!(used, 0, "nothing is kept for nobody");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn every_history_leaves_what_it_should(steps in vec(step(), 1..16)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
