//! `handoff pull`: brings a run's results back.

mod consent;
mod conversation;
pub(super) mod ending;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::chunk::ChunkId;
use handoff_proto::manifest::{Entry, SnapshotManifest};
use handoff_proto::path::AbsolutePath;

use crate::capture::{self, capture, git::Git, user_git::user_git};
use crate::cli::NotBuilt;
use crate::context::Context;
use crate::contract::ContractFile;
use crate::exit::Exit;
use crate::output::Format;
use crate::pull::apply::{ApplyError, put_in_place};
use crate::pull::chunks::Chunks;
use crate::pull::elsewhere::{ElsewhereError, Manifests, beside, is_free, put_elsewhere};
use crate::pull::journal::{Journal, Phase, Place};
use crate::pull::pairs::outside_git;
use crate::pull::plan::{Decision, Plan, check_result, decide, tree_changes};
use crate::pull::prepare::Source;
use crate::pull::report::{Report, plan_lines, tree_lines};
use crate::pull::returned::{Returned, returned};
use crate::pull::review::review;
use crate::pull::root::Root;
use crate::pull::survey::Survey;
use crate::pull::undo::recover;
use crate::pull::{fetch, local, repository};
use crate::remote::Remote;
use crate::runs::{Ledger, Selected, select};
use crate::settings::create_private_directory;

use self::ending::Ending;

/// The arguments of `handoff pull`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: id, unique prefix or name; left out, the newest run of this directory
    pub run: Option<String>,
    /// Where results go: in-place, worktree, or a directory
    #[arg(long, value_name = "in-place|worktree|DIR")]
    pub into: Option<OsString>,
    /// Merge three-way where both sides changed, marking conflicts
    #[arg(long)]
    pub merge: bool,
    /// Go on with the conversation in the agent's own user interface at once
    #[arg(long)]
    pub resume: bool,
    /// Accept changes that run code on this machine
    #[arg(long)]
    pub yes: bool,
}

/// Where the user wants the result.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    /// In place if nothing changed here, else beside the tree.
    Fitting,
    InPlace,
    Beside,
    Directory(PathBuf),
}

/// Brings the results back.
///
/// # Errors
///
/// Whatever kept them from being brought back; nothing has changed then.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    if args.merge {
        return Err(NotBuilt::flag("--merge").into());
    }
    ending::of(pull(args, context).await, context)
}

async fn pull(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let destination = Destination::parse(args.into.as_ref(), context)?;
    let Selected { remote, selector } = select(context, args.run.as_deref()).await?;
    let run =
        remote.runs().show(selector).await.map_err(|status| remote.error(status))?.into_inner();
    let ledger = Ledger::new(&context.settings.places);
    let returned = returned(&remote, run, &ledger).await?;
    // The remote alone must not choose which directory of this machine is written to.
    if returned.handed_off_at.is_none() && returned.base.root != context.root()? {
        return Err(Ending::NotFromHere(returned.base.root).into());
    }
    let pull = Pull::open(context, remote, returned, args.yes)?;
    let report = pull.to(destination).await?;
    let directory = pull.directory();
    let Pull { remote, returned, .. } = &pull;
    let brought = conversation::bring_back(context, remote, returned, &directory, &report).await;
    let (conversation, failed) = match brought {
        Ok(conversation) => (conversation, None),
        Err(error) => (None, Some(error)),
    };
    let report = Report { conversation, ..report };
    match context.output.format() {
        Format::Json => context.output.json(&report)?,
        Format::Text => report.lines().iter().for_each(|line| context.output.note(line)),
    }
    if let Some(error) = failed {
        return Err(error);
    }
    conversation::release(context, &pull.returned)?;
    match report.conversation {
        Some(conversation) if args.resume && !conversation.resume.is_empty() => {
            // The next pull of this tree need not wait until the agent is left.
            drop(pull);
            conversation::resume(&conversation, directory.as_os_path())
        }
        Some(_) | None if args.resume => Err(Ending::NoConversation(report.name).into()),
        Some(_) | None => Ok(Exit::Done),
    }
}

impl Destination {
    fn parse(into: Option<&OsString>, context: &Context) -> anyhow::Result<Self> {
        Ok(match into {
            None => Self::Fitting,
            Some(word) if word == "in-place" => Self::InPlace,
            Some(word) if word == "worktree" => Self::Beside,
            Some(path) => Self::Directory(context.directory()?.as_os_path().join(path)),
        })
    }
}

