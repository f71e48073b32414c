//! An invitation: the one line of text with which a user pairs a device with a daemon.
//!
//! It holds where the daemon is, the certificate of its own authority, so that the first
//! connection is authentic already, and a secret that can be used once. Looks at no clock: whether
//! it has expired is for the caller to say.
//!
//! ```text
//! handoff1.BASE64URL( expires:u64 secret:[32] count:u8 (length:u8 address)* certificate )
//! ```
//!
//! Numbers are big-endian; the certificate is DER and reaches to the end.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use thiserror::Error;

/// What every invitation of this format starts with.
const PREFIX: &str = "handoff1.";

/// Bytes of the secret.
pub const SECRET_LEN: usize = 32;

/// Most addresses in one invitation: one for each name and network of a daemon.
pub const ADDRESSES_MAX: usize = 16;

/// Longest text: far more than a certificate of one key and a few addresses need.
pub const INVITATION_LEN_MAX: usize = 16 * 1024;

/// What a device needs to pair itself with a daemon.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Where the daemon listens, `host:port`, the best first.
    pub addresses: Vec<String>,
    /// The certificate of the daemon's authority, DER.
    pub authority: Vec<u8>,
    /// Proves that the holder was invited.
    pub secret: [u8; SECRET_LEN],
    /// When it stops being valid, in seconds since the Unix epoch.
    pub expires_unix_seconds: u64,
}

/// The text is not an invitation, or the invitation cannot be written as text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum InvitationError {
    /// It starts with something else.
    #[error("not an invitation: one starts with `{PREFIX}` and is printed by `handoffd invite`")]
    Prefix,
    /// A newer daemon made it.
    #[error("invitation has a newer format than this version knows: update handoff")]
    Newer,
    /// Characters are missing, added or changed.
    #[error("invitation is damaged: copy the whole line that `handoffd invite` printed")]
    Damaged,
    /// Too many or too long addresses, or no certificate.
    #[error("invitation does not fit its format: at most {ADDRESSES_MAX} addresses of 255 bytes")]
    TooLarge,
}

impl Invitation {
    /// The invitation as one line of text.
    ///
    /// # Errors
    /// When it holds no or too many addresses, too long ones, or no certificate.
    pub fn encode(&self) -> Result<String, InvitationError> {
        let count = u8::try_from(self.addresses.len()).map_err(|_| InvitationError::TooLarge)?;
        if !(1..=ADDRESSES_MAX).contains(&self.addresses.len()) || self.authority.is_empty() {
            return Err(InvitationError::TooLarge);
        }
        let mut bytes = self.expires_unix_seconds.to_be_bytes().to_vec();
        bytes.extend(self.secret);
        bytes.push(count);
        for address in &self.addresses {
            bytes.push(u8::try_from(address.len()).map_err(|_| InvitationError::TooLarge)?);
            bytes.extend(address.as_bytes());
        }
        bytes.extend(&self.authority);
        let text = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes));
        if text.len() > INVITATION_LEN_MAX { Err(InvitationError::TooLarge) } else { Ok(text) }
    }

    /// Reads an invitation; white space around it does not matter.
    ///
    /// # Errors
    /// When it is none, a newer one, or damaged.
    pub fn decode(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return Err(if is_newer(text) {
                InvitationError::Newer
            } else {
                InvitationError::Prefix
            });
        };
        if text.len() > INVITATION_LEN_MAX {
            return Err(InvitationError::Damaged);
        }
        let bytes =
            BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| InvitationError::Damaged)?;
        parse(&bytes).ok_or(InvitationError::Damaged)
    }
}

/// The secret is hidden: whoever reads a log must not be able to pair.
impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("addresses", &self.addresses)
            .field("authority", &format_args!("{} bytes", self.authority.len()))
            .field("secret", &format_args!("hidden"))
            .field("expires_unix_seconds", &self.expires_unix_seconds)
            .finish()
    }
}

