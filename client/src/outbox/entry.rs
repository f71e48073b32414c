//! One handoff that no receipt has come for, and its stored form.

use data_encoding::HEXLOWER;
use handoff_proto::manifest::SnapshotId;
use handoff_proto::path::AbsolutePath;
use handoff_proto::run::{RUN_ID_LEN, RunId, RunName};
use handoff_proto::wire;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::runs::StoredPath;
use crate::transfer::Offer;

/// The form of the file; another number is another program's file.
const VERSION: u32 = 1;

/// The state that the client shows for what is in the outbox.
pub const STATE: &str = "sending";

/// One handoff that no receipt has come for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called until the daemon gives it an id; made from the key, so that it stays.
    pub id: RunId,
    /// Key, name and contract.
    pub offer: Offer,
    /// The remote it goes to, as it is called here.
    pub remote: String,
    /// That remote's daemon, known by its certificate authority.
    pub daemon: String,
    /// The root of its tree.
    pub root: AbsolutePath,
    /// Globs of ignored things that are carried nevertheless.
    pub include: Vec<String>,
    /// Globs of things that are not carried.
    pub exclude: Vec<String>,
    /// What was captured.
    pub snapshot: SnapshotId,
    /// When it was captured, in nanoseconds since the Unix epoch.
    pub at_unix_nanos: i64,
    /// Where it stands.
    pub standing: Standing,
}

/// Where a handoff stands that no receipt has come for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A process is sending it, or was killed while it did.
    Sending,
    /// It is sent when that may work again.
    Waiting {
        /// Why it was not sent.
        why: String,
    },
    /// It is sent only when its owner says so.
    Stopped {
        /// Why it was not sent.
        why: String,
    },
}

/// The stored form.
#[derive(Deserialize, Serialize)]
struct Stored {
    version: u32,
    key: String,
    name: String,
    contract: String,
    remote: String,
    daemon: String,
    root: StoredPath,
    include: Vec<String>,
    exclude: Vec<String>,
    snapshot: String,
    at_unix_nanos: i64,
    standing: Standing,
}

impl Entry {
    /// The id of what is handed off with this key.
    #[must_use]
    pub fn id_of(offer: &Offer) -> RunId {
        let hash = blake3::derive_key("handoff outbox entry id", offer.key());
        let mut bytes = [0; RUN_ID_LEN];
        bytes.copy_from_slice(&hash[..RUN_ID_LEN]);
        RunId::from_random(bytes)
    }

    /// The name wanted for the run, else one like those that a daemon makes up.
    #[must_use]
    pub fn shown_name(&self) -> String {
        match self.offer.name.as_str() {
            "" => RunName::for_command(&self.offer.contract.command, &self.id).as_str().to_owned(),
            name => name.to_owned(),
        }
    }

    /// It as a run that has not begun.
    #[must_use]
    pub fn view(&self) -> wire::RunView {
        wire::RunView {
            id: self.id.to_string(),
            name: self.shown_name(),
            state: STATE.to_owned(),
            outcome_detail: self.why().unwrap_or_default().to_owned(),
            needs: self.needs(),
            contract: Some(self.offer.contract.clone()),
            snapshot: self.snapshot.as_bytes().to_vec(),
            created_at_unix_nanos: self.at_unix_nanos,
            ..wire::RunView::default()
        }
    }

    /// What it waits for its owner for.
    fn needs(&self) -> Option<wire::InputNeeded> {
        match &self.standing {
            Standing::Sending | Standing::Waiting { .. } => None,
            Standing::Stopped { why } => Some(wire::InputNeeded {
                id: self.id.to_string(),
                kind: "upload".to_owned(),
                text: why.clone(),
                ..Default::default()
            }),
        }
    }

    /// Why it was not sent, if that is known.
    fn why(&self) -> Option<&str> {
        match &self.standing {
            Standing::Sending => None,
            Standing::Waiting { why } | Standing::Stopped { why } => Some(why),
        }
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            key: HEXLOWER.encode(self.offer.key()),
            name: self.offer.name.clone(),
            contract: HEXLOWER.encode(&self.offer.contract.encode_to_vec()),
            remote: self.remote.clone(),
            daemon: self.daemon.clone(),
            root: StoredPath::from(&self.root),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            snapshot: self.snapshot.to_string(),
            at_unix_nanos: self.at_unix_nanos,
            standing: self.standing.clone(),
        };
        // Strings, numbers and lists of them always have a form.
        serde_json::to_vec_pretty(&stored).unwrap_or_default()
    }

    /// Reads the stored form; none if it is not whole or of another version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        if stored.version != VERSION {
            return None;
        }
        let key = HEXLOWER.decode(stored.key.as_bytes()).ok()?.try_into().ok()?;
        let contract = HEXLOWER.decode(stored.contract.as_bytes()).ok()?;
        let contract = wire::Contract::decode(contract.as_slice()).ok()?;
        let offer = Offer::again(key, stored.name, contract);
        Some(Self {
            id: Self::id_of(&offer),
            offer,
            remote: stored.remote,
            daemon: stored.daemon,
            root: stored.root.parse()?,
            include: stored.include,
            exclude: stored.exclude,
            snapshot: SnapshotId::parse(&stored.snapshot).ok()?,
            at_unix_nanos: stored.at_unix_nanos,
            standing: stored.standing,
        })
    }
}
