//! A sign-in in a gateway's hands: the token for calls, without the one to renew it with. When it is
//! over, calls wait until the daemon has renewed it and the supervisor has handed the new one over.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::gateway::Fence;
use super::notice::{Stale, Unrenewed};
use super::secret::Secret;
use crate::sign_in::{Access, SignIn};

/// How long calls wait for a new token: the daemon asks for it, and may be restarted meanwhile.
const RENEWAL_MAX: Duration = Duration::from_secs(60);

/// A token is not used any more so long before its end: a call takes time to get there.
const MARGIN: Duration = Duration::from_secs(60);

/// How long a token that was just handed out is not to blame for a refusal.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// See the module.
#[derive(Debug)]
pub(super) struct Held(watch::Sender<State>);

#[derive(Clone, Debug)]
struct State {
    access: Arc<Access>,
    /// When it came in place of another.
    since: Option<Instant>,
    /// Why there is none that is newer, as it was told last.
    failure: Option<Unrenewed>,
}

/// What a supervisor hands over.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Renewed {
    pub(super) provider: String,
    outcome: Outcome,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Access(Access),
    Failure(Unrenewed),
}

impl Renewed {
    /// What became of a provider's sign-in, whose file holds this text.
    pub(super) fn of(provider: &str, text: Result<&Secret, Unrenewed>) -> Self {
        let read = text.and_then(|text| {
            SignIn::parse(text.reveal()).map_err(|error| Unrenewed::for_good(&error.to_string()))
        });
        let outcome = match read {
            Ok(sign_in) => Outcome::Access(sign_in.access),
            Err(failure) => Outcome::Failure(failure),
        };
        Self { provider: provider.to_owned(), outcome }
    }
}

impl Held {
    /// Holds what is handed over at the beginning.
    ///
    /// # Errors
    /// Why that is nothing.
    pub(super) fn new(Renewed { outcome, .. }: Renewed) -> Result<Self, Unrenewed> {
        match outcome {
            Outcome::Access(access) => {
                let access = Arc::new(access);
                Ok(Self(watch::Sender::new(State { access, since: None, failure: None })))
            }
            Outcome::Failure(failure) => Err(failure),
        }
    }

    /// Takes in what became of a renewal.
    pub(super) fn take(&self, Renewed { outcome, .. }: Renewed) {
        self.0.send_modify(|state| match outcome {
            Outcome::Access(access) => {
                let access = Arc::new(access);
                let since = Some(Instant::now());
                *state = State { access, since, failure: None };
            }
            Outcome::Failure(failure) => state.failure = Some(failure),
        });
    }

    /// Whether this token has just been handed out: if it is refused, another would be, too.
    pub(super) fn is_fresh(&self, seen: &Access, now: Instant) -> bool {
        let State { access, since, .. } = &*self.0.borrow();
        let is_recent = since.is_some_and(|since| now.saturating_duration_since(since) < FRESH);
        is_recent && access.fingerprint() == seen.fingerprint()
    }

    /// A token that is not over, as far as it says itself.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn access(
        &self,
        fence: &Fence,
        provider: &str,
    ) -> Result<Arc<Access>, Unrenewed> {
        let access = self.0.borrow().access.clone();
        if is_over(&access, SystemTime::now()) {
            self.renew(fence, provider, &access).await
        } else {
            Ok(access)
        }
    }

    /// Another token than this one, of which it turned out that it is over.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn renew(
        &self,
        fence: &Fence,
        provider: &str,
        seen: &Access,
    ) -> Result<Arc<Access>, Unrenewed> {
        let mut news = self.0.subscribe();
        let seen = seen.fingerprint();
        let current = news.borrow_and_update().access.clone();
        if current.fingerprint() != seen {
            return Ok(current);
        }
        fence.expire(Stale { provider: provider.to_owned(), seen: seen.clone() }).await;
        if tokio::time::timeout(RENEWAL_MAX, news.changed()).await.is_err() {
            let seconds = RENEWAL_MAX.as_secs();
            let why = format!("the daemon has not renewed it within {seconds} seconds");
            return Err(Unrenewed::for_now(&why));
        }
        let State { access, failure, .. } = news.borrow().clone();
        match failure {
            None if access.fingerprint() != seen => Ok(access),
            None => Err(Unrenewed::for_now("it was renewed to what it was")),
            Some(failure) => Err(failure),
        }
    }
}

