//! The one table of exit codes, and the one function that maps any error to one of them.

use std::error::Error;

use handoff_proto::problem;
use handoff_proto::tree::WalkError;

use crate::agents::AgentError;
use crate::agents::install::InstallError;
use crate::agents::lease::LeaseError;
use crate::bundle::{ExportError, ImportError};
use crate::capture::{CaptureError, ReadError};
use crate::command::import;
use crate::context::DirectoryError;
use crate::contract::ComposeError;
use crate::interrupt::Interrupted;
use crate::outbox::{NotSent, OutboxError};
use crate::output::{Output, WriteError};
use crate::remote::enroll::EnrollError;
use crate::secrets::{ScanError, SecretsFound};
use crate::settings::FileError;
use crate::transfer::TransferError;
use crate::{cli, context, local, notifier, remote, settings};

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It is done.
    Done = 0,
    /// Something failed that has no code of its own.
    Failed = 1,
    /// The command line or a settings file is wrong, or asks for what is not built yet.
    Usage = 2,
    /// The run finished otherwise than `succeeded` or `handed_back`.
    RunFailed = 3,
    /// The run waits for a human.
    RunNeedsInput = 4,
    /// Something stands in the way; nothing was changed.
    Conflict = 5,
    /// The remote cannot be reached.
    Unreachable = 6,
    /// It is not allowed.
    Refused = 7,
    /// There is no such run, remote or file.
    NotFound = 8,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// How whoever follows a run ends: with its outcome, or where it waits for its owner; none as
    /// long as there is something to follow.
    #[must_use]
    pub fn of_run(state: &str, outcome: &str) -> Option<Self> {
        match (state, outcome) {
            ("needs_input" | "paused", _) | ("finished", "handed_back") => {
                Some(Self::RunNeedsInput)
            }
            ("finished", "succeeded") => Some(Self::Done),
            ("finished", _) => Some(Self::RunFailed),
            _ => None,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What an error means for the user.
#[derive(Debug, PartialEq, Eq)]
pub struct Explained {
    /// How the process ends.
    pub exit: Exit,
    /// What failed, with its causes joined by `: `.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Explains an error: the outermost cause that has an entry in the table decides.
#[must_use]
pub fn explain(error: &anyhow::Error) -> Explained {
    let (exit, hint) = error.chain().find_map(classify).unwrap_or((Exit::Failed, None));
    Explained { exit, message: chain_text(error.as_ref()), hint }
}

/// Prints an error to standard error and returns how the process ends.
pub fn report(error: &anyhow::Error, output: &Output) -> Exit {
    let is_written_off = |cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<WriteError>().is_some_and(WriteError::is_broken_pipe)
    };
    if error.chain().any(is_written_off) {
        return Exit::Done;
    }
    let explained = explain(error);
    output.error(&explained);
    explained.exit
}

/// The table.
fn classify(cause: &(dyn Error + 'static)) -> Option<(Exit, Option<String>)> {
    if let Some(error) = cause.downcast_ref::<cli::UsageError>() {
        return Some((Exit::Usage, error.hint.clone()));
    }
    if cause.is::<cli::NotBuilt>() {
        return Some((Exit::Usage, None));
    }
    if cause.is::<Interrupted>() {
        return Some((Exit::Interrupted, None));
    }
    if let Some(error) = cause.downcast_ref::<NotSent>() {
        return Some((explain(&error.source).exit, Some(error.hint())));
    }
    if let Some(error) = cause.downcast_ref::<OutboxError>() {
        return Some((of_outbox(error), error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<settings::Error>() {
        return Some((of_settings(error), error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<FileError>() {
        return Some((of_file(error), error.hint()));
    }
    if cause.is::<context::NoDefault>() {
        let hint = "name one with `--remote NAME`, or `handoff remote default NAME`";
        return Some((Exit::Usage, Some(hint.to_owned())));
    }
    if let Some(error) = cause.downcast_ref::<local::Error>() {
        return Some((of_local(error), error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<EnrollError>() {
        return Some((of_enrolling(error), error.hint()));
    }
    if let Some(notifier::Error::AlreadyRunning) = cause.downcast_ref() {
        return Some((Exit::Conflict, Some("`handoff doctor` tells about it".to_owned())));
    }
    if let Some(error) = as_error::<CaptureError>(cause) {
        return Some((of_capture(error), error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<AgentError>() {
        return Some((of_agent(error), error.hint()));
    }
    if let Some(error) = cause.downcast_ref::<ImportError>() {
        return Some((of_import(error), import::hint(error)));
    }
    if let Some(ExportError::Exists { .. }) = cause.downcast_ref() {
        return Some((Exit::Conflict, Some("choose another name, or remove it".to_owned())));
    }
    if let Some(ExportError::Changed(_)) = cause.downcast_ref() {
        return Some((Exit::Conflict, Some("stop what writes there, then try again".to_owned())));
    }
    if cause.downcast_ref::<import::OpenError>().is_some_and(import::OpenError::is_not_found) {
        return Some((Exit::NotFound, None));
    }
    if let Some(error) = cause.downcast_ref::<SecretsFound>() {
        return Some((Exit::Refused, Some(error.hint())));
    }
    if let Some(ScanError::Changed(_)) = cause.downcast_ref() {
        return Some((Exit::Conflict, Some("stop what writes there, then try again".to_owned())));
    }
    if let Some(error) = as_error::<TransferError>(cause)
        && let Some(exit) = of_transfer(error)
    {
        return Some((exit, error.hint()));
    }
    if let Some(ComposeError::Environment(_) | ComposeError::Cache { .. }) = cause.downcast_ref() {
        return Some((Exit::Usage, None));
    }
    if let Some(error) = cause.downcast_ref::<InstallError>() {
        return Some((error.exit(), error.hint()));
    }
    if let Some(DirectoryError::Enter { .. }) = cause.downcast_ref() {
        return Some((Exit::NotFound, None));
    }
    if let Some(error) = as_error::<remote::Error>(cause) {
        return Some((of_remote(error), error.hint()));
    }
    None
}

/// A cause as what it is; a box around it does not count.
fn as_error<'a, E: Error + 'static>(cause: &'a (dyn Error + 'static)) -> Option<&'a E> {
    cause.downcast_ref::<E>().or_else(|| cause.downcast_ref::<Box<E>>().map(|boxed| &**boxed))
}

fn of_settings(error: &settings::Error) -> Exit {
    match error {
        settings::Error::NoHome | settings::Error::Write { .. } => Exit::Failed,
        settings::Error::File(error) => of_file(error),
        settings::Error::BadName { .. } => Exit::Usage,
        settings::Error::UnknownRemote { .. } => Exit::NotFound,
        settings::Error::NameTaken { .. } => Exit::Conflict,
    }
}

fn of_file(error: &FileError) -> Exit {
    match error {
        FileError::Read { .. } => Exit::Failed,
        FileError::Invalid { .. } | FileError::Key { .. } => Exit::Usage,
    }
}

fn of_local(error: &local::Error) -> Exit {
    match error {
        local::Error::Unsupported | local::Error::Start(_) => Exit::Unreachable,
        local::Error::Prepare { .. } | local::Error::Invitation(_) => Exit::Failed,
        local::Error::Enroll(source) => of_enrolling(source),
    }
}

fn of_enrolling(error: &EnrollError) -> Exit {
    match error {
        EnrollError::Expired => Exit::Refused,
        EnrollError::Settings { source, .. } => of_settings(source),
        EnrollError::Key(_) | EnrollError::Store { .. } => Exit::Failed,
        EnrollError::Daemon { source, .. } => of_remote(source),
    }
}

fn of_capture(error: &CaptureError) -> Exit {
    match error {
        CaptureError::Reserved { .. }
        | CaptureError::Unsupported(_)
        | CaptureError::Walk { source: WalkError::Refused { .. }, .. } => Exit::Refused,
        CaptureError::Locked(_)
        | CaptureError::Unsettled { .. }
        | CaptureError::Read { source: ReadError::Changing { .. }, .. } => Exit::Conflict,
        CaptureError::Open { .. }
        | CaptureError::Walk { .. }
        | CaptureError::Repository(_)
        | CaptureError::Layout(_)
        | CaptureError::Read { .. }
        | CaptureError::Session(_)
        | CaptureError::Manifest { .. } => Exit::Failed,
    }
}

fn of_agent(error: &AgentError) -> Exit {
    match error {
        AgentError::Read { .. } | AgentError::Settings { .. } | AgentError::Toml { .. } => {
            Exit::Failed
        }
        AgentError::Lease { source: LeaseError::Locked { .. }, .. } => Exit::Conflict,
        AgentError::Lease { .. } => Exit::Failed,
        AgentError::NoSession { .. } => Exit::NotFound,
        AgentError::Held { .. }
        | AgentError::Unsent { .. }
        | AgentError::UnderWay { .. }
        | AgentError::Busy { .. } => Exit::Conflict,
    }
}

fn of_import(error: &ImportError) -> Exit {
    match error {
        ImportError::Exists { .. } => Exit::Conflict,
        ImportError::Bundle(_)
        | ImportError::Thin
        | ImportError::Manifest(_)
        | ImportError::Order { .. }
        | ImportError::Write(_)
        | ImportError::Place { .. } => Exit::Failed,
    }
}

fn of_outbox(error: &OutboxError) -> Exit {
    match error {
        OutboxError::Read { .. }
        | OutboxError::Write { .. }
        | OutboxError::Damaged { .. }
        | OutboxError::NoRoom { .. }
        | OutboxError::Git(_)
        | OutboxError::Interrupted => Exit::Failed,
        OutboxError::Session { source, .. } => of_agent(source),
        OutboxError::Busy { .. }
        | OutboxError::StillSending { .. }
        | OutboxError::OtherDaemon { .. }
        | OutboxError::Changed { .. } => Exit::Conflict,
        OutboxError::Capture { source, .. } => of_capture(source),
        OutboxError::Selection { ambiguous: true, .. } => Exit::Usage,
        OutboxError::Selection { ambiguous: false, .. } => Exit::NotFound,
    }
}

/// None where the remote's own error says more.
fn of_transfer(error: &TransferError) -> Option<Exit> {
    match error {
        TransferError::Remote { .. } => None,
        TransferError::Changed(_) => Some(Exit::Conflict),
        TransferError::Receipt { .. } | TransferError::Random(_) => Some(Exit::Failed),
    }
}

fn of_remote(error: &remote::Error) -> Exit {
    match error {
        remote::Error::Credential { .. } | remote::Error::Protocol { .. } => Exit::Failed,
        remote::Error::Unreachable { .. } | remote::Error::Broken { .. } => Exit::Unreachable,
        remote::Error::OtherDaemon { .. }
        | remote::Error::NotAccepted { .. }
        | remote::Error::ShutOut { .. } => Exit::Refused,
        remote::Error::Refused { problem, .. } => match problem.code {
            problem::Code::Failed => Exit::Failed,
            problem::Code::Usage => Exit::Usage,
            problem::Code::Conflict => Exit::Conflict,
            problem::Code::Unreachable => Exit::Unreachable,
            problem::Code::Refused => Exit::Refused,
            problem::Code::NotFound => Exit::NotFound,
        },
    }
}

/// An error and its causes, joined by `: `; a cause that its parent already tells is left out.
#[must_use]
pub fn chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let told = next.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = next.source();
    }
    text
}
