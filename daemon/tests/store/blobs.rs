//! What every blob store must do.

use std::sync::Arc;

use handoff_daemon::store::{BlobError, BlobStore, Usage, UserName};
use handoff_proto::chunk::ChunkId;
use tokio::task::{JoinSet, block_in_place};

use crate::{
    Engine,
    sample::{blob, user},
};

/// Stores blobs in one commit.
fn store(blobs: &Arc<dyn BlobStore>, user: &UserName, content: &[(ChunkId, Vec<u8>)]) {
    block_in_place(|| {
        let mut writer = blobs.writer(user);
        for (id, bytes) in content {
            writer.put(id, bytes).expect("put");
            writer.write_ahead().expect("write ahead");
        }
        writer.commit().expect("commit");
    });
}

async fn has(blobs: &Arc<dyn BlobStore>, user: &UserName, id: &ChunkId) -> bool {
    let lacking = blobs.lacks(user, &[*id]).await.expect("lacks").contains(id);
    match blobs.get(user, id).await {
        Ok(bytes) => assert_eq!(ChunkId::of(&bytes), *id),
        Err(BlobError::Missing { id: missing }) if missing == *id => assert!(lacking),
        Err(error) => panic!("{error}"),
    }
    !lacking
}

pub(crate) async fn a_blob_is_readable_after_the_commit_only(engine: &dyn Engine) {
    let (ada, (id, bytes)) = (user("ada"), blob(1, 70_000));
    {
        let blobs = engine.open().blobs;
        let mut writer = blobs.writer(&ada);
        block_in_place(|| writer.put(&id, &bytes)).expect("put");
        assert!(!has(&blobs, &ada, &id).await);
        block_in_place(|| writer.write_ahead()).expect("write ahead");
        assert!(!has(&blobs, &ada, &id).await);
        drop(writer);
        assert!(!has(&blobs, &ada, &id).await);
        store(&blobs, &ada, &[(id, bytes.clone()), blob(2, 0)]);
        assert_eq!(blobs.get(&ada, &id).await.expect("get"), bytes);
        assert_eq!(block_in_place(|| blobs.read_blocking(&ada, &id)).expect("read"), bytes);
    }
    let blobs = engine.open().blobs;
    assert_eq!(blobs.get(&ada, &id).await.expect("get"), bytes);
    assert_eq!(blobs.get(&ada, &blob(2, 0).0).await.expect("get").len(), 0);
}

pub(crate) async fn a_blob_put_twice_is_stored_once(engine: &dyn Engine) {
    let (ada, one) = (user("ada"), blob(1, 5000));
    let blobs = engine.open().blobs;
    store(&blobs, &ada, &[one.clone(), one.clone()]);
    store(&blobs, &ada, &[one.clone(), blob(2, 10)]);
    assert_eq!(blobs.get(&ada, &one.0).await.expect("get"), one.1);
    // Two writers that cannot see each other, the second with other neighbours.
    let large = blob(3, 100 << 20);
    let (mut first, mut second) = (blobs.writer(&ada), blobs.writer(&ada));
    block_in_place(|| {
        first.put(&large.0, &large.1).expect("put");
        second.put(&blob(4, 1 << 20).0, &blob(4, 1 << 20).1).expect("put");
        second.put(&large.0, &large.1).expect("put");
        first.commit().expect("commit");
        second.commit().expect("commit");
    });
    assert_eq!(blobs.get(&ada, &large.0).await.expect("get"), large.1);
}

pub(crate) async fn a_wrong_hash_is_refused(engine: &dyn Engine) {
    let (ada, good, other) = (user("ada"), blob(1, 5000), blob(2, 5000));
    let blobs = engine.open().blobs;
    let mut writer = blobs.writer(&ada);
    block_in_place(|| {
        let error = writer.put(&other.0, &good.1).expect_err("the hash is wrong");
        assert!(matches!(error, BlobError::WrongHash { id } if id == other.0), "{error}");
        writer.put(&good.0, &good.1).expect("the writer is still usable");
        writer.commit().expect("commit");
    });
    assert!(has(&blobs, &ada, &good.0).await);
    assert!(!has(&blobs, &ada, &other.0).await);
}