fn parse(bytes: &[u8]) -> Option<Invitation> {
    let (expires, rest) = bytes.split_first_chunk::<8>()?;
    let (secret, rest) = rest.split_first_chunk::<SECRET_LEN>()?;
    let (count, mut rest) = rest.split_first()?;
    if !(1..=ADDRESSES_MAX).contains(&usize::from(*count)) {
        return None;
    }
    let mut addresses = Vec::with_capacity(usize::from(*count));
    for _ in 0..*count {
        let (length, after) = rest.split_first()?;
        let (address, after) = after.split_at_checked(usize::from(*length))?;
        addresses.push(std::str::from_utf8(address).ok()?.to_owned());
        rest = after;
    }
    if rest.is_empty() {
        return None;
    }
    Some(Invitation {
        addresses,
        authority: rest.to_vec(),
        secret: *secret,
        expires_unix_seconds: u64::from_be_bytes(*expires),
    })
}

/// Whether the text looks like an invitation with another number.
fn is_newer(text: &str) -> bool {
    let number = text.strip_prefix("handoff").and_then(|rest| rest.split_once('.'));
    number.is_some_and(|(number, _)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Invitation {
        Invitation {
            addresses: vec!["box.example.com:7420".to_owned(), "[::1]:7420".to_owned()],
            authority: vec![0x30, 0x82],
            secret: [7; SECRET_LEN],
            expires_unix_seconds: 1_800_000_000,
        }
    }

    #[test]
    fn the_text_of_an_invitation_never_changes() {
        let text = "handoff1.AAAAAGtJ0gAHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwIUYm94LmV4YW1\
                    wbGUuY29tOjc0MjAKWzo6MV06NzQyMDCC";
        assert_eq!(sample().encode().as_deref(), Ok(text));
        assert_eq!(Invitation::decode(&format!(" {text}\n")), Ok(sample()));
    }

    #[test]
    fn the_secret_does_not_show() {
        let shown = format!("{:?}", sample());
        assert!(shown.contains("hidden") && !shown.contains("7, 7"), "{shown}");
    }

    #[test]
    fn each_kind_of_wrong_text_is_told_apart() {
        for (text, error) in [
            ("", InvitationError::Prefix),
            ("hello", InvitationError::Prefix),
            ("handoffx.AAAA", InvitationError::Prefix),
            ("handoff2.AAAA", InvitationError::Newer),
            ("handoff1.", InvitationError::Damaged),
            ("handoff1.AAAA", InvitationError::Damaged),
            ("handoff1.===", InvitationError::Damaged),
        ] {
            assert_eq!(Invitation::decode(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let many = Invitation { addresses: vec!["a:1".into(); ADDRESSES_MAX + 1], ..sample() };
        let none = Invitation { addresses: Vec::new(), ..sample() };
        let long = Invitation { addresses: vec!["a".repeat(256)], ..sample() };
        let bare = Invitation { authority: Vec::new(), ..sample() };
        for invitation in [many, none, long, bare] {
            assert_eq!(invitation.encode(), Err(InvitationError::TooLarge));
        }
    }

    proptest! {
        #[test]
        fn an_invitation_survives_as_text(
            addresses in proptest::collection::vec("[a-z0-9.:-]{0,255}", 1..=ADDRESSES_MAX),
            authority in proptest::collection::vec(any::<u8>(), 1..2000),
            secret in any::<[u8; SECRET_LEN]>(),
            expires_unix_seconds in any::<u64>(),
        ) {
            let invitation = Invitation { addresses, authority, secret, expires_unix_seconds };
            let text = invitation.encode().expect("it fits");
            prop_assert!(!text.contains(char::is_whitespace));
            prop_assert_eq!(Invitation::decode(&text), Ok(invitation));
        }

        #[test]
        fn no_text_makes_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes));
            if let Ok(invitation) = Invitation::decode(&text) {
                prop_assert_eq!(invitation.encode(), Ok(text));
            }
        }
    }
}
