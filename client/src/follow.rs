//! Follows a run: its output as it comes, its state until it finishes or needs its owner.
//!
//! A connection that breaks is opened again and goes on where it was; nothing is shown twice and
//! nothing is missed.

use handoff_proto::run::{EventDecodeError, IllegalEvent, Record, Run, State};
use handoff_proto::wire;
use tonic::Streaming;

use crate::context::Context;
use crate::output::{Stream, WriteError};
use crate::reconnect::Reconnecting;
use crate::remote::{self, Remote};

/// Why a run is not followed any more.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The remote cannot be reached or refuses.
    #[error("cannot follow the run")]
    Remote(#[source] remote::Error),
    /// A record makes no sense.
    #[error("cannot understand what the remote tells about the run")]
    Record(#[source] EventDecodeError),
    /// The records make no sense together.
    #[error("cannot understand what the remote tells about the run")]
    Event(#[source] IllegalEvent),
    /// Nobody takes the output any more.
    #[error("cannot show the run's output")]
    Output(#[from] WriteError),
}

/// Follows a run, handing its output to `write`, until it has finished and its result is durable,
/// or until it waits for its owner; returns the run as it is then.
///
/// # Errors
///
/// See [`FollowError`]; whatever happens here, the run goes on.
pub async fn follow(
    context: &Context,
    remote: Remote,
    run: &str,
    mut write: impl FnMut(Stream, &[u8]) -> Result<(), WriteError>,
) -> anyhow::Result<Run> {
    let mut connection = Reconnecting::new(context, remote);
    let mut follower = Follower {
        selector: wire::RunSelector { run: run.to_owned(), directory: Vec::new() },
        run: None,
        output: 0,
    };
    loop {
        match follower.stream(&mut connection, &mut write).await {
            Ok(run) => return Ok(run),
            Err(FollowError::Remote(error)) => connection.after(error).await?,
            Err(error) => return Err(error.into()),
        }
    }
}

struct Follower {
    selector: wire::RunSelector,
    run: Option<Run>,
    /// The position after the last record of output that was written.
    output: u64,
}

impl Follower {
    /// Streams until the run stops or the connection breaks.
    async fn stream(
        &mut self,
        connection: &mut Reconnecting<'_>,
        write: &mut impl FnMut(Stream, &[u8]) -> Result<(), WriteError>,
    ) -> Result<Run, FollowError> {
        let remote = connection.remote().clone();
        let failed = |status| FollowError::Remote(remote.error(status));
        let mut records = self.watch(&remote).await?;
        let mut output = self.logs(&remote, true).await?;
        let mut output_ended = false;
        loop {
            tokio::select! {
                record = records.message() => match record.map_err(failed)? {
                    Some(record) => self.apply(record)?,
                    None => return Err(cut_short(&remote)),
                },
                part = output.message(), if !output_ended => match part.map_err(failed)? {
                    Some(part) => self.write(part, write)?,
                    None => output_ended = true,
                },
            }
            connection.worked();
            if let Some(run) = self.stopped() {
                // What was written before the run stopped is there by now.
                let mut rest = self.logs(&remote, false).await?;
                while let Some(part) = rest.message().await.map_err(failed)? {
                    self.write(part, write)?;
                }
                return Ok(run);
            }
        }
    }

    async fn watch(&self, remote: &Remote) -> Result<Streaming<wire::RunRecord>, FollowError> {
        let after_seq = self.run.as_ref().map_or(0, |run| run.last_seq);
        let request = wire::WatchRequest { run: Some(self.selector.clone()), after_seq };
        let reply = remote.runs().watch(request).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(|status| FollowError::Remote(remote.error(status)))
    }

    async fn logs(
        &self,
        remote: &Remote,
        follow: bool,
    ) -> Result<Streaming<wire::OutputRecord>, FollowError> {
        let run = Some(self.selector.clone());
        let request = wire::LogsRequest { run, after: self.output, follow };
        let reply = remote.runs().logs(request).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(|status| FollowError::Remote(remote.error(status)))
    }

    fn apply(&mut self, record: wire::RunRecord) -> Result<(), FollowError> {
        let record = Record::try_from(record).map_err(FollowError::Record)?;
        match &mut self.run {
            Some(run) => run.apply(&record).map_err(FollowError::Event),
            None => {
                self.run = Some(Run::open(&record).map_err(FollowError::Event)?);
                Ok(())
            }
        }
    }

    fn write(
        &mut self,
        part: wire::OutputRecord,
        write: &mut impl FnMut(Stream, &[u8]) -> Result<(), WriteError>,
    ) -> Result<(), FollowError> {
        let stream = if part.stream == 2 { Stream::Err } else { Stream::Out };
        write(stream, &part.data)?;
        self.output = part.next;
        Ok(())
    }

    fn stopped(&self) -> Option<Run> {
        let run = self.run.as_ref()?;
        match run.state {
            State::Finished(_) | State::NeedsInput(_) | State::Paused => Some(run.clone()),
            State::Queued | State::Preparing | State::Running | State::Verifying(_) => None,
        }
    }
}

fn cut_short(remote: &Remote) -> FollowError {
    let what = "the run's records end before the run does".to_owned();
    FollowError::Remote(remote::Error::Protocol { remote: remote.name().to_owned(), what })
}
