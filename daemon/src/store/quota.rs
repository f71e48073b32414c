//! How much each user may store, and what is promised to uploads that are under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use thiserror::Error;

use super::{Usage, UserName};

/// What each user may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of unique content.
    pub bytes: u64,
    /// Pieces of unique content (a file of up to 256 KiB is one, a larger one several), and the
    /// entries of one tree.
    pub files: u64,
}

/// More than a user may store.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum QuotaExceeded {
    /// Too many bytes.
    #[error(
        "this needs {} of storage, of {} you have {} left",
        size(*.adds), size(*.limit), size(*.left)
    )]
    Bytes {
        /// What would be added.
        adds: u64,
        /// What the user may store.
        limit: u64,
        /// What of that is left.
        left: u64,
    },
    /// Too many pieces of content.
    #[error("this needs room for {adds} new files, of {limit} you have {left} left")]
    Files {
        /// What would be added.
        adds: u64,
        /// What the user may store.
        limit: u64,
        /// What of that is left.
        left: u64,
    },
    /// A tree of too many entries.
    #[error("a tree of {entries} entries is over your limit of {limit} files")]
    Entries {
        /// The tree's.
        entries: u64,
        /// What the user may store.
        limit: u64,
    },
}

/// Promises to uploads under way; cloning it clones the handle.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Mutex<HashMap<UserName, Usage>>>);

/// Room promised to one upload, given back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    quotas: Quotas,
    user: UserName,
    adds: Usage,
}

impl Quota {
    /// Checks a tree as far as its offer describes it.
    ///
    /// # Errors
    /// When no user may store so many entries.
    pub fn check_entries(&self, entries: u64) -> Result<(), QuotaExceeded> {
        let limit = self.files;
        if entries > limit { Err(QuotaExceeded::Entries { entries, limit }) } else { Ok(()) }
    }

    fn check(&self, stored: Usage, adds: Usage) -> Result<(), QuotaExceeded> {
        let left = |limit: u64, stored| limit.saturating_sub(stored);
        let (limit, left_bytes) = (self.bytes, left(self.bytes, stored.bytes));
        if adds.bytes > left_bytes {
            return Err(QuotaExceeded::Bytes { adds: adds.bytes, limit, left: left_bytes });
        }
        let (limit, left_files) = (self.files, left(self.files, stored.blobs));
        if adds.blobs > left_files {
            return Err(QuotaExceeded::Files { adds: adds.blobs, limit, left: left_files });
        }
        Ok(())
    }
}

impl Quotas {
    /// Promises room to an upload, so that several at once cannot take the same. What an upload has
    /// stored so far counts twice until it ends: rather too strict than too late.
    ///
    /// # Errors
    /// When the user may not store that much; nothing is promised then.
    pub fn reserve(
        &self,
        user: &UserName,
        quota: &Quota,
        stored: Usage,
        adds: Usage,
    ) -> Result<Reservation, QuotaExceeded> {
        let mut promised = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = promised.entry(user.clone()).or_default();
        let taken = Usage {
            bytes: stored.bytes.saturating_add(of_user.bytes),
            blobs: stored.blobs.saturating_add(of_user.blobs),
        };
        // Whoever adds nothing can always start a run.
        if adds != Usage::default() {
            quota.check(taken, adds)?;
        }
        of_user.bytes = of_user.bytes.saturating_add(adds.bytes);
        of_user.blobs = of_user.blobs.saturating_add(adds.blobs);
        Ok(Reservation { quotas: self.clone(), user: user.clone(), adds })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut promised = self.quotas.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = promised.get_mut(&self.user) {
            of_user.bytes = of_user.bytes.saturating_sub(self.adds.bytes);
            of_user.blobs = of_user.blobs.saturating_sub(self.adds.blobs);
            if *of_user == Usage::default() {
                promised.remove(&self.user);
            }
        }
    }
}

/// A size for a human.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 2)) > 0 {
        unit += 1;
    }
    let scale = 10 * (unit + 1);
    let tenths = u128::from(bytes) * 10 / (1_u128 << scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: Quota = Quota { bytes: 100, files: 10 };

    fn usage(bytes: u64, blobs: u64) -> Usage {
        Usage { bytes, blobs }
    }

    #[test]
    fn room_is_promised_once() {
        let (quotas, ada) = (Quotas::default(), UserName::parse("ada").expect("user"));
        let eve = UserName::parse("eve").expect("user");
        let stored = usage(40, 2);
        let first = quotas.reserve(&ada, &QUOTA, stored, usage(50, 1)).expect("there is room");
        let error = quotas.reserve(&ada, &QUOTA, stored, usage(11, 1)).expect_err("only 10 left");
        assert_eq!(error, QuotaExceeded::Bytes { adds: 11, limit: 100, left: 10 });
        let error = quotas.reserve(&ada, &QUOTA, stored, usage(1, 8)).expect_err("only 7 left");
        assert_eq!(error, QuotaExceeded::Files { adds: 8, limit: 10, left: 7 });
        drop(quotas.reserve(&eve, &QUOTA, stored, usage(60, 8)).expect("eve's own"));
        drop(first);
        drop(quotas.reserve(&ada, &QUOTA, stored, usage(60, 8)).expect("given back"));
        assert!(quotas.0.lock().expect("lock").is_empty());
    }

    #[test]
    fn whoever_adds_nothing_is_never_refused() {
        let (quotas, ada) = (Quotas::default(), UserName::parse("ada").expect("user"));
        drop(
            quotas.reserve(&ada, &QUOTA, usage(1000, 1000), Usage::default()).expect("nothing new"),
        );
        assert!(QUOTA.check_entries(10).is_ok() && QUOTA.check_entries(11).is_err());
    }

    #[test]
    fn an_error_says_how_much_is_left() {
        let gib = 1 << 30;
        let error = QuotaExceeded::Bytes { adds: 3 * gib / 2, limit: 50 * gib, left: 300 << 10 };
        assert_eq!(
            error.to_string(),
            "this needs 1.5 GiB of storage, of 50.0 GiB you have 300.0 KiB left"
        );
    }
}
