//! `handoff logs`: what a run wrote to its output.

mod writer;

use handoff_proto::wire::{LogsRequest, RunSelector};

use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt::or_interrupt;
use crate::output::WriteError;
use crate::reconnect::Reconnecting;
use crate::remote;
use crate::runs::{Selected, select};
use writer::Writer;

/// The arguments of `handoff logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
    /// Go on with what is still to come
    #[arg(short, long)]
    pub follow: bool,
}

/// Why a stream of output ended early.
enum Failure {
    /// Nobody reads what we print.
    Write(WriteError),
    Remote(remote::Error),
}

/// Prints the output so far, or to its end; Ctrl-C ends that, not the run.
///
/// # Errors
///
/// Where there is no such run or nobody reads what is printed.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    match or_interrupt(print(args, context)).await {
        Ok(printed) => printed.map(|()| Exit::Done),
        Err(_interrupted) => Ok(Exit::Interrupted),
    }
}

async fn print(args: Args, context: &Context) -> anyhow::Result<()> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    let selector = RunSelector { run: run.id, directory: Vec::new() };
    let mut remote = Reconnecting::new(context, remote);
    let mut writer = Writer::new(context.output.clone());
    loop {
        match stream(&mut remote, &selector, args.follow, &mut writer).await {
            Ok(()) => break,
            Err(Failure::Write(error)) => return Err(error.into()),
            Err(Failure::Remote(error)) => remote.after(error).await?,
        }
    }
    Ok(writer.finish()?)
}

/// Prints what comes after the writer's position.
async fn stream(
    remote: &mut Reconnecting<'_>,
    run: &RunSelector,
    follow: bool,
    writer: &mut Writer,
) -> Result<(), Failure> {
    let request = LogsRequest { run: Some(run.clone()), after: writer.position(), follow };
    let connected = remote.remote().clone();
    let failed = |status| Failure::Remote(connected.error(status));
    let mut records = connected.runs().logs(request).await.map_err(failed)?.into_inner();
    remote.worked();
    while let Some(record) = records.message().await.map_err(failed)? {
        writer.write(&record).map_err(Failure::Write)?;
    }
    Ok(())
}
