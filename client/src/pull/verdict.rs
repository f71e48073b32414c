//! What an error of pulling, undoing or comparing means for the user.

use std::error::Error;

use super::apply::ApplyError;
use super::elsewhere::ElsewhereError;
use super::plan::PlanError;
use super::returned::ReturnedError;
use super::undo::UndoError;

/// What kind of end it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something stands in the way; nothing was changed.
    Conflict,
    /// It is not allowed.
    Refused,
    /// There is nothing to work on.
    NotFound,
    /// Anything else.
    Failed,
}

/// Judges one cause of an error and says what to do next; `None` where it is none of ours.
#[must_use]
pub fn judge(cause: &(dyn Error + 'static)) -> Option<(Verdict, Option<String>)> {
    if let Some(error) = cause.downcast_ref::<ReturnedError>() {
        return of_returned(error);
    }
    if let Some(error) = cause.downcast_ref::<PlanError>() {
        return Some(of_plan(error));
    }
    if let Some(error) = cause.downcast_ref::<UndoError>() {
        return Some(of_undo(error));
    }
    if let Some(error) = cause.downcast_ref::<ElsewhereError>() {
        return Some(of_elsewhere(error));
    }
    cause.downcast_ref::<ApplyError>().map(of_apply)
}

fn of_returned(error: &ReturnedError) -> Option<(Verdict, Option<String>)> {
    match error {
        ReturnedError::Unfinished { name, state } => {
            let first = match state.as_str() {
                "needs_input" => format!("`handoff show {name}` tells what it waits for"),
                _ => format!("`handoff watch {name}` follows it"),
            };
            Some((Verdict::Conflict, Some(format!("{first}, `handoff stop {name}` ends it"))))
        }
        ReturnedError::Nothing { name, .. } => {
            Some((Verdict::Conflict, Some(format!("`handoff logs {name}` shows its output"))))
        }
        ReturnedError::NotCollected { name, .. } => {
            Some((Verdict::Failed, Some(format!("`handoff show {name}` tells more"))))
        }
        ReturnedError::Senseless { .. } => Some((Verdict::Failed, None)),
        ReturnedError::OtherBase { .. } => Some((Verdict::Refused, None)),
        // Its cause tells: the remote cannot be reached, or a manifest is refused.
        ReturnedError::Fetch { .. } => None,
    }
}

fn of_plan(error: &PlanError) -> (Verdict, Option<String>) {
    match error {
        PlanError::Occupied(_) | PlanError::Held { .. } => {
            (Verdict::Conflict, Some("move it away, or pull with `--into worktree`".to_owned()))
        }
        PlanError::Refused { .. }
        | PlanError::RefName { .. }
        | PlanError::Head { .. }
        | PlanError::ObjectFormat(_) => (Verdict::Refused, None),
        PlanError::Surroundings { .. } => (Verdict::Failed, None),
    }
}

fn of_apply(error: &ApplyError) -> (Verdict, Option<String>) {
    if let ApplyError::Stuck { .. } = error {
        let hint = "`handoff undo` tries again; until then nothing else can be pulled here";
        return (Verdict::Failed, Some(hint.to_owned()));
    }
    by_blame(error.is_conflict(), error.is_hostile())
}

fn of_elsewhere(error: &ElsewhereError) -> (Verdict, Option<String>) {
    let (verdict, _) = by_blame(error.is_conflict(), error.is_hostile());
    let hint = match error {
        ElsewhereError::Exists(_) => "move it away, or pull with `--into DIR`",
        ElsewhereError::BranchExists(_) => "rename or delete the branch first",
        ElsewhereError::Changed { .. } => "keep what you need from it, then remove it yourself",
        _ => return (verdict, None),
    };
    (verdict, Some(hint.to_owned()))
}

fn of_undo(error: &UndoError) -> (Verdict, Option<String>) {
    match error {
        UndoError::Nothing => (Verdict::NotFound, None),
        UndoError::Changed(_) => {
            let hint = "undo takes back a pull only as long as nothing was done on top of it";
            (Verdict::Conflict, Some(hint.to_owned()))
        }
        UndoError::File(_) => (Verdict::Failed, None),
        UndoError::Apply(error) => of_apply(error),
        UndoError::Elsewhere(error) => of_elsewhere(error),
    }
}

fn by_blame(conflict: bool, hostile: bool) -> (Verdict, Option<String>) {
    match (conflict, hostile) {
        (true, _) => (Verdict::Conflict, None),
        (false, true) => (Verdict::Refused, None),
        (false, false) => (Verdict::Failed, None),
    }
}
