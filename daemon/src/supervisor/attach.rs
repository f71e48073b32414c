//! Finding the supervisor of a job and following what it tells: the daemon's side. What happened
//! while nobody was attached is told first, so nothing is ever missed. Starts nothing.

mod hearing;

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_sandbox::Isolation;

use super::connection::{AttachError, Connection, in_job_dir};
use super::job::JobExit;
use super::job_dir::STARTED;
use super::message::{Pace, ToSupervisor};
use super::output::Position;
use super::remains::Remains;
use crate::egress::{Summary, Unrenewed};

/// How often a supervisor is told something before it counts as unreachable.
const TRIES_MAX: usize = 3;

/// Tells what happens to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// The command itself runs, and this holds it in.
    Started(Isolation),
    /// There is output up to here.
    Output(Position),
    /// Output past the limit is not kept.
    OutputLimited,
    /// All that its steps were denied, and used, so far.
    Egress(Summary),
    /// The job ended. The last event.
    Exited(JobExit),
    /// The supervisor and its sandbox are gone without a last word. The last event.
    Vanished,
}

/// A daemon's hold on a job with a supervisor. Dropping it lets go; the job goes on.
#[derive(Debug)]
pub struct Attached {
    path: PathBuf,
    /// None while the supervisor has to be called again.
    connection: Option<Connection>,
    news: VecDeque<JobEvent>,
    told: Told,
    /// The names of the pieces of input that the supervisor has.
    inputs: HashSet<String>,
    /// How the command stands, as the supervisor was told last; told again with every call.
    pace: Option<(u64, Pace)>,
}

/// What was told already, so that calling again repeats nothing.
#[derive(Debug, Default)]
struct Told {
    started: bool,
    output: Position,
    limited: bool,
    egress: Summary,
    last: Option<JobEvent>,
}

/// Attaches to the supervisor of a job.
///
/// # Errors
///
/// Fails with what is left of the job if it has no supervisor; of one that was not even created,
/// nothing is.
pub async fn attach(job_dir: &Path) -> Result<Attached, AttachError> {
    let mut attached = Attached {
        path: job_dir.to_owned(),
        connection: None,
        news: VecDeque::new(),
        told: Told::default(),
        inputs: HashSet::new(),
        pace: None,
    };
    attached.call().await?;
    Ok(attached)
}

/// Returns what holds the command of a job in, if it ever ran.
///
/// # Errors
///
/// Fails if the job's files cannot be read.
pub async fn started(job_dir: &Path) -> Result<Option<Isolation>, AttachError> {
    match in_job_dir(job_dir, |job_dir| job_dir.read_json(STARTED)).await {
        Err(AttachError::NotRunning(_)) => Ok(None),
        other => other,
    }
}

impl Attached {
    /// Waits for the next event. After the last event that one comes again. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor was lost and cannot be called again; trying again is sound.
    pub async fn next_event(&mut self) -> Result<JobEvent, AttachError> {
        loop {
            if let Some(event) = self.news.pop_front() {
                return Ok(event);
            }
            if let Some(last) = &self.told.last {
                return Ok(last.clone());
            }
            let Some(connection) = &mut self.connection else {
                self.call_again().await?;
                continue;
            };
            match connection.receive().await {
                Ok(message) => self.hear(message),
                Err(_broken) => self.connection = None,
            }
        }
    }

    /// Asks the command to end; what is left after the grace is killed. The end comes as an event.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told.
    pub async fn stop(&mut self, grace: Duration) -> Result<(), AttachError> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.tell(&ToSupervisor::Stop { grace_ms }).await
    }

    /// Kills everything at once. The end comes as an event.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told.
    pub async fn kill(&mut self) -> Result<(), AttachError> {
        self.tell(&ToSupervisor::Kill).await
    }

    /// Writes a piece to the command's standard input, which must be a pipe. It is written once,
    /// whoever sends how often what has this name; a job that has ended reads nothing.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told; sending the same again is sound.
    pub async fn input(&mut self, id: &str, text: &str) -> Result<(), AttachError> {
        if self.inputs.contains(id) {
            return Ok(());
        }
        self.tell(&ToSupervisor::Input { id: id.to_owned(), text: text.to_owned() }).await?;
        self.inputs.insert(id.to_owned());
        Ok(())
    }

    /// Says what became of a sign-in that the job's steps cannot go on without.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told; sending the same again is sound.
    pub async fn renewed(
        &mut self,
        provider: &str,
        failure: Option<Unrenewed>,
    ) -> Result<(), AttachError> {
        self.tell(&ToSupervisor::Renewed { provider: provider.to_owned(), failure }).await
    }

    /// Ends the command's standard input behind all that was written to it.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told.
    pub async fn end_input(&mut self) -> Result<(), AttachError> {
        self.tell(&ToSupervisor::InputEnd).await
    }

    /// Tells since which event the command waits for its user, or works: only the time in which it
    /// works counts. Events are numbered by whoever follows the job; the latest one is believed,
    /// whoever tells it how often.
    ///
    /// # Errors
    ///
    /// Fails if the supervisor lives and cannot be told; telling the same again is sound.
    pub async fn keep_pace(&mut self, event: u64, pace: Pace) -> Result<(), AttachError> {
        if self.pace.is_some_and(|(_, known)| known == pace) {
            return Ok(());
        }
        self.pace = Some((event, pace));
        self.tell(&ToSupervisor::Pace { event, pace }).await
    }

    async fn tell(&mut self, message: &ToSupervisor) -> Result<(), AttachError> {
        let mut failure = None;
        for _ in 0..TRIES_MAX {
            if self.connection.is_none() {
                self.call_again().await?;
            }
            if self.told.last.is_some() {
                return Ok(());
            }
            // Half a line must never be followed by another: let go until it is written.
            let Some(mut connection) = self.connection.take() else { continue };
            match connection.send(message).await {
                Ok(()) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) => failure = Some(error),
            }
        }
        let source = failure.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        Err(AttachError::Unreachable { path: self.path.clone(), source })
    }

    /// Calls the supervisor again; that it is gone is an event, not an error.
    async fn call_again(&mut self) -> Result<(), AttachError> {
        match self.call().await {
            Err(AttachError::NotRunning(Remains::Exited(exit))) => {
                if let Some(isolation) = started(&self.path).await? {
                    self.hear_started(isolation);
                }
                self.hear_exit(*exit);
                Ok(())
            }
            Err(AttachError::NotRunning(Remains::Vanished | Remains::NeverSpawned)) => {
                self.told.last = Some(JobEvent::Vanished);
                Ok(())
            }
            other => other,
        }
    }

    /// Calls the supervisor and hears how things stand.
    async fn call(&mut self) -> Result<(), AttachError> {
        let (mut connection, state) = Connection::call(&self.path).await?;
        if let Some((event, pace)) = self.pace {
            // If it breaks already, that is noticed when it is used next.
            let _told = connection.send(&ToSupervisor::Pace { event, pace }).await;
        }
        self.connection = Some(connection);
        self.hear_state(state);
        Ok(())
    }
}
