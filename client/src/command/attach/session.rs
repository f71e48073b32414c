//! One attachment: what is typed goes to the run, what the run shows comes to our terminal.

use std::time::Duration;

use anyhow::Context as _;
use handoff_proto::wire::attach_reply::Part as Reply;
use handoff_proto::wire::attach_request::Part as Ask;
use handoff_proto::wire::{
    AttachReply, AttachRequest, AttachStart, Empty, RunSelector, RunView, TerminalSize,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt::{Interrupted, or_interrupt};
use crate::output::Screen;
use crate::reconnect::Reconnecting;
use crate::remote::{self, Remote};
use crate::terminal::{self, DetachKeys, Keyboard, RawMode, Typed};

/// How often to say that we are still here: a third of the silence after which a daemon gives up.
const HERE_EVERY: Duration = Duration::from_secs(60);

/// Requests on their way. Keys beyond that are lost rather than kept for a run that stands still.
const ASKED_MAX: usize = 256;

/// Ctrl-C, by which those who only look leave as well.
const INTERRUPT: u8 = 0x03;

/// How an attachment ends.
#[derive(Debug)]
pub(super) enum End {
    /// The user left.
    Left(Exit),
    /// The run is over.
    Finished(Exit),
}

/// One user at one run's terminal.
#[derive(Debug)]
pub(super) struct Session<'a> {
    context: &'a Context,
    start: AttachStart,
    name: String,
    keyboard: Keyboard,
    signals: Signals,
    /// Whether there was a connection before.
    was_there: bool,
}

/// What the system tells us meanwhile.
#[derive(Debug)]
struct Signals {
    resized: Signal,
    ended: [Signal; 3],
}

/// What they told.
enum News {
    Resized,
    Ended,
}

