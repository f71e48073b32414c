//! Where sign-ins are renewed: what is asked there, and what the answer means.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::tokens::SignIn;
use crate::egress::{Secret, Unrenewed};

/// Who Codex is there: what every copy of it says.
const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";

/// What is asked.
pub(super) fn request(sign_in: &SignIn) -> Secret {
    let asked = json!({
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": sign_in.refresh.reveal(),
    });
    Secret::new(&asked.to_string())
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    refresh_token: Option<String>,
}

/// The sign-in that follows, as the service answers.
///
/// # Errors
/// Why there is none; nothing of what the service wrote but a code that is known.
pub(super) fn answer(
    sign_in: &SignIn,
    status: StatusCode,
    body: &[u8],
) -> Result<SignIn, Unrenewed> {
    if status.is_success() {
        let read = serde_json::from_slice(body).ok();
        let next = read.and_then(|Answer { access_token, refresh_token }| {
            sign_in.renewed(&access_token, refresh_token.as_deref()).ok()
        });
        return next.ok_or_else(|| Unrenewed::for_now("the answer of the sign-in service is none"));
    }
    let code = code(body);
    let why = match code.as_deref() {
        Some("refresh_token_expired") => "it has expired",
        Some("refresh_token_reused") => "it was renewed elsewhere",
        Some("refresh_token_invalidated") => "it was revoked",
        Some("invalid_grant") => "it is not valid any more",
        _ if status == StatusCode::UNAUTHORIZED => "the sign-in service refuses it",
        _ => {
            let text = format!("the sign-in service answers {}", status.as_u16());
            return Err(Unrenewed::for_now(&text));
        }
    };
    Err(Unrenewed::for_good(why))
}

/// The code of an error, wherever it stands.
fn code(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let found = [&body["error"]["code"], &body["error"], &body["code"]];
    found.into_iter().find_map(Value::as_str).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in() -> SignIn {
        let tokens = json!({ "access_token": "a-1", "refresh_token": "r-1", "account_id": "x" });
        SignIn::parse(&json!({ "tokens": tokens }).to_string()).expect("a sign-in")
    }

    fn answered(status: u16, body: &Value) -> Result<SignIn, Unrenewed> {
        let status = StatusCode::from_u16(status).expect("a status");
        answer(&sign_in(), status, body.to_string().as_bytes())
    }

    #[test]
    fn the_next_one_has_the_new_tokens_and_the_same_account() {
        let next = answered(200, &json!({ "access_token": "a-2", "refresh_token": "r-2" }));
        let next = next.expect("renewed");
        assert_eq!((next.access.token.reveal(), next.refresh.reveal()), ("a-2", "r-2"));
        assert_eq!(next.access.account, "x");
        let kept = answered(200, &json!({ "access_token": "a-2" })).expect("renewed");
        assert_eq!(kept.refresh.reveal(), "r-1");
    }

    #[test]
    fn what_is_refused_for_good_is_told_from_what_may_pass() {
        for body in [
            json!({ "error": { "code": "refresh_token_expired", "message": "m" } }),
            json!({ "error": "refresh_token_reused" }),
            json!({ "code": "REFRESH_TOKEN_INVALIDATED" }),
            json!({ "whatever": 1 }),
        ] {
            assert!(answered(401, &body).expect_err("refused").is_final, "{body}");
        }
        let revoked = json!({ "error": "invalid_grant", "error_description": "d" });
        assert!(answered(400, &revoked).expect_err("refused").is_final);
        for (status, body) in [
            (500, json!({ "error": "oops" })),
            (429, json!({})),
            (400, json!({ "error": "invalid_request" })),
            (200, json!({ "id_token": "x" })),
            (200, json!({ "access_token": "a b" })),
        ] {
            let failed = answered(status, &body).expect_err("no tokens");
            assert!(!failed.is_final, "{status} {body}");
            assert!(!failed.reason.contains("oops"), "{failed:?}");
        }
    }

    #[test]
    fn what_is_asked_is_what_codex_asks() {
        let asked: Value = serde_json::from_str(request(&sign_in()).reveal()).expect("JSON");
        assert_eq!(asked["grant_type"], "refresh_token");
        assert_eq!(
            (&asked["client_id"], &asked["refresh_token"]),
            (&CLIENT_ID.into(), &"r-1".into())
        );
    }
}
