//! Holds on to a remote while a stream from it is followed: a broken connection is made anew.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::context::Context;
use crate::remote::{self, Remote};

/// Longest pause between two attempts: a network that is back is noticed soon.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How long a remote may be away before we give up.
const AWAY_MAX: Duration = Duration::from_secs(600);

/// A remote that is connected to again, for as long as its user waits.
#[derive(Debug)]
pub struct Reconnecting<'a> {
    context: &'a Context,
    remote: Remote,
    backoff: Backoff,
    away_since: Option<Instant>,
}

impl<'a> Reconnecting<'a> {
    /// Holds on to this remote.
    #[must_use]
    pub fn new(context: &'a Context, remote: Remote) -> Self {
        Self { context, remote, backoff: Backoff::new(PAUSE_MAX), away_since: None }
    }

    /// The remote as it is connected to now.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Takes note that something arrived.
    pub fn worked(&mut self) {
        self.backoff.reset();
        if self.away_since.take().is_some() {
            self.context
                .output
                .note(format_args!("connected to remote {} again", self.remote.name()));
        }
    }

    /// Connects again after a failure that may pass; says so.
    ///
    /// # Errors
    ///
    /// The failure itself, where trying again makes no sense or did not for a long time.
    pub async fn after(&mut self, failure: remote::Error) -> anyhow::Result<()> {
        let mut failure = failure;
        loop {
            let away = self.away_since.map_or(Duration::ZERO, |since| since.elapsed());
            if !failure.is_transient() || away > AWAY_MAX {
                return Err(failure.into());
            }
            if self.away_since.is_none() {
                self.away_since = Some(Instant::now());
                self.context.output.note(format_args!("{failure}; trying again"));
            }
            tokio::time::sleep(self.backoff.pause()).await;
            match self.context.connect_to(self.remote.name()).await {
                Ok(remote) => {
                    self.remote = remote;
                    return Ok(());
                }
                Err(error) => failure = error.downcast::<remote::Error>()?,
            }
        }
    }
}
