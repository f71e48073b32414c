//! An account that agents have to be signed in to: tokens that are renewed, once each.

use hyper::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};

/// What every token and no other text of a test has in it.
pub const TOKEN_CANARY: &str = "c4n4ry-5f1c2b7e9a04d368";

/// Whose it is.
const ID: &str = "acct-4711";

/// Where tokens are renewed.
const TOKEN_PATH: &str = "/oauth/token";

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// How often its tokens were renewed.
    pub renewals: u32,
    /// Whether tokens are renewed no more.
    pub is_revoked: bool,
    /// Whether the tokens that were handed out at first are refused before they end.
    pub is_first_refused: bool,
}

impl Account {
    /// The file that `codex login` writes for whoever signs in; the token for calls ends then, in
    /// seconds since 1970.
    #[must_use]
    pub fn auth_json(ends_at: u64) -> String {
        let tokens = json!({
            "id_token": token(0, ends_at), "access_token": token(0, ends_at),
            "refresh_token": refresh_token(0), "account_id": ID,
        });
        let text = json!({
            "auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": tokens,
            "last_refresh": "2026-01-01T00:00:00Z",
        });
        serde_json::to_string_pretty(&text).expect("text")
    }

    /// The answer to who is not signed in, or renews; none for who may go on.
    pub(super) fn judge(
        &mut self,
        path: &str,
        headers: &HeaderMap,
        body: &Value,
    ) -> Option<(StatusCode, Value)> {
        if path == TOKEN_PATH {
            return Some(self.renew(body));
        }
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let is_whose = said("chatgpt-account-id") == Some(ID);
        let ending = format!(".{TOKEN_CANARY}-access-{}", self.renewals);
        let bearer = said("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let is_refused = self.is_first_refused && self.renewals == 0;
        if is_whose && !is_refused && bearer.is_some_and(|token| token.ends_with(&ending)) {
            return None;
        }
        Some((StatusCode::UNAUTHORIZED, json!({ "detail": "Unauthorized" })))
    }

    fn renew(&mut self, body: &Value) -> (StatusCode, Value) {
        let is_ours = body["grant_type"] == "refresh_token"
            && body["client_id"].is_string()
            && body["refresh_token"] == refresh_token(self.renewals);
        if self.is_revoked || !is_ours {
            let error = json!({ "code": "refresh_token_invalidated", "message": "no" });
            return (StatusCode::UNAUTHORIZED, json!({ "error": error }));
        }
        self.renewals += 1;
        let (access, refresh) =
            (token(self.renewals, u64::MAX >> 32), refresh_token(self.renewals));
        (StatusCode::OK, json!({ "access_token": access, "refresh_token": refresh }))
    }
}

fn token(number: u32, ends_at: u64) -> String {
    let part = |claims: Value| data_encoding::BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    let (head, claims) = (part(json!({ "alg": "none" })), part(json!({ "exp": ends_at })));
    format!("{head}.{claims}.{TOKEN_CANARY}-access-{number}")
}

fn refresh_token(number: u32) -> String {
    format!("{TOKEN_CANARY}-refresh-{number}")
}
