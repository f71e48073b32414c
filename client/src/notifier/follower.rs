//! Follows one remote's events: tells what is worth it, then remembers how far it got.
//!
//! ```text
//! connect ──▶ stream from the cursor ──▶ event ──▶ shown ──▶ cursor on disk ──▶ next event
//!    ▲                  │                            │
//!    └── pause ◀── broken, refused          not shown: pause, again
//! ```
//!
//! A daemon that shut this device out is not asked again: only pairing anew helps.
//! An event is passed only when the desktop has taken it; a crash in between repeats that one.

use std::time::Duration;

use handoff_proto::run::Record;
use handoff_proto::wire::{RunRecord, RunView, WatchAllReply, WatchAllRequest};
use tokio::sync::watch;

use super::cursor::{CursorError, CursorFile, Position};
use super::desktop;
use super::notice::Notice;
use super::voice::Voice;
use super::wake::pause;
use crate::backoff::Backoff;
use crate::exit::chain_text;
use crate::local;
use crate::output::Output;
use crate::remote;
use crate::settings::Settings;

/// Longest pause before a remote is tried again: nobody wants to hear of an end much later.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The same for this machine's own daemon, which costs nothing to try.
const PAUSE_MAX_LOCAL: Duration = Duration::from_secs(5);

/// Longest pause before the desktop is tried again.
const PAUSE_MAX_DESKTOP: Duration = Duration::from_secs(10);

/// Follows one remote until it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    name: String,
    settings: Settings,
    voice: Voice,
    /// Changes when connections should be made anew at once.
    woken: watch::Receiver<()>,
    /// Where it stands, once it knows.
    position: Option<Position>,
}

/// Why a stream of events ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Cursor(#[from] CursorError),
    #[error(transparent)]
    Remote(#[from] remote::Error),
    #[error("remote {0} ended the stream of events")]
    Ended(String),
}

impl Follower {
    pub(super) fn new(
        name: &str,
        settings: Settings,
        output: Output,
        woken: watch::Receiver<()>,
    ) -> Self {
        let voice = Voice::new(name, output);
        Self { name: name.to_owned(), settings, voice, woken, position: None }
    }

    /// Follows the remote until that shuts this device out.
    pub(super) async fn follow(mut self) {
        let max = if self.name == local::REMOTE_NAME { PAUSE_MAX_LOCAL } else { PAUSE_MAX };
        let mut backoff = Backoff::new(max);
        loop {
            match self.stream(&mut backoff).await {
                // The machine slept: the connection is not worth waiting for.
                Ok(()) => {}
                Err(StreamError::Remote(error)) if error.is_shut_out() => {
                    let error = chain_text(&error);
                    return self.voice.tell(format_args!("{error}; it is not followed any more"));
                }
                Err(error) => {
                    self.voice.tell_once(&format!("{}; trying again", chain_text(&error)));
                    pause(&mut self.woken, backoff.pause()).await;
                }
            }
        }
    }

    /// Connects and handles events until waking up or an error.
    async fn stream(&mut self, backoff: &mut Backoff) -> Result<(), StreamError> {
        let file = CursorFile::of(&self.settings, &self.name)?;
        self.recall(&file)?;
        let settings = local::locate(&self.settings, &self.name);
        let remote =
            remote::connect(&self.name, settings.remote(&self.name).map_err(CursorError::from)?)
                .await?;
        let cursor = self.position.as_ref().map(Position::cursor).unwrap_or_default().to_owned();
        let replies = remote.runs().watch_all(WatchAllRequest { cursor }).await;
        let mut replies = match replies {
            Ok(replies) => replies.into_inner(),
            Err(status) => return Err(self.refused(&file, remote.error(status))?),
        };
        loop {
            let reply = tokio::select! {
                reply = replies.message() => reply.map_err(|status| remote.error(status))?,
                _ = self.woken.changed() => return Ok(()),
            };
            let reply = reply.ok_or_else(|| StreamError::Ended(self.name.clone()))?;
            backoff.reset();
            if !self.begin(&file, &reply)? {
                return Ok(());
            }
            self.handle(&file, reply).await?;
        }
    }

