//! From the certificate of a connection to the user whose call it is.
//!
//! Looked up for every call, and again for every open connection when devices were revoked, so that
//! a revoked device is out at once. Reads no request bodies.

use std::sync::Arc;

use handoff_proto::problem::{Code, Problem};
use tonic::{Request, Status};

use super::{
    server::{Call, Ending},
    status,
};
use crate::{
    pki::Fingerprint,
    store::{
        UserName,
        embedded::{Device, DeviceStore},
    },
};

/// What is known about the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It showed a certificate of ours.
    Certificate(Fingerprint),
    /// It showed none.
    Anonymous,
}

/// Whose call it is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserName,
    /// What the user calls the device.
    pub device: String,
    /// Whether the call may go on.
    pub(super) ending: Ending,
    /// Kept by whoever works for the call.
    pub(super) place: Arc<Call>,
}

/// Tells known devices from others.
#[derive(Clone, Debug)]
pub struct Identity {
    devices: DeviceStore,
}

impl Identity {
    /// Knows the devices of this store.
    #[must_use]
    pub fn new(devices: DeviceStore) -> Self {
        Self { devices }
    }

    /// Lets a peer in, or says why not.
    ///
    /// # Errors
    /// UNAUTHENTICATED when the peer is not a known device or was revoked.
    pub(super) async fn admit(&self, peer: Peer) -> Result<Device, Status> {
        let Peer::Certificate(fingerprint) = peer else {
            return Err(unauthenticated("this device is not paired with the daemon"));
        };
        let known = self.devices.find(*fingerprint.as_bytes()).await.map_err(status::failed)?;
        match known {
            None => Err(unauthenticated("this device is not known to the daemon any more")),
            Some(device) if device.revoked_at.is_some() => {
                Err(unauthenticated("this device was revoked"))
            }
            Some(device) => Ok(device),
        }
    }

    /// Waits from now on until this peer is not let in any more; says why. Where the store does not
    /// tell, it is not either.
    pub(super) fn refusal(&self, peer: Peer) -> impl Future<Output = Status> + use<> {
        let (identity, mut revocations) = (self.clone(), self.devices.revocations());
        async move {
            loop {
                if revocations.changed().await.is_err() {
                    // The store is closed, and the daemon ends.
                    std::future::pending::<()>().await;
                }
                if let Err(status) = identity.admit(peer).await {
                    return status;
                }
            }
        }
    }

    /// Whose call this is: what the server found out when it let the call in.
    ///
    /// # Errors
    /// UNAUTHENTICATED when the call was not let in as anyone's.
    #[expect(clippy::unused_async, reason = "callers need not know that the look-up is done")]
    pub async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        request
            .extensions()
            .get::<Caller>()
            .cloned()
            .ok_or_else(|| unauthenticated("this device is not paired with the daemon"))
    }
}

fn unauthenticated(message: &str) -> Status {
    Problem::new(Code::Refused, message)
        .with_hint("pair it with `handoff remote add NAME INVITATION`")
        .into_status_as(tonic::Code::Unauthenticated)
}
