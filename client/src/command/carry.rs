//! What `handoff COMMAND` and `handoff plan` have in common: find the tree, capture it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use handoff_proto::chunk::{ChunkIdSet, ChunkRef};
use handoff_proto::manifest::changed_chunks;
use handoff_proto::path::AbsolutePath;
use handoff_proto::wire;
use tokio::sync::Notify;

use crate::agents::lease::Claim;
use crate::agents::{Going, Kind, Task};
use crate::capture::account::home;
use crate::capture::git::Git;
use crate::capture::repacked::PackMemory;
use crate::capture::user_git::{UserGit, user_git};
use crate::capture::{self, Capture, Options, Reading};
use crate::context::Context;
use crate::contract::{ContractFile, Flags, TimeLimit, compose};
use crate::output::Output;
use crate::secrets::{self, Asking, Scan, SecretsFound};
use crate::settings::Places;
use crate::transfer::Known;

/// What is carried besides and instead of the usual.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CarryArgs {
    /// Carry ignored files that match this glob; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave files that match this glob here; can be repeated
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Pass this environment variable on; can be repeated
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// Let the run reach this host, too; can be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<String>,
}

/// A tree that is about to be captured, and what its owner wants of the run.
#[derive(Clone, Debug)]
pub struct Errand {
    /// The root of the tree.
    pub root: AbsolutePath,
    /// Where the command starts.
    pub directory: AbsolutePath,
    /// Globs of ignored things to carry nevertheless.
    pub include: Vec<String>,
    /// Globs of things not to carry.
    pub exclude: Vec<String>,
    env: Vec<OsString>,
    hosts: Vec<String>,
    file: ContractFile,
    git: UserGit,
    stat_cache: PathBuf,
    /// The agent's session that goes on with the tree.
    going: Option<Going>,
}

impl Errand {
    /// Finds the tree of this directory and reads its contract.
    ///
    /// # Errors
    ///
    /// Where the directory, the contract or git's settings cannot be used.
    pub fn new(context: &Context, args: CarryArgs) -> anyhow::Result<Self> {
        let directory = context.directory()?;
        let root = context.root()?;
        let file = ContractFile::load(root.as_os_path())?;
        let git =
            user_git(&Git::new(directory.as_os_path())).context("cannot read git's settings")?;
        Ok(Self {
            include: file.carry.include.iter().cloned().chain(args.include).collect(),
            exclude: file.carry.exclude.iter().cloned().chain(args.exclude).collect(),
            env: args.env,
            hosts: args.allow_host,
            root,
            directory,
            file,
            git,
            stat_cache: context.settings.places.stat_caches(),
            going: None,
        })
    }

    /// Takes a session of an agent along: that of this id, else the newest of this directory, else a
    /// new one.
    ///
    /// # Errors
    ///
    /// Where there is no such session, or the agent's files cannot be read.
    pub fn take_along(
        &mut self,
        kind: Kind,
        session: Option<&str>,
        forks: bool,
    ) -> anyhow::Result<&Going> {
        let agent = kind.directory(&home()?)?;
        let going = Going::choose(kind, &agent, &self.directory, session, forks)?;
        Ok(self.going.insert(going))
    }

    /// Makes the session that goes along this handoff's alone, until what this returns is dropped.
    ///
    /// # Errors
    ///
    /// Where somebody else has it, or that cannot be told.
    pub async fn claim(&mut self, places: &Places) -> anyhow::Result<Option<Claim>> {
        let Some(going) = self.going.clone() else { return Ok(None) };
        let (kind, id, places) = (going.kind, going.id.clone(), places.clone());
        let claimed = tokio::task::spawn_blocking(move || going.claim(&places)).await;
        let claim = claimed.context("the claim of the session was interrupted")??;
        if claim.as_ref().is_some_and(|claim| claim.had_to_wait) {
            self.take_along(kind, Some(&id), false)?;
        }
        Ok(claim)
    }

    /// The agent's session that goes on with the tree.
    #[must_use]
    pub fn going(&self) -> Option<&Going> {
        self.going.as_ref()
    }

    /// The contract of a run of this command.
    ///
    /// # Errors
    ///
    /// Where something that was asked for cannot be had.
    pub fn contract(
        &self,
        command: Vec<OsString>,
        time_limit: Option<TimeLimit>,
        task: Option<&Task>,
    ) -> anyhow::Result<wire::Contract> {
        let (env, hosts) = (self.env.clone(), self.hosts.clone());
        let flags = Flags { command, time_limit, env, hosts };
        let contract = compose(&self.root, &self.directory, &self.file, &flags, self.git.clone())?;
        // What travels there by a glob travels back by it.
        let (carry_include, carry_exclude) = (bytes(&self.include), bytes(&self.exclude));
        let contract = wire::Contract { carry_include, carry_exclude, ..contract };
        let Some((task, going)) = task.zip(self.going.as_ref()) else { return Ok(contract) };
        Ok(wire::Contract {
            agent: going.kind.name().to_owned(),
            session_id: going.id.clone(),
            agent_terms: Some(going.terms(task)),
            ..contract
        })
    }

