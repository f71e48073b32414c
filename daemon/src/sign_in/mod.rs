//! A user's sign-in to ChatGPT, as `codex login` keeps it: a token that calls are made with for some
//! days, and one that buys the next of both, once.
//!
//! Only the daemon renews, one sign-in after the other, and what it gets is on disk before anybody
//! uses it: who loses the newest token to renew with is signed out. Gateways never see that token:
//! supervisors read the file and hand on the one for calls. A gateway that has an old token for calls says so, and is handed the new one. Who asks often does not
//! have a service asked more often than every few seconds.

mod tokens;

mod endpoint;

mod renewals;

pub(crate) use self::renewals::{Place, Renewals};
pub(crate) use self::tokens::{Access, SignIn, SignInError};
