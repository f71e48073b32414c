//! Follows the log: reads pages until the end, then waits for the next commit. Never polls.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::watch;
use tokio_stream::Stream;

use super::{log, readers::Readers};
use crate::store::{Rev, Scope, StoreError, Tail, TailItem};

/// Opens a tail.
pub(super) fn follow(
    readers: Arc<Readers>,
    changed: watch::Receiver<u64>,
    scope: Scope,
    after: Rev,
) -> Tail {
    let source = Source { readers, changed, scope, after };
    Box::pin(Follow { ready: VecDeque::new(), step: Step::Read(Box::pin(source.read_page())) })
}

/// Where the next page comes from.
struct Source {
    readers: Arc<Readers>,
    changed: watch::Receiver<u64>,
    scope: Scope,
    after: Rev,
}

type Page = Pin<Box<dyn Future<Output = Result<(Source, Vec<TailItem>), StoreError>> + Send>>;

enum Step {
    Read(Page),
    Ended,
}

struct Follow {
    ready: VecDeque<TailItem>,
    step: Step,
}

impl Source {
    /// Waits until there is at least one record.
    async fn read_page(mut self) -> Result<(Self, Vec<TailItem>), StoreError> {
        loop {
            // Marked as seen before reading: a commit during the read wakes the wait below.
            self.changed.borrow_and_update();
            let (scope, after) = (self.scope.clone(), self.after);
            let rows = self.readers.read(move |db| log::next_page(db, &scope, after)).await?;
            let items = log::decode(rows, self.readers.directory())?;
            if let Some((last, _, _)) = items.last() {
                self.after = *last;
                return Ok((self, items));
            }
            self.changed.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }
}

impl Stream for Follow {
    type Item = Result<TailItem, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            let Step::Read(page) = &mut self.step else {
                return Poll::Ready(None);
            };
            match ready!(page.as_mut().poll(context)) {
                Ok((source, items)) => {
                    self.ready = items.into();
                    self.step = Step::Read(Box::pin(source.read_page()));
                }
                Err(error) => {
                    self.step = Step::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}
