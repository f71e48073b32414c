//! What is in a sign-in.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::egress::{Secret, written};

/// Longest token or id: what a header takes.
const TOKEN_MAX: usize = 8 * 1024;

/// How much of a token's hash tells it from others.
const FINGERPRINT_LEN: usize = 16;

/// The claim of ChatGPT's tokens that says whose they are.
const CLAIM: &str = "https://api.openai.com/auth";

/// Text that is no sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// Something else.
    #[error("this JSON is no sign-in: hand over the auth.json that `codex login` writes")]
    Other,
    /// That of a user with an API key.
    #[error("this auth.json holds an API key and no sign-in: hand over the key alone")]
    Key,
    /// It would end within days.
    #[error("this sign-in has no token to renew it with: sign in with `codex login`")]
    NoRefresh,
    /// The service wants to know whose account it is.
    #[error("this sign-in does not say whose account it is: sign in with `codex login`")]
    NoAccount,
}

/// What calls are made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(with = "written")]
    pub(crate) token: Secret,
    pub(crate) account: String,
}

/// A sign-in.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) access: Access,
    /// What the next one is bought with.
    pub(super) refresh: Secret,
}

/// `auth.json`, as far as it matters.
#[derive(Serialize, Deserialize)]
struct Written {
    tokens: Option<Tokens>,
    #[serde(rename = "OPENAI_API_KEY", skip_serializing)]
    key: Option<Value>,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    #[serde(with = "written")]
    access_token: Secret,
    #[serde(default)]
    account_id: Option<String>,
    #[serde(default, with = "written")]
    refresh_token: Secret,
    #[serde(default, skip_serializing)]
    id_token: Option<Value>,
}

impl Access {
    /// Tells this token from others, and nobody what it is.
    pub(crate) fn fingerprint(&self) -> String {
        let hash = blake3::hash(self.token.reveal().as_bytes());
        hash.to_hex()[..FINGERPRINT_LEN].to_owned()
    }

    /// When it ends, in seconds since 1970, if it says so.
    pub(crate) fn ends_at(&self) -> Option<u64> {
        claims(self.token.reveal())?["exp"].as_u64()
    }
}

impl SignIn {
    /// Whether a text is meant to be one: no other credential is JSON.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.trim_start().starts_with('{')
    }

    /// Reads one: `auth.json`, or what [`SignIn::to_text`] wrote.
    ///
    /// # Errors
    /// When it is none, or cannot be used.
    pub(crate) fn parse(text: &str) -> Result<Self, SignInError> {
        let Written { tokens, key } = serde_json::from_str(text).map_err(|_| SignInError::Other)?;
        let has_key = key.is_some_and(|key| key.is_string());
        let no_tokens = if has_key { SignInError::Key } else { SignInError::Other };
        let Tokens { access_token, refresh_token, account_id, id_token } =
            tokens.ok_or(no_tokens)?;
        let said =
            |token: &str| claims(token)?[CLAIM]["chatgpt_account_id"].as_str().map(str::to_owned);
        let account = account_id
            .or_else(|| said(access_token.reveal()))
            .or_else(|| said(id_token?.as_str()?))
            .filter(|account| !account.is_empty())
            .ok_or(SignInError::NoAccount)?;
        if refresh_token.reveal().is_empty() {
            return Err(SignInError::NoRefresh);
        }
        if ![access_token.reveal(), refresh_token.reveal(), &account].into_iter().all(is_plain) {
            return Err(SignInError::Other);
        }
        let access = Access { token: access_token, account };
        Ok(Self { access, refresh: refresh_token })
    }

    /// Writes what [`SignIn::parse`] reads, with nothing that is not needed.
    pub(crate) fn to_text(&self) -> Secret {
        let Self { access: Access { token, account }, refresh } = self;
        let tokens = Tokens {
            access_token: token.clone(),
            refresh_token: refresh.clone(),
            account_id: Some(account.clone()),
            id_token: None,
        };
        let text = serde_json::to_string(&Written { tokens: Some(tokens), key: None });
        Secret::new(&Zeroizing::new(text.unwrap_or_default()))
    }

    /// The one that follows. What is not handed out anew stays.
    pub(super) fn renewed(&self, access: &str, refresh: Option<&str>) -> Result<Self, SignInError> {
        let refresh = refresh.unwrap_or_else(|| self.refresh.reveal());
        if !is_plain(access) || !is_plain(refresh) {
            return Err(SignInError::Other);
        }
        let access = Access { token: Secret::new(access), account: self.access.account.clone() };
        Ok(Self { access, refresh: Secret::new(refresh) })
    }

    /// Tells what it is renewed with from what others are, and nobody what it is.
    pub(super) fn refresh_fingerprint(&self) -> blake3::Hash {
        blake3::hash(self.refresh.reveal().as_bytes())
    }
}

