//! What a supervisor tells, as events of which each comes once, however often it is told.

use handoff_sandbox::Isolation;

use super::{Attached, JobEvent};
use crate::egress::Summary;
use crate::supervisor::job::JobExit;
use crate::supervisor::message::{FromSupervisor, Phase, State};
use crate::supervisor::output::Position;

impl Attached {
    pub(super) fn hear(&mut self, message: FromSupervisor) {
        match message {
            FromSupervisor::Hello { state } => self.hear_state(state),
            FromSupervisor::Started { isolation } => self.hear_started(isolation),
            FromSupervisor::Output { end } => self.hear_output(end),
            FromSupervisor::OutputLimited => self.hear_limit(),
            FromSupervisor::Egress { summary } => self.hear_egress(summary),
            FromSupervisor::Exited { exit } => self.hear_exit(exit),
            // Told to others only.
            FromSupervisor::Typed { .. }
            | FromSupervisor::Untaken { .. }
            | FromSupervisor::Unkept { .. } => {}
            FromSupervisor::Unknown => {}
        }
    }

    pub(super) fn hear_state(&mut self, state: State) {
        self.inputs.extend(state.inputs);
        if let Phase::Running { isolation } = &state.phase {
            self.hear_started(isolation.clone());
        }
        self.hear_output(state.output_end);
        if state.output_limited {
            self.hear_limit();
        }
        self.hear_egress(state.egress);
        if let Phase::Exited { exit } = state.phase {
            self.hear_exit(exit);
        }
    }

    pub(super) fn hear_started(&mut self, isolation: Isolation) {
        if !std::mem::replace(&mut self.told.started, true) {
            self.news.push_back(JobEvent::Started(isolation));
        }
    }

    fn hear_output(&mut self, end: Position) {
        if end > self.told.output {
            self.told.output = end;
            self.news.push_back(JobEvent::Output(end));
        }
    }

    fn hear_limit(&mut self) {
        if !std::mem::replace(&mut self.told.limited, true) {
            self.news.push_back(JobEvent::OutputLimited);
        }
    }

    fn hear_egress(&mut self, summary: Summary) {
        if summary != self.told.egress {
            self.told.egress = summary.clone();
            self.news.push_back(JobEvent::Egress(summary));
        }
    }

    pub(super) fn hear_exit(&mut self, exit: JobExit) {
        self.hear_output(exit.output.end);
        if exit.output.dropped_bytes > 0 {
            self.hear_limit();
        }
        self.told.last = Some(JobEvent::Exited(exit));
    }
}
