//! Hands a tree off to a daemon that breaks off, loses receipts, refuses and lies.

mod fake;

use std::path::Path;

use handoff_proto::path::AbsolutePath;
use handoff_proto::problem::Code;

use super::*;
use crate::capture::{Capture, Options, capture};
use crate::output::Format;
use fake::{Fake, Manner};

/// More than the daemon breaks off after, and hard to compress.
fn noise(seed: u32, len: u32) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| step()).collect()
}

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for file in 0..40 {
        std::fs::write(tree.path().join(format!("file{file}")), noise(file + 1, 50_000)).unwrap();
    }
    std::fs::write(tree.path().join("same"), noise(1, 50_000)).unwrap();
    std::fs::write(tree.path().join("empty"), "").unwrap();
    tree
}

fn captured(tree: &Path) -> Arc<Capture> {
    let options =
        Options::new(AbsolutePath::try_from(tree.canonicalize().unwrap().as_path()).unwrap());
    Arc::new(capture(&options, &|_| {}).unwrap())
}

async fn deliver(fake: &Fake, capture: &Arc<Capture>) -> anyhow::Result<Receipt> {
    let address = fake.serve().await;
    let offer = Offer::new("name".to_owned(), wire::Contract::default())?;
    let connect = async || Remote::plain("box", address).await.map_err(anyhow::Error::from);
    let (parcel, output) = (Parcel::Captured(Arc::clone(capture)), Output::new(Format::Json));
    Ok(hand_off(&offer, &parcel, None, &output, connect().await?, connect).await?)
}

/// Everything arrived, and was asked for once.
fn check_complete(fake: &Fake, capture: &Capture) {
    fake.seen(|seen| {
        for chunk in capture.manifest.chunks() {
            assert_eq!(seen.chunks[&chunk.id].len(), chunk.size as usize);
        }
        let keys: Vec<_> = seen.offers.iter().map(|offer| &offer.idempotency_key).collect();
        assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 32));
    });
}

#[tokio::test]
async fn a_good_daemon_gets_everything_once() {
    let tree = tree();
    let capture = captured(tree.path());
    let fake = Fake::new([]);
    let receipt = deliver(&fake, &capture).await.unwrap();
    assert_eq!((receipt.id.as_str(), receipt.cursor.as_str()), ("abcdefghij", "7"));
    check_complete(&fake, &capture);
    // Two files are the same and one is empty.
    assert_eq!(fake.seen(|seen| seen.needed.clone()), [40]);
}

#[tokio::test]
async fn what_a_daemon_has_is_not_sent_again() {
    let tree = tree();
    let capture = captured(tree.path());
    let fake = Fake::new([]);
    deliver(&fake, &capture).await.unwrap();
    std::fs::write(tree.path().join("file7"), "changed").unwrap();
    let receipt = deliver(&fake, &captured(tree.path())).await.unwrap();
    assert!(receipt.bundle_bytes < 1000, "{}", receipt.bundle_bytes);
    assert_eq!(fake.seen(|seen| seen.needed.clone()), [40, 1]);
    let receipt = deliver(&fake, &captured(tree.path())).await.unwrap();
    assert_eq!(receipt.bundle_bytes, 0);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_it_broke() {
    let tree = tree();
    let capture = captured(tree.path());
    let fake = Fake::new([Manner::BreaksOff(700_000), Manner::BreaksOff(600_000)]);
    deliver(&fake, &capture).await.unwrap();
    check_complete(&fake, &capture);
    let needed = fake.seen(|seen| seen.needed.clone());
    assert!(needed.len() == 3 && needed[0] > needed[1] && needed[1] > needed[2], "{needed:?}");
}

#[tokio::test]
async fn a_lost_receipt_is_asked_for_again() {
    let tree = tree();
    let capture = captured(tree.path());
    let fake = Fake::new([Manner::LosesReceipt]);
    deliver(&fake, &capture).await.unwrap();
    check_complete(&fake, &capture);
    assert_eq!(fake.seen(|seen| (seen.offers.len(), seen.needed.len())), (2, 1));
}

#[tokio::test]
async fn a_receipt_for_something_else_is_no_receipt() {
    let tree = tree();
    let capture = captured(tree.path());
    let lies: [fn(&mut wire::Receipt); 5] = [
        |receipt| receipt.snapshot = vec![0; 32],
        |receipt| receipt.entries -= 1,
        |receipt| receipt.content_bytes += 1,
        |receipt| receipt.run_id = "../../etc".to_owned(),
        |receipt| receipt.run = None,
    ];
    for lie in lies {
        let error = deliver(&Fake::new([Manner::Lies(lie)]), &capture).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(TransferError::Receipt { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_final_and_keeps_its_words() {
    let tree = tree();
    let capture = captured(tree.path());
    let fake = Fake::new([Manner::Refuses(Code::Refused), Manner::Good]);
    let error = deliver(&fake, &capture).await.unwrap_err();
    let explained = crate::exit::explain(&error);
    assert_eq!(explained.exit, crate::exit::Exit::Refused);
    assert_eq!(explained.message, "cannot hand off to remote box: no");
    assert_eq!(explained.hint.as_deref(), Some("do something else"));
    assert_eq!(fake.seen(|seen| seen.offers.len()), 1);
}

#[tokio::test]
async fn a_tree_that_changed_is_not_sent_as_what_it_was() {
    let tree = tree();
    let capture = captured(tree.path());
    std::fs::write(tree.path().join("file30"), noise(99, 50_000)).unwrap();
    let error = deliver(&Fake::new([]), &capture).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(TransferError::Changed(_))), "{error:?}");
}
