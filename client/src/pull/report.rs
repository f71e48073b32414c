//! Says what a pull does and did: lines for humans, one object for programs.
//!
//! Pure. Names that came out of a sandbox are escaped.

use std::path::Path;

use handoff_proto::manifest::{Head, RefName};
use serde::Serialize;

use super::elsewhere::Placed;
use super::plan::{LeftOut, Plan, TreeChange};
use super::review::Finding;
use crate::agents::Imported;

/// Paths that are listed before the rest is only counted.
const PATHS_SHOWN_MAX: usize = 20;

/// What a pull came to, for programs. Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The run's id.
    pub run: String,
    /// Its name.
    pub name: String,
    /// `in_place`, `worktree`, `directory` or `up_to_date`.
    pub mode: Mode,
    /// Where the result is now.
    pub path: String,
    /// Whether that is the tree that was handed off.
    #[serde(skip)]
    pub is_in_tree: bool,
    /// The branch that was made for it; null unless the mode is `worktree`.
    pub branch: Option<String>,
    /// How many files and links were written.
    pub written: usize,
    /// How many files and links were deleted.
    pub deleted: usize,
    /// The references that changed.
    pub refs: Vec<String>,
    /// What could run code here.
    pub review: Vec<ReviewLine>,
    /// What was not brought back.
    pub left_out: Vec<String>,
    /// Why the result was not put in place; empty if it was.
    pub because: Vec<String>,
    /// What became of the conversation; null for a plain command.
    pub conversation: Option<Imported>,
}

/// Where a result went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Into the tree itself.
    InPlace,
    /// Into a working tree beside it.
    Worktree,
    /// Into a plain directory.
    Directory,
    /// Nowhere: it was there already.
    #[default]
    UpToDate,
}

/// One change that could run code here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReviewLine {
    /// The path.
    pub path: String,
    /// Why it is listed.
    pub reason: &'static str,
    /// Whether it is let in only with consent.
    pub needs_consent: bool,
}

impl Report {
    /// A result that was put in place.
    #[must_use]
    pub fn in_place(self, plan: &Plan, root: &Path) -> Self {
        let (written, deleted) = counts(&plan.tree);
        let refs = plan.repositories.iter().flat_map(|repository| &repository.refs);
        Self {
            mode: Mode::InPlace,
            path: shown(root),
            is_in_tree: true,
            written,
            deleted,
            refs: refs.map(|change| change.name.to_string()).collect(),
            left_out: plan.left_out.iter().map(LeftOut::to_string).collect(),
            ..self
        }
    }

    /// A result that was put elsewhere.
    #[must_use]
    pub fn elsewhere(self, placed: &Placed, changes: &[TreeChange]) -> Self {
        let (written, deleted) = counts(changes);
        Self {
            mode: if placed.branch.is_some() { Mode::Worktree } else { Mode::Directory },
            path: shown(&placed.path),
            branch: placed.branch.as_ref().map(short),
            written,
            deleted,
            refs: placed.refs.iter().map(RefName::to_string).collect(),
            left_out: placed.left_out.iter().map(LeftOut::to_string).collect(),
            ..self
        }
    }

    /// Takes note of what could run code here.
    #[must_use]
    pub fn with_review(self, findings: &[Finding]) -> Self {
        let line = |finding: &Finding| ReviewLine {
            path: finding.path.to_string(),
            reason: finding.reason.name(),
            needs_consent: finding.reason.needs_consent(),
        };
        Self { review: findings.iter().map(line).collect(), ..self }
    }

    /// What is told when it is done, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Self { name, path, .. } = self;
        let changed = format!("{} written, {} deleted", files(self.written), self.deleted);
        let mut lines = match (self.mode, &self.branch) {
            (Mode::UpToDate, _) => {
                vec![format!("already up to date: {path} has the result of {name}")]
            }
            (Mode::InPlace, _) => vec![
                format!("pulled {name} into {path}: {changed}"),
                "`handoff undo` takes it back".to_owned(),
            ],
            (Mode::Worktree | Mode::Directory, Some(branch)) => vec![
                format!("pulled {name} into {path}, a working tree on branch {branch}: {changed}"),
                format!(
                    "look at it there; to take it over, commit what is not committed and `git merge {branch}` here"
                ),
                "`handoff undo` removes it again".to_owned(),
            ],
            (Mode::Worktree | Mode::Directory, None) => vec![
                format!("pulled {name} into {path}: {changed}"),
                "`handoff undo` removes it again".to_owned(),
            ],
        };
        lines.extend(self.left_out.iter().map(|what| format!("not brought back: {what}")));
        lines.extend(self.conversation.iter().flat_map(Imported::lines));
        lines
    }
}

