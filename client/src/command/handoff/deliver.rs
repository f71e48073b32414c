//! From a captured tree to a receipt, or to an entry in the outbox that waits for its remote.

use std::cell::RefCell;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Notify;

use crate::capture::Capture;
use crate::command::carry::{Errand, Secrets, refuse_secrets};
use crate::context::Context;
use crate::exit::chain_text;
use crate::local;
use crate::outbox::{Entry, Held, Outbox, Standing, fate, postpone, sent};
use crate::remote::{self, Remote};
use crate::runs::Ledger;
use crate::settings::Settings;
use crate::transfer::{Delta, Known, Offer, Parcel, Receipt, TransferError, hand_off};

/// How often a tree that changes while it is sent is captured anew.
const CAPTURES: usize = 3;

/// The remote that something goes to.
enum Way {
    Open(Remote),
    /// It may be there later.
    Away {
        remote: String,
        why: anyhow::Error,
    },
}

/// What an interrupt must know about: the entry of what is being sent.
#[derive(Debug, Default)]
pub(super) struct Sending(RefCell<Option<Entry>>);

impl Way {
    /// Connects to the remote meant.
    async fn find(context: &Context) -> anyhow::Result<Self> {
        match context.connect().await {
            Ok(remote) => Ok(Self::Open(remote)),
            Err(why) => {
                let away = why.downcast_ref().is_some_and(remote::Error::is_transient);
                match context.remote_meant() {
                    Some(remote) if away => Ok(Self::Away { remote: remote.to_owned(), why }),
                    Some(_) | None => Err(why),
                }
            }
        }
    }

    fn remote_name(&self) -> &str {
        match self {
            Self::Open(remote) => remote.name(),
            Self::Away { remote, .. } => remote,
        }
    }
}

impl Sending {
    /// Writes down that the owner wants no more of it, and returns its name; none where nothing
    /// was kept.
    pub(super) fn interrupted(&self, context: &Context) -> Option<String> {
        let entry = self.0.borrow_mut().take()?;
        let name = entry.shown_name();
        // Where that fails it is as if this process had been killed.
        if let Ok(Some(mut held)) = Outbox::new(&context.settings.places).hold(&entry) {
            drop(held.settle(Standing::Stopped { why: "interrupted".to_owned() }));
        }
        Some(name)
    }

    fn keeps(&self, held: Option<&Held>) {
        *self.0.borrow_mut() = held.map(|held| held.entry().clone());
    }
}

/// Captures while it connects, and sends; captures anew where the tree changed in between.
///
/// # Errors
///
/// Where the tree cannot be captured or sent; [`NotSent`](crate::outbox::NotSent) where it is kept
/// to be sent later.
pub(super) async fn deliver(
    context: &Context,
    errand: &Errand,
    offer: Offer,
    sending: &Sending,
    secrets: Secrets,
) -> anyhow::Result<(Arc<Capture>, Remote, Receipt)> {
    let (places, output) = (&context.settings.places, &context.output);
    let remote = context.remote_meant().unwrap_or(local::REMOTE_NAME);
    let packs = errand.packs(context, remote);
    let listed = Arc::new(Notify::new());
    let known = async {
        listed.notified().await;
        if secrets == Secrets::Refused {
            // Nobody waits for the rules then; whoever is faster makes them.
            drop(tokio::task::spawn_blocking(crate::secrets::compile));
        }
        known(context, errand, remote).await
    };
    let (way, mut capture, known) = tokio::try_join!(
        Way::find(context),
        errand.capture_telling(output, Some(packs.clone()), Arc::clone(&listed)),
        known,
    )?;
    let known = known.as_ref();
    let delta = cleared(&capture, secrets, known).await?;
    let entry = entry(context, errand, offer, way.remote_name(), &capture)?;
    let kept = Outbox::new(places).keep(entry.clone(), &capture.encoded);
    let remote = match (way, kept) {
        (Way::Open(remote), Ok(held)) => (remote, Some(held)),
        (Way::Open(remote), Err(error)) => {
            let why = chain_text(&error);
            output.note(format_args!("warning: nobody can resume this if it breaks: {why}"));
            (remote, None)
        }
        (Way::Away { why, .. }, Ok(held)) => {
            sending.keeps(Some(&held));
            return Err(postpone(held, places, &capture, why).await);
        }
        (Way::Away { why, .. }, Err(error)) => {
            return Err(why.context(format!("nothing is kept either: {}", chain_text(&error))));
        }
    };
    let (remote, mut held) = remote;
    sending.keeps(held.as_ref());
    let errand = Outgoing { errand, offer: &entry.offer, known, secrets };
    match send(context, &errand, &remote, &mut capture, delta, &mut held).await {
        Ok(receipt) => {
            let entry = held.as_ref().map_or(&entry, Held::entry).clone();
            sending.keeps(None);
            sent(places, output, &entry, held, &capture.encoded, &receipt);
            if let Err(error) = packs.remember(&capture) {
                output.note(format_args!("warning: packs will be sent again: {error}"));
            }
            Ok((capture, remote, receipt))
        }
        Err(error) => match (held, fate(&error)) {
            (Some(held), Standing::Waiting { .. }) => {
                Err(postpone(held, places, &capture, error).await)
            }
            (Some(mut held), standing @ Standing::Stopped { .. }) if may_have_arrived(&error) => {
                sending.keeps(None);
                // Its key makes sure that nobody runs it twice; where it cannot be kept any better,
                // it stays as it is.
                drop(held.settle(standing));
                Err(error)
            }
            (Some(held), Standing::Sending | Standing::Stopped { .. }) => {
                sending.keeps(None);
                // What stays is shown as not sent, which is true.
                drop(held.discard());
                Err(error)
            }
            (None, _) => Err(error),
        },
    }
}

