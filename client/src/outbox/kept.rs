//! A snapshot of an earlier process: its content is read from what was set aside, else from the
//! tree as far as that is still the same.

use std::sync::Arc;

use handoff_proto::bundle::BundleError;
use handoff_proto::chunk::{ChunkId, ChunkIdSet};
use handoff_proto::manifest::{self, SnapshotId, SnapshotManifest};

use super::entry::Entry;
use super::error::OutboxError;
use super::held::Held;
use super::spool::{Spool, SpoolReader};
use crate::agents::Going;
use crate::capture::{self, Capture, ChangedSince, Options, capture};
use crate::output::Output;
use crate::remote::Remote;
use crate::runs::capture_options;

/// A snapshot of an earlier process.
#[derive(Debug)]
pub struct Kept {
    /// The snapshot.
    pub manifest: SnapshotManifest,
    /// Its canonical encoding.
    pub encoded: Vec<u8>,
    /// Its id.
    pub id: SnapshotId,
    spool: Spool,
    spooled: ChunkIdSet,
    /// The tree as it is now; none where nothing is needed from it.
    tree: Option<Arc<Capture>>,
}

impl Kept {
    /// Finds what the remote lacks of an entry.
    ///
    /// # Errors
    ///
    /// Where that is neither set aside nor in the tree any more; the first such file is named.
    pub(super) async fn find(
        held: &Held,
        remote: &Remote,
        output: &Output,
    ) -> anyhow::Result<Self> {
        let entry = held.entry();
        let (encoded, manifest) = held.manifest()?;
        let spool = held.spooled();
        let spooled = spool.ids()?;
        let mut lacking = remote.lacking(manifest.chunks().map(|chunk| chunk.id)).await?;
        lacking.retain(|id| !spooled.contains(id));
        let mut kept = Self { manifest, encoded, id: entry.snapshot, spool, spooled, tree: None };
        if !lacking.is_empty() {
            let tree = read_again(entry, output).await?;
            for chunk in tree.manifest.chunks() {
                lacking.remove(&chunk.id);
            }
            if let Some(source) = kept.gone(&lacking, None) {
                return Err(OutboxError::Changed { name: entry.shown_name(), source }.into());
            }
            kept.tree = Some(tree);
        }
        Ok(kept)
    }

    /// The content of these chunks.
    pub(crate) fn chunks(&self, wanted: ChunkIdSet) -> Chunks<'_> {
        Chunks { kept: self, wanted, source: Source::Beginning, buffer: Vec::new() }
    }

    /// The first file of the tree that is not what was captured, among those with these chunks.
    pub(crate) fn find_changed(&self, wanted: ChunkIdSet) -> Option<ChangedSince> {
        self.tree.as_ref()?.find_changed(wanted)
    }

    /// The first file with one of these chunks, which cannot be had any more.
    fn gone(&self, chunks: &ChunkIdSet, source: Option<std::io::Error>) -> Option<ChangedSince> {
        let uses = |entry: &&manifest::Entry| {
            entry.chunks().iter().any(|chunk| chunks.contains(&chunk.id))
        };
        let session = self.manifest.session.iter().flat_map(|session| &session.files);
        let path = self.manifest.entries.iter().chain(session).find(uses)?.path.clone();
        Some(ChangedSince { path, source, unnoticed: false })
    }
}

/// Captures the tree of an entry as it is now.
async fn read_again(entry: &Entry, output: &Output) -> anyhow::Result<Arc<Capture>> {
    let name = entry.shown_name();
    output.note(format_args!("reading the tree of run {name} again"));
    let (root, include, exclude) =
        (entry.root.clone(), entry.include.clone(), entry.exclude.clone());
    let contract = entry.offer.contract.clone();
    let captured = tokio::task::spawn_blocking(move || {
        let agent = Going::of_contract(&contract)
            .map_err(|source| OutboxError::Session { name: name.clone(), source })?
            .map(Arc::new);
        let options = Options { agent, ..capture_options(&root, &include, &exclude)? };
        capture(&options, &|_| {})
            .map_err(|source| OutboxError::Capture { name, source: Box::new(source) })
    });
    Ok(Arc::new(captured.await.map_err(|_cancelled| OutboxError::Interrupted)??))
}

/// Chunks of a kept snapshot with their content, each once.
#[derive(Debug)]
pub struct Chunks<'a> {
    kept: &'a Kept,
    wanted: ChunkIdSet,
    source: Source<'a>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Source<'a> {
    Beginning,
    Spool(Box<SpoolReader>),
    Tree(Box<capture::Chunks<'a>>),
    End,
}

impl Chunks<'_> {
    /// The next chunk with its content; `None` at the end.
    ///
    /// # Errors
    ///
    /// Where one cannot be had any more as it was captured.
    pub fn next_chunk(&mut self) -> Result<Option<(ChunkId, &[u8])>, ChangedSince> {
        while !self.wanted.is_empty() {
            let next = match &mut self.source {
                Source::Beginning => None,
                Source::Spool(reader) => match reader.next_chunk() {
                    Ok(next) => next,
                    Err(error) => return self.damaged(error),
                },
                Source::Tree(chunks) => {
                    chunks.next_chunk()?.map(|(id, content)| (id, content.to_vec()))
                }
                Source::End => break,
            };
            match next {
                Some((id, content)) if self.wanted.remove(&id) => {
                    self.buffer = content;
                    return Ok(Some((id, &self.buffer)));
                }
                Some(_) => {}
                None => {
                    if let Err(error) = self.advance() {
                        return self.damaged(error);
                    }
                }
            }
        }
        // What no file of the snapshot has was not ours to send.
        self.kept.gone(&self.wanted, None).map_or(Ok(None), Err)
    }

    /// Goes on to the next source.
    fn advance(&mut self) -> Result<(), BundleError> {
        let spooled = &self.kept.spooled;
        self.source = match (&self.source, &self.kept.tree) {
            (Source::Beginning, _) if self.wanted.iter().any(|id| spooled.contains(id)) => {
                let chunks = self.kept.manifest.chunks();
                let chunks = chunks.filter(|chunk| spooled.contains(&chunk.id));
                Source::Spool(Box::new(self.kept.spool.read(chunks)?))
            }
            (Source::Beginning | Source::Spool(_), Some(tree)) => {
                Source::Tree(Box::new(tree.chunks(self.wanted.clone())))
            }
            (Source::Beginning | Source::Spool(_), None) | (Source::Tree(_) | Source::End, _) => {
                Source::End
            }
        };
        Ok(())
    }

    /// What was set aside is not whole any more.
    fn damaged(&mut self, error: BundleError) -> Result<Option<(ChunkId, &[u8])>, ChangedSince> {
        self.source = Source::End;
        let source = std::io::Error::other(error);
        self.kept.gone(&self.wanted, Some(source)).map_or(Ok(None), Err)
    }
}