pub(crate) async fn nothing_crosses_users(engine: &dyn Engine) {
    let (ada, eve, secret) = (user("ada"), user("eve"), blob(1, 5000));
    let blobs = engine.open().blobs;
    store(&blobs, &ada, std::slice::from_ref(&secret));
    assert!(has(&blobs, &ada, &secret.0).await);
    assert!(!has(&blobs, &eve, &secret.0).await, "neither obtained nor known to exist");
    let error = block_in_place(|| blobs.read_blocking(&eve, &secret.0)).expect_err("not hers");
    assert!(matches!(error, BlobError::Missing { .. }), "{error}");
    // Deleting what is not hers touches nothing; storing the same bytes is her own copy.
    blobs.delete(&eve, &[secret.0]).await.expect("delete");
    assert!(has(&blobs, &ada, &secret.0).await);
    store(&blobs, &eve, std::slice::from_ref(&secret));
    blobs.delete(&ada, &[secret.0]).await.expect("delete");
    assert!(has(&blobs, &eve, &secret.0).await && !has(&blobs, &ada, &secret.0).await);
}

pub(crate) async fn what_is_lacking_comes_in_order_once(engine: &dyn Engine) {
    let ada = user("ada");
    let content: Vec<_> = (0..200).map(|seed| blob(seed, 100)).collect();
    let blobs = engine.open().blobs;
    let even: Vec<_> = content.iter().step_by(2).cloned().collect();
    store(&blobs, &ada, &even);
    let asked: Vec<ChunkId> = content.iter().chain(&content).map(|(id, _)| *id).collect();
    let expected: Vec<ChunkId> = content.iter().skip(1).step_by(2).map(|(id, _)| *id).collect();
    assert_eq!(blobs.lacks(&ada, &asked).await.expect("lacks"), expected);
}

pub(crate) async fn a_large_blob_comes_back_whole(engine: &dyn Engine) {
    let (ada, large) = (user("ada"), blob(9, (150 << 20) + 7));
    {
        let blobs = engine.open().blobs;
        store(&blobs, &ada, &[blob(1, 3000), large.clone(), blob(2, 3000)]);
    }
    let blobs = engine.open().blobs;
    assert_eq!(blobs.get(&ada, &large.0).await.expect("get"), large.1);
    assert!(has(&blobs, &ada, &blob(2, 3000).0).await);
}

pub(crate) async fn many_blobs_in_parallel_come_back_whole(engine: &dyn Engine) {
    const EACH: u64 = 400;
    let blobs = engine.open().blobs;
    let mut writers = JoinSet::new();
    for writer in 0..4_u64 {
        let blobs = blobs.clone();
        writers.spawn_blocking(move || {
            let mine = user(&format!("user{}", writer % 2));
            for commit in 0..4 {
                let mut out = blobs.writer(&mine);
                for number in 0..EACH / 4 {
                    let seed = writer * EACH + commit * EACH / 4 + number;
                    let (id, bytes) =
                        blob(seed, usize::try_from(seed * 37 % 90_000).expect("small"));
                    out.put(&id, &bytes).expect("put");
                }
                // Every other one is given up.
                if commit % 2 == 0 {
                    out.commit().expect("commit");
                }
            }
        });
    }
    writers.join_all().await;
    block_in_place(|| {
        for seed in 0..4 * EACH {
            let mine = user(&format!("user{}", seed / EACH % 2));
            let (id, bytes) = blob(seed, usize::try_from(seed * 37 % 90_000).expect("small"));
            let committed = (seed % EACH / (EACH / 4)).is_multiple_of(2);
            match blobs.read_blocking(&mine, &id) {
                Ok(read) => assert!(committed && read == bytes, "{seed}"),
                Err(BlobError::Missing { .. }) => assert!(!committed, "{seed}"),
                Err(error) => panic!("{seed}: {error}"),
            }
        }
    });
}