/// What is sent, however often it is captured.
struct Outgoing<'a> {
    errand: &'a Errand,
    offer: &'a Offer,
    known: Option<&'a Known>,
    secrets: Secrets,
}

/// Makes sure that nothing is sent that should stay here; returns what of the manifest is to be
/// sent.
async fn cleared(
    capture: &Arc<Capture>,
    secrets: Secrets,
    known: Option<&Known>,
) -> anyhow::Result<Option<Delta>> {
    let (compared, to) = (known.cloned(), Arc::clone(capture));
    let delta = tokio::task::spawn_blocking(move || Delta::new(&compared?, &to.encoded));
    refuse_secrets(capture, secrets, known).await?;
    delta.await.context("the comparison with the last snapshot was interrupted")
}

async fn send(
    context: &Context,
    outgoing: &Outgoing<'_>,
    remote: &Remote,
    capture: &mut Arc<Capture>,
    mut delta: Option<Delta>,
    held: &mut Option<Held>,
) -> anyhow::Result<Receipt> {
    let Outgoing { errand, offer, known, secrets } = *outgoing;
    let name = remote.name();
    let packs = errand.packs(context, name);
    let mut captures = 1;
    loop {
        let parcel = Parcel::Captured(Arc::clone(capture));
        let connect = || context.connect_to(name);
        match hand_off(offer, &parcel, delta.as_ref(), &context.output, remote.clone(), connect)
            .await
        {
            Ok(receipt) => return Ok(receipt),
            Err(TransferError::Changed(changed)) if captures < CAPTURES => {
                captures += 1;
                if changed.unnoticed {
                    errand.distrust_times();
                }
                if capture.is_remembered(&changed.path) {
                    packs.forget().context("cannot forget what the remote has lost")?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        *capture = errand.capture(&context.output, Some(packs.clone())).await?;
        delta = cleared(capture, secrets, known).await?;
        if let Some(held) = held {
            held.recaptured(capture)?;
        }
    }
}

/// Whether the remote may have everything although it said nothing: it could not be asked again.
fn may_have_arrived(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(TransferError::Remote { source, .. })
            if matches!(**source, remote::Error::Unreachable { .. })
    )
}

/// The snapshot that the remote had last of this tree. Without one everything is sent, which is
/// only slower.
async fn known(context: &Context, errand: &Errand, remote: &str) -> anyhow::Result<Option<Known>> {
    let ledger = Ledger::new(&context.settings.places);
    let (remote, root) = (remote.to_owned(), errand.root.clone());
    let recalled = tokio::task::spawn_blocking(move || {
        let run = ledger.newest(&remote, &root).ok().flatten()?;
        let encoded = ledger.encoded_snapshot(&run).ok()?.into();
        Some(Known { id: run.snapshot, encoded })
    });
    recalled.await.context("the recall of the last snapshot was interrupted")
}

fn entry(
    context: &Context,
    errand: &Errand,
    offer: Offer,
    remote: &str,
    capture: &Capture,
) -> anyhow::Result<Entry> {
    let settings = match context.settings.remote(remote) {
        Ok(_) => context.settings.clone(),
        // It was paired a moment ago.
        Err(_) => Settings::load(context.settings.places.clone())?,
    };
    Ok(Entry {
        id: Entry::id_of(&offer),
        offer,
        remote: remote.to_owned(),
        daemon: settings.remote(remote)?.daemon()?,
        root: errand.root.clone(),
        include: errand.include.clone(),
        exclude: errand.exclude.clone(),
        snapshot: capture.id,
        at_unix_nanos: i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
        standing: Standing::Sending,
    })
}
