//! From an ended command to a recorded result: a second job in a fresh jail, then its intake.
//!
//! The harvest reads and changes nothing, so it may be done again after any crash.

use std::{
    io::{self, BufReader, Read},
    path::Path,
    sync::Arc,
};

use handoff_proto::{
    manifest::SESSION_NAME_MAX,
    path::AbsolutePath,
    run::{Event, HarvestRecord, Run},
};
use tokio::runtime::Handle;

use super::{DriveError, Driver};
use crate::{
    harvest::{self, ExpectedSession, HarvestOutcome, IngestLimits},
    supervisor::{
        self, AttachError, Attached, Ended, Job, JobEvent, JobExit, KILL_GRACE_MS, Reads, Remains,
        StartError, Step,
        output::{Position, Reader, Stream},
    },
    workspace::{self, JobKind, Owner, PolicyError, PolicyInput, Terms, View, WorkspaceError},
};

/// How often a harvest whose supervisor vanished is tried: once more than can be bad luck.
const ATTEMPTS_MAX: u32 = 2;

/// How many lines about what a result lacks are kept, and how long: a record has to stay small.
const NOTES_MAX: usize = 50;
const NOTE_CHARS_MAX: usize = 500;

/// Why there is no result.
type Failure = String;

impl Driver {
    pub(super) async fn harvest(&mut self) -> Result<(), DriveError> {
        // What is taken in is there until it is recorded.
        let _storing = self.shared.storing().await;
        let record = match self.harvested().await? {
            Ok(record) => record,
            Err(failure) => {
                tracing::warn!(run = %self.run().id, failure, "no result");
                HarvestRecord {
                    result: None,
                    branch: String::new(),
                    files_added: 0,
                    files_modified: 0,
                    files_removed: 0,
                    failure,
                    notes: Vec::new(),
                }
            }
        };
        self.journal.record(Event::ResultRecorded(record)).await?;
        // Needed by nobody from here on; what stays after a crash goes with the run.
        let base = self.layout.base();
        let remove = move || drop(workspace::remove(base.directory()));
        drop(self.shared.tracker.spawn_blocking(remove).await);
        Ok(())
    }

    /// Runs the harvest job, or joins that of an earlier daemon, and takes in what it brought.
    async fn harvested(&self) -> Result<Result<HarvestRecord, Failure>, DriveError> {
        let job = self.job(JobKind::Harvest);
        for _ in 0..ATTEMPTS_MAX {
            let exit = match supervisor::attach(&job).await {
                Ok(attached) => last_word(attached).await?,
                Err(AttachError::NotRunning(Remains::Exited(exit))) => Some(*exit),
                Err(AttachError::NotRunning(Remains::Vanished)) => None,
                Err(AttachError::NotRunning(Remains::NeverSpawned)) => {
                    let view = self.prepare_harvest().await?;
                    if let Err(failure) = self.start_harvest(&job, view).await? {
                        return Ok(Err(failure));
                    }
                    last_word(supervisor::attach(&job).await?).await?
                }
                Err(error) => return Err(error.into()),
            };
            match exit.map(|exit| exit.ended) {
                Some(Ended::Code { code: 0 }) => return self.take_in(&job).await,
                Some(ended) => {
                    let said = read_notes(&job).await.unwrap_or_default().join("; ");
                    return Ok(Err(format!("harvest ended with {ended}: {said}")));
                }
                None => supervisor::discard(&job).await?,
            }
        }
        Ok(Err("harvest vanished twice: the machine went down or it was killed".to_owned()))
    }

    /// Writes what the harvest compares with. Where that fails, for want of room perhaps, nothing is
    /// recorded: what the run made is still there, and is harvested after a restart.
    async fn prepare_harvest(&self) -> Result<View, DriveError> {
        let (shared, run) = (Arc::clone(&self.shared), self.run().clone());
        let (layout, user) = (self.layout.clone(), self.user()?);
        let prepared = self.shared.tracker.spawn_blocking(move || {
            let view = shared.view(&run, &user, &layout)?;
            let blobs = &*shared.store.blobs;
            let snapshot = shared.snapshots.read(blobs, &user, run.snapshot)?;
            workspace::write_base(blobs, &user, &snapshot, &layout)?;
            Ok::<_, WorkspaceError>(view)
        });
        Ok(prepared.await.map_err(|_panicked| DriveError::Stopping)??)
    }

