//! Living with the command: from its supervisor's reports to the run's events.

use handoff_proto::{
    run::{Event, Exit, Note, Run, SEATS_MAX, State},
    wire,
};
use handoff_sandbox::Isolation;
use tokio::{
    select,
    time::{Duration, Instant},
};

use super::{
    DriveError, Driver,
    agent::{Dialogue, Given},
    renewal::Renewing,
};
use crate::{
    agents::Kind,
    egress::{Denial, Summary, Usage},
    runs::Request,
    supervisor::{
        self, AttachError, Attached, Ended, JobEvent, JobExit, KILL_GRACE, Pace, Remains,
    },
    workspace::JobKind,
};

/// How often an agent is resumed in one turn.
const RESUMES_MAX: u32 = 3;

/// How often what a command uses is recorded while it goes on: an agent calls its model every few
/// seconds, for hours.
const USED_EVERY: Duration = Duration::from_secs(30);

impl Driver {
    /// Joins a command that was started before, perhaps by an earlier daemon.
    pub(super) async fn rejoin_command(&mut self) -> Result<(), DriveError> {
        match supervisor::attach(&self.job(JobKind::Command)).await {
            Ok(attached) => self.follow(attached).await,
            Err(AttachError::NotRunning(remains)) => self.record_remains(remains).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Follows a command until it has ended.
    pub(super) async fn follow(&mut self, mut attached: Attached) -> Result<(), DriveError> {
        if self.run().stop_requested {
            // Recorded before a crash, perhaps not yet acted on.
            attached.stop(KILL_GRACE).await?;
        }
        let mut used_told = Instant::now();
        let mut dialogue = self.dialogue();
        let mut renewing = Renewing::new();
        loop {
            select! {
                event = attached.next_event() => match event? {
                    JobEvent::Started(isolation) => {
                        self.started(&isolation).await?;
                        if let Some(dialogue) = &mut dialogue {
                            self.begin(dialogue, &mut attached).await?;
                            // Whether it waits is known once all is heard that it wrote before.
                            self.listen(dialogue, Some(&mut attached)).await?;
                        }
                    }
                    JobEvent::Output(_) => {
                        self.journal.live().publish_output();
                        if let Some(dialogue) = &mut dialogue {
                            self.listen(dialogue, Some(&mut attached)).await?;
                        }
                    }
                    JobEvent::OutputLimited => self.limited().await?,
                    JobEvent::Egress(summary) => {
                        self.denied(&summary).await?;
                        self.renew(&summary, &mut renewing);
                        if used_told.elapsed() >= USED_EVERY {
                            self.used(&summary).await?;
                            used_told = Instant::now();
                        }
                    }
                    JobEvent::Exited(exit) => return self.exited(exit).await,
                    JobEvent::Vanished => return self.record_remains(Remains::Vanished).await,
                },
                (provider, failure) = renewing.next() => {
                    attached.renewed(&provider, failure).await?;
                }
                request = self.requests.recv() => {
                    match request.ok_or(DriveError::Stopping)? {
                        Request::Stop { by } => {
                            if !self.run().stop_requested {
                                self.journal.record(Event::StopRequested(by)).await?;
                            }
                            attached.stop(KILL_GRACE).await?;
                        }
                        Request::Answer { id, answer, by, reply } => {
                            let given = Given { id, answer, by, reply };
                            self.answer(dialogue.as_mut(), &mut attached, given).await?;
                        }
                        Request::Say { said, reply } => {
                            self.say(dialogue.as_mut(), &mut attached, said, reply).await?;
                        }
                        Request::Attached(who) => self.seat(Event::Attached(who)).await?,
                        Request::Detached(who) => self.seat(Event::Detached(who)).await?,
                    }
                }
            }
            if dialogue.as_ref().is_some_and(Dialogue::has_begun) {
                attached.keep_pace(self.run().last_seq, pace(&self.run().state)).await?;
            }
        }
    }

    async fn started(&mut self, isolation: &Isolation) -> Result<(), DriveError> {
        // An attachment tells everything again.
        if matches!(self.run().state, State::Preparing) {
            self.journal.record(Event::Started(layers(isolation))).await?;
        }
        Ok(())
    }

    /// Records who came to its terminal, or left it, as far as that is noted.
    async fn seat(&mut self, event: Event) -> Result<(), DriveError> {
        let Run { state, seats, .. } = self.run();
        let event = match &event {
            // A daemon that was just started has not heard yet that the command runs.
            _ if !matches!(state, State::Running | State::NeedsInput(_) | State::Paused) => None,
            Event::Attached(who) => match seats.coming(&who.id) {
                Note::Coming => Some(event),
                Note::Full => Some(Event::SeatsFull(SEATS_MAX)),
                Note::Nothing => None,
            },
            Event::Detached(who) => seats.is_taken_by(&who.id).then_some(event),
            _ => Some(event),
        };
        match event {
            Some(event) => Ok(self.journal.record(event).await?),
            None => Ok(()),
        }
    }

    async fn limited(&mut self) -> Result<(), DriveError> {
        if !self.run().output_limited {
            let limit_bytes = self.shared.settings.config.runs.output_bytes;
            self.journal.record(Event::OutputLimited(limit_bytes)).await?;
        }
        Ok(())
    }

    /// Records what the command was denied, as far as that is news.
    async fn denied(&mut self, summary: &Summary) -> Result<(), DriveError> {
        for Denial { host, port, reason, fix } in summary.denied.iter().cloned() {
            let denied = wire::Denied { host, port: port.into(), reason, fix };
            if !self.run().denied.contains(&denied) {
                self.journal.record(Event::Denied(denied)).await?;
            }
        }
        Ok(())
    }

    /// Records what the command used of APIs, as far as that is news.
    async fn used(&mut self, summary: &Summary) -> Result<(), DriveError> {
        for Usage { provider, requests, input_tokens, output_tokens } in
            summary.usage.iter().cloned()
        {
            let used = wire::Used { provider, requests, input_tokens, output_tokens };
            if !self.run().used.contains(&used) {
                self.journal.record(Event::Used(used)).await?;
            }
        }
        Ok(())
    }

    /// Records what a job's directory tells about a supervisor that is no longer there.
    pub(super) async fn record_remains(&mut self, remains: Remains) -> Result<(), DriveError> {
        if let Some(isolation) = supervisor::started(&self.job(JobKind::Command)).await? {
            self.started(&isolation).await?;
        }
        if let Some(mut dialogue) = self.dialogue() {
            self.listen(&mut dialogue, None).await?;
        }
        let why = match remains {
            Remains::Exited(exit) => return self.exited(*exit).await,
            Remains::NeverSpawned => "its supervisor was never started",
            Remains::Vanished => {
                "its supervisor vanished: the machine went down or the process was killed"
            }
        };
        let event = if self.may_resume() {
            Event::Resumed(why.to_owned())
        } else {
            Event::Exited(Exit::Lost(why.to_owned()))
        };
        Ok(self.journal.record(event).await?)
    }

    /// Whether an agent that was interrupted goes on by itself. One that takes its machine down each
    /// time does not for ever.
    fn may_resume(&self) -> bool {
        let run = self.run();
        Kind::from_name(&run.contract.agent).is_some()
            && !run.stop_requested
            && run.agent.resumes < RESUMES_MAX
    }

    async fn exited(&mut self, exit: JobExit) -> Result<(), DriveError> {
        if exit.output.dropped_bytes > 0 {
            self.limited().await?;
        }
        self.denied(&exit.egress).await?;
        self.used(&exit.egress).await?;
        self.journal.live().publish_output();
        Ok(self.journal.record(Event::Exited(how(exit.ended))).await?)
    }
}

/// Whether a command could work in this state. What its limit of time is, its supervisor knows.
fn pace(state: &State) -> Pace {
    match state {
        State::NeedsInput(_) | State::Paused => Pace::Waits,
        State::Queued
        | State::Preparing
        | State::Running
        | State::Verifying(_)
        | State::Finished(_) => Pace::Works,
    }
}

/// The end of a job as an event tells it. That a stop was asked for is an event of its own.
fn how(ended: Ended) -> Exit {
    match ended {
        Ended::Code { code } => Exit::Code(code),
        Ended::Signal { signal } => Exit::Signal(signal),
        Ended::TimedOut { limit_seconds } => Exit::TimedOut(limit_seconds),
        Ended::DiskLimit { limit } => Exit::DiskLimit(limit),
        Ended::Cancelled { status } => match status.map(Ended::from) {
            Some(ended) => how(ended),
            None => Exit::Signal(SIGKILL),
        },
        Ended::Refused { step, detail } => Exit::Refused { step, detail },
        Ended::Lost { detail } => Exit::Lost(detail),
    }
}

/// What ends a command that does not end when asked to.
const SIGKILL: i32 = 9;

/// The sandbox's account of itself as it is stored and sent.
pub(crate) fn layers(isolation: &Isolation) -> wire::Isolation {
    let layers = isolation.layers.iter().map(|layer| wire::IsolationLayer {
        name: layer.name.as_str().to_owned(),
        state: layer.state.as_str().to_owned(),
        detail: layer.detail.clone(),
    });
    wire::Isolation { layers: layers.collect() }
}
