//! The client's side of a handoff, message by message, so that each can be wrong.

use bytes::Bytes;
use handoff_proto::{
    bundle::Writer,
    chunk::{ChunkId, ChunkRef},
    frames::{frames, pack_manifest},
    manifest::{Entry, Kind, SnapshotManifest, Timestamp, VERSION},
    path::{AbsolutePath, TreePath},
    wire::{
        Account, Contract, Empty, HandoffRequest, Offer, Receipt, handoff_reply,
        handoff_request::Part, runs_client::RunsClient,
    },
};
use tonic::{Status, transport::Channel};

pub(crate) const ROOT: &[u8] = b"/home/ada/app";

/// A handoff of a tree with one file.
#[derive(Clone)]
pub(crate) struct Handoff {
    pub(crate) offer: Offer,
    /// The manifest, compressed or as a test wants it.
    pub(crate) manifest: Vec<u8>,
    pub(crate) bundle: Vec<u8>,
}

impl Handoff {
    /// A good one; content and key follow from the name.
    pub(crate) fn new(name: &str) -> Self {
        let content = name.as_bytes();
        let mut bundle = Writer::new(Vec::new(), 1).expect("a bundle");
        bundle.chunk(&ChunkId::of(content), content).expect("a chunk");
        Self::of(name, &manifest(content).encode(), bundle.finish().expect("a bundle"))
    }

    /// One with this manifest and this bundle, whatever they are.
    pub(crate) fn of(name: &str, manifest: &[u8], bundle: Vec<u8>) -> Self {
        let account = Account {
            name: "ada".to_owned(),
            uid: 1000,
            gid: 1000,
            home: b"/home/ada".to_vec(),
            shell: "/bin/sh".to_owned(),
        };
        let contract = Contract {
            command: vec![b"true".to_vec()],
            root: ROOT.to_vec(),
            directory: ROOT.to_vec(),
            umask: 0o022,
            account: Some(account),
            ..Contract::default()
        };
        let offer = Offer {
            idempotency_key: blake3::hash(name.as_bytes()).as_bytes().to_vec(),
            name: name.to_owned(),
            snapshot: ChunkId::of(manifest).as_bytes().to_vec(),
            manifest_bytes: manifest.len() as u64,
            contract: Some(contract),
            ..Offer::default()
        };
        Self { offer, manifest: pack_manifest(manifest), bundle }
    }

    /// Sends all of it without waiting for answers; returns these, or what refused it.
    pub(crate) async fn send(
        self,
        client: &mut RunsClient<Channel>,
    ) -> Result<Vec<handoff_reply::Part>, Status> {
        let manifest = frames(Bytes::from(self.manifest)).map(Part::Manifest);
        let bundle = frames(Bytes::from(self.bundle)).map(Part::Bundle);
        let parts: Vec<Part> = [Part::Offer(self.offer)]
            .into_iter()
            .chain(manifest)
            .chain([Part::ManifestEnd(Empty {})])
            .chain(bundle)
            .chain([Part::BundleEnd(Empty {})])
            .collect();
        Self::parts(client, parts).await
    }

    /// Sends these messages.
    pub(crate) async fn parts(
        client: &mut RunsClient<Channel>,
        parts: Vec<Part>,
    ) -> Result<Vec<handoff_reply::Part>, Status> {
        let requests = parts.into_iter().map(|part| HandoffRequest { part: Some(part) });
        let mut replies = client.handoff(tokio_stream::iter(requests)).await?.into_inner();
        let mut said = Vec::new();
        while let Some(reply) = replies.message().await? {
            said.extend(reply.part);
        }
        Ok(said)
    }
}

/// The manifest of a tree with this in a file.
pub(crate) fn manifest(content: &[u8]) -> SnapshotManifest {
    let size = u32::try_from(content.len()).expect("small");
    let chunks = vec![ChunkRef { id: ChunkId::of(content), size }];
    SnapshotManifest {
        version: VERSION,
        root: AbsolutePath::parse(ROOT).expect("a path"),
        root_mode: 0o755,
        root_mtime: Timestamp::default(),
        entries: vec![Entry {
            path: TreePath::parse(b"file").expect("a path"),
            mode: 0o644,
            mtime: Timestamp::default(),
            kind: Kind::File { size: size.into(), chunks },
        }],
        repositories: Vec::new(),
        session: None,
    }
}

/// The receipt among the answers.
pub(crate) fn receipt(said: Vec<handoff_reply::Part>) -> Receipt {
    let receipt = said.into_iter().find_map(|part| match part {
        handoff_reply::Part::Receipt(receipt) => Some(receipt),
        _ => None,
    });
    receipt.expect("a receipt")
}
