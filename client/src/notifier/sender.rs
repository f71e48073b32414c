//! Sends to one remote what could not be sent to it before, as soon as that works again.
//!
//! Tries at once, then with longer and longer pauses; a change in the outbox and waking up make it
//! try again. What only its owner can help with is told once and left alone.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::watch;

use super::desktop;
use super::notice::Notice;
use super::voice::Voice;
use super::wake::pause;
use crate::backoff::Backoff;
use crate::exit::chain_text;
use crate::file_watch::FileWatch;
use crate::local;
use crate::outbox::{Entry, Outbox, OutboxError, Standing, finish};
use crate::output::Output;
use crate::remote::{self, Remote};
use crate::settings::Settings;

/// Longest pause before a remote is tried again.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Sends to one remote until it is dropped.
#[derive(Debug)]
pub(super) struct Sender {
    name: String,
    settings: Settings,
    voice: Voice,
    outbox: Outbox,
    /// Changes when it should be tried at once.
    woken: watch::Receiver<()>,
}

/// What is left after everything was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Something,
}

impl Sender {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        output: Output,
        woken: watch::Receiver<()>,
    ) -> Self {
        let outbox = Outbox::new(&settings.places);
        let voice = Voice::new(name, output);
        Self { name: name.to_owned(), settings, voice, outbox, woken }
    }

    /// Sends for ever.
    pub(super) async fn send(mut self) -> Infallible {
        let mut backoff = Backoff::new(PAUSE_MAX);
        loop {
            let error = match self.watch(&mut backoff).await {
                Ok(never) => match never {},
                Err(error) => error,
            };
            self.voice.tell_once(&format!("{}; trying again", chain_text(&error)));
            pause(&mut self.woken, backoff.pause()).await;
        }
    }

    async fn watch(&mut self, backoff: &mut Backoff) -> Result<Infallible, OutboxError> {
        let directory = self.outbox.create()?.clone();
        let failed = |source| OutboxError::Read { path: directory.clone(), source };
        let mut changes = FileWatch::new(&directory).map_err(failed)?;
        loop {
            let pause = match self.send_all().await? {
                Left::Nothing => {
                    backoff.reset();
                    None
                }
                Left::Something => Some(backoff.pause()),
            };
            tokio::select! {
                changed = changes.changed() => changed.map_err(failed)?,
                _ = self.woken.changed() => backoff.reset(),
                () = passed(pause) => {}
            }
        }
    }

    /// Tries everything once, the oldest first; a remote that is away is away for all of them.
    async fn send_all(&mut self) -> Result<Left, OutboxError> {
        let mut entries = self.outbox.all()?;
        entries.retain(|entry| entry.remote == self.name);
        for entry in entries.iter().rev() {
            match entry.standing {
                Standing::Stopped { .. } => {}
                Standing::Sending | Standing::Waiting { .. } => {
                    if self.send_one(entry).await? == Left::Something {
                        return Ok(Left::Something);
                    }
                }
            }
        }
        Ok(Left::Nothing)
    }

    async fn send_one(&mut self, entry: &Entry) -> Result<Left, OutboxError> {
        let held = match self.outbox.hold(entry) {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(Left::Nothing),
            // Whoever is sending it may still fail.
            Err(OutboxError::Busy { .. }) => return Ok(Left::Something),
            Err(error) => return Err(error),
        };
        let name = entry.shown_name();
        let connect = || connect(&self.settings, &self.name);
        let error = match finish(held, &self.settings, self.voice.output(), connect).await {
            Ok(delivered) => {
                let run = delivered.receipt.run.name;
                self.voice.tell(format_args!("sent: {run}"));
                return Ok(Left::Nothing);
            }
            Err(error) => error,
        };
        let why = chain_text(error.as_ref());
        match crate::outbox::fate(&error) {
            Standing::Sending | Standing::Waiting { .. } => {
                self.voice.tell_once(&format!("{name} was not sent: {why}; trying again"));
                Ok(Left::Something)
            }
            Standing::Stopped { .. } => {
                self.voice.tell_once(&format!("{name} cannot be sent: {why}"));
                // Where there is no desktop, `handoff ls` and the next command tell.
                drop(desktop::show(&Notice::not_sent(&entry.view(), &why)).await);
                Ok(Left::Nothing)
            }
        }
    }
}

/// Connects, if the remote is there: nothing is started for it.
async fn connect(settings: &Settings, name: &str) -> anyhow::Result<Remote> {
    let settings = local::locate(settings, name);
    Ok(remote::connect(name, settings.remote(name)?).await?)
}

/// Waits so long; for ever without a pause.
async fn passed(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
