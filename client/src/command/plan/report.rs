//! The plan as data.

use handoff_proto::path::{TreePath, escaped};
use handoff_proto::tree::{Dropped, LeftOutReason, Origin};
use handoff_proto::wire;
use serde::Serialize;

use super::remote::{Answer, Known, Verdict};
use super::session::Session;
use super::sizes::Sends;
use super::survey::Survey;
use super::xattrs::Attributes;
use crate::capture::Capture;
use crate::command::carry::Errand;
use crate::command::handoff::Tally;
use crate::secrets::Scan;

/// What a plan is made of.
pub(super) struct Parts<'a> {
    pub(super) survey: &'a Survey,
    pub(super) secrets: &'a Scan,
    pub(super) sends: Sends,
    pub(super) attributes: &'a Attributes,
}

/// What would leave this machine.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) root: String,
    pub(super) directory: String,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<String>,
    pub(super) snapshot: String,
    pub(super) entries: usize,
    pub(super) bytes: u64,
    pub(super) tracked: Group,
    pub(super) untracked: Group,
    pub(super) included: Group,
    pub(super) git: Group,
    pub(super) repositories: usize,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) dropped: Vec<DroppedAttribute>,
    pub(super) redacted: Vec<Redacted>,
    pub(super) refused: Vec<RefusedPath>,
    pub(super) secrets: Secrets,
    pub(super) sends: Sends,
    pub(super) lacking: Lacking,
    pub(super) command_on_remote: CommandOnRemote,
    pub(super) quota: Option<Quota>,
    /// What goes along of an agent; none for a plain command.
    pub(super) session: Option<Session>,
}

#[derive(Debug, Serialize)]
pub(super) struct Group {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    pub(super) path: String,
    pub(super) reason: &'static str,
    pub(super) directory: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct DroppedAttribute {
    pub(super) attribute: &'static str,
    pub(super) count: usize,
    pub(super) first: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Redacted {
    pub(super) path: String,
    pub(super) settings: Vec<String>,
}

/// What can be neither carried nor left out by itself.
#[derive(Debug, Serialize)]
pub(super) struct RefusedPath {
    pub(super) path: String,
    pub(super) reason: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Secrets {
    /// How many files were scanned.
    pub(super) scanned: usize,
    pub(super) found: Vec<Found>,
    /// Files that would be scanned if they were smaller.
    pub(super) too_large: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) rule: &'static str,
    pub(super) reference: &'static str,
}

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

/// Whether the remote would take the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum CommandOnRemote {
    Accepted,
    Refused { error: String, code: &'static str, hint: String },
    NotAsked,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Quota {
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    pub(super) files: u64,
    pub(super) files_max: u64,
    /// Whether there is room for what would be sent.
    pub(super) fits: bool,
}

impl Report {
    pub(super) fn new(
        errand: &Errand,
        contract: &wire::Contract,
        parts: &Parts<'_>,
        answer: Answer,
    ) -> Self {
        let Parts { survey, secrets, sends, attributes } = parts;
        let capture: &Capture = &survey.capture;
        let group = |origin| {
            let Tally { files, bytes } = Tally::of(capture, &[origin]);
            Group { files, bytes }
        };
        let groups = [Origin::Tracked, Origin::Untracked, Origin::Included, Origin::Git].map(group);
        let bytes = groups.iter().map(|group| group.bytes).sum();
        let [tracked, untracked, included, git] = groups;
        let session = errand.going().map(|going| Session::new(going, contract, capture, &answer));
        let (lacking, command_on_remote, quota) = of_answer(answer, *sends);
        Self {
            root: errand.root.to_string(),
            directory: errand.directory.to_string(),
            command: contract.command.iter().map(|word| escaped(word)).collect(),
            environment: contract.environment.iter().map(|one| escaped(&one.name)).collect(),
            snapshot: capture.id.to_string(),
            entries: capture.manifest.entries.len(),
            bytes,
            tracked,
            untracked,
            included,
            git,
            repositories: capture.manifest.repositories.len(),
            left_out: left_out(survey),
            dropped: dropped(&capture.dropped, attributes),
            redacted: capture
                .redacted
                .iter()
                .map(|(path, settings)| Redacted {
                    path: path.to_string(),
                    settings: settings.clone(),
                })
                .collect(),
            refused: survey
                .refused
                .iter()
                .map(|(path, reason)| RefusedPath { path: path.clone(), reason: reason.clone() })
                .collect(),
            secrets: secrets_of(secrets),
            sends: *sends,
            lacking,
            command_on_remote,
            quota,
            session,
        }
    }

    /// Whether a handoff would be refused.
    pub(super) fn is_refused(&self) -> bool {
        !self.refused.is_empty()
            || !self.secrets.found.is_empty()
            || matches!(self.command_on_remote, CommandOnRemote::Refused { .. })
            || self.quota.as_ref().is_some_and(|quota| !quota.fits)
    }
}

fn of_answer(answer: Answer, sends: Sends) -> (Lacking, CommandOnRemote, Option<Quota>) {
    let known = match answer {
        Answer::Known(known) => *known,
        Answer::Unknown { why } => {
            return (Lacking::Unknown { why }, CommandOnRemote::NotAsked, None);
        }
        Answer::NoRemote => return (Lacking::NoRemote, CommandOnRemote::NotAsked, None),
    };
    let Known { remote, command, usage, .. } = known;
    let command = match command {
        Verdict::Accepted => CommandOnRemote::Accepted,
        Verdict::Refused(problem) => CommandOnRemote::Refused {
            error: problem.message,
            code: problem.code.name(),
            hint: problem.hint,
        },
        Verdict::NotAsked => CommandOnRemote::NotAsked,
    };
    let (chunks, bytes) = (sends.chunks, sends.bytes);
    let quota = usage.map(|usage| Quota {
        bytes: usage.bytes,
        bytes_max: usage.bytes_max,
        files: usage.files,
        files_max: usage.files_max,
        fits: chunks == 0
            || (usage.bytes.saturating_add(bytes) <= usage.bytes_max
                && usage.files.saturating_add(chunks as u64) <= usage.files_max),
    });
    (Lacking::Known { remote, chunks, bytes }, command, quota)
}

fn left_out(survey: &Survey) -> Vec<LeftOut> {
    let left_out = survey.capture.left_out.iter();
    // What was left out only to go on is listed as refused.
    left_out
        .map(|left_out| LeftOut {
            path: left_out.path.to_string(),
            reason: reason(left_out.reason),
            directory: left_out.directory,
        })
        .filter(|left_out| !survey.refused.contains_key(&left_out.path))
        .collect()
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

fn secrets_of(scan: &Scan) -> Secrets {
    let found = scan.findings.iter().map(|finding| Found {
        path: finding.path.to_string(),
        line: finding.line,
        rule: finding.rule,
        reference: finding.reference,
    });
    Secrets {
        scanned: scan.files,
        found: found.collect(),
        too_large: scan.too_large.iter().map(ToString::to_string).collect(),
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