/// Our terminal while the run has it. The screen is put in order before the mode.
#[derive(Debug)]
struct Taken {
    screen: Screen,
    _mode: RawMode,
    writes: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        context: &'a Context,
        run: RunSelector,
        name: String,
        watch: bool,
        take_over: bool,
    ) -> anyhow::Result<Self> {
        let id = Uuid::new_v4().to_string();
        let start = AttachStart { run: Some(run), id, watch, take_over, ..AttachStart::default() };
        let keyboard = Keyboard::open().context("cannot read from this terminal")?;
        let signals = Signals::catch().context("cannot follow this terminal's size")?;
        Ok(Self { context, start, name, keyboard, signals, was_there: false })
    }

    /// Says how to come back.
    pub(super) fn left(&self, exit: Exit) -> Exit {
        let name = &self.name;
        self.context.output.note(format_args!(
            "detached from {name}, which goes on; `handoff attach {name}` comes back"
        ));
        exit
    }

    /// Stays attached until something ends it; a connection that breaks is an error of the remote.
    pub(super) async fn connect(&mut self, remote: &mut Reconnecting<'_>) -> anyhow::Result<End> {
        let connected = remote.remote().clone();
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        // One line less at first: the second size, a moment later, makes the program in front draw
        // its screen anew even if that is as large as it was.
        self.start.size = Some(one_less(terminal::size()));
        let start = AttachRequest { part: Some(Ask::Start(self.start.clone())) };
        let _taken_at_once = ask.try_send(start);
        let mut runs = connected.runs();
        let begun = runs.attach(ReceiverStream::new(asked));
        let replies = match or_interrupt(begun).await {
            Ok(begun) => begun.map_err(|status| connected.error(status))?.into_inner(),
            Err(Interrupted) => return Ok(End::Left(self.left(Exit::Interrupted))),
        };
        remote.worked();
        if std::mem::replace(&mut self.was_there, true) {
            self.context.output.note("what was typed meanwhile is lost");
        }
        self.stay(&connected, replies, &ask).await
    }

    async fn stay(
        &mut self,
        remote: &Remote,
        mut replies: Streaming<AttachReply>,
        ask: &mpsc::Sender<AttachRequest>,
    ) -> anyhow::Result<End> {
        let mut taken: Option<Taken> = None;
        let mut detach = DetachKeys::default();
        let mut here = tokio::time::interval(HERE_EVERY);
        loop {
            let has_terminal = taken.is_some();
            tokio::select! {
                reply = replies.message() => {
                    let reply = reply.map_err(|status| remote.error(status))?;
                    let part = reply.ok_or_else(|| cut_short(remote))?.part;
                    if let Some(end) = self.heard(part, &mut taken, ask)? {
                        return Ok(end);
                    }
                }
                keys = self.keyboard.keys(), if has_terminal => {
                    // A terminal that fails has gone like one that ends.
                    let keys = keys.unwrap_or_default();
                    let writes = taken.as_ref().is_some_and(|taken| taken.writes);
                    let goes_on = !keys.is_empty() && self.typed(&keys, writes, &mut detach, ask);
                    if !goes_on {
                        drop(taken);
                        return Ok(End::Left(self.left(Exit::Done)));
                    }
                }
                news = self.signals.next() => match news {
                    News::Resized => send(ask, Ask::Size(terminal::size())),
                    News::Ended => {
                        drop(taken);
                        return Ok(End::Left(self.left(Exit::Interrupted)));
                    }
                },
                _ = here.tick() => send(ask, Ask::Here(Empty {})),
            }
        }
    }

    /// Passes keys on; false once the user wants to leave.
    fn typed(
        &self,
        keys: &[u8],
        writes: bool,
        detach: &mut DetachKeys,
        ask: &mpsc::Sender<AttachRequest>,
    ) -> bool {
        match detach.pass(keys) {
            Typed::Keys(keys) if writes => {
                if !keys.is_empty() {
                    send(ask, Ask::Keys(keys));
                }
                true
            }
            Typed::Keys(keys) => !keys.contains(&INTERRUPT),
            Typed::Detach(keys) => {
                if writes && !keys.is_empty() {
                    send(ask, Ask::Keys(keys));
                }
                false
            }
        }
    }

    fn heard(
        &mut self,
        part: Option<Reply>,
        taken: &mut Option<Taken>,
        ask: &mpsc::Sender<AttachRequest>,
    ) -> anyhow::Result<Option<End>> {
        match part {
            Some(Reply::Attached(attached)) => {
                self.greet(attached.writes);
                // Done once: a connection that is made again takes the keyboard from nobody.
                self.start.take_over = false;
                *taken = Some(self.take_terminal(attached.writes)?);
                send(ask, Ask::Size(terminal::size()));
            }
            Some(Reply::Output(record)) => {
                if let Some(taken) = taken {
                    taken.screen.draw(&record.data)?;
                }
                self.start.after = record.next;
            }
            Some(Reply::KeyboardTaken(_)) => {
                // A connection that is made again must not take it back.
                self.start.watch = true;
                *taken = None;
                self.context.output.note(format_args!(
                    "somebody else has taken the keyboard; `handoff attach --take-over {}` takes it back",
                    self.name
                ));
                *taken = Some(self.take_terminal(false)?);
            }
            Some(Reply::Ended(_)) => {
                *taken = None;
                self.context.output.note(format_args!("command of {} has ended", self.name));
            }
            Some(Reply::Finished(run)) => {
                *taken = None;
                return Ok(Some(self.finished(&run)));
            }
            // Something of a newer version.
            None => {}
        }
        Ok(None)
    }

    fn take_terminal(&self, writes: bool) -> anyhow::Result<Taken> {
        let mode = RawMode::enter().context("cannot take this terminal")?;
        let screen = Screen::new(self.context.output.clone());
        Ok(Taken { screen, _mode: mode, writes })
    }

    fn greet(&self, writes: bool) {
        let name = &self.name;
        self.context.output.note(if writes {
            format!("attached to {name}; Ctrl-\\ d detaches")
        } else {
            format!("looking at {name}; Ctrl-\\ d or Ctrl-C leaves")
        });
    }

    fn finished(&self, run: &RunView) -> End {
        let detail = match run.outcome_detail.as_str() {
            "" => String::new(),
            detail => format!(": {detail}"),
        };
        self.context.output.note(format_args!("run {}: {}{detail}", run.name, run.outcome));
        End::Finished(Exit::of_run(&run.state, &run.outcome).unwrap_or(Exit::Failed))
    }
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        let ended = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [a, b, c] = ended.map(signal);
        Ok(Self { resized: signal(SignalKind::window_change())?, ended: [a?, b?, c?] })
    }

    async fn next(&mut self) -> News {
        let [a, b, c] = &mut self.ended;
        tokio::select! {
            _ = self.resized.recv() => News::Resized,
            _ = a.recv() => News::Ended,
            _ = b.recv() => News::Ended,
            _ = c.recv() => News::Ended,
        }
    }
}

/// Sends if there is room: waiting for a slow connection would keep the user from leaving.
fn send(ask: &mpsc::Sender<AttachRequest>, part: Ask) {
    let _lost = ask.try_send(AttachRequest { part: Some(part) });
}

fn one_less(size: TerminalSize) -> TerminalSize {
    let rows = if size.rows > 1 { size.rows - 1 } else { size.rows + 1 };
    TerminalSize { rows, ..size }
}

fn cut_short(remote: &Remote) -> remote::Error {
    let what = "the terminal ends before the run does".to_owned();
    remote::Error::Protocol { remote: remote.name().to_owned(), what }
}