fn is_over(access: &Access, now: SystemTime) -> bool {
    let end = access.ends_at().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    end.is_some_and(|end| end <= now + MARGIN)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::json;

    use super::*;
    use crate::egress::notice::Notice;
    use crate::egress::policy::Policy;

    /// What the file of a sign-in holds whose token ends then.
    fn file(name: &str, ends_at: u64) -> Secret {
        let claims = BASE64URL_NOPAD.encode(json!({ "exp": ends_at }).to_string().as_bytes());
        let token = format!("{name}.{claims}.s");
        let tokens = json!({ "access_token": token, "refresh_token": "r", "account_id": "acct" });
        Secret::new(&json!({ "tokens": tokens }).to_string())
    }

    /// One in a gateway's hands.
    fn held(name: &str, ends_at: u64) -> Held {
        Held::new(Renewed::of("p", Ok(&file(name, ends_at)))).expect("a sign-in")
    }

    const LATER: u64 = 32_000_000_000;

    #[tokio::test]
    async fn a_token_that_is_over_is_renewed_before_anybody_calls_with_it() {
        let (fence, mut notices) = Fence::of(Policy::default());
        let held = held("first", 1);
        let old = held.0.borrow().access.fingerprint();
        let renew = async {
            let Some(Notice::Stale(stale)) = notices.recv().await else { panic!("no notice") };
            assert_eq!(stale, Stale { provider: "p".into(), seen: old.clone() });
            let line = serde_json::to_string(&Renewed::of("p", Ok(&file("second", LATER))));
            let line = line.expect("a line");
            assert!(!line.contains(r#""r""#), "the token to renew with is handed over: {line}");
            held.take(serde_json::from_str(&line).expect("what was written"));
        };
        let (access, ()) = tokio::join!(held.access(&fence, "p"), renew);
        let access = access.expect("renewed");
        assert!(access.token.reveal().starts_with("second."));
        // The next call asks nobody.
        let again = held.access(&fence, "p").await.expect("a token");
        assert_eq!(again.fingerprint(), access.fingerprint());
        assert!(notices.try_recv().is_err());
        // Nor does one that was under way with the old one.
        let seen = SignIn::parse(file("first", 1).reveal()).expect("a sign-in").access;
        let other = held.renew(&fence, "p", &seen).await.expect("a token");
        assert_eq!(other.fingerprint(), access.fingerprint());
        assert!(notices.try_recv().is_err());
    }

    #[tokio::test]
    async fn why_it_was_not_renewed_is_told_to_everybody_who_waits() {
        let (fence, mut notices) = Fence::of(Policy::default());
        let held = held("first", 1);
        let fail = async {
            for _ in 0..2 {
                let _notice = notices.recv().await;
            }
            let failure = Unrenewed::for_good("revoked");
            held.take(Renewed::of("p", Err(failure)));
        };
        let (one, other, ()) =
            tokio::join!(held.access(&fence, "p"), held.access(&fence, "p"), fail);
        for failed in [one, other] {
            assert_eq!(failed.expect_err("refused"), Unrenewed::for_good("revoked"));
        }
        Held::new(Renewed::of("p", Ok(&Secret::new("sk-key")))).expect_err("no sign-in");
    }

    #[test]
    fn a_token_that_was_just_handed_out_is_not_to_blame_for_a_refusal() {
        let held = held("first", LATER);
        let now = Instant::now;
        let first = held.0.borrow().access.clone();
        assert!(!held.is_fresh(&first, now()), "it may be old");
        held.take(Renewed::of("p", Ok(&file("second", LATER))));
        let second = held.0.borrow().access.clone();
        assert!(held.is_fresh(&second, now()));
        assert!(!held.is_fresh(&first, now()), "there is a newer one to try");
        assert!(!held.is_fresh(&second, now() + FRESH), "it may be over");
    }
}
