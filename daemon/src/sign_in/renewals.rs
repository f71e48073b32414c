//! Renews sign-ins, one after the other.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use super::endpoint;
use super::tokens::SignIn;
use crate::credentials::{Credentials, Keeper};
use crate::egress::{self, Host, Secret, Unrenewed, Upstream};

/// How long a service that failed is left alone: shorter than agents go on trying.
const PAUSE: Duration = Duration::from_secs(5);

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
/// written over another; a service that is slow to answer keeps nobody from that.
#[derive(Debug)]
pub(crate) struct Renewals {
    credentials: Credentials,
    /// Whoever renews has it.
    known: Mutex<Known>,
    /// Whoever touches the files has it; not for long.
    files: Mutex<()>,
    clock: fn() -> Instant,
}

/// What is known beside the files.
#[derive(Debug, Default)]
struct Known {
    /// What was renewed and could not be written, by credential: nothing else renews the next time.
    unwritten: BTreeMap<String, Unwritten>,
    /// What was not renewed, by what it would be renewed with.
    failed: BTreeMap<[u8; blake3::OUT_LEN], Failed>,
}

#[derive(Debug)]
struct Failed {
    why: Unrenewed,
    /// Until when nobody asks again; for ever where that is of no use.
    until: Option<Instant>,
}

#[derive(Debug)]
struct Unwritten {
    /// What is in the file still.
    over: blake3::Hash,
    next: SignIn,
}

impl Renewals {
    pub(crate) fn new(credentials: Credentials) -> Self {
        let (known, files) = (Mutex::default(), Mutex::default());
        Self { credentials, known, files, clock: Instant::now }
    }

    /// Lets nobody write the files while a credential is changed.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.files.lock().await
    }

    /// Renews a sign-in whose token for calls is this one, unless it was renewed since. Must be run
    /// to its end: what was handed out and not written is lost.
    ///
    /// # Errors
    /// Why there is no newer one, and what to do about it.
    pub(crate) async fn renew(&self, place: &Place, seen: &str) -> Result<(), Unrenewed> {
        let mut known = self.known.lock().await;
        let name = &place.credential;
        let Some(sign_in) = self.outlived(&known, name, seen).await? else { return Ok(()) };
        let over = sign_in.refresh_fingerprint();
        let next = match known.unwritten.remove(name).filter(|kept| kept.over == over) {
            Some(kept) => kept.next,
            None => self.ask(&mut known, place, &sign_in).await?,
        };
        let kept = self.keep(name, over, &next).await;
        if let Err(failure) = kept {
            known.unwritten.insert(name.clone(), Unwritten { over, next });
            return Err(failure);
        }
        Ok(())
    }

    /// The sign-in in the file, if its token for calls is this one and it can be renewed.
    async fn outlived(
        &self,
        known: &Known,
        name: &str,
        seen: &str,
    ) -> Result<Option<SignIn>, Unrenewed> {
        let _nobody_changes_it = self.hold().await;
        let (sign_in, keeper) = self.read(name)?;
        if sign_in.access.fingerprint() != seen {
            return Ok(None);
        }
        if keeper == Keeper::Systemd {
            let why = format!(
                "systemd keeps it, which cannot keep the next one: \
                 hand it over with `handoffd credential add {name}`"
            );
            return Err(Unrenewed::for_good(&why));
        }
        let failed = known.failed.get(sign_in.refresh_fingerprint().as_bytes());
        if let Some(Failed { why, until }) = failed
            && until.is_none_or(|until| (self.clock)() < until)
        {
            return Err(why.clone());
        }
        // A disk that is full loses what is handed out: see that there is room first.
        self.credentials
            .add(name, &sign_in.to_text())
            .map_err(|error| for_now(name, "a renewed sign-in could not be kept", &error))?;
        Ok(Some(sign_in))
    }

    /// Writes the one that follows, unless somebody put another in the place of this one.
    async fn keep(&self, name: &str, over: blake3::Hash, next: &SignIn) -> Result<(), Unrenewed> {
        let _nobody_changes_it = self.hold().await;
        if self.read(name)?.0.refresh_fingerprint() != over {
            tracing::info!(credential = %name, "another sign-in was added meanwhile");
            return Ok(());
        }
        self.credentials
            .add(name, &next.to_text())
            .map_err(|error| for_now(name, "the renewed sign-in cannot be kept", &error))?;
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
        let asked = endpoint::request(sign_in);
        let answered = egress::post(&place.addresses, &place.token_url, &asked).await;
        let answered = answered.map_err(|error| {
            let detail = format!("{}: {error}", place.token_url);
            for_now(name, "the sign-in service cannot be reached", &detail)
        });
        let next = answered.and_then(|(status, body)| {
            endpoint::answer(sign_in, status, &body).inspect_err(|failed| {
                tracing::warn!(credential = %name, "sign-in not renewed: {}", failed.reason);
            })
        });
        next.map_err(|failed| {
            let (why, until) = if failed.is_final {
                let reason = format!(
                    "{}: sign in again with `codex login`, and hand its auth.json to \
                     `handoffd credential add {name}`",
                    failed.reason
                );
                (Unrenewed::for_good(&reason), None)
            } else {
                (failed, Some((self.clock)() + PAUSE))
            };
            let failed = Failed { why: why.clone(), until };
            known.failed.insert(*sign_in.refresh_fingerprint().as_bytes(), failed);
            why
        })
    }

    fn read(&self, name: &str) -> Result<(SignIn, Keeper), Unrenewed> {
        let found = self.credentials.find(name);
        let file = found.ok_or_else(|| Unrenewed::for_good("the credential is gone"))?;
        let text = Secret::read(&file.path).map_err(|error| {
            let detail = format!("{}: {error}", file.path.display());
            for_now(name, "the sign-in cannot be read", &detail)
        })?;
        let sign_in = SignIn::parse(text.reveal())
            .map_err(|error| Unrenewed::for_good(&error.to_string()))?;
        Ok((sign_in, file.keeper))
    }
}

/// What may pass, and what the run is told of it: the operator's log has the rest.
fn for_now(credential: &str, reason: &str, detail: &dyn fmt::Display) -> Unrenewed {
    tracing::warn!(%credential, "{reason}: {detail}");
    Unrenewed::for_now(reason)
}

#[cfg(test)]
mod tests;
