//! Says what changes in one repository, and builds its index.

use std::collections::BTreeSet;

use handoff_proto::manifest::Operation;
use handoff_proto::path::TreePath;

use super::PrepareError;
use crate::pull::git::{Git, GitFile, RefTarget, merge_head};
use crate::pull::journal::{
    Entry, FileStep, HeadStep, IndexStep, RefStep, RepositorySteps, Side, Text,
};
use crate::pull::plan::{OperationChange, RepositoryPlan};

/// Plans the steps of one repository and builds its index; `None` if nothing changes after all.
pub(super) fn repository_steps(
    git: &Git,
    path: Option<&TreePath>,
    planned: Option<&RepositoryPlan>,
    touched: &BTreeSet<TreePath>,
    number: usize,
    entry: &Entry,
) -> Result<Option<RepositorySteps>, PrepareError> {
    let mut steps = RepositorySteps {
        path: path.cloned().map(Text),
        refs: Vec::new(),
        head: None,
        files: Vec::new(),
        index: None,
    };
    if let Some(planned) = planned {
        for change in &planned.refs {
            steps.refs.push(RefStep {
                name: Text(RefTarget::Named(change.name.clone())),
                before: change.before.map(Text),
                after: Some(Text(change.after)),
            });
        }
        steps.head = planned.head.as_ref().map(|change| HeadStep {
            before: Text(change.before.clone()),
            after: Text(change.after.clone()),
        });
        for change in &planned.in_progress {
            operation_steps(git, change, &mut steps)?;
        }
    }
    let wanted = planned.and_then(|planned| planned.index.as_deref());
    let (old, new) = (entry.index(number, Side::Before), entry.index(number, Side::After));
    let built = git.build_index(wanted, touched, &old, &new)?;
    steps.index = built.map(|built| IndexStep {
        before: Text(blake3::Hash::from_bytes(built.before)),
        after: Text(blake3::Hash::from_bytes(built.after)),
    });
    let nothing = steps.refs.is_empty()
        && steps.head.is_none()
        && steps.files.is_empty()
        && steps.index.is_none();
    Ok((!nothing).then_some(steps))
}

/// Plans how git is told that an operation began, went on or ended.
fn operation_steps(
    git: &Git,
    change: &OperationChange,
    steps: &mut RepositorySteps,
) -> Result<(), PrepareError> {
    let heads = change.after.as_deref();
    match change.operation {
        Operation::Merge => {
            let after = heads.map(|heads| Text(merge_head(heads)));
            file_step(git, GitFile::MergeHead, after, steps)?;
        }
        Operation::CherryPick | Operation::Revert => {
            let Some(name) = change.operation.head_file() else { return Ok(()) };
            let target = RefTarget::Pseudo(name);
            let before = git.ref_value(&target)?.map(Text);
            let after = heads.and_then(<[_]>::first).copied().map(Text);
            steps.refs.push(RefStep { name: Text(target), before, after });
        }
        Operation::Rebase | Operation::Bisect => {}
    }
    if heads.is_none() {
        // As git itself does when an operation ends, lest the next commit gets its message.
        for file in [GitFile::MergeMessage, GitFile::MergeMode] {
            if !steps.files.iter().any(|step| step.name.0 == file) {
                file_step(git, file, None, steps)?;
            }
        }
    }
    Ok(())
}

fn file_step(
    git: &Git,
    file: GitFile,
    after: Option<Text<Vec<u8>>>,
    steps: &mut RepositorySteps,
) -> Result<(), PrepareError> {
    let before = git.read_file(file)?.map(Text);
    if before != after {
        steps.files.push(FileStep { name: Text(file), before, after });
    }
    Ok(())
}