/// A pull that is under way; it keeps every other one of the tree out.
struct Pull<'a> {
    context: &'a Context,
    remote: Remote,
    returned: Returned,
    consent: bool,
    source: Source,
    root: Root,
    journal: Journal,
}

impl<'a> Pull<'a> {
    /// Opens the tree that was handed off, and first cleans up after a pull that was cut off.
    fn open(
        context: &'a Context,
        remote: Remote,
        returned: Returned,
        consent: bool,
    ) -> anyhow::Result<Self> {
        let path = &returned.base.root;
        if !path.as_os_path().is_dir() {
            return Err(Ending::NoTree(path.clone()).into());
        }
        let root = Root::open(path)?;
        let journal =
            Journal::open(&context.settings.places.state, path).map_err(ApplyError::from)?;
        if recover(&root, &journal)? {
            context.output.note("an earlier pull was cut off; what it had begun was put back");
        }
        let source = Source {
            run: returned.run.id.clone(),
            name: returned.run.name.clone(),
            result: returned.result_id.to_string(),
        };
        Ok(Self { context, remote, returned, consent, source, root, journal })
    }

    /// Where the command started.
    fn directory(&self) -> AbsolutePath {
        let contract = self.returned.run.contract.as_ref();
        let directory = contract.and_then(|contract| AbsolutePath::parse(&contract.directory).ok());
        let directory =
            directory.filter(|directory| directory.starts_with(&self.returned.base.root));
        directory.unwrap_or_else(|| self.returned.base.root.clone())
    }

    async fn to(&self, destination: Destination) -> anyhow::Result<Report> {
        if let Some(report) = self.pulled_before(&destination)? {
            return Ok(report);
        }
        let Returned { base, result, .. } = &self.returned;
        check_result(base, result)?;
        let local = self.capture().await?;
        let decision = {
            let survey = self.survey(&local)?;
            decide(base, &local, result, &self.source.name, &survey)
        };
        let beside = || beside(self.root.path(), &self.source.name);
        match (destination, decision) {
            (Destination::Directory(path), _) => self.elsewhere(&path, &local, Vec::new()).await,
            (Destination::Beside, _) => self.elsewhere(&beside(), &local, Vec::new()).await,
            (_, Err(error)) => Err(error.into()),
            (_, Ok(Decision::UpToDate)) => Ok(self.up_to_date(self.root.path())),
            (_, Ok(Decision::InPlace(plan))) => self.in_place(&plan, &local).await,
            (Destination::InPlace, Ok(Decision::Diverged(reasons))) => {
                Err(Ending::Diverged(reasons).into())
            }
            (Destination::Fitting, Ok(Decision::Diverged(reasons))) => {
                let because = reasons.iter().map(ToString::to_string).collect();
                self.elsewhere(&beside(), &local, because).await
            }
        }
    }

    /// Whether this very result is what was pulled last, and is still where it was put.
    fn pulled_before(&self, destination: &Destination) -> anyhow::Result<Option<Report>> {
        let last = self.journal.last().map_err(ApplyError::from)?;
        let Some((_, record)) = last.filter(|(_, record)| {
            record.phase == Phase::Done && record.result == self.source.result
        }) else {
            return Ok(None);
        };
        let at = match &record.place {
            Place::InPlace => self.root.path().to_owned(),
            Place::Elsewhere { path, .. } => PathBuf::from(OsStr::from_bytes(&path.0)),
        };
        let wanted = match destination {
            Destination::Fitting => true,
            Destination::InPlace => at == self.root.path(),
            Destination::Beside => at == beside(self.root.path(), &self.source.name),
            Destination::Directory(path) => at == *path,
        };
        Ok((wanted && at.exists()).then(|| self.up_to_date(&at)))
    }

    async fn in_place(&self, plan: &Plan, local: &SnapshotManifest) -> anyhow::Result<Report> {
        let findings = review(&self.returned.base, &self.returned.result);
        let report = self.report().in_place(plan, self.root.path()).with_review(&findings);
        self.tell("this changes", &plan_lines(plan));
        consent::ask(&findings, self.consent, &self.context.output)?;
        let chunks = self.fetch(plan.wanted(), local).await?;
        // Not to be interrupted: there is no waiting in it, and Ctrl-C comes through afterwards.
        tokio::task::block_in_place(|| {
            put_in_place(&self.root, plan, local, &chunks, &self.source, &self.journal, &mut |_| {})
        })?;
        Ok(report)
    }

