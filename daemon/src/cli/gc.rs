//! `handoffd gc`: removes content that no run needs, and what was made of it.

use clap::Args;
use handoff_proto::{problem::Problem, wire::CollectRequest};

use super::{admin, output};

/// Remove content, trees and shared files that no run needs
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(super) fn run(self) -> Result<(), Problem> {
        let dry_run = self.dry_run;
        let reply =
            admin::ask(async |mut daemon| daemon.collect(CollectRequest { dry_run }).await)?;
        let (blobs, mebibytes) = (reply.blobs, reply.bytes >> 20);
        let (trees, files) = (reply.trees, reply.originals);
        let line = if dry_run {
            format!(
                "would remove {blobs} blobs of {mebibytes} MiB and {files} shared files; \
                 trees are not counted"
            )
        } else {
            format!(
                "removed {blobs} blobs of {mebibytes} MiB, {trees} trees and {files} shared files"
            )
        };
        output::line(&line)
    }
}
