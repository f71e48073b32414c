//! Names what in a result would run code on this machine once it is here.
//!
//! Pure, and by path and kind alone: what a file says is for the human to judge.

mod names;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use handoff_proto::manifest::{Entry, Kind, ResultManifest, SnapshotManifest, index_digest};
use handoff_proto::path::{TreePath, is_git_spelling};

use self::names::by_name;
use super::pairs::{Pair, outside_git, pairs};
use super::unchanged::find;

/// By what git knows a repository.
const BARE: [&str; 3] = ["head", "objects", "refs"];

/// One change that deserves a look before it is here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The path.
    pub path: TreePath,
    /// Why it is listed.
    pub reason: Reason,
}

/// Why a change is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A shell or a tool runs it as soon as somebody enters the directory.
    EntersWithDirectory,
    /// It tells a coding agent what it may do and what to run.
    AgentSettings,
    /// An editor runs commands that it names.
    EditorSettings,
    /// A directory that git takes for a repository, with the settings of one.
    EmbeddedRepository,
    /// git or a forge runs it.
    Hook,
    /// It changes what git does with files, or where submodules come from.
    GitSettings,
    /// A build tool or test runner runs it.
    BuildScript,
    /// It tells tools which programs or registries to use.
    ToolSettings,
    /// A file that became executable.
    Executable,
    /// A symbolic link that leads out of the tree.
    LinkOut,
    /// A commit of another repository in the place of a directory.
    Gitlink,
}

impl Reason {
    /// Whether it takes the user's consent rather than a line in a list.
    #[must_use]
    pub const fn needs_consent(self) -> bool {
        match self {
            Self::EntersWithDirectory
            | Self::AgentSettings
            | Self::EditorSettings
            | Self::EmbeddedRepository => true,
            Self::Hook
            | Self::GitSettings
            | Self::BuildScript
            | Self::ToolSettings
            | Self::Executable
            | Self::LinkOut
            | Self::Gitlink => false,
        }
    }

    /// A short name for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EntersWithDirectory => "runs_on_entering",
            Self::AgentSettings => "agent_settings",
            Self::EditorSettings => "editor_settings",
            Self::EmbeddedRepository => "embedded_repository",
            Self::Hook => "hook",
            Self::GitSettings => "git_settings",
            Self::BuildScript => "build_script",
            Self::ToolSettings => "tool_settings",
            Self::Executable => "executable",
            Self::LinkOut => "link_out",
            Self::Gitlink => "gitlink",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EntersWithDirectory => "runs when the directory is entered",
            Self::AgentSettings => "instructs or configures a coding agent",
            Self::EditorSettings => "configures an editor, which may run commands",
            Self::EmbeddedRepository => "is taken for a git repository, with settings of its own",
            Self::Hook => "runs on git or forge events",
            Self::GitSettings => "changes what git does",
            Self::BuildScript => "runs when the project is built or tested",
            Self::ToolSettings => "chooses programs or registries of a tool",
            Self::Executable => "became executable",
            Self::LinkOut => "leads out of the tree",
            Self::Gitlink => "is a commit of another repository",
        })
    }
}

/// The files that are here without the user's consent: none whose name takes it, and nothing of what
/// git would take for a repository in either tree, or in both together.
pub fn without_consent<'a>(
    base: &'a SnapshotManifest,
    result: &'a ResultManifest,
) -> impl Iterator<Item = &'a Entry> {
    let all = || base.entries.iter().chain(&result.entries);
    let bare = bare_repositories(all());
    all().filter(move |entry| {
        let directories = || std::iter::successors(entry.path.parent(), TreePath::parent);
        let is_embedded = || {
            let places = directories().map(Some).chain(std::iter::once(None));
            !bare.is_empty() && { places }.any(|place| bare.contains(&place))
        };
        matches!(entry.kind, Kind::File { .. })
            && !entry.path.has_git_component()
            && !by_name(&entry.path, entry).is_some_and(Reason::needs_consent)
            && !is_embedded()
    })
}