/// What a plan is going to do in place, line by line.
#[must_use]
pub fn plan_lines(plan: &Plan) -> Vec<String> {
    let mut lines = tree_lines(&plan.tree);
    for repository in &plan.repositories {
        let at = repository.path.as_ref().map_or_else(String::new, |path| format!(" in {path}"));
        for change in &repository.refs {
            let after = change.after.to_string();
            lines.push(format!("  {} becomes {}{at}", change.name, &after[..after.len().min(10)]));
        }
        match repository.head.as_ref().map(|change| &change.after) {
            Some(Head::Branch(name, _)) => lines.push(format!("  HEAD becomes {name}{at}")),
            Some(Head::Detached(oid)) => lines.push(format!("  HEAD becomes {oid}{at}")),
            None => {}
        }
        if repository.index.is_some() {
            lines.push(format!("  what is staged{at} changes"));
        }
    }
    lines
}

/// The paths that change, the first twenty by name.
#[must_use]
pub fn tree_lines(changes: &[TreeChange]) -> Vec<String> {
    let leaves: Vec<&TreeChange> = changes.iter().filter(|change| is_leaf(change)).collect();
    let mut lines: Vec<String> = leaves
        .iter()
        .take(PATHS_SHOWN_MAX)
        .map(|change| format!("  {} {}", sign(change), change.path))
        .collect();
    if let Some(more) = leaves.len().checked_sub(PATHS_SHOWN_MAX).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more"));
    }
    lines
}

/// What could run code here, line by line.
#[must_use]
pub fn review_lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("  {}: {}", finding.path, finding.reason)).collect()
}

fn counts(changes: &[TreeChange]) -> (usize, usize) {
    let leaves = || changes.iter().filter(|change| is_leaf(change));
    let written = leaves().filter(|change| is_written(change)).count();
    (written, leaves().count() - written)
}

/// Whether a file or link is there before or after.
fn is_leaf(change: &TreeChange) -> bool {
    let sides = [&change.before, &change.after];
    sides.into_iter().flatten().any(|entry| !entry.is_directory())
}

fn is_written(change: &TreeChange) -> bool {
    change.after.as_ref().is_some_and(|after| !after.is_directory())
}

fn sign(change: &TreeChange) -> char {
    match (&change.before, is_written(change)) {
        (None, _) => 'A',
        (Some(_), true) => 'M',
        (Some(_), false) => 'D',
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn short(name: &RefName) -> String {
    handoff_proto::path::escaped(name.branch().unwrap_or(name.as_bytes()))
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use handoff_proto::manifest::{Entry, Kind, Timestamp};
    use handoff_proto::path::TreePath;

    use super::*;

    fn entry(path: &[u8], kind: Kind) -> Entry {
        let path = TreePath::parse(path).unwrap();
        Entry { path, mode: 0o644, mtime: Timestamp::default(), kind }
    }

    fn change(path: &[u8], before: Option<Kind>, after: Option<Kind>) -> TreeChange {
        let side = |kind: Option<Kind>| kind.map(|kind| entry(path, kind));
        TreeChange {
            path: TreePath::parse(path).unwrap(),
            before: side(before),
            after: side(after),
        }
    }

    #[test]
    fn files_are_counted_and_named_harmlessly() {
        let file = || Some(Kind::File { size: 0, chunks: Vec::new() });
        let changes = [
            change(b"dir", None, Some(Kind::Directory)),
            change(b"dir/new\x1b[2J", None, file()),
            change(b"gone", file(), None),
            change(b"kept", file(), file()),
            change(b"turned", file(), Some(Kind::Directory)),
        ];
        let plan = Plan { tree: changes.to_vec(), ..Plan::default() };
        let expected = ["  A dir/new\\x1b[2J", "  D gone", "  M kept", "  D turned"];
        assert_eq!(plan_lines(&plan), expected);
        let report = Report { name: "fix".to_owned(), ..Report::default() };
        let report = report.in_place(&plan, Path::new("/home/ada/project"));
        assert_eq!((report.mode, report.written, report.deleted), (Mode::InPlace, 2, 2));
        assert_eq!(
            report.lines()[0],
            "pulled fix into /home/ada/project: 2 files written, 2 deleted"
        );
    }

    #[test]
    fn only_the_first_paths_are_named() {
        let file = || Some(Kind::File { size: 0, chunks: Vec::new() });
        let path = |number: usize| format!("file-{number:03}").into_bytes();
        let changes: Vec<TreeChange> =
            (0..25).map(|number| change(&path(number), None, file())).collect();
        let lines = tree_lines(&changes);
        assert_eq!(lines.len(), PATHS_SHOWN_MAX + 1);
        assert_eq!(lines[PATHS_SHOWN_MAX], "  and 5 more");
    }

    #[test]
    fn programs_get_one_object_with_these_fields() {
        let value = serde_json::to_value(Report::default()).unwrap();
        let mut fields: Vec<&String> = value.as_object().unwrap().keys().collect();
        fields.sort();
        let expected = [
            "because",
            "branch",
            "conversation",
            "deleted",
            "left_out",
            "mode",
            "name",
            "path",
            "refs",
            "review",
            "run",
            "written",
        ];
        assert_eq!(fields, expected);
        assert_eq!(value["mode"], "up_to_date");
    }
}
