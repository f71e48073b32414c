//! Ctrl-C: ends the wait for whatever is going on.

use std::future::Future;

/// The user pressed Ctrl-C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Waits for `work` unless Ctrl-C comes first, in which case `work` is dropped.
///
/// # Errors
///
/// [`Interrupted`] after Ctrl-C.
pub async fn or_interrupt<T>(work: impl Future<Output = T>) -> Result<T, Interrupted> {
    tokio::select! {
        biased;
        () = pressed() => Err(Interrupted),
        done = work => Ok(done),
    }
}

/// Waits until Ctrl-C is pressed; for ever where the system does not tell.
pub async fn pressed() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
