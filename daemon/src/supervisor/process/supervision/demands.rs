//! What is demanded of a running step: by those attached, by its time, by the disk.

use std::time::{Duration, Instant};

use data_encoding::BASE64;

use super::Supervision;
use crate::supervisor::message::ToSupervisor;
use crate::supervisor::process::disk::DiskWatch;
use crate::supervisor::process::ending::{Act, Ending};

impl Supervision {
    /// Serves those who are attached and returns what they, the time or the disk demand.
    pub(super) fn demanded(&mut self, ending: &mut Ending) -> Option<Act> {
        let breach = self.disk.as_ref().and_then(DiskWatch::breach);
        let mut demanded = breach.and_then(|breach| ending.exceed(breach));
        let Self { front, input, terminal, clock, wrote_at, renewed, .. } = self;
        for request in front.serve(|| input.taken(), || terminal.typists()) {
            demanded = demanded.max(match request {
                ToSupervisor::Stop { grace_ms } => {
                    ending.stop(Instant::now(), Duration::from_millis(grace_ms))
                }
                ToSupervisor::Kill => ending.kill(),
                ToSupervisor::Input { id, text } => {
                    input.take(id, text.as_bytes());
                    None
                }
                ToSupervisor::InputEnd => {
                    input.end();
                    None
                }
                ToSupervisor::Type { base64, by } => {
                    if let Ok(keys) = BASE64.decode(base64.as_bytes()) {
                        terminal.type_keys(by, keys);
                    }
                    None
                }
                ToSupervisor::Resize { rows, columns } => {
                    terminal.resize(rows, columns);
                    None
                }
                ToSupervisor::Pace { event, pace } => {
                    if let Some(clock) = clock {
                        clock.tell(event, pace, Instant::now(), *wrote_at);
                    }
                    None
                }
                ToSupervisor::Renewed { provider, failure } => {
                    renewed.push((provider, failure));
                    None
                }
                ToSupervisor::Attach | ToSupervisor::Look | ToSupervisor::Unknown => None,
            });
        }
        terminal.news().iter().for_each(|typist| front.tell_typed(typist));
        terminal.wanted_again().iter().for_each(|typist| front.tell_untaken(typist));
        if let Some(clock) = clock {
            ending.move_deadline(clock.deadline(front.is_followed()));
        }
        demanded.max(ending.due(Instant::now()))
    }
}
