//! What users say to the agents of their runs: answers, a word while one works, another turn.

use std::{sync::Arc, time::SystemTime};

use handoff_proto::{
    run::{Event, Exit, Record, Run},
    wire::{self, answer_request},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    AnswerError, Live, Registry, Request, SayError,
    admission::CLASS,
    answer,
    driver::Driver,
    journal::{Journal, now_unix_nanos},
};
use crate::{
    agents::Kind,
    store::{AppendError, Rev, UserName},
};

impl Registry {
    /// Answers what a run waits for. Returns once that is recorded.
    ///
    /// # Errors
    /// When it asks nothing, something else or in another way.
    pub async fn answer(
        &self,
        live: &Live,
        id: String,
        answer: answer_request::What,
        by: &UserName,
    ) -> Result<(), AnswerError> {
        let name = live.with(|run| run.name.clone());
        if live.with(Run::is_finished) {
            return Err(AnswerError::NothingAsked(name));
        }
        let (reply, replied) = oneshot::channel();
        let by = by.as_str().to_owned();
        if !live.ask(Request::Answer { id, answer, by, reply }).await {
            return Err(AnswerError::NotDriven(name));
        }
        replied.await.unwrap_or(Err(AnswerError::NotDriven(name)))
    }

    /// Says something to a run's agent: at once while it is at work, else as its next turn. Returns
    /// once that is recorded; the same id says it once.
    ///
    /// # Errors
    /// When the run has no agent, or takes nothing right now.
    pub async fn say(&self, live: &Live, said: wire::Said) -> Result<(), SayError> {
        let name = live.with(|run| run.name.clone());
        answer::check_length(&said.text)?;
        if said.text.trim().is_empty() {
            return Err(AnswerError::Nothing.into());
        }
        if Kind::from_name(&live.with(|run| run.contract.agent.clone())).is_none() {
            return Err(SayError::NoAgent(name));
        }
        if live.with(Run::is_finished) {
            return self.another_turn(live, said).await;
        }
        let (reply, replied) = oneshot::channel();
        if !live.ask(Request::Say { said, reply }).await {
            return Err(SayError::NotDriven(name));
        }
        match replied.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SayError::NotNow(name, live.with(|run| run.state.name()))),
            Err(_gone) => Err(SayError::NotDriven(name)),
        }
    }

    /// Lets a finished run go on with another turn.
    async fn another_turn(&self, live: &Live, said: wire::Said) -> Result<(), SayError> {
        let shared = self.shared();
        // Else it would take the new turn off the queue for the old one.
        live.driven_to_the_end().await;
        let _making = shared.making().await;
        let run = live.run();
        let name = run.name.clone();
        if run.agent.turns.contains(&said.id) {
            return Ok(());
        }
        if !run.is_finished() {
            return Err(SayError::NotNow(name, run.state.name()));
        }
        if run.epoch == 0 || matches!(run.exit, None | Some(Exit::Refused { .. })) {
            return Err(SayError::NeverStarted(name));
        }
        let id = run.id.clone();
        let rev = match shared.store.log.append(&id, Rev::ZERO, &[]).await {
            Err(AppendError::Conflict { actual }) => actual,
            Ok(rev) => rev,
            Err(error) => return Err(error.into()),
        };
        let mut next = run;
        let record = Record {
            seq: next.last_seq + 1,
            at_unix_nanos: now_unix_nanos(),
            event: Event::TurnQueued(wire::TurnQueued {
                text: said.text,
                by: said.by,
                id: said.id,
            }),
        };
        next.apply(&record).map_err(|error| AppendError::Ambiguous(error.to_string()))?;
        let rev = shared.store.log.append(&id, rev, std::slice::from_ref(&record)).await?;
        let (requests, job) = (live.go_on(next.clone()), next.job);
        let (claims, claimed) = mpsc::channel(1);
        let Some(live) = shared.take_claims(&id, claims) else {
            return Err(SayError::NotDriven(name));
        };
        let journal = Journal::new(Arc::clone(&shared.store.log), live, next, rev);
        self.drive(Driver::new(Arc::clone(shared), journal, requests, claimed));
        if let Err(error) = shared.store.queue.offer(&id, CLASS, job, SystemTime::now()).await {
            // The turn is durable: the next start of the daemon offers it again.
            tracing::error!(run = %id, %error, "run not queued until the daemon restarts");
        }
        Ok(())
    }
}
