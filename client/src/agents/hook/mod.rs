//! What agents ask before a prompt is sent: `handoff hook claude|codex`.
//!
//! A prompt that asks for it hands the session off and goes no further. While a run holds the
//! session, any other prompt is answered with where it runs. All else passes at once and unseen:
//! this runs at every prompt, so it reads a few small files, and what fails on an ordinary prompt
//! lets that through.

mod child;
mod event;
mod handoff;
mod prompt;
mod reply;
mod standing;

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::time::{Duration, Instant};

use clap::ValueEnum as _;

use super::Kind;
use super::lease::{self, Holder, LeaseError, Leases, prompt_hash};
use crate::exit::{Exit, chain_text};
use crate::output::{Format, Output};
use crate::settings::Places;
use event::{Event, Heard};
use prompt::asked;
use standing::Standing;

/// The subcommand's name.
pub const WORD: &str = "hook";

/// The event that both agents ask about, as both call it.
const EVENT: &str = "UserPromptSubmit";

/// Within so long an agent has its answer, whatever happens. Agents send a prompt to the model when
/// a hook takes too long; what is installed asks for ten minutes, and a hook of which nothing is said
/// has one.
const PATIENCE: Duration = Duration::from_secs(50);

/// Answers an agent if the words of the command line are those that [`super::install`] has it run;
/// before anything else is set up, since the agent's user waits.
#[must_use]
pub fn answer_if_asked(words: &[OsString]) -> Option<Exit> {
    let [_, hook, name] = words else { return None };
    if hook != OsStr::new(WORD) {
        return None;
    }
    let interface = Kind::from_str(name.to_str()?, false).ok()?;
    Some(answer(interface, std::io::stdin().lock(), &Output::new(Format::Json)))
}

/// Answers an agent about the prompt that this input describes.
pub fn answer(interface: Kind, input: impl Read, output: &Output) -> Exit {
    let until = Instant::now() + PATIENCE;
    let reason = match Heard::read(interface, input) {
        Heard::Prompt(event) => match Places::from_environment() {
            Ok(places) => decide(interface, &event, &places, until),
            Err(error) => asked(interface, &event.prompt)
                .map(|_| reply::failed(&chain_text(&error), error.hint().as_deref())),
        },
        Heard::Unreadable => Some(reply::unreadable(interface)),
        Heard::Other => None,
    };
    if let Some(reason) = reason {
        // Nobody else could be told that the agent does not listen.
        drop(output.json(&reply::block(interface, &reason)));
    }
    Exit::Done
}

/// Why a prompt goes no further, for its user; none lets it pass.
fn decide(interface: Kind, event: &Event, places: &Places, until: Instant) -> Option<String> {
    if let Some(task) = asked(interface, &event.prompt) {
        return Some(handoff::hand_off(interface, event, task, places, until));
    }
    match taken(interface, event, None, places, until) {
        Ok(Some(reason)) => Some(reason),
        Ok(None) if Leases::new(places).is_claimed(interface.name(), &event.session_id) => {
            Some(reply::under_way())
        }
        Ok(None) | Err(_) => None,
    }
}

/// What is told where somebody holds the session already; `task` is what it is to be handed off for,
/// if it is.
fn taken(
    interface: Kind,
    event: &Event,
    task: Option<&str>,
    places: &Places,
    until: Instant,
) -> Result<Option<String>, LeaseError> {
    let (agent, session) = (interface.name(), event.session_id.as_str());
    Ok(lease::holder(places, agent, session)?.map(|holder| match holder {
        Holder::Run(lease) => {
            let standing = Standing::of(&lease.holder, until);
            let is_same = task.is_some_and(|task| lease.holder.prompt == prompt_hash(task));
            match is_same && !standing.is_over() {
                true => reply::handed_off(interface, session, &lease.holder),
                false => {
                    let said = if is_same { reply::ALREADY } else { reply::NOT_SENT };
                    reply::held(interface, session, said, &lease.holder, &standing)
                }
            }
        }
        Holder::Unsent { .. } if Leases::new(places).is_claimed(agent, session) => {
            reply::under_way()
        }
        Holder::Unsent { of, standing } => reply::unsent(&of, &standing),
    }))
}

#[cfg(test)]
mod tests;