    /// Starts the harvest. Where nobody can be asked to, nothing is recorded, as above.
    async fn start_harvest(
        &self,
        job: &Path,
        view: View,
    ) -> Result<Result<(), Failure>, DriveError> {
        let description = match self.describe_harvest(view).await {
            Ok(description) => description,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Err(error) = supervisor::create(job, &description).await {
            return Ok(Err(chain(error)));
        }
        match self.start_job(JobKind::Harvest).await {
            Err(error @ StartError::Io { .. }) => Err(error.into()),
            started => Ok(started.map_err(chain)),
        }
    }

    async fn describe_harvest(&self, view: View) -> Result<Job, Failure> {
        let (shared, run) = (Arc::clone(&self.shared), self.run().clone());
        let session = expected_session(self.run());
        let (layout, user) = (self.layout.clone(), self.user().map_err(chain)?);
        let terms = Terms::parse(&run.contract).map_err(WorkspaceError::from).map_err(chain)?;
        let described = self.shared.tracker.spawn_blocking(move || {
            let input = PolicyInput {
                config: &shared.settings.config,
                state: &shared.settings.state,
                tools: &shared.settings.tools,
                terms: &terms,
                run: &run.id,
                user: &user,
                layout: &layout,
                view: &view,
                owner: Owner::of(&run),
                egress: None,
                agent: None,
            };
            let spec = harvest::job_spec(&input, session.as_ref())?;
            Ok::<_, PolicyError>((spec, workspace::real_layout(&layout)?.writable()))
        });
        let (spec, writable) = described.await.map_err(chain)?.map_err(chain)?;
        let limits = &self.shared.settings.config.runs;
        Ok(Job {
            steps: vec![Step { name: "harvest".to_owned(), spec }],
            egress: None,
            time_limit_seconds: Some(harvest::TIME_LIMIT_SECONDS),
            setup_limit_seconds: None,
            output_limit_bytes: limits.disk_bytes,
            kill_grace_ms: KILL_GRACE_MS,
            // It can write to memory only.
            disk: None,
            // Full, it could not be removed, and its supervisor may have gone without a last act.
            writable: Some(writable),
            reads: Reads::Nothing,
        })
    }

    /// Stores what the jail wrote, which is hostile until it has been checked.
    async fn take_in(&self, job: &Path) -> Result<Result<HarvestRecord, Failure>, DriveError> {
        let (shared, user, id) = (Arc::clone(&self.shared), self.user()?, self.run().snapshot);
        let session = expected_session(self.run());
        let stdout = StreamReader::new(job, Stream::Stdout);
        let taken = self.shared.tracker.spawn_blocking(move || {
            let blobs = &*shared.store.blobs;
            let base = &shared.snapshots.read(blobs, &user, id)?.manifest;
            let limits = IngestLimits::of_run(base, shared.settings.config.runs.disk_bytes);
            let stdout = BufReader::new(stdout);
            let taken = harvest::ingest(stdout, blobs, &user, base, session.as_ref(), &limits);
            Ok::<_, WorkspaceError>(taken)
        });
        let taken = taken.await.map_err(|_panicked| DriveError::Stopping)?;
        let outcome: HarvestOutcome = match taken? {
            Ok(outcome) => outcome,
            Err(error) => return Ok(Err(chain(error))),
        };
        let notes = read_notes(job).await.unwrap_or_default();
        Ok(Ok(HarvestRecord {
            result: Some(outcome.result),
            branch: outcome.branch,
            files_added: outcome.files_added,
            files_modified: outcome.files_modified,
            files_removed: outcome.files_removed,
            failure: String::new(),
            notes,
        }))
    }
}

/// The session that a run's agent goes on with, if it has one that can be named.
fn expected_session(run: &Run) -> Option<ExpectedSession> {
    let terms = run.contract.agent_terms.as_ref()?;
    let directory = AbsolutePath::parse(&terms.directory).ok()?;
    let agent = run.contract.agent.clone();
    let id = match run.contract.session_id.as_str() {
        // An agent that names its sessions by itself may write anything there.
        "" => run.agent.session_id.clone(),
        named => named.to_owned(),
    };
    let is_plain = !id.is_empty()
        && id.len() <= SESSION_NAME_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_plain.then_some(ExpectedSession { agent, id, directory })
}

/// Waits for a job's end; none when its supervisor vanished.
async fn last_word(mut attached: Attached) -> Result<Option<JobExit>, AttachError> {
    loop {
        match attached.next_event().await? {
            JobEvent::Started(_)
            | JobEvent::Output(_)
            | JobEvent::OutputLimited
            | JobEvent::Egress(_) => {}
            JobEvent::Exited(exit) => return Ok(Some(exit)),
            JobEvent::Vanished => return Ok(None),
        }
    }
}

/// What the harvester could not return, in few words.
async fn read_notes(job: &Path) -> io::Result<Vec<String>> {
    let stderr = StreamReader::new(job, Stream::Stderr);
    let notes = tokio::task::spawn_blocking(move || harvest::notes(stderr)).await;
    let mut notes = notes.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))?;
    let more = notes.len().saturating_sub(NOTES_MAX);
    notes.truncate(NOTES_MAX);
    for note in &mut notes {
        *note = note.chars().take(NOTE_CHARS_MAX).collect();
    }
    if more > 0 {
        notes.push(format!("and {more} more"));
    }
    Ok(notes)
}

/// An error with its causes on one line.
fn chain(error: impl Into<anyhow::Error>) -> Failure {
    format!("{:#}", error.into())
}

/// One stream of a finished job's output, for code that may block.
struct StreamReader {
    runtime: Handle,
    reader: Reader,
    stream: Stream,
    current: Vec<u8>,
    used: usize,
}

impl StreamReader {
    fn new(job: &Path, stream: Stream) -> Self {
        let reader = Reader::new(job, Position::START);
        Self { runtime: Handle::current(), reader, stream, current: Vec::new(), used: 0 }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.current.len() {
            let next = self.runtime.block_on(self.reader.next()).map_err(io::Error::other)?;
            match next {
                None => return Ok(0),
                Some(record) if record.stream == self.stream => {
                    self.current = record.bytes;
                    self.used = 0;
                }
                Some(_) => {}
            }
        }
        let count = buffer.len().min(self.current.len() - self.used);
        buffer[..count].copy_from_slice(&self.current[self.used..self.used + count]);
        self.used += count;
        Ok(count)
    }
}
