//! Renews sign-ins, one after the other.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use tokio::sync::{Mutex, MutexGuard};

use super::endpoint;
use super::tokens::SignIn;
use crate::credentials::{Credentials, Keeper};
use crate::egress::{self, Host, Secret, Unrenewed, Upstream};

/// Which sign-in, and where it is renewed.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The credential's name.
    pub(crate) credential: String,
    /// The service.
    pub(crate) token_url: Upstream,
    /// Hosts that the operator placed by hand.
    pub(crate) addresses: BTreeMap<Host, Vec<IpAddr>>,
}

/// The renewals of one daemon. Whoever changes a credential's file holds them, so that none is
/// written over another.
#[derive(Debug)]
pub(crate) struct Renewals {
    credentials: Credentials,
    known: Mutex<Known>,
}

/// What is known beside the files.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What was renewed and could not be written, by credential: nothing else renews the next time.
    unwritten: BTreeMap<String, Unwritten>,
    /// What is refused for good, by what it would be renewed with.
    refused: BTreeMap<[u8; blake3::OUT_LEN], Unrenewed>,
}

#[derive(Debug)]
struct Unwritten {
    /// What is in the file still.
    over: blake3::Hash,
    next: SignIn,
}

impl Renewals {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self { credentials, known: Mutex::default() }
    }

    /// Lets nobody renew while a credential is changed.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, Known> {
        self.known.lock().await
    }

    /// Renews a sign-in whose token for calls is this one, unless it was renewed since. Must be run
    /// to its end: what was handed out and not written is lost.
    ///
    /// # Errors
    /// Why there is no newer one, and what to do about it.
    pub(crate) async fn renew(&self, place: &Place, seen: &str) -> Result<(), Unrenewed> {
        let mut known = self.hold().await;
        let name = &place.credential;
        let found = self.credentials.find(name);
        let file = found.ok_or_else(|| Unrenewed::for_good("the credential is gone"))?;
        let sign_in = read(&file.path)?;
        if sign_in.access.fingerprint() != seen {
            return Ok(());
        }
        if file.keeper == Keeper::Systemd {
            let why = format!(
                "systemd keeps it, which cannot keep the next one: \
                 hand it over with `handoffd credential add {name}`"
            );
            return Err(Unrenewed::for_good(&why));
        }
        let over = sign_in.refresh_fingerprint();
        if let Some(refused) = known.refused.get(over.as_bytes()) {
            return Err(refused.clone());
        }
        let next = match known.unwritten.remove(name).filter(|kept| kept.over == over) {
            Some(kept) => kept.next,
            None => self.ask(&mut known, place, &sign_in).await?,
        };
        if let Err(error) = self.credentials.add(name, &next.to_text()) {
            let why = format!("the renewed sign-in cannot be kept: {error}");
            known.unwritten.insert(name.clone(), Unwritten { over, next });
            return Err(Unrenewed::for_now(&why));
        }
        tracing::info!(credential = %name, "sign-in renewed");
        Ok(())
    }

    async fn ask(
        &self,
        known: &mut Known,
        place: &Place,
        sign_in: &SignIn,
    ) -> Result<SignIn, Unrenewed> {
        let name = &place.credential;
        // A disk that is full loses what is handed out: see that there is room first.
        self.credentials.add(name, &sign_in.to_text()).map_err(|error| {
            Unrenewed::for_now(&format!("a renewed sign-in could not be kept: {error}"))
        })?;
        let asked = endpoint::request(sign_in);
        let answered = egress::post(&place.addresses, &place.token_url, &asked).await;
        let answered = answered.map_err(|error| {
            let url = &place.token_url;
            Unrenewed::for_now(&format!("the sign-in service at {url} cannot be reached: {error}"))
        });
        let next = answered.and_then(|(status, body)| endpoint::answer(sign_in, status, &body));
        next.map_err(|failed| {
            tracing::warn!(credential = %name, "sign-in not renewed: {}", failed.reason);
            if !failed.is_final {
                return failed;
            }
            let reason = format!(
                "{}: sign in again with `codex login`, and hand its auth.json to \
                 `handoffd credential add {name}`",
                failed.reason
            );
            let failed = Unrenewed::for_good(&reason);
            known.refused.insert(*sign_in.refresh_fingerprint().as_bytes(), failed.clone());
            failed
        })
    }
}

fn read(path: &Path) -> Result<SignIn, Unrenewed> {
    let text = fs::read_to_string(path)
        .map(|text| Secret::new(&text))
        .map_err(|error| Unrenewed::for_now(&format!("cannot read {}: {error}", path.display())))?;
    SignIn::parse(text.reveal()).map_err(|error| Unrenewed::for_good(&error.to_string()))
}

#[cfg(test)]
mod tests;
