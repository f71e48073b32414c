//! `handoff attach`: a terminal on the run.

mod connection;
mod session;
mod signals;
mod typing;
mod unkept;

use handoff_proto::wire::RunSelector;

use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt::or_interrupt;
use crate::reconnect::Reconnecting;
use crate::runs::{Selected, select};
use crate::terminal;
use session::{End, Session};

/// The arguments of `handoff attach`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
    /// Look only; Ctrl-C leaves, too
    #[arg(long)]
    pub watch: bool,
    /// Take the keyboard from whoever has it
    #[arg(long, conflicts_with = "watch")]
    pub take_over: bool,
}

/// Gives the run our terminal until it has finished, or Ctrl-\ d.
///
/// # Errors
///
/// Where we have no terminal, or the run has none, or somebody else types there.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if !terminal::is_ours() {
        return Err(UsageError {
            message: "`handoff attach` needs a terminal as standard input and standard output"
                .to_owned(),
            hint: Some("`handoff logs -f` follows a run without one".to_owned()),
        }
        .into());
    }
    match or_interrupt(find(&args, context)).await {
        Ok(found) => {
            let (mut remote, mut session) = found?;
            attach(&mut remote, &mut session).await
        }
        Err(_interrupted) => Ok(Exit::Interrupted),
    }
}

async fn find<'a>(
    args: &Args,
    context: &'a Context,
) -> anyhow::Result<(Reconnecting<'a>, Session<'a>)> {
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    let selector = RunSelector { run: run.id, directory: Vec::new() };
    let session = Session::new(context, selector, run.name, args.watch, args.take_over)?;
    if run.state == "queued" {
        session.says_that_it_waits();
    }
    Ok((Reconnecting::new(context, remote), session))
}

/// Stays at the run's terminal, over as many connections as it takes.
async fn attach(remote: &mut Reconnecting<'_>, session: &mut Session<'_>) -> anyhow::Result<Exit> {
    loop {
        let failure = match session.connect(remote).await {
            Ok(End::Finished(exit)) => return Ok(exit),
            Ok(End::Left(exit)) => return Ok(exit),
            Err(error) => error.downcast()?,
        };
        // Without its mode our terminal interrupts by itself again.
        tokio::select! {
            again = remote.after(failure) => again?,
            () = session.ended() => return Ok(session.left(Exit::Interrupted)),
        }
    }
}
