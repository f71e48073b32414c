//! One attachment: what is typed goes to the run, what the run shows comes to our terminal.

use std::time::Duration;

use anyhow::Context as _;
use handoff_proto::wire::attach_reply::Part as Reply;
use handoff_proto::wire::attach_request::Part as Ask;
use handoff_proto::wire::{
    AttachReply, AttachRequest, AttachStart, AttachedTo, Empty, RunSelector, RunView, TerminalSize,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use uuid::Uuid;

use super::connection::{Connection, Taken, late, permit};
use super::signals::{News, Signals};
use super::typing::Typing;
use super::unkept::Unkept;
use crate::context::Context;
use crate::exit::Exit;
use crate::reconnect::Reconnecting;
use crate::remote::{self, Remote};
use crate::terminal::{self, Keyboard, Typed};

/// How often to say that we are still here: a third of the silence after which a daemon gives up.
const HERE_EVERY: Duration = Duration::from_secs(60);

/// Requests on their way.
const ASKED_MAX: usize = 4;

/// How long leaving may take: a connection that is dead keeps nobody.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

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
    typing: Typing,
    unkept: Unkept,
}

/// What happened.
enum Event {
    Reply(Box<Result<Option<AttachReply>, tonic::Status>>),
    Keys(std::io::Result<Vec<u8>>),
    News(News),
    Here,
    /// Something may be asked; none once nothing may any more.
    MayAsk(Option<mpsc::OwnedPermit<AttachRequest>>),
    Late,
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
        let (typing, unkept) = (Typing::default(), Unkept::default());
        Ok(Self { context, start, name, keyboard, signals, typing, unkept })
    }

    /// Says why nothing happens yet.
    pub(super) fn says_that_it_waits(&self) {
        let name = &self.name;
        self.context.output.note(format_args!("{name} is queued: its command begins later"));
    }

    /// Says how to come back.
    pub(super) fn left(&self, exit: Exit) -> Exit {
        self.unkept.tell(&self.context.output);
        let name = &self.name;
        self.context.output.note(format_args!(
            "detached from {name}, which goes on; `handoff attach {name}` comes back"
        ));
        exit
    }

    /// Waits until the system wants us to end.
    pub(super) async fn ended(&mut self) {
        self.signals.ended().await;
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
        let begun = tokio::select! {
            begun = runs.attach(ReceiverStream::new(asked)) => begun,
            () = self.signals.ended() => return Ok(End::Left(self.left(Exit::Interrupted))),
        };
        let replies = begun.map_err(|status| connected.error(status))?.into_inner();
        remote.worked();
        if self.start.again {
            self.context.output.note("what was typed meanwhile is lost");
        }
        self.stay(Connection::new(&connected, ask), replies).await
    }

    async fn stay(
        &mut self,
        mut connection: Connection<'_>,
        mut replies: Streaming<AttachReply>,
    ) -> anyhow::Result<End> {
        let mut here = tokio::time::interval_at(Instant::now() + HERE_EVERY, HERE_EVERY);
        loop {
            let reads = connection.has_keyboard() && self.typing.has_room();
            let asks = connection.wants(&self.typing);
            let event = tokio::select! {
                reply = replies.message() => Event::Reply(Box::new(reply)),
                keys = self.keyboard.keys(), if reads => Event::Keys(keys),
                news = self.signals.next() => Event::News(news),
                _ = here.tick() => Event::Here,
                permit = permit(connection.ask.clone()), if asks => Event::MayAsk(permit),
                () = late(connection.leaves) => Event::Late,
            };
            match event {
                Event::Late => return Ok(self.has_left()),
                // Whatever the connection comes to, the user has left.
                Event::Reply(reply)
                    if connection.leaves.is_some() && !matches!(*reply, Ok(Some(_))) =>
                {
                    return Ok(self.has_left());
                }
                Event::Reply(reply) => {
                    let reply = reply.map_err(|status| connection.remote.error(status))?;
                    let part = reply.ok_or_else(|| cut_short(connection.remote))?.part;
                    if let Some(end) = self.heard(part, &mut connection)? {
                        return Ok(end);
                    }
                }
                Event::Keys(keys) => {
                    // A terminal that fails has gone like one that ends.
                    let keys = keys.unwrap_or_default();
                    if keys.is_empty() || !self.typed(&keys, &mut connection) {
                        // At once, whatever becomes of the connection.
                        connection.taken = None;
                        connection.leaves = Some(Instant::now() + LEAVE_WITHIN);
                    }
                }
                Event::News(News::Resized) => connection.size_is_due = true,
                Event::News(News::Ended) => {
                    connection.taken = None;
                    return Ok(End::Left(self.left(Exit::Interrupted)));
                }
                Event::Here => connection.here_is_due = true,
                Event::MayAsk(None) => connection.ask = None,
                Event::MayAsk(Some(permit)) => {
                    let part = if std::mem::take(&mut connection.size_is_due) {
                        Ask::Size(terminal::size())
                    } else if self.typing.is_due() {
                        Ask::KeysAt(self.typing.next())
                    } else {
                        connection.here_is_due = false;
                        Ask::Here(Empty {})
                    };
                    permit.send(AttachRequest { part: Some(part) });
                }
            }
            if connection.leaves.is_some() && self.typing.is_sent() {
                // The end of what we ask is that we leave.
                connection.ask = None;
            }
        }
    }

    /// Passes keys on; false once the user wants to leave.
    fn typed(&mut self, keys: &[u8], connection: &mut Connection<'_>) -> bool {
        let writes = connection.taken.as_ref().is_some_and(|taken| taken.writes);
        let (keys, stays) = match connection.detach.pass(keys) {
            Typed::Keys(keys) => (keys, true),
            Typed::Detach(keys) => (keys, false),
        };
        if writes {
            self.typing.push(&keys);
            return stays;
        }
        stays && !keys.contains(&INTERRUPT)
    }

    fn heard(
        &mut self,
        part: Option<Reply>,
        connection: &mut Connection<'_>,
    ) -> anyhow::Result<Option<End>> {
        let leaves = connection.leaves.is_some();
        match part {
            Some(Reply::Left(_)) if leaves => return Ok(Some(self.has_left())),
            Some(Reply::Attached(attached)) => self.attached(&attached, connection)?,
            Some(Reply::Output(record)) => {
                self.draw(&record.data, connection)?;
                self.start.after = record.next;
            }
            Some(Reply::Unkept(part)) => {
                self.unkept.add(part.skipped);
                self.draw(&part.data, connection)?;
            }
            Some(Reply::Typed(typed)) => self.typing.typed(typed.end),
            Some(Reply::KeyboardTaken(_)) => {
                // A connection that is made again must not take it back.
                self.start.watch = true;
                if !leaves {
                    connection.taken = None;
                    self.tell_taken();
                    connection.taken = Some(Taken::whole(&self.context.output, false)?);
                }
                self.typing.clear();
            }
            Some(Reply::Ended(_)) => {
                connection.taken = None;
                self.context.output.note(format_args!("command of {} has ended", self.name));
            }
            Some(Reply::Finished(run)) => {
                connection.taken = None;
                return Ok(Some(self.finished(&run)));
            }
            // Something of a newer version.
            Some(Reply::Left(_)) | None => {}
        }
        Ok(None)
    }

    fn attached(
        &mut self,
        attached: &AttachedTo,
        connection: &mut Connection<'_>,
    ) -> anyhow::Result<()> {
        if self.start.again {
            // It was typed at what looked like a shell.
            terminal::discard_typed().context("cannot take this terminal")?;
        }
        self.greet(attached.writes);
        if attached.output_limited && !self.unkept.is_there() {
            self.context
                .output
                .note("its output is past its limit: what is new is shown, not kept");
        }
        // Done once: a connection that is made again takes the keyboard from nobody.
        self.start.take_over = false;
        self.start.again = true;
        self.typing.begin(attached.typed);
        if !attached.writes {
            if !self.start.watch {
                self.tell_taken();
            }
            // What was meant for then is not typed later, nor is the keyboard taken back.
            self.typing.clear();
            self.start.watch = true;
        }
        connection.taken = Some(Taken::whole(&self.context.output, attached.writes)?);
        connection.size_is_due = true;
        Ok(())
    }

    /// Draws what the run shows; of one that ended while the connection was broken, on a screen that
    /// stays ours.
    fn draw(&self, bytes: &[u8], connection: &mut Connection<'_>) -> anyhow::Result<()> {
        if connection.leaves.is_some() {
            return Ok(());
        }
        let rest = || Taken::screen_only(&self.context.output);
        Ok(connection.taken.get_or_insert_with(rest).screen.draw(bytes)?)
    }

    fn greet(&self, writes: bool) {
        let name = &self.name;
        self.context.output.note(if writes {
            format!("attached to {name}; Ctrl-\\ d detaches")
        } else {
            format!("looking at {name}; Ctrl-\\ d or Ctrl-C leaves")
        });
    }

    fn tell_taken(&self) {
        self.tell_unsent();
        self.context.output.note(format_args!(
            "somebody else has taken the keyboard; `handoff attach --take-over {}` takes it back",
            self.name
        ));
    }

    fn has_left(&self) -> End {
        self.tell_unsent();
        End::Left(self.left(Exit::Done))
    }

    fn tell_unsent(&self) {
        let unsent = self.typing.unsent();
        if unsent > 0 {
            self.context.output.note(format_args!(
                "the command did not take what was typed last: {unsent} bytes were not sent"
            ));
        }
    }

    fn finished(&self, run: &RunView) -> End {
        self.unkept.tell(&self.context.output);
        let detail = match run.outcome_detail.as_str() {
            "" => String::new(),
            detail => format!(": {detail}"),
        };
        self.context.output.note(format_args!("run {}: {}{detail}", run.name, run.outcome));
        End::Finished(Exit::of_run(&run.state, &run.outcome).unwrap_or(Exit::Failed))
    }
}

fn one_less(size: TerminalSize) -> TerminalSize {
    let rows = if size.rows > 1 { size.rows - 1 } else { size.rows + 1 };
    TerminalSize { rows, ..size }
}

fn cut_short(remote: &Remote) -> remote::Error {
    let what = "the terminal ends before the run does".to_owned();
    remote::Error::Protocol { remote: remote.name().to_owned(), what }
}
