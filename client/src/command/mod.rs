//! One file per command: its arguments, whose comments are its help, and what it does.

pub mod carry;
pub mod handoff;
pub mod plan;
pub mod resume_upload;

pub mod ls;
pub mod show;
pub mod watch;

pub mod attach;
pub mod diff;
pub mod logs;

pub mod pull;
pub mod undo;

pub mod export;
pub mod import;

pub mod answer;
pub mod say;

pub mod rm;
pub mod stop;

pub mod completions;
pub mod doctor;
pub mod hook;
pub mod install;
pub mod notifier;
pub mod remote;

use std::ffi::OsString;

use clap::Subcommand;

use crate::cli::{Invocation, Invoked, NotBuilt};
use crate::context::Context;
use crate::exit::Exit;
use crate::interrupt::or_interrupt;
use crate::output::Output;

/// Every subcommand; any other first word is a command to hand off.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what would leave this machine; sends nothing
    Plan(plan::Args),
    /// List runs
    Ls(ls::Args),
    /// Show one run
    Show(show::Args),
    /// Follow a run until it finishes or needs you
    Watch(watch::Args),
    /// Print a run's output
    Logs(logs::Args),
    /// Take over a run's terminal; Ctrl-\ d detaches
    Attach(attach::Args),
    /// Show what a run changed
    Diff(diff::Args),
    /// Bring a run's results back
    Pull(pull::Args),
    /// Restore the state before the last pull
    Undo(undo::Args),
    /// Answer a question that a run asks
    Answer(answer::AnswerArgs),
    /// Allow what a run asks for
    Approve(answer::ApproveArgs),
    /// Refuse what a run asks for
    Deny(answer::DenyArgs),
    /// Say something to a run's agent, or give it its next turn
    Say(say::Args),
    /// Stop a run
    Stop(stop::Args),
    /// Send what could not be sent
    ResumeUpload(resume_upload::Args),
    /// Remove a finished run from its remote, or drop one that was not sent
    Rm(rm::Args),
    /// Write the tree of this directory into one file
    Export(export::Args),
    /// Make a directory from a file that `export` wrote
    Import(import::Args),
    /// Pair with daemons and choose among them
    #[command(subcommand)]
    Remote(remote::Args),
    /// Set up notifications, or handing off inside an agent
    Install(install::InstallArgs),
    /// Take away what was installed
    Uninstall(install::UninstallArgs),
    /// Notify about runs until stopped
    Notifier(notifier::Args),
    /// Check this machine and its remotes
    Doctor(doctor::Args),
    /// Print a completion script
    Completions(completions::Args),
    /// Answer an agent about a prompt
    #[command(hide = true)]
    Hook(hook::Args),

    /// Not built yet
    #[command(hide = true)]
    Report(Anything),
    /// Not built yet
    #[command(hide = true)]
    Audit(Anything),
    /// Not built yet
    #[command(hide = true)]
    Pause(Anything),
    /// Not built yet
    #[command(hide = true)]
    Continue(Anything),
}

/// The arguments of a subcommand that is not built yet.
#[derive(Debug, clap::Args)]
pub struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

impl Command {
    /// The subcommand's name, if nothing stands behind it so far.
    fn not_built(&self) -> Option<&'static str> {
        match self {
            Self::Report(_) => Some("report"),
            Self::Audit(_) => Some("audit"),
            Self::Pause(_) => Some("pause"),
            Self::Continue(_) => Some("continue"),
            _ => None,
        }
    }
}

/// Runs the command; Ctrl-C ends it.
///
/// # Errors
///
/// Whatever the command could not do.
pub async fn run(invocation: Invocation, output: Output) -> anyhow::Result<Exit> {
    let Invocation { global, command } = invocation;
    // Needs no settings: a broken file must not keep the shell from completing.
    if let Invoked::Subcommand(Command::Completions(args)) = &command {
        return completions::run(args, &output);
    }
    let context = Context::load(global, output)?;
    match command {
        // These four give Ctrl-C a meaning of their own.
        Invoked::Handoff(args) => handoff::run(*args, &context).await,
        Invoked::Subcommand(Command::Watch(args)) => watch::run(args, &context).await,
        Invoked::Subcommand(Command::Logs(args)) => logs::run(args, &context).await,
        Invoked::Subcommand(Command::Attach(args)) => attach::run(args, &context).await,
        Invoked::Subcommand(command) => or_interrupt(dispatch(command, &context)).await?,
    }
}

async fn dispatch(command: Command, context: &Context) -> anyhow::Result<Exit> {
    if let Some(name) = command.not_built() {
        return Err(NotBuilt::subcommand(name).into());
    }
    match command {
        Command::Plan(args) => plan::run(args, context).await,
        Command::Ls(args) => ls::run(args, context).await,
        Command::Show(args) => show::run(args, context).await,
        Command::Watch(args) => watch::run(args, context).await,
        Command::Logs(args) => logs::run(args, context).await,
        Command::Attach(args) => attach::run(args, context).await,
        Command::Diff(args) => diff::run(args, context).await,
        Command::Pull(args) => pull::run(args, context).await,
        Command::Undo(args) => undo::run(args, context).await,
        Command::Answer(args) => answer::answer(args, context).await,
        Command::Approve(args) => answer::approve(args, context).await,
        Command::Deny(args) => answer::deny(args, context).await,
        Command::Say(args) => say::run(args, context).await,
        Command::Stop(args) => stop::run(args, context).await,
        Command::ResumeUpload(args) => resume_upload::run(args, context).await,
        Command::Rm(args) => rm::run(args, context).await,
        Command::Export(args) => export::run(args, context).await,
        Command::Import(args) => import::run(args, context).await,
        Command::Remote(args) => remote::run(args, context).await,
        Command::Install(args) => install::install(args, context).await,
        Command::Uninstall(args) => install::uninstall(args, context).await,
        Command::Notifier(args) => notifier::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Hook(args) => Ok(hook::run(&args, &context.output)),
        Command::Completions(args) => completions::run(&args, &context.output),
        unbuilt => Err(NotBuilt::subcommand(unbuilt.not_built().unwrap_or("this")).into()),
    }
}