    /// Reads where it stands, the first time.
    fn recall(&mut self, file: &CursorFile) -> Result<(), CursorError> {
        if self.position.is_some() {
            return Ok(());
        }
        self.position = match file.load() {
            Err(error @ CursorError::Damaged { .. }) => {
                self.voice.tell_once(&format!("{}; starting from now on", chain_text(&error)));
                None
            }
            loaded => loaded?,
        };
        Ok(())
    }

    /// Takes the place where the stream starts as the first position; false where another one
    /// holds by now, from which to stream instead.
    fn begin(&mut self, file: &CursorFile, reply: &WatchAllReply) -> Result<bool, CursorError> {
        if reply.record.is_none() {
            self.voice.tell_once("connected");
        }
        if self.position.is_some() {
            return Ok(true);
        }
        let position = file.begin(&reply.cursor)?;
        let here = position.cursor() == reply.cursor;
        self.position = Some(position);
        Ok(here)
    }

    async fn handle(&mut self, file: &CursorFile, reply: WatchAllReply) -> Result<(), CursorError> {
        let WatchAllReply { cursor, run: Some(run), record: Some(record) } = reply else {
            return Ok(());
        };
        let seq = record.seq;
        let notice = self.news(record, &run);
        if let Some(notice) = &notice {
            self.show(notice).await;
        }
        let Some(position) = &mut self.position else { return Ok(()) };
        position.advance(&cursor, &run.id, seq);
        if let Some(notice) = notice {
            file.save(position)?;
            self.voice.tell(format_args!("told: {}", notice.summary));
        }
        // Passing silent events again after a crash costs nothing.
        Ok(())
    }

    /// What an event is worth telling: nothing if it was passed before, which happens where a
    /// stream starts earlier than asked for.
    fn news(&self, record: RunRecord, run: &RunView) -> Option<Notice> {
        if self.position.as_ref().is_some_and(|position| position.has_seen(&run.id, record.seq)) {
            return None;
        }
        // An event of a newer daemon that cannot be understood is none that we have words for.
        Notice::of(&Record::try_from(record).ok()?, run, &self.name)
    }

    /// Shows a notification, however long it takes until the desktop is there.
    async fn show(&mut self, notice: &Notice) {
        let mut backoff = Backoff::new(PAUSE_MAX_DESKTOP);
        while let Err(error) = desktop::show(notice).await {
            self.voice.tell_once(&format!("{}; trying again", chain_text(&error)));
            pause(&mut self.woken, backoff.pause()).await;
        }
    }

    /// The daemon does not answer to our position: if that is senseless to it, another will do.
    fn refused(
        &mut self,
        file: &CursorFile,
        error: remote::Error,
    ) -> Result<StreamError, CursorError> {
        use handoff_proto::problem::Code;
        if self.position.is_some() && error.problem_code() == Some(Code::Usage) {
            self.position = None;
            file.forget()?;
        }
        Ok(error.into())
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::wire::{Finished, OutcomeKind, run_record::Event};

    use super::*;
    use crate::output::Format;
    use crate::settings::Places;

    fn finished(seq: u64) -> RunRecord {
        let event = Finished { outcome: OutcomeKind::Succeeded.into(), detail: String::new() };
        RunRecord { seq, at_unix_nanos: 0, event: Some(Event::Finished(event)) }
    }

    #[test]
    fn a_stream_that_repeats_itself_is_no_news() {
        let settings = Settings::load(Places::beneath("/none".as_ref())).unwrap();
        let (_waker, woken) = watch::channel(());
        let mut follower = Follower::new("box", settings, Output::new(Format::Text), woken);
        let (one, other) = (
            RunView { id: "one".to_owned(), ..RunView::default() },
            RunView { id: "other".to_owned(), ..RunView::default() },
        );
        assert!(follower.news(finished(7), &one).is_some());
        let mut position = Position::at("12");
        position.advance("13", "one", 7);
        follower.position = Some(position);
        assert_eq!(follower.news(finished(7), &one), None);
        assert_eq!(follower.news(finished(6), &one), None);
        assert!(follower.news(finished(8), &one).is_some());
        assert!(follower.news(finished(7), &other).is_some());
        // What cannot be understood is passed over.
        assert_eq!(follower.news(RunRecord { seq: 9, ..RunRecord::default() }, &one), None);
    }
}
