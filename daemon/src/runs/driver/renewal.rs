//! Renewing the sign-ins that a run cannot go on without.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Driver;
use crate::egress::{Stale, Summary, Unrenewed};

/// A provider, and why its sign-in was not renewed if it was not.
pub(super) type Renewed = (String, Option<Unrenewed>);

impl Driver {
    /// Has renewed what the run waits for. Goes on without the run, as what is handed out must be
    /// kept whoever asked; what became of it is told to whoever listens then.
    pub(super) fn renew(&self, summary: &Summary, told: &mpsc::Sender<Renewed>) {
        for Stale { provider, seen } in summary.stale.iter().cloned() {
            let Some(place) = self.shared.settings.config.sign_in(&provider) else { continue };
            let (renewals, told) = (Arc::clone(&self.shared.renewals), told.clone());
            self.shared.tracker.spawn(async move {
                let failure = renewals.renew(&place, &seen).await.err();
                // A run that has ended does not want to know.
                drop(told.send((provider, failure)).await);
            });
        }
    }
}
