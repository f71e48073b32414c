//! The notifier's process: one at a time, one follower and one sender a remote, until it is told to stop.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::follower::Follower;
use super::lock::Lock;
use super::sender::Sender;
use super::wake::Wake;
use crate::exit::chain_text;
use crate::file_watch::FileWatch;
use crate::output::Output;
use crate::settings::{RemoteSettings, Settings, create_private_directory};

/// The notifier cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("a notifier is running already")]
    AlreadyRunning,
    /// Its directory cannot be used.
    #[error("cannot use {path}")]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system does not tell of signals.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// Notifies until SIGTERM.
///
/// # Errors
///
/// Where another notifier runs, or what it needs for running is missing.
pub async fn run(settings: Settings, output: &Output) -> Result<(), Error> {
    let _lock = Lock::new(&settings.places).hold().await?;
    let mut stop = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut wake = Wake::new().map_err(Error::Signals)?;
    let config = settings.places.config.clone();
    let failed = |source| Error::Directory { path: config.clone(), source };
    create_private_directory(&config).map_err(failed)?;
    let mut changes = FileWatch::new(&config).map_err(failed)?;
    let mut followers = Followers::new(output.clone());
    output.note("notifier is running");
    loop {
        match Settings::load(settings.places.clone()) {
            Ok(settings) => followers.follow(&settings),
            // The remotes known so far are better than none.
            Err(error) => {
                output.note(format_args!("settings stay as they were: {}", chain_text(&error)));
            }
        }
        tokio::select! {
            _ = stop.recv() => break,
            () = wake.happened() => followers.wake(),
            changed = changes.changed() => changed.map_err(failed)?,
        }
    }
    followers.end().await;
    Ok(())
}

/// One follower and one sender a remote.
#[derive(Debug)]
struct Followers {
    output: Output,
    tasks: TaskTracker,
    running: BTreeMap<String, Running>,
    woken: watch::Sender<()>,
}

#[derive(Debug)]
struct Running {
    settings: RemoteSettings,
    cancel: CancellationToken,
    follower: JoinHandle<()>,
}

impl Followers {
    fn new(output: Output) -> Self {
        let (woken, _) = watch::channel(());
        Self { output, tasks: TaskTracker::new(), running: BTreeMap::new(), woken }
    }

    /// Follows the remotes of these settings, no others; those that shut this device out, again.
    fn follow(&mut self, settings: &Settings) {
        self.running.retain(|name, running| {
            let same = settings.remote(name).is_ok_and(|remote| *remote == running.settings);
            let stays = same && !running.follower.is_finished();
            if !stays {
                running.cancel.cancel();
            }
            stays
        });
        for (name, remote) in settings.remotes() {
            if !self.running.contains_key(name) {
                let running = self.start(name, settings, remote);
                self.running.insert(name.to_owned(), running);
            }
        }
    }

    fn start(&self, name: &str, settings: &Settings, remote: &RemoteSettings) -> Running {
        let cancel = CancellationToken::new();
        let woken = self.woken.subscribe();
        let follower = Follower::new(name, settings.clone(), self.output.clone(), woken);
        let cancelled = cancel.clone();
        // Ends when cancelled, at any point where it waits; it never fails.
        let follower = self.tasks.spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                () = follower.follow() => {}
            }
        });
        let woken = self.woken.subscribe();
        let sender = Sender::new(name, settings.clone(), self.output.clone(), woken);
        let cancelled = cancel.clone();
        // Ends in the same way; what it was sending stays in the outbox.
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancelled.cancelled() => {}
                never = sender.send() => match never {},
            }
        });
        Running { settings: remote.clone(), cancel, follower }
    }

    /// Has every connection made anew at once.
    fn wake(&self) {
        self.woken.send_replace(());
    }

    /// Ends all of them and waits for that.
    async fn end(self) {
        for running in self.running.values() {
            running.cancel.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}
