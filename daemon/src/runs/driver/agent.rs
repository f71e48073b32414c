//! Living with an agent: from its stream to the run's events, from its owner's words to its input.
//!
//! What is said to an agent is recorded first and sent then, each piece under a name by which the
//! supervisor knows it: a daemon that takes up a run sends everything again and nothing twice.

use std::collections::VecDeque;

use handoff_proto::{
    run::{Event, Heard, Run, State},
    wire::{self, heard::What},
};
use tokio::sync::oneshot;

use super::{DriveError, Driver};
use crate::{
    agents::{Act, Beginning, Conversation, Kind},
    runs::{AnswerError, answer},
    supervisor::{
        Attached,
        output::{Position, Reader, Stream},
    },
    workspace::JobKind,
};

/// Longest line that is understood, in bytes: agents put whole files into one.
const LINE_LEN_MAX: usize = 64 << 20;

/// Events of one job that are recorded of an agent: more than days of work; what tells how the turn
/// ends is recorded all the same.
const HEARD_MAX: usize = 100_000;

/// Events in one append, so that it never exceeds what the log takes: each is some 16 KiB at most.
const BATCH_MAX: usize = 16;

/// Things said to one job of an agent, at most: a bound on the log.
const SAID_MAX: usize = 1000;

/// A conversation with the agent of the present job.
pub(super) struct Dialogue {
    conversation: Box<dyn Conversation>,
    reader: Reader,
    /// The beginning of a line.
    line: Vec<u8>,
    /// How much of the standard output was heard, in bytes.
    heard: u64,
    /// How many events there were.
    events: usize,
    /// What is to be asked, one after the other.
    questions: VecDeque<wire::InputNeeded>,
    /// Whether the turn is over, so that nothing is said to it any more.
    is_over: bool,
    has_begun: bool,
}

impl Driver {
    /// The dialogue with this run's agent, if it has one that is driven.
    pub(super) fn dialogue(&self) -> Option<Dialogue> {
        let run = self.run();
        let name = format!("{} {}", run.id, run.job);
        let (kind, beginning) = beginning(run, &name)?;
        let conversation = kind.converse(&beginning);
        Some(Dialogue {
            conversation,
            reader: Reader::new(&self.job(JobKind::Command), Position::START),
            line: Vec::new(),
            heard: 0,
            events: 0,
            questions: VecDeque::new(),
            is_over: false,
            has_begun: false,
        })
    }

    /// Says what there is to say first, and again what was said before.
    pub(super) async fn begin(
        &mut self,
        dialogue: &mut Dialogue,
        attached: &mut Attached,
    ) -> Result<(), DriveError> {
        if std::mem::replace(&mut dialogue.has_begun, true) {
            return Ok(());
        }
        let mut acts = dialogue.conversation.begin();
        for said in self.run().agent.said.clone() {
            acts.extend(dialogue.conversation.say(&said));
        }
        self.act(dialogue, Some(attached), acts).await
    }

    /// Hears what the agent wrote; without its supervisor nothing is said to it any more.
    pub(super) async fn listen(
        &mut self,
        dialogue: &mut Dialogue,
        mut attached: Option<&mut Attached>,
    ) -> Result<(), DriveError> {
        while let Some(record) = dialogue.reader.next().await? {
            if record.stream != Stream::Stdout {
                continue;
            }
            for piece in record.bytes.split_inclusive(|byte| *byte == b'\n') {
                dialogue.heard += piece.len() as u64;
                if dialogue.line.len() + piece.len() <= LINE_LEN_MAX {
                    dialogue.line.extend_from_slice(piece);
                }
                if piece.ends_with(b"\n") {
                    let line = std::mem::take(&mut dialogue.line);
                    let acts = dialogue.conversation.hear(line.trim_ascii_end());
                    self.act(dialogue, attached.as_deref_mut(), acts).await?;
                }
            }
        }
        Ok(())
    }

    /// Passes an answer on, if it is one to what is asked.
    pub(super) async fn answer(
        &mut self,
        dialogue: Option<&mut Dialogue>,
        attached: &mut Attached,
        given: Given,
    ) -> Result<(), DriveError> {
        let Given { id, answer, by, reply } = given;
        let decided = answer::decide(self.run(), &id, answer);
        let (State::NeedsInput(need), Some(dialogue), Ok(answer)) =
            (self.run().state.clone(), dialogue, decided.as_ref())
        else {
            let why = decided.err();
            let why = why.unwrap_or_else(|| AnswerError::NothingAsked(self.run().name.clone()));
            // Who has gone does not want to know.
            drop(reply.send(Err(why)));
            return Ok(());
        };
        let id = need.id;
        let answered = Event::InputAnswered { id: id.clone(), answer: Some(answer.clone()), by };
        self.journal.record(answered).await?;
        drop(reply.send(Ok(())));
        self.go_on(dialogue, attached, &id).await
    }

