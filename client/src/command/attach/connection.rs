//! One connection of an attachment: what is to be asked by it, and what it has of our terminal.

use anyhow::Context as _;
use handoff_proto::wire::AttachRequest;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::typing::Typing;
use crate::output::{Output, Screen};
use crate::remote::Remote;
use crate::terminal::{DetachKeys, RawMode};

/// See the module.
#[derive(Debug)]
pub(super) struct Connection<'a> {
    pub(super) remote: &'a Remote,
    /// None once there is nothing more to ask.
    pub(super) ask: Option<mpsc::Sender<AttachRequest>>,
    /// None while the terminal is ours.
    pub(super) taken: Option<Taken>,
    pub(super) detach: DetachKeys,
    /// Whether the daemon is to be told our size, and that we are there.
    pub(super) size_is_due: bool,
    pub(super) here_is_due: bool,
    /// Until when to wait for the end of a user who leaves.
    pub(super) leaves: Option<Instant>,
}

/// Our terminal while the run has it. The screen is put in order before the mode.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) screen: Screen,
    /// None where the run only ends on our screen.
    pub(super) mode: Option<RawMode>,
    pub(super) writes: bool,
}

impl Taken {
    /// Takes it whole, for one who types or only looks.
    pub(super) fn whole(output: &Output, writes: bool) -> anyhow::Result<Self> {
        let mode = RawMode::enter().context("cannot take this terminal")?;
        Ok(Self { screen: Screen::new(output.clone()), mode: Some(mode), writes })
    }

    /// Takes the screen only: nobody is left who reads keys.
    pub(super) fn screen_only(output: &Output) -> Self {
        Self { screen: Screen::looking(output.clone()), mode: None, writes: false }
    }
}

impl<'a> Connection<'a> {
    pub(super) fn new(remote: &'a Remote, ask: mpsc::Sender<AttachRequest>) -> Self {
        Self {
            remote,
            ask: Some(ask),
            taken: None,
            detach: DetachKeys::default(),
            size_is_due: false,
            here_is_due: false,
            leaves: None,
        }
    }

    /// Whether keys are the run's, or ours to leave it.
    pub(super) fn has_keyboard(&self) -> bool {
        self.taken.as_ref().is_some_and(|taken| taken.mode.is_some())
    }

    /// Whether there is something to ask.
    pub(super) fn wants(&self, typing: &Typing) -> bool {
        self.ask.is_some() && (self.size_is_due || self.here_is_due || typing.is_due())
    }
}

/// Room for one more request; none once the connection takes none.
pub(super) async fn permit(
    ask: Option<mpsc::Sender<AttachRequest>>,
) -> Option<mpsc::OwnedPermit<AttachRequest>> {
    ask?.reserve_owned().await.ok()
}

pub(super) async fn late(leaves: Option<Instant>) {
    match leaves {
        Some(leaves) => tokio::time::sleep_until(leaves).await,
        None => std::future::pending().await,
    }
}