pub(crate) async fn deleted_blobs_are_gone(engine: &dyn Engine) {
    let ada = user("ada");
    let content: Vec<_> = (0..300).map(|seed| blob(seed, 20_000)).collect();
    let ids: Vec<ChunkId> = content.iter().map(|(id, _)| *id).collect();
    let blobs = engine.open().blobs;
    store(&blobs, &ada, &content);
    blobs.delete(&ada, &ids[..200]).await.expect("delete");
    blobs.delete(&ada, &ids[..200]).await.expect("delete again");
    for (position, id) in ids.iter().enumerate() {
        assert_eq!(has(&blobs, &ada, id).await, position >= 200);
    }
    store(&blobs, &ada, &content[..1]);
    assert!(has(&blobs, &ada, &ids[0]).await, "what was deleted can be stored again");
    blobs.delete(&ada, &ids).await.expect("delete all");
    store(&blobs, &ada, &content[1..3]);
    assert!(has(&blobs, &ada, &ids[2]).await && !has(&blobs, &ada, &ids[0]).await);
}

pub(crate) async fn a_skipped_blob_that_vanishes_fails_the_commit(engine: &dyn Engine) {
    let (ada, old, new) = (user("ada"), blob(1, 100), blob(2, 100));
    let blobs = engine.open().blobs;
    store(&blobs, &ada, std::slice::from_ref(&old));
    let mut writer = blobs.writer(&ada);
    block_in_place(|| {
        writer.put(&old.0, &old.1).expect("put");
        writer.put(&new.0, &new.1).expect("put");
    });
    blobs.delete(&ada, &[old.0]).await.expect("delete");
    let error = block_in_place(|| writer.commit()).expect_err("a blob has vanished");
    assert!(matches!(error, BlobError::Missing { id } if id == old.0), "{error}");
    assert!(!has(&blobs, &ada, &new.0).await, "all or nothing");
}

pub(crate) async fn each_user_pays_for_what_others_have_too(engine: &dyn Engine) {
    let (ada, eve) = (user("ada"), user("eve"));
    let content = [blob(1, 5000), blob(2, 300), blob(3, 0)];
    let ids: Vec<ChunkId> = content.iter().map(|(id, _)| *id).collect();
    let all = Usage { bytes: 5300, blobs: 3 };
    {
        let blobs = engine.open().blobs;
        store(&blobs, &ada, &content);
        assert_eq!(blobs.usage(&ada).await.expect("usage"), all);
        assert_eq!(
            blobs.lacks(&eve, &ids).await.expect("lacks"),
            ids,
            "eve is asked for all of it"
        );
        assert_eq!(blobs.usage(&eve).await.expect("usage"), Usage::default());
        store(&blobs, &eve, &content);
        store(&blobs, &eve, &content);
        assert_eq!(blobs.usage(&eve).await.expect("usage"), all, "and pays for it, once");
        // Two writers that do not see each other.
        let other = blob(4, 100);
        let mut writers = [blobs.writer(&ada), blobs.writer(&ada)];
        block_in_place(|| writers.iter_mut().for_each(|w| w.put(&other.0, &other.1).expect("put")));
        block_in_place(|| writers.into_iter().for_each(|w| w.commit().expect("commit")));
        assert_eq!(blobs.usage(&ada).await.expect("usage"), Usage { bytes: 5400, blobs: 4 });
        blobs.delete(&ada, &[ids[0], ids[0], other.0]).await.expect("delete");
        blobs.delete(&ada, &[ids[0]]).await.expect("delete");
    }
    let blobs = engine.open().blobs;
    assert_eq!(blobs.usage(&ada).await.expect("usage"), Usage { bytes: 300, blobs: 2 });
    assert_eq!(blobs.usage(&eve).await.expect("usage"), all);
}
