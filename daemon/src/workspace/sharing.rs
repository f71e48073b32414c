//! What of their trees runs on this machine can share, found out by letting one do it.

use std::fs;
use std::path::{Path, PathBuf};

use handoff_proto::wire;
use handoff_sandbox::{
    Access, Account, ExitStatus, Limits, Network, Overlay, Report, Spec, Stdio, spawn,
};

use super::View;
use super::directory::Bound;
use super::layout::Layout;
use super::originals;
use super::owner::Owner;
use super::trees::Tree;

/// The host uid of the trial run: nobody's.
const HOST_UID: u32 = 65_534;

/// What every run relies on: renaming a directory that is in a lower layer, writing a file of it,
/// and a hard link that stays one.
const TRIAL: &str = "mv below moved && echo more >> moved/file && ln moved/file link && \
                     echo again >> link && test \"$(wc -l < moved/file)\" = 3";

/// How runs get their trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// They share one, with their changes on top: a start costs what changed.
    Overlay,
    /// Each has files of its own, of which the larger ones share their blocks: a start costs as much
    /// as the tree has files, however large.
    Reflink {
        /// Why not the other.
        why: String,
    },
    /// Each gets a copy: a start costs as much as the tree holds.
    Copy {
        /// Why none of the others.
        why: String,
    },
}

impl Sharing {
    /// Tries one after the other in this daemon's state directory: a trial run whose tree is an
    /// overlay, then two files that share their blocks, one where originals are and one where runs
    /// are. Blocks.
    #[must_use]
    pub fn find(state: &Path) -> Self {
        let why = match overlay(state) {
            Ok(()) => return Self::Overlay,
            Err(error) => format!("no overlay: {error:#}"),
        };
        // One that is not there yet will be on the state directory's file system.
        let [originals, runs] = [originals::directory(state), Layout::of_runs(state)]
            .map(|directory| if directory.is_dir() { directory } else { state.to_owned() });
        match originals::attempt(&originals, &runs) {
            Ok(()) => Self::Reflink { why },
            Err(error) => Self::Copy { why: format!("{why}; no shared blocks: {error}") },
        }
    }

    /// The same as a line of the doctor's.
    #[must_use]
    pub fn report(&self) -> wire::IsolationLayer {
        let (state, detail) = match self {
            Self::Overlay => ("in-force", "overlay: a start costs what changed".to_owned()),
            Self::Reflink { why } => {
                ("partial", format!("reflink: a start costs as much as the tree has files; {why}"))
            }
            Self::Copy { why } => {
                ("partial", format!("copy: a start costs as much as the tree holds; {why}"))
            }
        };
        wire::IsolationLayer { name: "workspaces".to_owned(), state: state.to_owned(), detail }
    }
}

fn overlay(state: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(rustix::process::geteuid().is_root(), "the daemon is not root");
    let top = tempfile::Builder::new().prefix(".sharing-").tempdir_in(state)?;
    let place = top.path().canonicalize()?;
    let tried = run(&place);
    // The kernel's own directory in it has no permissions.
    Layout::new(place.join("run")).remove()?;
    tried
}

fn run(place: &Path) -> anyhow::Result<()> {
    let tree = place.join("tree");
    fs::create_dir_all(tree.join("below"))?;
    fs::write(tree.join("below/file"), "first\n")?;
    let layout = Layout::new(place.join("run"));
    // As runs have it where they share trees.
    layout.create(Bound::Quota)?;
    let lowers = vec![tree];
    let owner = std::num::NonZeroU32::new(HOST_UID).map_or(Owner::Daemon, Owner::Own);
    View::fresh(&layout, Tree { lowers: lowers.clone() }, owner)?;
    let overlay = Overlay {
        lowers,
        changes: layout.changes(),
        target: PathBuf::from("/trial"),
        access: Access::ReadWrite,
    };
    let mut running = spawn(&spec(overlay), Stdio::null()?)?;
    let ended = loop {
        match running.recv()? {
            Some(Report::Doors | Report::Ready { .. }) => {}
            Some(Report::Refused(refusal)) => break Err(anyhow::anyhow!("{refusal}")),
            Some(Report::Exited(ExitStatus::Code(0))) => break Ok(()),
            Some(Report::Exited(_)) | None => {
                break Err(anyhow::anyhow!("files in an overlay cannot be moved or linked here"));
            }
        }
    };
    running.cleanup()?;
    ended
}

fn spec(overlay: Overlay) -> Spec {
    Spec {
        name: format!("sharing-{}", std::process::id()),
        argv: ["sh", "-c", TRIAL].map(Into::into).to_vec(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: overlay.target.clone(),
        account: Account { uid: 1000, gid: 1000, user: "probe".into(), home: "/home/probe".into() },
        host_uid: Some(HOST_UID),
        hostname: "probe".into(),
        mounts: Vec::new(),
        overlays: vec![overlay],
        terminal: None,
        network: Network::None,
        limits: Limits { memory_bytes: 256 << 20, ..Limits::default() },
        umask: 0o022,
        require: Vec::new(),
    }
}
