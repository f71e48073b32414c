//! The plan, for humans and for programs.

use std::fmt;

use handoff_proto::path::{TreePath, escaped};
use handoff_proto::tree::{Dropped, LeftOutReason, Origin};
use handoff_proto::wire;
use indicatif::DecimalBytes;
use serde::Serialize;

use super::super::carry::Errand;
use super::super::handoff::Tally;
use super::xattrs::Attributes;
use crate::capture::Capture;

/// How many paths of a kind a human is shown.
const SHOWN_MAX: usize = 20;

/// What the remote lacks of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Lacking {
    /// It was asked.
    Known { remote: String, chunks: usize, bytes: u64 },
    /// It could not be asked.
    Unknown { why: String },
    /// There is none yet.
    NoRemote,
}

/// What would leave this machine.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    root: String,
    directory: String,
    command: Vec<String>,
    environment: Vec<String>,
    snapshot: String,
    entries: usize,
    bytes: u64,
    tracked: Group,
    untracked: Group,
    included: Group,
    git: Group,
    repositories: usize,
    left_out: Vec<LeftOut>,
    dropped: Vec<DroppedAttribute>,
    redacted: Vec<Redacted>,
    lacking: Lacking,
}

#[derive(Debug, Serialize)]
struct Group {
    files: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    path: String,
    reason: &'static str,
    directory: bool,
}

#[derive(Debug, Serialize)]
struct DroppedAttribute {
    attribute: &'static str,
    count: usize,
    first: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Redacted {
    path: String,
    settings: Vec<String>,
}

impl Report {
    pub(super) fn new(
        errand: &Errand,
        contract: &wire::Contract,
        capture: &Capture,
        lacking: Lacking,
        attributes: Attributes,
    ) -> Self {
        let group = |origin| {
            let Tally { files, bytes } = Tally::of(capture, &[origin]);
            Group { files, bytes }
        };
        let groups = [Origin::Tracked, Origin::Untracked, Origin::Included, Origin::Git].map(group);
        let bytes = groups.iter().map(|group| group.bytes).sum();
        let [tracked, untracked, included, git] = groups;
        let left_out = capture.left_out.iter().map(|left_out| LeftOut {
            path: left_out.path.to_string(),
            reason: reason(left_out.reason),
            directory: left_out.directory,
        });
        let redacted = capture.redacted.iter().map(|(path, settings)| Redacted {
            path: path.to_string(),
            settings: settings.clone(),
        });
        Self {
            root: errand.root.to_string(),
            directory: errand.directory.to_string(),
            command: contract.command.iter().map(|word| escaped(word)).collect(),
            environment: contract
                .environment
                .iter()
                .map(|variable| escaped(&variable.name))
                .collect(),
            snapshot: capture.id.to_string(),
            entries: capture.manifest.entries.len(),
            bytes,
            tracked,
            untracked,
            included,
            git,
            repositories: capture.manifest.repositories.len(),
            left_out: left_out.collect(),
            dropped: dropped(&capture.dropped, &attributes),
            redacted: redacted.collect(),
            lacking,
        }
    }
}

fn reason(reason: LeftOutReason) -> &'static str {
    match reason {
        LeftOutReason::Ignored => "ignored",
        LeftOutReason::HandoffIgnored => "handoffignore",
        LeftOutReason::Excluded => "excluded",
        LeftOutReason::GitTransient => "git at work",
        LeftOutReason::GitSocket => "socket of git",
        LeftOutReason::GitSpelling => "another spelling of .git",
    }
}

