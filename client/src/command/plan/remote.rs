//! What the remote says to the plan: which chunks it lacks, whether it knows the command, how much
//! room there is. Sends hashes and the contract, no content.

use std::collections::BTreeSet;

use handoff_proto::chunk::ChunkIdSet;
use handoff_proto::problem::Problem;
use handoff_proto::wire::{self, UsageReply, UsageRequest};

use crate::agents::Needs;
use crate::capture::Capture;
use crate::context::Context;
use crate::exit::chain_text;
use crate::remote::{self, Lacks, Remote};

/// Bytes of an idempotency key; that of a plan is never used.
const KEY_BYTES: usize = 32;

/// How many programs are asked about: each costs a round trip.
const PROGRAMS_MAX: usize = 20;

/// What there is to know from a remote.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was asked.
    Known(Box<Known>),
    /// It could not be asked.
    Unknown { why: String },
    /// There is none yet.
    NoRemote,
}

/// What a remote said.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) remote: String,
    pub(super) lacking: ChunkIdSet,
    pub(super) command: Verdict,
    /// Programs of those asked about that it does not have.
    pub(super) lacks_programs: Vec<String>,
    /// MCP servers that it has no credential for.
    pub(super) lacks_mcp: Vec<Lacks>,
    /// None from an older daemon.
    pub(super) usage: Option<UsageReply>,
}

/// Whether the remote would take the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused(Problem),
    /// No command was given, or the daemon is too old to be asked.
    NotAsked,
}

impl Answer {
    pub(super) fn lacking(&self) -> Option<&ChunkIdSet> {
        match self {
            Self::Known(known) => Some(&known.lacking),
            Self::Unknown { .. } | Self::NoRemote => None,
        }
    }
}

/// Asks the remote. One that has never been paired is not set up for a question.
pub(super) async fn ask(
    context: &Context,
    contract: &wire::Contract,
    capture: &Capture,
    needs: &Needs,
) -> anyhow::Result<Answer> {
    if context.settings.remotes().next().is_none() {
        return Ok(Answer::NoRemote);
    }
    let asked = async {
        let remote = context.connect().await?;
        let known = Known {
            remote: remote.name().to_owned(),
            lacking: remote.lacking(capture.manifest.chunks().map(|chunk| chunk.id)).await?,
            command: command(&remote, contract, capture).await?,
            lacks_programs: lacking_programs(&remote, contract, capture, &needs.programs).await?,
            lacks_mcp: remote.lacking_mcp(&needs.credentials).await?,
            usage: if_known(&remote, remote.runs().usage(UsageRequest {}).await)?,
        };
        anyhow::Ok(Answer::Known(Box::new(known)))
    };
    match asked.await {
        Ok(answer) => Ok(answer),
        Err(error) => match error.downcast_ref::<remote::Error>() {
            Some(failure) if failure.is_transient() => {
                Ok(Answer::Unknown { why: chain_text(error.as_ref()) })
            }
            _ => Err(error),
        },
    }
}

/// Those of the programs that a run would not find.
async fn lacking_programs(
    remote: &Remote,
    contract: &wire::Contract,
    capture: &Capture,
    programs: &BTreeSet<String>,
) -> Result<Vec<String>, remote::Error> {
    let mut lacking = Vec::new();
    for program in programs.iter().take(PROGRAMS_MAX) {
        let command = vec![program.clone().into_bytes()];
        let plain = wire::Contract {
            command,
            agent: String::new(),
            session_id: String::new(),
            agent_terms: None,
            ..contract.clone()
        };
        if let Verdict::Refused(_) = self::command(remote, &plain, capture).await? {
            lacking.push(program.clone());
        }
    }
    Ok(lacking)
}

async fn command(
    remote: &Remote,
    contract: &wire::Contract,
    capture: &Capture,
) -> Result<Verdict, remote::Error> {
    if contract.command.is_empty() {
        return Ok(Verdict::NotAsked);
    }
    let offer = wire::Offer {
        idempotency_key: vec![0; KEY_BYTES],
        name: String::new(),
        snapshot: capture.id.as_bytes().to_vec(),
        manifest_bytes: capture.encoded.len() as u64,
        content_bytes: capture.manifest.content_bytes(),
        entries: capture.manifest.entries.len() as u64,
        contract: Some(contract.clone()),
        manifest_base: Vec::new(),
        delta_bytes: 0,
    };
    match if_known(remote, remote.runs().check(offer).await) {
        Ok(Some(wire::Empty {})) => Ok(Verdict::Accepted),
        Ok(None) => Ok(Verdict::NotAsked),
        Err(remote::Error::Refused { problem, .. }) => Ok(Verdict::Refused(*problem)),
        Err(error) => Err(error),
    }
}

/// A reply; none where the daemon is older than the question.
fn if_known<T>(
    remote: &Remote,
    reply: Result<tonic::Response<T>, tonic::Status>,
) -> Result<Option<T>, remote::Error> {
    match reply {
        Ok(reply) => Ok(Some(reply.into_inner())),
        Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
        Err(status) => Err(remote.error(status)),
    }
}
