//! What the system tells somebody who is attached, or waits for that.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// See the module. As long as this lives, none of these ends the process by itself, which would leave
/// the terminal as the run wants it.
#[derive(Debug)]
pub(super) struct Signals {
    resized: Signal,
    ended: [Signal; 4],
}

/// What was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The terminal has another size.
    Resized,
    /// We are to end: Ctrl-C where no run has our terminal, or its window is closed.
    Ended,
}

impl Signals {
    pub(super) fn catch() -> std::io::Result<Self> {
        let ended = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ];
        let [a, b, c, d] = ended.map(signal);
        Ok(Self { resized: signal(SignalKind::window_change())?, ended: [a?, b?, c?, d?] })
    }

    /// Waits for news. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> News {
        let [a, b, c, d] = &mut self.ended;
        tokio::select! {
            biased;
            _ = a.recv() => News::Ended,
            _ = b.recv() => News::Ended,
            _ = c.recv() => News::Ended,
            _ = d.recv() => News::Ended,
            _ = self.resized.recv() => News::Resized,
        }
    }

    /// Waits until we are to end. A size is asked for whenever it counts.
    pub(super) async fn ended(&mut self) {
        while self.next().await == News::Resized {}
    }
}