/// Lists what deserves a look, sorted by path, each path once for each reason.
#[must_use]
pub fn review(base: &SnapshotManifest, result: &ResultManifest) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    let bare = bare_repositories(&result.entries);
    for pair in pairs(outside_git(&base.entries), result.entries.iter()) {
        if let Some(after) = pair.after() {
            let reasons = [by_name(&after.path, after), by_kind(&pair, after)];
            let path = || after.path.clone();
            findings.extend(
                reasons.into_iter().flatten().map(|reason| Finding { path: path(), reason }),
            );
            findings.extend(embedded_repository(&after.path, &bare));
        }
    }
    findings.extend(gitlinks(base, result));
    findings.into_iter().collect()
}

fn by_kind(pair: &Pair<'_>, after: &Entry) -> Option<Reason> {
    let is_executable =
        |entry: &Entry| matches!(entry.kind, Kind::File { .. }) && entry.mode & 0o111 != 0;
    match &after.kind {
        Kind::File { .. } => {
            let was = pair.before().is_some_and(is_executable);
            (is_executable(after) && !was).then_some(Reason::Executable)
        }
        Kind::Symlink { target } => leads_out(&after.path, target).then_some(Reason::LinkOut),
        Kind::Directory => None,
    }
}

/// Whether a link's target is absolute or climbs above the root, or into a git directory.
///
/// Other links in the middle of the target are not followed: each is listed by itself.
fn leads_out(link: &TreePath, target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return true;
    }
    let mut depth = link.components().count() - 1;
    for component in target.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            name if is_git_spelling(name) => return true,
            _ => depth += 1,
        }
    }
    false
}

/// The directory that holds `path`, if git would take it for a bare repository.
fn embedded_repository(path: &TreePath, bare: &HashSet<Option<TreePath>>) -> Option<Finding> {
    let lower = path.file_name().to_ascii_lowercase();
    let parent = path.parent();
    let in_hooks = parent
        .as_ref()
        .filter(|parent| parent.file_name().eq_ignore_ascii_case(b"hooks"))
        .map(TreePath::parent);
    let directory = match lower.as_slice() {
        b"head" | b"objects" | b"refs" | b"config" | b"hooks" => parent,
        _ => in_hooks?,
    };
    // The root has no path of its own; what makes it a repository stands for it.
    bare.contains(&directory).then(|| Finding {
        path: directory.unwrap_or_else(|| path.clone()),
        reason: Reason::EmbeddedRepository,
    })
}

/// The directories that pass git's own test: a HEAD, and directories `objects` and `refs`; letter
/// case may not matter.
fn bare_repositories<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> HashSet<Option<TreePath>> {
    let mut found: BTreeMap<Option<TreePath>, BTreeSet<&str>> = BTreeMap::new();
    for entry in entries {
        let name = entry.path.file_name();
        let is_it = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        if let Some(known) = BARE.into_iter().find(is_it) {
            found.entry(entry.path.parent()).or_default().insert(known);
        }
    }
    let whole = found.into_iter().filter(|(_, names)| names.len() == BARE.len());
    whole.map(|(directory, _)| directory).collect()
}

/// Submodules in indexes that changed, where no repository was handed off.
fn gitlinks(base: &SnapshotManifest, result: &ResultManifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    for repository in &result.repositories {
        let at = repository.path.as_ref();
        let was = find(&base.repositories, at).map(|known| known.state.index_digest);
        if was == Some(index_digest(&repository.index)) {
            continue;
        }
        let links = repository.index.iter().filter(|entry| entry.mode == 0o160_000);
        let paths = links.filter_map(|entry| match at {
            Some(at) => at.join(entry.path.as_bytes()).ok(),
            None => Some(entry.path.clone()),
        });
        let new = paths.filter(|path| find(&base.repositories, Some(path)).is_none());
        findings.extend(new.map(|path| Finding { path, reason: Reason::Gitlink }));
    }
    findings
}

#[cfg(test)]
mod tests;
