//! One line about what was carried.

use handoff_proto::manifest::Entry;
use handoff_proto::tree::Origin;
use indicatif::{DecimalBytes, HumanCount};

use crate::agents::{Going, Stays};
use crate::capture::Capture;

/// Files and bytes carried for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::command) struct Tally {
    pub(in crate::command) files: u64,
    pub(in crate::command) bytes: u64,
}

impl Tally {
    /// Counts everything but directories that is carried for one of these reasons.
    pub(in crate::command) fn of(capture: &Capture, origins: &[Origin]) -> Self {
        let entries = capture.manifest.entries.iter().zip(&capture.origins);
        entries.filter(|(entry, origin)| origins.contains(origin) && !entry.is_directory()).fold(
            Self::default(),
            |Self { files, bytes }, (entry, _)| Self {
                files: files + 1,
                bytes: bytes + Entry::size(entry),
            },
        )
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let noun = if self.files == 1 { "file" } else { "files" };
        f.pad(&format!("{} {noun}, {}", HumanCount(self.files), DecimalBytes(self.bytes)))
    }
}

/// Which session goes on, and what the agent may miss there.
pub(super) fn going(going: &Going) -> Vec<String> {
    let agent = going.kind.name();
    let first = match (&going.from, going.forked_from()) {
        (None, _) => format!("{agent} has no session in this directory: it begins a new one there"),
        (Some(_), None) => format!("{agent} goes on with session {}", going.id),
        (Some(_), Some(from)) => {
            format!("{agent} goes on with a copy of session {from}, called {}", going.id)
        }
    };
    let stays = going.export.stays.iter();
    let stays = stays.map(|Stays { what, why }| format!("{what} stays here: {why}"));
    std::iter::once(first).chain(stays).collect()
}

/// What was carried, and how much of it had to be sent.
pub(super) fn carried(capture: &Capture, sent_bytes: u64, remote: &str) -> String {
    let tree = Tally::of(capture, &[Origin::Tracked, Origin::Untracked, Origin::Included]);
    let extra = [(Origin::Untracked, "untracked"), (Origin::Included, "included")]
        .map(|(origin, name)| (Tally::of(capture, &[origin]).files, name));
    let without_git = capture.manifest.repositories.is_empty();
    let extra: Vec<_> = extra
        .iter()
        .filter(|(files, _)| *files > 0 && !without_git)
        .map(|(files, name)| format!("{} {name}", HumanCount(*files)))
        .collect();
    let extra = if extra.is_empty() { String::new() } else { format!(" ({})", extra.join(", ")) };
    let git = Tally::of(capture, &[Origin::Git]).bytes;
    let git = if git > 0 { format!(" and {} of git", DecimalBytes(git)) } else { String::new() };
    format!("carried {tree}{extra}{git}; sent {} to {remote}", DecimalBytes(sent_bytes))
}
