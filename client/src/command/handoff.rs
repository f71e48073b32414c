//! `handoff COMMAND`: hands a command off with the tree of this directory.

mod arguments;
mod deliver;
mod summary;
mod terminal;

pub use arguments::{Args, NotBuiltArgs};
pub(super) use summary::Tally;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;

use handoff_proto::run::{RunName, State};
use handoff_proto::wire;

use super::carry::{Errand, Secrets};
use crate::agents::Kind;
use crate::capture::Capture;
use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::follow::follow;
use crate::interrupt::{Interrupted, or_interrupt};
use crate::json::RunObject;
use crate::notifier;
use crate::output::{Format, Screen, Stream, TerminalFilter};
use crate::remote::{Lacks, Remote};
use crate::transfer::{Offer, Receipt};
use deliver::{Sending, deliver};

/// Hands the command off.
///
/// # Errors
///
/// Whatever kept it from being handed off; nothing runs then.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    check(&args, context.output.format())?;
    let sending = Sending::default();
    if !args.follow {
        or_interrupt(send(args, context, &sending))
            .await
            .map_err(|cause| before_receipt(context, &sending, cause))??;
        return Ok(Exit::Done);
    }
    // From here on standard error is the run's.
    let sparing = context.with_output(context.output.sparing());
    let sent = or_interrupt(send(args, &sparing, &sending))
        .await
        .map_err(|cause| before_receipt(context, &sending, cause))??;
    match or_interrupt(show_output(&sparing, sent.remote, &sent.receipt)).await {
        Ok(exit) => exit,
        Err(Interrupted) => {
            let name = &sent.receipt.run.name;
            context.output.note(format_args!(
                "detached; `handoff logs -f {name}` follows again, the run goes on"
            ));
            Ok(Exit::Interrupted)
        }
    }
}

/// What can be told to be wrong before anything is looked at.
fn check(args: &Args, format: Format) -> Result<(), UsageError> {
    let refused =
        |message: String, hint: &str| Err(UsageError { message, hint: Some(hint.to_owned()) });
    if let Some(Err(error)) = args.name.as_deref().map(RunName::parse) {
        return refused(
            error.to_string(),
            "`--name NAME` names the run; leave it out for a name made from the command",
        );
    }
    if args.follow && format == Format::Json {
        let hint = "`handoff --json COMMAND`, then `handoff logs --follow --json RUN`";
        return refused(
            "`--follow` prints the run's own output, which is no JSON".to_owned(),
            hint,
        );
    }
    let word = args.command.first().map(OsString::as_os_str).unwrap_or_default();
    if args.session.is_some() || args.fork {
        let is_agent = Kind::of_command(args.agent.as_deref(), &args.command)?.is_some();
        if !is_agent {
            let hint = "`handoff --session ID claude \"PROMPT\"`";
            return refused("only an agent has sessions".to_owned(), hint);
        }
    }
    match &args.resembles {
        Some(subcommand) if !is_on_path(word) => {
            let word = word.to_string_lossy();
            let hint = format!(
                "did you mean `handoff {subcommand}`? `handoff -- {word}` hands {word} off"
            );
            refused(
                format!("there is neither a subcommand nor a program named {word:?} here"),
                &hint,
            )
        }
        Some(_) | None => Ok(()),
    }
}

fn is_on_path(program: &OsStr) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = |file: std::path::PathBuf| {
        file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(&path).any(|directory| is_program(directory.join(program)))
}

/// A run that was handed off.
struct Sent {
    remote: Remote,
    receipt: Receipt,
}

