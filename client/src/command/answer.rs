//! `handoff answer`, `approve` and `deny`: lets a run go on that waits for its owner.

use handoff_proto::wire::{self, AnswerRequest, Approved, Choices, answer_request::What};

use crate::cli::UsageError;
use crate::context::Context;
use crate::exit::Exit;
use crate::json::RunObject;
use crate::output::Format;
use crate::runs::{Selected, select};
use crate::wording::one_line;

/// How much of a question or a choice is shown, in characters.
const TEXT_MAX: usize = 500;

/// The arguments of `handoff answer`.
#[derive(Debug, clap::Args)]
pub struct AnswerArgs {
    /// The run: id, unique prefix or name
    pub run: String,
    /// The answer
    #[arg(conflicts_with = "option")]
    pub text: Option<String>,
    /// Take the choice of this number, from 1; can be repeated where several may be chosen
    #[arg(long, value_name = "N")]
    pub option: Vec<u32>,
}

/// The arguments of `handoff approve`.
#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// The run: id, unique prefix or name
    pub run: String,
}

/// The arguments of `handoff deny`.
#[derive(Debug, clap::Args)]
pub struct DenyArgs {
    /// The run: id, unique prefix or name
    pub run: String,
    /// Why not, or what to do instead; the agent is told
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// Answers the question that the run asks.
///
/// # Errors
///
/// Where it asks none, or the answer is none to it.
pub async fn answer(args: AnswerArgs, context: &Context) -> anyhow::Result<Exit> {
    let what = match args.text {
        Some(text) if text.trim().is_empty() => {
            let message = "the answer is empty".to_owned();
            return Err(UsageError { message, hint: None }.into());
        }
        Some(text) => Some(What::Text(text)),
        None if args.option.is_empty() => None,
        None => Some(What::Choices(Choices { numbers: args.option })),
    };
    give(&args.run, what, context).await
}

/// What is asked, for somebody who gave no answer.
fn unanswered(run: &wire::RunView) -> UsageError {
    let name = one_line(&run.name, TEXT_MAX);
    let Some(need) = &run.needs else {
        return UsageError { message: format!("run {name} asks nothing now"), hint: None };
    };
    let asked = one_line(&need.text, TEXT_MAX);
    let hint = if need.kind == wire::PERMISSION {
        format!("`handoff approve {name}`, or `handoff deny {name} --reason TEXT`")
    } else {
        let choices = (1..).zip(&need.choices).map(|(number, choice)| {
            format!("`--option {number}` ({})", one_line(&choice.label, TEXT_MAX))
        });
        let ways: Vec<String> = choices.chain(["a text".to_owned()]).collect();
        format!("`handoff answer {name}` takes {}", ways.join(", "))
    };
    UsageError {
        message: format!("the answer is missing; run {name} asks: {asked}"),
        hint: Some(hint),
    }
}

/// Allows what the run asks for.
///
/// # Errors
///
/// Where it asks for nothing.
pub async fn approve(args: ApproveArgs, context: &Context) -> anyhow::Result<Exit> {
    give(&args.run, Some(What::Approved(Approved {})), context).await
}

/// Refuses what the run asks for.
///
/// # Errors
///
/// Where it asks for nothing.
pub async fn deny(args: DenyArgs, context: &Context) -> anyhow::Result<Exit> {
    give(&args.run, Some(What::Denied(args.reason)), context).await
}

async fn give(run: &str, what: Option<What>, context: &Context) -> anyhow::Result<Exit> {
    let Selected { remote, selector } = select(context, Some(run)).await?;
    let failed = |status| remote.error(status);
    // What is answered is what stands there now, not what may be asked in the moment after.
    let shown = remote.runs().show(selector.clone()).await.map_err(failed)?.into_inner();
    if what.is_none() {
        return Err(unanswered(&shown).into());
    }
    let id = shown.needs.map(|need| need.id).unwrap_or_default();
    let request = AnswerRequest { run: Some(selector), id, what };
    let run = remote.runs().answer(request).await.map_err(failed)?.into_inner();
    match context.output.format() {
        Format::Json => context.output.json(&RunObject::new(run, remote.name()))?,
        Format::Text => context.output.note(format_args!("{} goes on", run.name)),
    }
    Ok(Exit::Done)
}