    /// Passes on what the user says; tells whether the agent still takes it.
    pub(super) async fn say(
        &mut self,
        dialogue: Option<&mut Dialogue>,
        attached: &mut Attached,
        said: wire::Said,
        reply: oneshot::Sender<bool>,
    ) -> Result<(), DriveError> {
        let known = &self.run().agent.said;
        let listens = matches!(self.run().state, State::Running | State::NeedsInput(_));
        let Some(dialogue) = dialogue.filter(|dialogue| {
            listens && dialogue.has_begun && !dialogue.is_over && known.len() < SAID_MAX
        }) else {
            let _gone = reply.send(known.iter().any(|earlier| earlier.id == said.id));
            return Ok(());
        };
        let is_new = !known.iter().any(|earlier| earlier.id == said.id);
        let acts = dialogue.conversation.say(&said);
        if is_new {
            self.journal.record_all(spoken(self.run(), said, &acts)).await?;
        }
        let _gone = reply.send(true);
        self.act(dialogue, Some(attached), acts).await
    }

    /// Goes on after a question was answered.
    async fn go_on(
        &mut self,
        dialogue: &mut Dialogue,
        attached: &mut Attached,
        id: &str,
    ) -> Result<(), DriveError> {
        dialogue.questions.retain(|question| question.id != id);
        let answer = self.run().agent.answers.get(id).cloned().flatten();
        let acts = answer.map(|answer| dialogue.conversation.answer(id, &answer));
        self.act(dialogue, Some(attached), acts.unwrap_or_default()).await
    }

    /// Does what the conversation wants: records first, then sends, then asks.
    async fn act(
        &mut self,
        dialogue: &mut Dialogue,
        mut attached: Option<&mut Attached>,
        acts: Vec<Act>,
    ) -> Result<(), DriveError> {
        let mut acts = VecDeque::from(acts);
        loop {
            let (mut news, mut lines) = (Vec::new(), Vec::new());
            let is_news = dialogue.heard > self.run().agent.heard;
            for act in acts.drain(..) {
                match act {
                    Act::Tell(what) => {
                        dialogue.events += 1;
                        if is_news && let Some(what) = recorded(dialogue.events, what) {
                            news.push(Event::Heard(Heard { position: dialogue.heard, what }));
                        }
                    }
                    Act::Send { id, line } => lines.push((id, line)),
                    Act::Ask(question) => dialogue.questions.push_back(question),
                    Act::Void(id) => {
                        dialogue.questions.retain(|question| question.id != id);
                        news.extend(voided(self.run(), &id));
                    }
                    Act::End => dialogue.is_over = true,
                }
            }
            while !news.is_empty() {
                let rest = news.split_off(news.len().min(BATCH_MAX));
                self.journal.record_all(std::mem::replace(&mut news, rest)).await?;
            }
            if let Some(attached) = &mut attached {
                for (id, line) in lines {
                    attached.input(&id, &line).await?;
                }
            }
            // What was answered before a restart of the daemon is answered again, in its turn.
            let Some(question) = dialogue.questions.front().cloned() else { break };
            match self.run().agent.answers.get(&question.id).cloned() {
                Some(answer) => {
                    dialogue.questions.pop_front();
                    let answer =
                        answer.map(|answer| dialogue.conversation.answer(&question.id, &answer));
                    acts.extend(answer.unwrap_or_default());
                }
                None if matches!(self.run().state, State::Running) => {
                    self.journal.record(Event::InputNeeded(question)).await?;
                    break;
                }
                None => break,
            }
        }
        match attached {
            Some(attached) if dialogue.is_over => Ok(attached.end_input().await?),
            Some(_) | None => Ok(()),
        }
    }
}

impl Dialogue {
    /// Whether all was said that there is to say first.
    pub(super) const fn has_begun(&self) -> bool {
        self.has_begun
    }
}

/// Where the present job of a run's agent begins, if it has one that is driven.
pub(super) fn beginning<'a>(run: &'a Run, name: &'a str) -> Option<(Kind, Beginning<'a>)> {
    let kind = Kind::from_name(&run.contract.agent)?;
    let terms = run.contract.agent_terms.as_ref()?;
    let (account, interrupted) = (&run.agent, run.agent.resumes > 0);
    Some((kind, Beginning { name, terms, account, interrupted }))
}

/// What is recorded of something that was said, all at once: a conversation that is held again hears
/// it before it could ask what it made void, and nobody would ever close that question.
fn spoken(run: &Run, said: wire::Said, acts: &[Act]) -> Vec<Event> {
    let voided = acts.iter().filter_map(|act| match act {
        Act::Void(id) => voided(run, id),
        Act::Tell(_) | Act::Send { .. } | Act::Ask(_) | Act::End => None,
    });
    std::iter::once(Event::Said(said)).chain(voided).collect()
}

/// Nobody has to answer that any more, if it is what the run asks.
fn voided(run: &Run, id: &str) -> Option<Event> {
    let State::NeedsInput(need) = &run.state else { return None };
    let event = || Event::InputAnswered { id: id.to_owned(), answer: None, by: String::new() };
    (need.id == id).then(event)
}

/// What is recorded of the event of this number.
fn recorded(number: usize, what: What) -> Option<What> {
    match what {
        What::Ready(_) | What::Usage(_) | What::TurnEnded(_) => Some(what),
        _ if number < HEARD_MAX => Some(what),
        _ if number == HEARD_MAX => {
            let text = format!("(what follows the first {HEARD_MAX} events is in the logs only)");
            Some(What::Text(text))
        }
        _ => None,
    }
}

/// An answer that somebody gave.
pub(super) struct Given {
    pub(super) id: String,
    pub(super) answer: wire::answer_request::What,
    pub(super) by: String,
    pub(super) reply: oneshot::Sender<Result<(), AnswerError>>,
}

#[cfg(test)]
mod tests;
