//! Takes a repository from one state of a record to the other.
//!
//! First everything is locked and compared, so that little can fail once files have changed; then
//! references, index, the heads of operations and HEAD follow in this order.

use std::path::Path;

use handoff_proto::manifest::{Head, Oid, index_digest};
use handoff_proto::path::TreePath;

use super::git::{Git, GitError, IndexLock, RefTarget, RefTransaction, RefUpdate};
use super::heads::says_the_same;
use super::journal::{Entry, FileStep, RefStep, RepositorySteps, Side, Text};

/// A repository that is locked and about to change. Dropped, it stays as it is.
#[derive(Debug)]
pub struct Prepared<'a> {
    git: Git,
    refs: RefTransaction,
    index: Option<IndexLock>,
    head: Option<&'a Head>,
    files: Vec<(&'a FileStep, Side)>,
    why: String,
}

/// The repository of these steps in the tree at `root`; `None` if it is not there.
///
/// # Errors
///
/// Where git cannot be run or refuses.
pub fn open(root: &Path, path: Option<&TreePath>) -> Result<Option<Git>, GitError> {
    match path {
        None => Git::open(root),
        Some(path) => Git::open(&root.join(path.as_os_path())),
    }
}

/// What has neither the state before nor the one after, in words.
///
/// # Errors
///
/// Where git cannot be asked.
pub fn strange_state(git: &Git, steps: &RepositorySteps) -> Result<Vec<String>, GitError> {
    let mut strange = Vec::new();
    for step in &steps.refs {
        let now = git.ref_value(&step.name.0)?;
        if now != oid(step.before.as_ref()) && now != oid(step.after.as_ref()) {
            strange.push(shown(&step.name.0));
        }
    }
    if let Some(step) = &steps.head {
        let now = git.head()?;
        if !says_the_same(&now, &step.before.0) && !says_the_same(&now, &step.after.0) {
            strange.push("HEAD".to_owned());
        }
    }
    for step in &steps.files {
        let now = git.read_file(step.name.0)?.map(Text);
        if now != step.before && now != step.after {
            strange.push(step.name.0.name().to_owned());
        }
    }
    if let Some(step) = &steps.index {
        let now = blake3::Hash::from_bytes(index_digest(&git.staged()?));
        if now != step.before.0 && now != step.after.0 {
            strange.push("the index".to_owned());
        }
    }
    Ok(strange)
}

/// Locks what changes on the way to this side and makes sure that it is on one of the two.
///
/// # Errors
///
/// Where something has another state or somebody else holds a lock.
pub fn prepare<'a>(
    git: &Git,
    number: usize,
    steps: &'a RepositorySteps,
    to: Side,
    entry: &Entry,
    why: &str,
) -> Result<Prepared<'a>, GitError> {
    let mut updates = Vec::new();
    for step in &steps.refs {
        updates.extend(ref_update(git, step, to)?);
    }
    let head = match &steps.head {
        Some(step) => {
            let wanted = &to.of(&step.before, &step.after).0;
            (!says_the_same(&git.head()?, wanted)).then_some(wanted)
        }
        None => None,
    };
    let refs = git.prepare_refs(&updates, why)?;
    let index = match &steps.index {
        Some(step) => {
            // What was in use when the other side was built must be in use now.
            let old = entry.index(number, to.other());
            let new = entry.index(number, to);
            let now = match git.has_index(&old)? {
                true => to.other().of(step.before.0, step.after.0),
                false => blake3::Hash::from_bytes(index_digest(&git.staged()?)),
            };
            let there = to.of(step.before.0, step.after.0) == now && step.before != step.after;
            match (there, to) {
                (true, _) => None,
                (false, Side::After) => Some(git.lock_index(Some(&old), &new)?),
                // git itself may have refreshed it since; its entries were compared.
                (false, Side::Before) => Some(git.lock_index(None, &new)?),
            }
        }
        None => None,
    };
    let files = steps.files.iter().map(|step| (step, to)).collect();
    Ok(Prepared { git: git.clone(), refs, index, head, files, why: why.to_owned() })
}

impl Prepared<'_> {
    /// Makes the changes. `before_each` is told of each.
    ///
    /// # Errors
    ///
    /// Where git or the disk fails.
    pub fn commit(self, before_each: &mut dyn FnMut(&'static str)) -> Result<(), GitError> {
        before_each("references");
        self.refs.commit()?;
        if let Some(index) = self.index {
            before_each("index");
            index.swap()?;
        }
        for (step, to) in self.files {
            before_each(step.name.0.name());
            let content = to.of(&step.before, &step.after).as_ref();
            self.git.write_file(step.name.0, content.map(|content| content.0.as_slice()))?;
        }
        // Not in one transaction with the branches: git lets nobody change HEAD and what it names.
        if let Some(head) = self.head {
            before_each("HEAD");
            self.git.set_head(head, &self.why)?;
        }
        Ok(())
    }
}

fn ref_update(git: &Git, step: &RefStep, to: Side) -> Result<Option<RefUpdate>, GitError> {
    let from = oid(to.other().of(step.before.as_ref(), step.after.as_ref()));
    let after = oid(to.of(step.before.as_ref(), step.after.as_ref()));
    let target = step.name.0.clone();
    // A pull that was cut off may have changed it already; otherwise the transaction compares.
    let there = git.ref_value(&target)? == after;
    Ok((!there).then_some(RefUpdate { target, before: from, after }))
}

fn oid(text: Option<&Text<Oid>>) -> Option<Oid> {
    text.map(|text| text.0)
}

fn shown(target: &RefTarget) -> String {
    match target {
        RefTarget::Named(name) => name.to_string(),
        RefTarget::Pseudo(name) => (*name).to_owned(),
    }
}