fn dropped(dropped: &Dropped, attributes: &Attributes) -> Vec<DroppedAttribute> {
    let Dropped { special_bits, hard_links } = dropped;
    let kinds = [
        ("setuid, setgid and sticky bits", special_bits.count, &special_bits.first),
        ("hard links: each name becomes a file of its own", hard_links.count, &hard_links.first),
        ("extended attributes", attributes.count, &attributes.first),
    ];
    let lost = kinds.into_iter().filter(|(_, count, _)| *count > 0);
    lost.map(|(attribute, count, first)| DroppedAttribute {
        attribute,
        count,
        first: first.iter().map(TreePath::to_string).collect(),
    })
    .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.root)?;
        for (name, group) in [
            ("tracked", &self.tracked),
            ("untracked", &self.untracked),
            ("included", &self.included),
            ("git directories", &self.git),
        ] {
            if group.files > 0 {
                let tally = Tally { files: group.files, bytes: group.bytes };
                writeln!(f, "  carries {tally:>24}  {name}")?;
            }
        }
        self.write_left_out(f)?;
        for DroppedAttribute { attribute, count, first } in &self.dropped {
            writeln!(f, "  drops   {attribute} ({count})")?;
            write_paths(f, first.iter().map(String::as_str), *count)?;
        }
        for Redacted { path, settings } in &self.redacted {
            writeln!(f, "  removes credentials from {path}: {}", settings.join(", "))?;
        }
        writeln!(f, "  passes on the environment variables {}", self.environment.join(" "))?;
        writeln!(
            f,
            "  scans nothing for secrets: look for them in what is listed as untracked and included, and in the history"
        )?;
        match &self.lacking {
            Lacking::Known { remote, bytes, .. } => {
                writeln!(
                    f,
                    "{remote} lacks {} of {}",
                    DecimalBytes(*bytes),
                    DecimalBytes(self.bytes)
                )
            }
            Lacking::Unknown { why } => writeln!(f, "cannot tell what the remote lacks: {why}"),
            Lacking::NoRemote => {
                writeln!(
                    f,
                    "no remote is paired: all of {} would be sent",
                    DecimalBytes(self.bytes)
                )
            }
        }
    }
}

impl Report {
    fn write_left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<&str> = self.left_out.iter().map(|left_out| left_out.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let of_reason = || self.left_out.iter().filter(|left_out| left_out.reason == reason);
            let count = of_reason().count();
            writeln!(f, "  leaves  {count} here: {reason}")?;
            write_paths(f, of_reason().map(|left_out| left_out.path.as_str()), count)?;
        }
        Ok(())
    }
}

fn write_paths<'a>(
    f: &mut fmt::Formatter<'_>,
    paths: impl Iterator<Item = &'a str>,
    count: usize,
) -> fmt::Result {
    for path in paths.take(SHOWN_MAX) {
        writeln!(f, "            {path}")?;
    }
    match count.saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(f, "            and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let group = |files, bytes| Group { files, bytes };
        Report {
            root: "/home/a/tree".to_owned(),
            directory: "/home/a/tree/sub".to_owned(),
            command: vec!["make".to_owned(), "test".to_owned()],
            environment: vec!["LANG".to_owned(), "TERM".to_owned()],
            snapshot: "ab".repeat(32),
            entries: 1310,
            bytes: 23_500_007,
            tracked: group(1200, 3_000_000),
            untracked: group(1, 7),
            included: group(0, 0),
            git: group(90, 20_500_000),
            repositories: 1,
            left_out: vec![
                LeftOut { path: "target".to_owned(), reason: "ignored", directory: true },
                LeftOut { path: "film.mp4".to_owned(), reason: "excluded", directory: false },
            ],
            dropped: vec![DroppedAttribute {
                attribute: "extended attributes",
                count: 1,
                first: vec!["a.txt".to_owned()],
            }],
            redacted: vec![Redacted {
                path: ".git/config".to_owned(),
                settings: vec!["remote.origin.url".to_owned()],
            }],
            lacking: Lacking::Known { remote: "box".to_owned(), chunks: 3, bytes: 70_000 },
        }
    }

    #[test]
    fn a_plan_is_what_programs_rely_on() {
        let object = serde_json::to_string_pretty(&report()).unwrap();
        assert_eq!(object, include_str!("../../../tests/golden/plan.json").trim_end());
    }

    #[test]
    fn a_plan_can_be_read() {
        let expected = "\
/home/a/tree
  carries     1,200 files, 3.00 MB  tracked
  carries              1 file, 7 B  untracked
  carries       90 files, 20.50 MB  git directories
  leaves  1 here: excluded
            film.mp4
  leaves  1 here: ignored
            target
  drops   extended attributes (1)
            a.txt
  removes credentials from .git/config: remote.origin.url
  passes on the environment variables LANG TERM
  scans nothing for secrets: look for them in what is listed as untracked and included, and in the history
box lacks 70.00 kB of 23.50 MB
";
        assert_eq!(report().to_string(), expected);
    }
}