    /// What a remote has of the repositories in the tree.
    #[must_use]
    pub fn packs(&self, context: &Context, remote: &str) -> PackMemory {
        PackMemory::new(&context.settings.places.packs(remote), &self.root)
    }

    /// Has the next capture read everything again.
    pub fn distrust_times(&self) {
        capture::forget(&self.stat_cache, &self.root);
    }

    /// Captures the tree, without packs that this remote needs no more.
    ///
    /// # Errors
    ///
    /// Where it cannot be captured as it is.
    pub async fn capture(
        &self,
        output: &Output,
        packs: Option<PackMemory>,
    ) -> anyhow::Result<Arc<Capture>> {
        self.captured(output, packs, &[], || {}).await
    }

    /// The same; tells when all processors but one have little to do.
    ///
    /// # Errors
    ///
    /// Where it cannot be captured as it is.
    pub async fn capture_telling(
        &self,
        output: &Output,
        packs: Option<PackMemory>,
        listed: Arc<Notify>,
    ) -> anyhow::Result<Arc<Capture>> {
        self.captured(output, packs, &[], move || listed.notify_one()).await
    }

    /// Captures the tree as if these globs were excluded, too.
    ///
    /// # Errors
    ///
    /// Where it cannot be captured as it is.
    pub async fn capture_without(
        &self,
        output: &Output,
        packs: Option<PackMemory>,
        exclude: &[Vec<u8>],
    ) -> anyhow::Result<Arc<Capture>> {
        self.captured(output, packs, exclude, || {}).await
    }

    async fn captured(
        &self,
        output: &Output,
        packs: Option<PackMemory>,
        exclude: &[Vec<u8>],
        on_listed: impl Fn() + Send + Sync + 'static,
    ) -> anyhow::Result<Arc<Capture>> {
        let options = Options {
            root: self.root.clone(),
            include: bytes(&self.include),
            exclude: [bytes(&self.exclude), exclude.to_vec()].concat(),
            excludes_file: self.git.excludes.clone(),
            ignore_case: self.git.ignore_case,
            stat_cache: Some(self.stat_cache.clone()),
            packs,
            agent: self.going.as_ref().map(|going| Arc::clone(&going.export)),
        };
        let progress = output.progress("reading", 0);
        let captured = tokio::task::spawn_blocking(move || {
            capture::capture(&options, &|reading| match reading {
                Reading::Listed => on_listed(),
                Reading::Begins(bytes) => progress.restart(bytes),
                Reading::Read(bytes) => progress.add(bytes),
            })
        });
        Ok(Arc::new(captured.await.context("the capture was interrupted")??))
    }
}

/// Whether files that look as if they held secrets may leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// `--allow-secrets`.
    Allowed,
    /// Unless allowed.
    Refused,
}

/// Stops before anything is sent if what was captured seems to hold secrets.
///
/// # Errors
///
/// [`SecretsFound`] names them; else where the tree cannot be scanned.
pub async fn refuse_secrets(
    capture: &Arc<Capture>,
    secrets: Secrets,
    known: Option<&Known>,
) -> anyhow::Result<()> {
    if secrets == Secrets::Allowed {
        return Ok(());
    }
    // What has left this machine before is not looked at again.
    let new = known.and_then(|known| changed_chunks(&known.encoded, &capture.encoded).ok());
    let new: Option<ChunkIdSet> = new.map(|chunks| chunks.iter().map(|chunk| chunk.id).collect());
    let passed = move |chunks: &[ChunkRef]| {
        new.as_ref().is_some_and(|new| chunks.iter().all(|chunk| !new.contains(&chunk.id)))
    };
    let findings = scan_but(capture, Asking::AboutFindings, passed).await?.findings;
    if findings.is_empty() { Ok(()) } else { Err(SecretsFound(findings).into()) }
}

/// Scans what was captured for secrets.
///
/// # Errors
///
/// Where that is not possible.
pub async fn scan(capture: &Arc<Capture>) -> anyhow::Result<Scan> {
    scan_but(capture, Asking::First, |_| false).await
}

async fn scan_but(
    capture: &Arc<Capture>,
    asking: Asking,
    passed: impl Fn(&[ChunkRef]) -> bool + Send + Sync + 'static,
) -> anyhow::Result<Scan> {
    let capture = Arc::clone(capture);
    let scanned = tokio::task::spawn_blocking(move || secrets::scan(&capture, asking, &passed));
    Ok(scanned.await.context("the scan for secrets was interrupted")??)
}

fn bytes(globs: &[String]) -> Vec<Vec<u8>> {
    globs.iter().map(|glob| glob.clone().into_bytes()).collect()
}
