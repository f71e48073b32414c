//! Who may connect: invitations that were given out and the devices that came of them.
//!
//! Knows hashes only: neither an invitation's secret nor a private key is ever stored. Times come
//! in from outside.

use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Row, params};
use thiserror::Error;
use tokio::sync::watch;

use super::{Embedded, from_millis, schema, to_millis, writer::Touches};
use crate::store::{StoreError, UserName};

/// How long an invitation is remembered after it has expired, so that its error stays exact.
const INVITATION_REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

/// A BLAKE3 or SHA-256 digest.
type Digest = [u8; 32];

/// A handle to the tables of invitations and devices.
#[derive(Clone, Debug)]
pub struct DeviceStore(Embedded);

/// A device that may connect, or might once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// SHA-256 of its certificate.
    pub fingerprint: Digest,
    /// Whose it is.
    pub user: UserName,
    /// What its owner calls it.
    pub name: String,
    /// Since when.
    pub enrolled_at: SystemTime,
    /// Since when no longer.
    pub revoked_at: Option<SystemTime>,
}

/// An invitation that can still be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Whom it was made for.
    pub user: UserName,
    /// How long it can be used.
    pub expires_at: SystemTime,
}

/// An invitation cannot be used.
#[derive(Debug, Error)]
pub enum EnrollError {
    /// This daemon never gave it out, or forgot it long ago.
    #[error("invitation is unknown to this daemon: ask for a new one with `handoffd invite USER`")]
    Unknown,
    /// Its time is over.
    #[error("invitation has expired: ask for a new one with `handoffd invite USER`")]
    Expired,
    /// A device has used it.
    #[error("invitation was used already: ask for a new one with `handoffd invite USER`")]
    Used,
    /// The store failed.
    #[error("device was not enrolled")]
    Store(#[from] StoreError),
}

impl DeviceStore {
    pub(super) fn new(store: Embedded) -> Self {
        Self(store)
    }

    /// Records an invitation by the hash of its secret.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn invite(
        &self,
        secret_hash: Digest,
        user: &UserName,
        now: SystemTime,
        expires_at: SystemTime,
    ) -> Result<(), StoreError> {
        let (user, expires_at) = (user.clone(), to_millis(expires_at));
        let forgotten = now.checked_sub(INVITATION_REMEMBERED).map_or(0, to_millis);
        self.0
            .writer()
            .write(Touches::Nothing, move |connection| {
                connection.execute("DELETE FROM invitations WHERE expires_at < ?1", [forgotten])?;
                connection
                    .execute(
                        "INSERT INTO invitations (secret_hash, user, expires_at)
                         VALUES (?1, ?2, ?3)",
                        params![secret_hash, user.as_str(), expires_at],
                    )
                    .map(drop)
            })
            .await
    }

    /// Looks an invitation up without using it.
    ///
    /// # Errors
    /// When it cannot be used, and why.
    pub async fn invitation(
        &self,
        secret_hash: Digest,
        now: SystemTime,
    ) -> Result<Invitation, EnrollError> {
        let (user, expires_at) =
            self.0.readers().read(move |db| usable(db, secret_hash, now)).await??;
        Ok(Invitation { user: self.user(&user)?, expires_at: from_millis(expires_at) })
    }

    /// Uses an invitation up and stores the device that came with it, both or neither.
    ///
    /// # Errors
    /// When the invitation cannot be used any more, and why.
    pub async fn enroll(&self, secret_hash: Digest, device: Device) -> Result<(), EnrollError> {
        let enrolled_at = to_millis(device.enrolled_at);
        let now = device.enrolled_at;
        self.0
            .writer()
            .write(Touches::Nothing, move |connection| {
                if let Err(refused) = usable(connection, secret_hash, now)? {
                    return Ok(Err(refused));
                }
                connection.execute(
                    "UPDATE invitations SET used_at = ?2 WHERE secret_hash = ?1",
                    params![secret_hash, enrolled_at],
                )?;
                connection.execute(
                    "INSERT INTO devices (fingerprint, user, device, enrolled_at)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![device.fingerprint, device.user.as_str(), device.name, enrolled_at],
                )?;
                Ok(Ok(()))
            })
            .await?
    }

