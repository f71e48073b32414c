//! `handoff plan`: what would leave this machine; sends no content.

mod report;
mod xattrs;

use std::collections::HashSet;
use std::ffi::OsString;

use handoff_proto::chunk::ChunkId;
use handoff_proto::wire::{ChunkIds, FRAME_BYTES_MAX};

use super::carry::{CarryArgs, Errand};
use crate::capture::Capture;
use crate::context::Context;
use crate::exit::{Exit, chain_text};
use crate::output::Format;
use crate::remote::{self, Remote};
use report::{Lacking, Report};

/// Bytes of a chunk id.
const ID_BYTES: usize = 32;

/// The arguments of `handoff plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the subcommand's help")]
    pub carry: CarryArgs,
    /// The command that would be handed off
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Shows the plan.
///
/// # Errors
///
/// Whatever would keep a command from being handed off, but for the remote: if that cannot be
/// reached, the plan says so.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<Exit> {
    let errand = Errand::new(context, args.carry)?;
    let contract = errand.contract(args.command, None)?;
    let packs = context.remote_name().map(|remote| errand.packs(context, remote));
    let capture = errand.capture(&context.output, packs).await?;
    let lacking = lacking(context, &capture).await?;
    let attributes = xattrs::count(&errand.root, &capture);
    let report = Report::new(&errand, &contract, &capture, lacking, attributes);
    match context.output.format() {
        Format::Json => context.output.json(&report)?,
        Format::Text => context.output.text(&report.to_string())?,
    }
    Ok(Exit::Done)
}

/// Asks the remote what it lacks. A remote that has never been paired lacks everything, and is not
/// set up for a question.
async fn lacking(context: &Context, capture: &Capture) -> anyhow::Result<Lacking> {
    if context.settings.remotes().next().is_none() {
        return Ok(Lacking::NoRemote);
    }
    let remote = match context.connect().await {
        Ok(remote) => remote,
        Err(error) => match error.downcast_ref::<remote::Error>() {
            Some(failure) if failure.is_transient() => {
                return Ok(Lacking::Unknown { why: chain_text(error.as_ref()) });
            }
            _ => return Err(error),
        },
    };
    let lacking = ask(&remote, capture).await?;
    let mut counted = HashSet::new();
    let chunks = capture.manifest.chunks().filter(|chunk| lacking.contains(&chunk.id));
    let bytes =
        chunks.filter(|chunk| counted.insert(chunk.id)).map(|chunk| u64::from(chunk.size)).sum();
    Ok(Lacking::Known { remote: remote.name().to_owned(), chunks: lacking.len(), bytes })
}

async fn ask(remote: &Remote, capture: &Capture) -> Result<HashSet<ChunkId>, remote::Error> {
    let unique: HashSet<ChunkId> = capture.manifest.chunks().map(|chunk| chunk.id).collect();
    let ids: Vec<u8> = unique.iter().flat_map(|id| *id.as_bytes()).collect();
    let messages: Vec<ChunkIds> =
        ids.chunks(FRAME_BYTES_MAX).map(|ids| ChunkIds { ids: ids.to_vec() }).collect();
    let failed = |status| remote.error(status);
    let reply = remote.runs().lacks(tokio_stream::iter(messages)).await.map_err(failed)?;
    let mut replies = reply.into_inner();
    let mut lacking = HashSet::new();
    while let Some(ChunkIds { ids }) = replies.message().await.map_err(failed)? {
        let (ids, _rest) = ids.as_chunks::<ID_BYTES>();
        lacking
            .extend(ids.iter().map(|id| ChunkId::from_bytes(*id)).filter(|id| unique.contains(id)));
    }
    Ok(lacking)
}
