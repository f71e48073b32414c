//! The owner of every task of a server: nothing of it outlives `end`.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long calls may go on after the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// Starts tasks and ends them; cloning it clones the handle.
#[derive(Clone, Debug)]
pub(in crate::rpc) struct Tasks {
    grace: Duration,
    tracker: TaskTracker,
    /// No new calls; those under way may end.
    closing: CancellationToken,
    /// Everything ends now.
    ended: CancellationToken,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::with_grace(GRACE)
    }
}

impl Tasks {
    fn with_grace(grace: Duration) -> Self {
        let (tracker, closing, ended) = Default::default();
        Self { grace, tracker, closing, ended }
    }

    /// Starts a task. It is dropped, wherever it stands, when the server ends.
    pub(in crate::rpc) fn spawn<F>(&self, task: F)
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let ended = self.ended.clone();
        self.tracker.spawn(async move {
            // Whether it came to its end is nobody's business any more.
            ended.run_until_cancelled(task).await.is_some()
        });
    }

    /// Resolves when connections should take no more calls.
    pub(in crate::rpc) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Lets calls end for a few seconds, then ends them. Returns when nothing runs any more.
    pub(in crate::rpc) async fn end(self) {
        self.closing.cancel();
        self.tracker.close();
        if tokio::time::timeout(self.grace, self.tracker.wait()).await.is_err() {
            self.ended.cancel();
            self.tracker.wait().await;
        }
    }
}

/// Lets hyper start its streams here, so that calls are tracked as well.
impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_ended() {
        let tasks = Tasks::with_grace(Duration::from_millis(20));
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        tasks.end().await;
        dropped.await.expect_err("the task was dropped");
    }

    #[tokio::test]
    async fn a_task_that_ends_is_waited_for() {
        let tasks = Tasks::with_grace(Duration::from_secs(3600));
        let (owner, (ready, done)) = (tasks.clone(), tokio::sync::oneshot::channel());
        tasks.spawn(async move {
            owner.closing().await;
            tokio::task::yield_now().await;
            ready.send(()).expect("the test waits");
        });
        tasks.end().await;
        done.await.expect("it came to its end");
    }
}
