//! What of an agent would go along, and what it would miss there.

use std::fmt;

use handoff_proto::manifest;
use handoff_proto::wire;
use indicatif::{DecimalBytes, HumanCount};
use serde::Serialize;

use super::remote::Answer;
use crate::agents::{Going, Stays};
use crate::capture::Capture;
use crate::remote::Lacks;

/// What of an agent would go along.
#[derive(Debug, Serialize)]
pub(super) struct Session {
    pub(super) agent: String,
    pub(super) session_id: String,
    /// Whether there is no session yet.
    pub(super) new: bool,
    pub(super) forked_from: Option<String>,
    pub(super) files: usize,
    pub(super) bytes: u64,
    pub(super) stays: Vec<Stays>,
    pub(super) lacks_variables: Vec<String>,
    /// Empty where the remote was not asked.
    pub(super) lacks_programs: Vec<String>,
}

impl Session {
    pub(super) fn new(
        going: &Going,
        contract: &wire::Contract,
        capture: &Capture,
        answer: &Answer,
    ) -> Self {
        let session = capture.manifest.session.as_ref();
        let has = |name: &str| {
            contract.environment.iter().any(|variable| variable.name == name.as_bytes())
        };
        let lacks_mcp = match answer {
            Answer::Known(known) => known.lacks_mcp.clone(),
            // Perhaps it has some: whoever wants to know has to reach it.
            Answer::Unknown { .. } | Answer::NoRemote => {
                Lacks::all(&going.export.needs.credentials)
            }
        };
        let lacks_mcp =
            lacks_mcp.iter().map(|lacks| Stays { what: lacks.what(), why: lacks.why() });
        let variables = going.export.needs.variables.iter();
        Self {
            agent: going.kind.name().to_owned(),
            session_id: going.id.clone(),
            new: going.from.is_none(),
            forked_from: going.forked_from().map(str::to_owned),
            files: session.map_or(0, |session| session.files.len()),
            bytes: session.map_or(0, manifest::Session::size),
            stays: going.export.stays.iter().cloned().chain(lacks_mcp).collect(),
            lacks_variables: variables.filter(|name| !has(name)).cloned().collect(),
            lacks_programs: match answer {
                Answer::Known(known) => known.lacks_programs.clone(),
                Answer::Unknown { .. } | Answer::NoRemote => Vec::new(),
            },
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agent, session_id, .. } = self;
        let which = match (self.new, &self.forked_from) {
            (true, _) => format!("no session of {agent} along, which begins a new one"),
            (false, None) => format!("session {session_id} of {agent} along"),
            (false, Some(from)) => format!("a copy of session {from} of {agent} along"),
        };
        let (files, bytes) = (HumanCount(self.files as u64), DecimalBytes(self.bytes));
        match self.files {
            0 => writeln!(f, "  takes   {which}")?,
            _ => writeln!(f, "  takes   {which}: {files} files, {bytes}, not scanned for secrets")?,
        }
        for Stays { what, why } in &self.stays {
            writeln!(f, "          without {what}: {why}")?;
        }
        for name in &self.lacks_variables {
            writeln!(f, "          which misses the variable {name}: `--env {name}` passes it on")?;
        }
        for program in &self.lacks_programs {
            writeln!(f, "          which misses the program {program} there")?;
        }
        Ok(())
    }
}
