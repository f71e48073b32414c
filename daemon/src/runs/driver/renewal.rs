//! Renewing the sign-ins that a run cannot go on without.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Driver;
use crate::egress::{Stale, Summary, Unrenewed};

/// What was to be renewed, and why it was not if it was not.
type Renewed = (Stale, Option<Unrenewed>);

/// The renewals that a run waits for.
pub(super) struct Renewing {
    /// Each is asked for once, however often its gateway repeats what it waits for.
    under_way: Vec<Stale>,
    told: mpsc::Sender<Renewed>,
    done: mpsc::Receiver<Renewed>,
}

impl Renewing {
    pub(super) fn new() -> Self {
        let (told, done) = mpsc::channel(1);
        Self { under_way: Vec::new(), told, done }
    }

    /// A provider, and why its sign-in was not renewed if it was not, when that is known.
    pub(super) async fn next(&mut self) -> (String, Option<Unrenewed>) {
        match self.done.recv().await {
            Some((stale, failure)) => {
                self.under_way.retain(|known| *known != stale);
                (stale.provider, failure)
            }
            // It has a sender itself.
            None => std::future::pending().await,
        }
    }

    /// Those of the sign-ins that nobody is renewing yet.
    fn begin(&mut self, stale: &[Stale]) -> Vec<Stale> {
        let news = stale.iter().filter(|stale| !self.under_way.contains(stale));
        let news: Vec<Stale> = news.cloned().collect();
        self.under_way.extend_from_slice(&news);
        news
    }
}

impl Driver {
    /// Has renewed what the run waits for. Goes on without the run, as what is handed out must be
    /// kept whoever asked; what became of it is told to whoever listens then.
    pub(super) fn renew(&self, summary: &Summary, renewing: &mut Renewing) {
        let config = &self.shared.settings.config;
        for stale in renewing.begin(&summary.stale) {
            let place = config.sign_in(&stale.provider);
            let (renewals, told) = (Arc::clone(&self.shared.renewals), renewing.told.clone());
            self.shared.tracker.spawn(async move {
                let failure = match place {
                    Some(place) => renewals.renew(&place, &stale.seen).await.err(),
                    None => Some(Unrenewed::for_good("the daemon has no such sign-in any more")),
                };
                // A run that has ended does not want to know.
                drop(told.send((stale, failure)).await);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_being_renewed_is_not_asked_for_again_until_that_is_done() {
        let mut renewing = Renewing::new();
        let stale = |seen: &str| Stale { provider: "openai".to_owned(), seen: seen.to_owned() };
        assert_eq!(renewing.begin(&[stale("1")]), [stale("1")]);
        assert_eq!(renewing.begin(&[stale("1")]), []);
        assert_eq!(renewing.begin(&[stale("1"), stale("2")]), [stale("2")]);
        renewing.told.send((stale("1"), None)).await.expect("heard");
        assert_eq!(renewing.next().await, ("openai".to_owned(), None));
        assert_eq!(renewing.begin(&[stale("1"), stale("2")]), [stale("1")]);
    }
}
