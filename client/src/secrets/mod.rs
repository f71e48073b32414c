//! Looks for credentials in what would leave this machine and was never committed.
//!
//! Scanned are untracked, included and modified files up to [`SCANNED_BYTES_MAX`]. What is
//! committed as it is, is not: it is in the history, which travels as a whole. Reads what was
//! captured, verified, so that nothing else is scanned than what is sent; tells where a secret is,
//! never the secret.

mod changed;
mod checks;
mod rules;
mod scanner;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use handoff_proto::chunk::ChunkRef;
use handoff_proto::manifest::{Entry, Kind};
use handoff_proto::path::TreePath;
use handoff_proto::tree::Origin;

use crate::capture::{Capture, ChangedSince, GitError};

pub use self::rules::VERSION;
pub use self::scanner::compile;

/// Larger files are data: scanning them costs more than reading them, and finds noise.
pub const SCANNED_BYTES_MAX: u64 = 1 << 20;

/// Up to here tracked files are scanned without asking git first which of them are committed as they
/// are: that makes git look at the whole working tree, and takes longer than scanning these.
const UNASKED_FILES_MAX: usize = 500;
const UNASKED_BYTES_MAX: u64 = 4 << 20;

/// How many findings an error names.
const NAMED_MAX: usize = 20;

/// A secret in a file, without the secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub path: TreePath,
    /// The line, from 1.
    pub line: usize,
    /// The name of the rule that the line matches.
    pub rule: &'static str,
    /// Where the format is documented.
    pub reference: &'static str,
}

/// What a scan saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The secrets, sorted by path and line.
    pub findings: Vec<Finding>,
    /// How many files were scanned.
    pub files: usize,
    /// Files that were not scanned because they are larger than [`SCANNED_BYTES_MAX`], by path.
    pub too_large: Vec<TreePath>,
}

/// When git is asked which tracked files are committed as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Before anything is scanned: for whoever tells what was.
    First,
    /// Where there are only a few, about those in which something was found.
    AboutFindings,
}

/// Secrets would leave this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct SecretsFound(pub Vec<Finding>);

/// The tree cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// git does not say what is committed.
    #[error("cannot tell what is committed")]
    Git(#[from] GitError),
    /// A file is no longer what was captured.
    #[error("cannot scan the tree for secrets")]
    Changed(#[from] ChangedSince),
}

impl SecretsFound {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        "take them out, leave the files here with `--exclude GLOB` or `.handoffignore`, mark lines \
         that hold none with `handoff:allow-secret`, or send them with `--allow-secrets`"
            .to_owned()
    }
}

fn describe(findings: &[Finding]) -> String {
    let named = findings.iter().take(NAMED_MAX);
    let mut places: Vec<String> =
        named.map(|found| format!("{}:{}: {}", found.path, found.line, found.rule)).collect();
    if let Some(more @ 1..) = findings.len().checked_sub(NAMED_MAX) {
        places.push(format!("and {more} more"));
    }
    let count = findings.len();
    let noun = if count == 1 { "line looks like a secret" } else { "lines look like secrets" };
    format!("{count} {noun} and would leave this machine: {}", places.join("; "))
}

/// Scans what was captured. `passed` says of a file's content that it need not be looked at again,
/// because it was scanned before or has left this machine already; such files are not read.
///
/// # Errors
///
/// Where git cannot be asked or a file has changed since it was captured.
pub fn scan(
    capture: &Capture,
    asking: Asking,
    passed: &(dyn Fn(&[ChunkRef]) -> bool + Sync),
) -> Result<Scan, ScanError> {
    let manifest = &capture.manifest;
    let files = manifest.entries.iter().zip(&capture.origins).enumerate();
    let open = files.filter(|(_, (entry, origin))| {
        let is_file = matches!(entry.kind, Kind::File { .. });
        is_file && **origin != Origin::Git && !passed(entry.chunks())
    });
    let open: Vec<_> = open.map(|(at, (entry, origin))| (at, entry, origin)).collect();
    let tracked = open.iter().filter(|(_, _, origin)| **origin == Origin::Tracked);
    let tracked: Vec<&Entry> = tracked.map(|(_, entry, _)| *entry).collect();
    let bytes: u64 = tracked.iter().map(|entry| entry.size().min(SCANNED_BYTES_MAX)).sum();
    let paths = tracked.iter().map(|entry| &entry.path);
    let few = tracked.len() <= UNASKED_FILES_MAX && bytes <= UNASKED_BYTES_MAX;
    let changed = if asking == Asking::AboutFindings && few {
        paths.cloned().collect()
    } else {
        changed::changed(manifest, &paths.collect::<Vec<_>>())?
    };
    let mut scan = Scan::default();
    let mut candidates = Vec::new();
    for (at, entry, origin) in open {
        if *origin == Origin::Tracked && !changed.contains(&entry.path) {
            continue;
        }
        if entry.size() > SCANNED_BYTES_MAX {
            scan.too_large.push(entry.path.clone());
        } else {
            candidates.push(at);
        }
    }
    scan.files = candidates.len();
    scan.findings = scan_all(capture, &candidates)?;
    let tracked = |found: &Finding| {
        let at = manifest.entries.binary_search_by(|entry| entry.path.cmp(&found.path));
        at.is_ok_and(|at| capture.origins[at] == Origin::Tracked)
    };
    // A file may only have been touched: that costs a scan, but nobody's patience.
    let suspects: HashSet<TreePath> = scan
        .findings
        .iter()
        .filter(|found| tracked(found))
        .map(|found| found.path.clone())
        .collect();
    let committed = changed::committed_after_all(manifest, suspects)?;
    scan.findings.retain(|found| !committed.contains(&found.path));
    Ok(scan)
}

fn scan_all(capture: &Capture, candidates: &[usize]) -> Result<Vec<Finding>, ChangedSince> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || -> Result<Vec<Finding>, ChangedSince> {
        let (mut findings, mut content) = (Vec::new(), Vec::new());
        while !failed.load(Ordering::Relaxed) {
            let Some(&at) = candidates.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            capture
                .read_whole(at, &mut content)
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            let path = &capture.manifest.entries[at].path;
            let found = scanner::scan(&content).into_iter();
            findings.extend(found.map(|hit| Finding {
                path: path.clone(),
                line: hit.line,
                rule: hit.rule,
                reference: hit.reference,
            }));
        }
        Ok(findings)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(candidates.len());
    let mut findings = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(findings) => all.extend(findings?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })?;
    findings.sort_unstable();
    Ok(findings)
}

#[cfg(test)]
mod tests;