/// Whether a text goes into a header as it is.
fn is_plain(text: &str) -> bool {
    (1..=TOKEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a token says of itself, if it is one that does. Believed by nobody but its own user: whether
/// it is genuine, the service says.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A token that says this of itself.
    pub(in crate::sign_in) fn token(claims: &Value) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.{}", part("{}"), part(&claims.to_string()), part("signature"))
    }

    #[test]
    fn what_codex_writes_is_read_and_only_what_is_needed_is_kept() {
        let access = token(&json!({ "exp": 1_900_000_000 }));
        let text = json!({
            "auth_mode": "chatgpt", "OPENAI_API_KEY": null, "last_refresh": "2026-01-01T00:00:00Z",
            "tokens": { "id_token": token(&json!({ "email": "a@b.test" })), "access_token": access,
                "refresh_token": "rt-1", "account_id": "acct-1" },
        });
        let sign_in =
            SignIn::parse(&serde_json::to_string_pretty(&text).expect("text")).expect("one");
        assert_eq!(sign_in.access.ends_at(), Some(1_900_000_000));
        let kept = sign_in.to_text();
        let expected = format!(
            r#"{{"tokens":{{"access_token":"{access}","account_id":"acct-1","refresh_token":"rt-1"}}}}"#
        );
        assert_eq!(kept.reveal(), expected);
        let again = SignIn::parse(kept.reveal()).expect("what was written");
        assert_eq!(again.to_text().reveal(), kept.reveal());
        assert!(!format!("{again:?}").contains("rt-1"), "{again:?}");
    }

    #[test]
    fn whose_account_it_is_stands_in_the_tokens_too() {
        let whose = json!({ CLAIM: { "chatgpt_account_id": "acct-2" } });
        for tokens in [
            json!({ "access_token": token(&whose), "refresh_token": "r" }),
            json!({ "access_token": "a", "refresh_token": "r", "id_token": token(&whose) }),
        ] {
            let sign_in = SignIn::parse(&json!({ "tokens": tokens }).to_string()).expect("one");
            assert_eq!(sign_in.access.account, "acct-2");
            assert_eq!(sign_in.access.ends_at(), None);
        }
    }

    #[test]
    fn what_is_no_sign_in_is_told_apart() {
        let of = |text: Value| SignIn::parse(&text.to_string()).expect_err("none");
        assert_eq!(of(json!({})), SignInError::Other);
        assert_eq!(of(json!({ "claudeAiOauth": { "accessToken": "x" } })), SignInError::Other);
        assert_eq!(of(json!({ "OPENAI_API_KEY": "sk" })), SignInError::Key);
        let tokens = |tokens: Value| of(json!({ "tokens": tokens }));
        assert_eq!(
            tokens(json!({ "access_token": "a", "account_id": "x" })),
            SignInError::NoRefresh
        );
        let unknown = json!({ "access_token": "a", "refresh_token": "r" });
        assert_eq!(tokens(unknown), SignInError::NoAccount);
        let spaced = json!({ "access_token": "a b", "refresh_token": "r", "account_id": "x" });
        assert_eq!(tokens(spaced), SignInError::Other);
    }

    #[test]
    fn tokens_are_told_apart_by_what_tells_nothing_of_them() {
        let access = |token: &str| Access { token: Secret::new(token), account: String::new() };
        let first = access("first-token").fingerprint();
        assert_eq!(first, access("first-token").fingerprint());
        assert_ne!(first, access("second-token").fingerprint());
        assert_eq!(first.len(), FINGERPRINT_LEN);
    }
}