    /// Finds a device by its certificate, revoked or not.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find(&self, fingerprint: Digest) -> Result<Option<Device>, StoreError> {
        let row = self
            .0
            .readers()
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT fingerprint, user, device, enrolled_at, revoked_at
                         FROM devices WHERE fingerprint = ?1",
                    )?
                    .query_row([fingerprint], StoredDevice::read)
                    .optional()
            })
            .await?;
        row.map(|row| self.device(row)).transpose()
    }

    /// Lists all devices, the oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self) -> Result<Vec<Device>, StoreError> {
        let rows: Vec<StoredDevice> = self
            .0
            .readers()
            .read(|connection| {
                connection
                    .prepare_cached(
                        "SELECT fingerprint, user, device, enrolled_at, revoked_at
                         FROM devices ORDER BY enrolled_at, fingerprint",
                    )?
                    .query_map([], StoredDevice::read)?
                    .collect()
            })
            .await?;
        rows.into_iter().map(|row| self.device(row)).collect()
    }

    /// Revokes all devices of a user and the invitations that are still open, and says how many
    /// devices those were. Whoever waits for [`Self::revocations`] is told once it is durable.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke(&self, user: &UserName, now: SystemTime) -> Result<usize, StoreError> {
        let (user, now) = (user.clone(), to_millis(now));
        let revoked = self
            .0
            .writer()
            .write(Touches::Nothing, move |connection| {
                connection.execute(
                    "DELETE FROM invitations WHERE user = ?1 AND used_at IS NULL",
                    [user.as_str()],
                )?;
                connection.execute(
                    "UPDATE devices SET revoked_at = ?2 WHERE user = ?1 AND revoked_at IS NULL",
                    params![user.as_str(), now],
                )
            })
            .await?;
        self.0.revocations().send_replace(());
        Ok(revoked)
    }

    /// Changes each time that devices were revoked; does not say which.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<()> {
        self.0.revocations().subscribe()
    }

    fn device(&self, row: StoredDevice) -> Result<Device, StoreError> {
        Ok(Device {
            fingerprint: row.fingerprint,
            user: self.user(&row.user)?,
            name: row.name,
            enrolled_at: from_millis(row.enrolled_at),
            revoked_at: row.revoked_at.map(from_millis),
        })
    }

    fn user(&self, stored: &str) -> Result<UserName, StoreError> {
        UserName::parse(stored).map_err(|error| StoreError::Corrupt {
            what: error.to_string(),
            path: schema::path(self.0.directory()),
        })
    }
}

/// A row of the table of devices.
struct StoredDevice {
    fingerprint: Digest,
    user: String,
    name: String,
    enrolled_at: i64,
    revoked_at: Option<i64>,
}

impl StoredDevice {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            fingerprint: row.get(0)?,
            user: row.get(1)?,
            name: row.get(2)?,
            enrolled_at: row.get(3)?,
            revoked_at: row.get(4)?,
        })
    }
}

/// The user and the end of an invitation that can be used.
fn usable(
    connection: &Connection,
    secret_hash: Digest,
    now: SystemTime,
) -> rusqlite::Result<Result<(String, i64), EnrollError>> {
    let found: Option<(String, i64, Option<i64>)> = connection
        .prepare_cached("SELECT user, expires_at, used_at FROM invitations WHERE secret_hash = ?1")?
        .query_row([secret_hash], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    Ok(match found {
        None => Err(EnrollError::Unknown),
        Some((_, _, Some(_))) => Err(EnrollError::Used),
        Some((_, expires_at, None)) if expires_at <= to_millis(now) => Err(EnrollError::Expired),
        Some((user, expires_at, None)) => Ok((user, expires_at)),
    })
}
