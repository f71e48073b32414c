//! `handoff plan`: what would leave this machine; sends no content.

mod remote;
mod report;
mod session;
mod sizes;
mod survey;
mod text;
mod xattrs;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::Context as _;
use handoff_proto::wire::Contract;

use super::carry::{self, CarryArgs, Errand};
use crate::agents::Kind;
use crate::capture::ChangedSince;
use crate::capture::repacked::PackMemory;
use crate::context::Context;
use crate::exit::Exit;
use crate::output::Format;
use crate::secrets::Scan;
use remote::Answer;
use report::{Parts, Report};
use sizes::Sends;
use survey::Survey;

/// The arguments of `handoff plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the subcommand's help")]
    pub carry: CarryArgs,
    /// The command that would be handed off
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Shows the plan. Exits as a refusal where a handoff would be refused.
///
/// # Errors
///
/// Whatever keeps the plan from being made, but for the remote: if that cannot be reached, the plan
/// says so.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let mut errand = Errand::new(context, args.carry)?;
    let task =
        Kind::of_command(None, &args.command)?.map(|kind| kind.task(&args.command)).transpose()?;
    if let Some(task) = &task {
        errand.take_along(task.kind, None, false)?;
    }
    let contract = errand.contract(args.command, None, task.as_ref())?;
    let packs = context.remote_meant().map(|remote| errand.packs(context, remote));
    let made = match Made::new(&errand, &contract, packs.clone(), context).await {
        Err(error) if has_lost(&error) => {
            // As a handoff does it: then its packs are sent whole.
            if let Some(packs) = &packs {
                packs.forget().context("cannot forget what the remote has lost")?;
            }
            Made::new(&errand, &contract, packs, context).await?
        }
        made => made?,
    };
    let Made { survey, secrets, answer, sends } = made;
    let capture = &survey.capture;
    let attributes = xattrs::count(&errand.root, capture);
    let parts = Parts { survey: &survey, secrets: &secrets, sends, attributes: &attributes };
    let report = Report::new(&errand, &contract, &parts, answer);
    match context.output.format() {
        Format::Json => context.output.json(&report)?,
        Format::Text => context.output.text(&report.to_string())?,
    }
    Ok(if report.is_refused() { Exit::Refused } else { Exit::Done })
}

/// What a plan is about, as far as it takes looking and asking.
struct Made {
    survey: Survey,
    secrets: Scan,
    answer: Answer,
    sends: Sends,
}

impl Made {
    async fn new(
        errand: &Errand,
        contract: &Contract,
        packs: Option<PackMemory>,
        context: &Context,
    ) -> anyhow::Result<Self> {
        let survey = survey::survey(errand, packs, &context.output).await?;
        let capture = &survey.capture;
        let secrets = carry::scan(capture).await?;
        let needs = errand.going().map(|going| going.export.needs.clone()).unwrap_or_default();
        let answer = remote::ask(context, contract, capture, &needs).await?;
        let (measured, wanted) = (Arc::clone(capture), answer.lacking().cloned());
        let sends = tokio::task::spawn_blocking(move || sizes::measure(&measured, wanted))
            .await
            .context("measuring was interrupted")??;
        Ok(Self { survey, secrets, answer, sends })
    }
}

/// Whether the remote lacks what it once had and nobody here has any more.
fn has_lost(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ChangedSince>(),
        Some(ChangedSince { source: Some(cause), .. }) if cause.kind() == ErrorKind::NotFound
    )
}
