//! `handoff watch`: follows a run until it finishes or needs its owner.

mod event;

use handoff_proto::run::{Event, Record};
use handoff_proto::wire::{RunSelector, RunView, WatchRequest};

use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt::or_interrupt;
use crate::json::rfc3339;
use crate::output::Format;
use crate::reconnect::Reconnecting;
use crate::remote;
use crate::runs::{Selected, select};
use crate::wording::moment;

/// The arguments of `handoff watch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
}

/// Prints the run's events until there is nothing to wait for; Ctrl-C ends that, not the run.
///
/// # Errors
///
/// Where there is no such run or nobody reads what is printed.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match or_interrupt(watch(args, context)).await {
        Ok(exit) => exit,
        Err(_interrupted) => {
            context.output.note("the run goes on; `handoff watch` looks again");
            Ok(Exit::Interrupted)
        }
    }
}

async fn watch(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    let selector = RunSelector { run: run.id.clone(), directory: Vec::new() };
    let mut watch = Watch { context, run, seq: 0 };
    let mut remote = Reconnecting::new(context, remote);
    loop {
        match watch.stream(&mut remote, &selector).await {
            Ok(Some(exit)) => return Ok(exit),
            // It ended as if there was nothing to come: ask again what there is.
            Ok(None) => {}
            Err(error) => remote.after(error.downcast::<remote::Error>()?).await?,
        }
        let connected = remote.remote();
        match connected.runs().show(selector.clone()).await {
            Ok(run) => watch.run = run.into_inner(),
            Err(status) => {
                let error = connected.error(status);
                remote.after(error).await?;
            }
        }
    }
}

/// A run as far as its events were printed.
#[derive(Debug)]
struct Watch<'a> {
    context: &'a Context,
    /// The run as it was when it was asked for last.
    run: RunView,
    /// The last event printed.
    seq: u64,
}

impl Watch<'_> {
    /// Prints the events to come; none where the stream ends before the run does.
    async fn stream(
        &mut self,
        remote: &mut Reconnecting<'_>,
        selector: &RunSelector,
    ) -> anyhow::Result<Option<Exit>> {
        if let Some(exit) = self.exit_if_up_to_date() {
            return Ok(Some(exit));
        }
        let request = WatchRequest { run: Some(selector.clone()), after_seq: self.seq };
        let connected = remote.remote().clone();
        let failed = |status| connected.error(status);
        let mut records = connected.runs().watch(request).await.map_err(failed)?.into_inner();
        while let Some(record) = records.message().await.map_err(failed)? {
            remote.worked();
            // A stream that repeats itself tells nothing new.
            if record.seq <= self.seq {
                continue;
            }
            let (seq, at) = (record.seq, record.at_unix_nanos);
            let event = Record::try_from(record).ok().map(|record| record.event);
            self.print(seq, at, event.as_ref())?;
            self.seq = seq;
            let later = event.filter(|_| seq > self.run.last_seq);
            if let Some(exit) = self.exit_if_up_to_date().or_else(|| exit_after(&later?)) {
                return Ok(Some(exit));
            }
        }
        Ok(None)
    }

    /// How the watch ends, once it has got as far as the run had when it was asked for: events
    /// before that may have been overtaken.
    fn exit_if_up_to_date(&self) -> Option<Exit> {
        if self.seq != self.run.last_seq {
            return None;
        }
        Exit::of_run(&self.run.state, &self.run.outcome)
    }

    fn print(&self, seq: u64, at_unix_nanos: i64, event: Option<&Event>) -> anyhow::Result<()> {
        let output = &self.context.output;
        match output.format() {
            Format::Json => output.json(&event::object(seq, &rfc3339(at_unix_nanos), event))?,
            Format::Text => {
                output.line(format_args!("{}  {}", moment(at_unix_nanos), event::line(event)))?;
            }
        }
        Ok(())
    }
}

/// How the watch ends with an event that just happened.
fn exit_after(event: &Event) -> Option<Exit> {
    match event {
        Event::Finished { outcome, .. } => Exit::of_run("finished", outcome.name()),
        Event::InputNeeded(_) => Exit::of_run("needs_input", ""),
        Event::Paused(_) => Exit::of_run("paused", ""),
        Event::Queued { .. }
        | Event::Claimed { .. }
        | Event::Started(_)
        | Event::InputAnswered { .. }
        | Event::Continued(_)
        | Event::StopRequested(_)
        | Event::OutputLimited(_)
        | Event::Denied(_)
        | Event::Used(_)
        | Event::Heard(_)
        | Event::Said(_)
        | Event::TurnQueued(_)
        | Event::Resumed(_)
        | Event::Attached(_)
        | Event::Detached(_)
        | Event::SeatsFull(_)
        | Event::Exited(_)
        | Event::ResultRecorded(_)
        | Event::Unknown(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::run::Outcome;

    use super::*;

    #[test]
    fn an_outcome_is_an_exit_code() {
        for (outcome, code) in [
            (Outcome::Succeeded, 0),
            (Outcome::Failed, 3),
            (Outcome::HandedBack, 4),
            (Outcome::Cancelled, 3),
            (Outcome::TimedOut, 3),
            (Outcome::Refused, 3),
            (Outcome::Lost, 3),
        ] {
            let exit = exit_after(&Event::Finished { outcome, detail: String::new() });
            assert_eq!(exit.unwrap().code(), code, "{outcome}");
        }
        assert_eq!(exit_after(&Event::Paused("me".to_owned())), Some(Exit::RunNeedsInput));
        assert_eq!(exit_after(&Event::StopRequested("me".to_owned())), None);
    }
}