    async fn elsewhere(
        &self,
        destination: &Path,
        local: &SnapshotManifest,
        because: Vec<String>,
    ) -> anyhow::Result<Report> {
        let Returned { base, result, .. } = &self.returned;
        if !is_free(destination)? {
            return Err(ElsewhereError::Exists(destination.to_owned()).into());
        }
        let shown: Vec<String> = because.iter().take(5).map(|why| format!("  {why}")).collect();
        self.tell("the result goes into a directory of its own, since", &shown);
        let findings = review(base, result);
        let changes = tree_changes(base, result);
        self.tell("the run changed", &tree_lines(&changes));
        consent::ask(&findings, self.consent, &self.context.output)?;
        let wanted = result.tree_chunks().map(|chunk| (chunk.id, chunk.size)).collect();
        let chunks = self.fetch(wanted, local).await?;
        let placed = tokio::task::block_in_place(|| {
            let manifests = Manifests { base, local, result };
            put_elsewhere(&self.root, destination, manifests, &chunks, &self.source, &self.journal)
        })?;
        let report = Report { because, ..self.report() };
        Ok(report.elsewhere(&placed, &changes).with_review(&findings))
    }

    fn report(&self) -> Report {
        Report { run: self.source.run.clone(), name: self.source.name.clone(), ..Report::default() }
    }

    fn up_to_date(&self, path: &Path) -> Report {
        let is_in_tree = path == self.root.path();
        Report { path: path.to_string_lossy().into_owned(), is_in_tree, ..self.report() }
    }

    fn tell(&self, heading: &str, lines: &[String]) {
        if !lines.is_empty() && self.context.output.format() == Format::Text {
            self.context.output.note(format_args!("{heading}:"));
            lines.iter().for_each(|line| self.context.output.note(line));
        }
    }

    /// The tree as it is now.
    async fn capture(&self) -> anyhow::Result<SnapshotManifest> {
        let root = self.returned.base.root.clone();
        let handed_off_at = self.returned.handed_off_at;
        let options = capture_options(root, self.context)?;
        let captured =
            tokio::task::spawn_blocking(move || capture(&options, &|_| {})).await??.manifest;
        let root = self.root.handle().as_fd();
        Ok(local::comparable(root, &self.returned.base, captured, handed_off_at)?)
    }

    /// What lies around the captured tree.
    fn survey<'b>(&'b self, local: &'b SnapshotManifest) -> anyhow::Result<Survey<'b>> {
        let mut checked_out = BTreeMap::new();
        for found in &local.repositories {
            if let Some(git) = repository::open(self.root.path(), found.path.as_ref())? {
                checked_out.insert(found.path.clone(), git.checked_out_elsewhere()?);
            }
        }
        Ok(Survey::new(self.root.handle(), local, checked_out))
    }

    /// Gathers contents: what the local tree has need not travel.
    async fn fetch(
        &self,
        wanted: HashMap<ChunkId, u32>,
        local: &SnapshotManifest,
    ) -> anyhow::Result<Chunks> {
        let directory = &self.context.settings.places.state;
        create_private_directory(directory)?;
        let mut chunks = Chunks::new(directory)?;
        let here: Vec<&Entry> = outside_git(&local.entries).collect();
        chunks.add_local(self.root.handle(), here, &wanted)?;
        let lacking = wanted.iter().filter(|(id, _)| !chunks.has(id));
        let bytes = lacking.map(|(_, size)| u64::from(*size)).sum();
        let progress = self.context.output.progress("fetching", bytes);
        let on_bytes = move |arrived| progress.set(arrived);
        Ok(fetch::contents(&self.remote, &self.source.run, &wanted, chunks, on_bytes).await?)
    }
}

/// How the tree is captured, as far as that is known at this time.
fn capture_options(root: AbsolutePath, context: &Context) -> anyhow::Result<capture::Options> {
    let file = ContractFile::load(root.as_os_path())?;
    let git = user_git(&Git::new(root.as_os_path()))?;
    let globs = |globs: Vec<String>| globs.into_iter().map(String::into_bytes).collect();
    Ok(capture::Options {
        include: globs(file.carry.include),
        exclude: globs(file.carry.exclude),
        excludes_file: git.excludes,
        ignore_case: git.ignore_case,
        stat_cache: Some(context.settings.places.stat_caches()),
        ..capture::Options::new(root)
    })
}
