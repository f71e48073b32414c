//! Pairing: an invitation goes out as text, comes back as a secret, and becomes a device.
//!
//! An invitation works once and for a while. Only the hash of its secret is kept. Times come in
//! from outside.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use handoff_proto::invitation::{ADDRESSES_MAX, Invitation, InvitationError, SECRET_LEN};
use thiserror::Error;

use super::Authority;
use crate::store::{
    StoreError, UserName,
    embedded::{Device, DeviceStore, EnrollError},
};

/// How long an invitation is valid unless it was said otherwise.
pub const INVITATION_VALID: Duration = Duration::from_secs(3600);

/// Longest signing request in bytes: several times what the largest usual key needs.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Longest name of a device, in characters.
const DEVICE_NAME_LEN_MAX: usize = 64;

/// Makes invitations and turns them into devices.
#[derive(Clone, Debug)]
pub struct Pairing {
    authority: Arc<Authority>,
    devices: DeviceStore,
    addresses: Vec<String>,
}

/// A device that was just let in.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Its certificate, PEM.
    pub certificate: String,
    /// Whose it is.
    pub user: UserName,
}

/// A device was not paired.
#[derive(Debug, Error)]
pub enum PairingError {
    /// The invitation does not count.
    #[error(transparent)]
    Invitation(#[from] EnrollError),
    /// The secret has the wrong length.
    #[error("invitation is damaged: its secret has {found} bytes instead of {SECRET_LEN}")]
    Secret {
        /// Its length.
        found: usize,
    },
    /// The signing request is wrong.
    #[error("certificate signing request is refused: {0}")]
    Request(String),
    /// The device's name is wrong.
    #[error("device name is refused: use 1 to {DEVICE_NAME_LEN_MAX} printable characters")]
    DeviceName,
    /// The invitation cannot be written as text.
    #[error(transparent)]
    Text(#[from] InvitationError),
    /// The kernel gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
    /// The store failed.
    #[error("invitation was not made")]
    Store(#[from] StoreError),
}

impl Pairing {
    /// Pairs devices with a server that listens on `address` and is known under `names`.
    #[must_use]
    pub fn new(
        authority: Arc<Authority>,
        devices: DeviceStore,
        names: &[String],
        address: SocketAddr,
    ) -> Self {
        Self { authority, devices, addresses: reachable_at(names, address) }
    }

    /// Makes an invitation for a user and returns its text.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn invite(
        &self,
        user: &UserName,
        valid: Duration,
        now: SystemTime,
    ) -> Result<String, PairingError> {
        let mut secret = [0; SECRET_LEN];
        getrandom::fill(&mut secret).map_err(PairingError::Random)?;
        let expires = now + valid;
        let text = Invitation {
            addresses: self.addresses.clone(),
            authority: self.authority.certificate().to_vec(),
            secret,
            expires_unix_seconds: unix_seconds(expires),
        }
        .encode()?;
        self.devices.invite(hash(&secret), user, now, expires).await?;
        Ok(text)
    }

    /// Trades an invitation's secret and a signing request for a certificate.
    ///
    /// # Errors
    /// When the invitation is unknown, expired or used, or the request is no good; then the
    /// invitation is as it was.
    pub async fn enroll(
        &self,
        secret: &[u8],
        request: &str,
        device: &str,
        now: SystemTime,
    ) -> Result<Enrolled, PairingError> {
        let secret: [u8; SECRET_LEN] =
            secret.try_into().map_err(|_| PairingError::Secret { found: secret.len() })?;
        // First of all, so that a stranger learns nothing about what else might be wrong.
        let invitation = self.devices.invitation(hash(&secret), now).await?;
        let printable = !device.is_empty() && !device.chars().any(char::is_control);
        if !printable || device.chars().count() > DEVICE_NAME_LEN_MAX {
            return Err(PairingError::DeviceName);
        }
        if request.len() > REQUEST_BYTES_MAX {
            return Err(PairingError::Request(format!("over {REQUEST_BYTES_MAX} bytes")));
        }
        let signed = self
            .authority
            .sign_device(request, now)
            .map_err(|error| PairingError::Request(error.to_string()))?;
        let device = Device {
            fingerprint: *signed.fingerprint.as_bytes(),
            user: invitation.user.clone(),
            name: device.to_owned(),
            enrolled_at: now,
            revoked_at: None,
        };
        self.devices.enroll(hash(&secret), device).await?;
        Ok(Enrolled { certificate: signed.pem, user: invitation.user })
    }
}

/// Where clients are told to look, the best first.
fn reachable_at(names: &[String], address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let with_port = |name: &String| match name.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{name}:{port}"),
    };
    let mut addresses: Vec<String> = names.iter().take(ADDRESSES_MAX - 1).map(with_port).collect();
    if !address.ip().is_unspecified() {
        addresses.push(address.to_string());
    } else if addresses.is_empty() {
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string());
    }
    addresses
}

fn hash(secret: &[u8; SECRET_LEN]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_names_before_addresses() {
        let names = ["box.example.com".to_owned(), "::2".to_owned()];
        let found = reachable_at(&names, "10.0.0.7:99".parse().expect("address"));
        assert_eq!(found, ["box.example.com:99", "[::2]:99", "10.0.0.7:99"]);
        let found = reachable_at(&names, "0.0.0.0:99".parse().expect("address"));
        assert_eq!(found, ["box.example.com:99", "[::2]:99"]);
        assert_eq!(reachable_at(&[], "[::]:99".parse().expect("address")), ["127.0.0.1:99"]);
    }
}