async fn send(args: Args, context: &Context, sending: &Sending) -> anyhow::Result<Sent> {
    let task = Kind::of_command(args.agent.as_deref(), &args.command)?
        .map(|kind| kind.task(&args.command))
        .transpose()?;
    let format = context.output.format();
    let terminal = terminal::wanted(args.tty, args.no_tty, task.as_ref(), format)?;
    let mut errand = Errand::new(context, args.carry)?;
    if let Some(task) = &task {
        errand.take_along(task.kind, args.session.as_deref(), args.fork)?;
    }
    // Until its run has the lease, or the outbox keeps it, nobody else may hand it off.
    let _claim = errand.claim(&context.settings.places).await?;
    if let Some(going) = errand.going() {
        summary::going(going).iter().for_each(|line| context.output.note(line));
    }
    let contract = errand.contract(args.command, args.time_limit, task.as_ref())?;
    let contract = wire::Contract { terminal, ..contract };
    let offer = Offer::new(args.name.unwrap_or_default(), contract)?;
    let secrets = if args.allow_secrets { Secrets::Allowed } else { Secrets::Refused };
    let (capture, remote, receipt) = deliver(context, &errand, offer, sending, secrets).await?;
    if let Some(going) = errand.going() {
        // What was handed off is; that nobody can tell what it misses takes nothing back.
        let servers = &going.export.needs.credentials;
        for lacks in remote.lacking_mcp(servers).await.unwrap_or_else(|_| Lacks::all(servers)) {
            context.output.note(format_args!("{} stays here: {}", lacks.what(), lacks.why()));
        }
    }
    tell(context, args.follow, &capture, &receipt, remote.name())?;
    if !args.follow {
        // The process ends now. Giving back what a large tree took, piece by piece, only delays it.
        std::mem::forget(capture);
    }
    Ok(Sent { remote, receipt })
}

fn tell(
    context: &Context,
    follows: bool,
    capture: &Capture,
    receipt: &Receipt,
    remote: &str,
) -> anyhow::Result<()> {
    let output = &context.output;
    let name = &receipt.run.name;
    output.note(summary::carried(capture, receipt.bundle_bytes, remote));
    output.note(format_args!("run {name} is on {remote}: it is safe to disconnect"));
    if !follows {
        let has_terminal = receipt.run.contract.as_ref().is_some_and(|c| c.terminal.is_some());
        let look = if has_terminal { "attach" } else { "logs -f" };
        output.note(format_args!(
            "next: `handoff watch {name}`, `handoff {look} {name}`, `handoff pull {name}`"
        ));
        if !notifier::is_running(&context.settings.places) {
            output.note("`handoff install notifier` tells you when a run finishes or needs you");
        }
    }
    match (follows, output.format()) {
        // The run's own output follows, and nothing else.
        (true, _) => Ok(()),
        (false, Format::Text) => Ok(output.line(&receipt.id)?),
        (false, Format::Json) => Ok(output.json(&RunObject::new(receipt.run.clone(), remote))?),
    }
}

fn before_receipt(context: &Context, sending: &Sending, cause: Interrupted) -> anyhow::Error {
    context.output.note(match sending.interrupted(context) {
        Some(name) => format!(
            "interrupted: run {name} is kept here and not sent; `handoff resume-upload {name}` sends the rest of the tree as it was, `handoff rm {name}` drops it"
        ),
        None => "interrupted: nothing was sent".to_owned(),
    });
    cause.into()
}

/// Shows the run's output, and nothing else on the two streams until the run stops.
async fn show_output(context: &Context, remote: Remote, receipt: &Receipt) -> anyhow::Result<Exit> {
    let output = &context.output;
    let mut filters = [TerminalFilter::default(), TerminalFilter::default()];
    let has_terminal = receipt.run.contract.as_ref().is_some_and(|c| c.terminal.is_some());
    let mut screen =
        (has_terminal && output.is_terminal(Stream::Out)).then(|| Screen::looking(output.clone()));
    let run = follow(context, remote, receipt.id.as_str(), |stream, bytes| {
        let filter = match stream {
            Stream::Out => &mut filters[0],
            Stream::Err => &mut filters[1],
        };
        if let (Some(screen), Stream::Out) = (&mut screen, stream) {
            screen.draw(bytes)
        } else if output.is_terminal(stream) {
            output.bytes(stream, filter.pass(bytes).as_bytes())
        } else {
            output.bytes(stream, bytes)
        }
    })
    .await?;
    drop(screen);
    let (outcome, detail) = match &run.state {
        State::Finished(ending) => (ending.outcome.name(), ending.detail.as_str()),
        State::NeedsInput(need) => ("", need.text.as_str()),
        State::Queued | State::Preparing | State::Running | State::Paused | State::Verifying(_) => {
            ("", "")
        }
    };
    let standing = if outcome.is_empty() { run.state.name() } else { outcome };
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    output.note(format_args!("run {}: {standing}{detail}", run.name));
    Ok(Exit::of_run(run.state.name(), outcome).unwrap_or(Exit::Failed))
}
