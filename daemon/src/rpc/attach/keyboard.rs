//! Somebody's keyboard and window, for as long as they stay.

use handoff_proto::wire::{self, attach_reply::Part as Reply, attach_request::Part as Ask};
use tokio::{
    sync::mpsc,
    time::{Duration, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::super::status::failed;
use crate::{
    runs::{SitError, Sitting},
    supervisor::AttachError,
};

/// How many bytes of keys may be on their way to a command that does not read them. Clients let less
/// be, and keep the rest.
const UNTYPED_MAX: u64 = 512 << 10;

/// How long somebody who leaves waits for what they typed last.
const LAST_KEYS_WITHIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct AtKeyboard {
    sitting: Sitting,
    left: CancellationToken,
    stopping: CancellationToken,
    tell: mpsc::Sender<Result<Reply, Status>>,
}

/// How somebody's stay ended.
enum End {
    /// They left.
    Left,
    /// They came back by another connection.
    Replaced,
    /// There is nothing to stay for.
    Over,
    /// Their connection broke, or is told to.
    Lost,
    /// The daemon stops.
    Stopping,
}

/// Why something was not done.
enum NotDone {
    Supervisor(AttachError),
    /// Nobody of ours asks that.
    Senseless(&'static str),
}

impl From<AttachError> for NotDone {
    fn from(error: AttachError) -> Self {
        Self::Supervisor(error)
    }
}

impl AtKeyboard {
    pub(super) const fn new(
        sitting: Sitting,
        left: CancellationToken,
        stopping: CancellationToken,
        tell: mpsc::Sender<Result<Reply, Status>>,
    ) -> Self {
        Self { sitting, left, stopping, tell }
    }

    /// Stays until they leave, their connection breaks or the command has ended.
    pub(super) async fn serve(
        mut self,
        size: Option<wire::TerminalSize>,
        mut requests: Streaming<wire::AttachRequest>,
    ) {
        let replaced = self.sitting.replaced();
        // Not even one that is not read waits any longer then.
        let stay = replaced.run_until_cancelled(self.stay(size, &mut requests)).await;
        let end = match stay.unwrap_or(Ok(End::Replaced)) {
            Ok(end) => end,
            Err(NotDone::Senseless(what)) => {
                let _gone = self.tell.send(Err(Status::invalid_argument(what))).await;
                End::Over
            }
            // The command has just ended: what it showed tells so.
            Err(NotDone::Supervisor(_)) if self.sitting.terminal.is_over().await => End::Over,
            Err(NotDone::Supervisor(source)) => {
                // What was not typed is sent again by another connection.
                let run = self.sitting.run_name();
                let _gone = self.tell.send(Err(failed(SitError::Supervisor { run, source }))).await;
                End::Lost
            }
        };
        match end {
            End::Left => {
                self.sitting.leave().await;
                let _gone = self.tell.send(Ok(Reply::Left(wire::Empty {}))).await;
            }
            End::Replaced => {
                let run = self.sitting.run_name();
                self.sitting.leave().await;
                let _gone = self.tell.send(Err(failed(SitError::Replaced(run)))).await;
            }
            End::Over => self.sitting.leave().await,
            End::Lost => self.sitting.lose(),
            End::Stopping => {}
        }
    }

    async fn stay(
        &mut self,
        size: Option<wire::TerminalSize>,
        requests: &mut Streaming<wire::AttachRequest>,
    ) -> Result<End, NotDone> {
        if let Some(size) = size {
            self.obey(Ask::Size(size)).await?;
        }
        loop {
            let Sitting { hold, terminal, .. } = &mut self.sitting;
            let taken = async {
                match hold {
                    Some(hold) => hold.taken().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.left.cancelled() => return Ok(End::Lost),
                () = self.stopping.cancelled() => return Ok(End::Stopping),
                () = taken => {
                    self.sitting.hold = None;
                    self.tell(Reply::KeyboardTaken(wire::KeyboardTaken {})).await;
                }
                typed = terminal.more_typed() => {
                    let end = typed?;
                    self.tell(Reply::Typed(wire::Typed { end })).await;
                }
                request = requests.message() => match request {
                    // Whatever a newer version asks, it is nothing that we do.
                    Ok(Some(wire::AttachRequest { part: None })) => {}
                    Ok(Some(wire::AttachRequest { part: Some(part) })) => self.obey(part).await?,
                    Ok(None) => {
                        self.type_the_rest().await?;
                        return Ok(End::Left);
                    }
                    Err(_broken) => return Ok(End::Lost),
                }
            }
        }
    }

    /// Waits a moment for what they typed last.
    async fn type_the_rest(&mut self) -> Result<(), NotDone> {
        let terminal = &mut self.sitting.terminal;
        let typed = async {
            while terminal.typed() < terminal.told() {
                terminal.more_typed().await?;
            }
            Ok(())
        };
        // A command that does not read keeps nobody from leaving.
        timeout(LAST_KEYS_WITHIN, typed).await.unwrap_or(Ok(()))
    }

    /// Who does not listen any more is noticed by that they have gone.
    async fn tell(&self, part: Reply) {
        let _gone = self.tell.send(Ok(part)).await;
    }

    /// Does what is asked, if it comes from whoever has the keyboard.
    async fn obey(&mut self, part: Ask) -> Result<(), NotDone> {
        if self.sitting.hold.is_none() {
            return Ok(());
        }
        let terminal = &mut self.sitting.terminal;
        let (at, keys) = match part {
            Ask::Keys(keys) => (terminal.told(), keys),
            Ask::KeysAt(wire::KeysAt { at, keys }) => (at, keys),
            Ask::Size(wire::TerminalSize { rows, columns }) => {
                return match (u16::try_from(rows), u16::try_from(columns)) {
                    (Ok(rows @ 1..), Ok(columns @ 1..)) => {
                        Ok(terminal.resize(rows, columns).await?)
                    }
                    _ => Ok(()),
                };
            }
            Ask::Start(_) | Ask::Here(_) => return Ok(()),
        };
        // Of one of whom nothing is known, nothing is on its way.
        let (typed, told) = match terminal.told() {
            0 => (at, at),
            told => (terminal.typed(), told),
        };
        if at > told {
            return Err(NotDone::Senseless("keys are missing before these"));
        }
        if at.saturating_add(keys.len() as u64).saturating_sub(typed) > UNTYPED_MAX {
            return Err(NotDone::Senseless("more keys than may be on their way"));
        }
        Ok(terminal.type_keys(at, &keys).await?)
    }
}
