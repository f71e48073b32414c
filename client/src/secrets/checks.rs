//! What a match must be beside having the right form.

use data_encoding::{BASE64URL_NOPAD, Specification};

use super::rules::Check;

/// Words of which a value that stands for another holds one, in lower case.
const PLACEHOLDERS: [&str; 21] = [
    "example",
    "sample",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your",
    "dummy",
    "insert",
    "replace",
    "redacted",
    "secret",
    "password",
    "token",
    "xxxx",
    "....",
    "****",
    "1234",
    "abcd",
    "test",
    "fake",
];

/// Hosts of which no password is a secret.
const LOCAL_HOSTS: [&str; 5] = ["localhost", "127.0.0.1", "0.0.0.0", "host", "example"];

/// Bits a character from which on a value looks random.
const RANDOM_BITS: f32 = 3.7;

/// The same for a password of a URL, which is shorter.
const PASSWORD_BITS: f32 = 2.9;

/// Letters and digits by which a CRC32 is written.
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters before the part of a token that its checksum covers, such as `ghp_`.
const PREFIX: usize = 4;

/// Characters of the checksum at the end.
const CHECKSUM: usize = 6;

/// Whether the secret of a match is one; `whole` is all that was matched.
pub(super) fn holds(check: Check, secret: &[u8], whole: &[u8]) -> bool {
    match check {
        Check::Entropy(bits) => entropy(secret) >= bits && !holds_word(secret, &["example"]),
        Check::Crc32 => has_checksum(secret),
        Check::Jwt => is_signed(secret),
        Check::Random => is_random(secret),
        Check::UrlPassword => {
            let host = whole.rsplit(|&byte| byte == b'@').next().unwrap_or_default();
            let local = LOCAL_HOSTS.iter().any(|name| {
                host.strip_prefix(name.as_bytes()).is_some_and(|rest| {
                    rest.first().is_none_or(|&next| matches!(next, b'.' | b':' | b'/'))
                })
            });
            !local
                && !holds_word(host, &["example."])
                && entropy(secret) >= PASSWORD_BITS
                && !holds_word(secret, &PLACEHOLDERS)
        }
    }
}

/// Shannon's entropy in bits a byte.
fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let total = f32::from(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    let shares = counts.iter().filter(|count| **count > 0).map(|&count| f32::from(count) / total);
    shares.map(|share| -share * share.log2()).sum()
}

/// Letters and digits without a pattern that a human or a program would give a name.
fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let enough = digits >= 3 && letters >= 3 && entropy(value) >= RANDOM_BITS;
    enough && !is_uuid(value) && !is_words(value) && !holds_word(value, &PLACEHOLDERS)
}

/// Names that a program or a human made of words: `some-name-2`, `src/main_file.rs`.
fn is_words(value: &[u8]) -> bool {
    let parts = value.split(|byte| !byte.is_ascii_alphanumeric());
    let is_word = |part: &[u8]| {
        part.iter().all(u8::is_ascii_alphabetic) || part.iter().all(u8::is_ascii_digit)
    };
    let (mut words, mut others) = (0, 0);
    parts.filter(|part| !part.is_empty()).for_each(|part| match is_word(part) {
        true => words += 1,
        false => others += 1,
    });
    words >= 2 * others && words > 1
}

fn is_uuid(value: &[u8]) -> bool {
    let groups: Vec<usize> = value.split(|&byte| byte == b'-').map(<[u8]>::len).collect();
    groups == [8, 4, 4, 4, 12] && value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
}

fn holds_word(value: &[u8], words: &[&str]) -> bool {
    let lower = value.to_ascii_lowercase();
    words.iter().any(|word| lower.windows(word.len()).any(|part| part == word.as_bytes()))
}

/// Whether a token ends with the checksum of what is before it.
fn has_checksum(token: &[u8]) -> bool {
    let Some(split) = token.len().checked_sub(CHECKSUM).filter(|at| *at > PREFIX) else {
        return false;
    };
    let (covered, checksum) = (&token[PREFIX..split], &token[split..]);
    let mut rest = crc32(covered);
    let mut expected = [b'0'; CHECKSUM];
    for digit in expected.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    checksum == expected
}

/// The CRC32 of zlib and Ethernet, bit by bit: for thirty characters of a token now and then, a
/// table or a crate would only be more to read.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xEDB8_8320;
    let step = |crc: u32| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// Whether the header of a token in three parts names an algorithm by which it is signed.
fn is_signed(token: &[u8]) -> bool {
    let mut parts = token.split(|&byte| byte == b'.');
    let (header, payload) = (parts.next().and_then(json), parts.next().and_then(json));
    let (Some(header), Some(payload)) = (header, payload) else { return false };
    let algorithm = header.get("alg").and_then(serde_json::Value::as_str);
    // The example of every tutorial.
    let tutorial = payload.get("sub").and_then(serde_json::Value::as_str) == Some("1234567890");
    algorithm.is_some_and(|name| name != "none") && !tutorial
}

fn json(part: &[u8]) -> Option<serde_json::Value> {
    let lenient = || {
        let mut specification: Specification = BASE64URL_NOPAD.specification();
        specification.check_trailing_bits = false;
        specification.encoding().ok()
    };
    serde_json::from_slice(&lenient()?.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_tells_a_token_from_noise() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        // Published as an example of the format; it was never valid.
        let token = ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].concat();
        assert!(has_checksum(token.as_bytes()));
        assert!(!has_checksum(token.replace('z', "y").as_bytes()));
        assert!(!has_checksum(b"ghp_"));
    }

    #[test]
    fn random_values_are_told_from_names() {
        for secret in ["q8Zf3LmP0vXr7TnB2kWd", "9f8a7c6e5d4b3a291807f6e5d4c3b2a1"] {
            assert!(is_random(secret.as_bytes()), "{secret}");
        }
        for name in [
            "my-service-name-2-staging-cluster",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "your-api-key-goes-here-123456",
            "aaaaaaaaaaaaaaaaaaaa111",
            "AKIAIOSFODNN7EXAMPLE",
            "src/main/java/App2.java",
        ] {
            assert!(!is_random(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_password_of_an_example_is_none() {
        let is_secret = |url: &str| {
            let (_, after) = url.split_once(':').unwrap();
            let (password, _) = after.split_once('@').unwrap();
            holds(Check::UrlPassword, password.as_bytes(), url.as_bytes())
        };
        assert!(is_secret("ada:hV9wq3LxTz@db.internal"));
        assert!(!is_secret("ada:hV9wq3LxTz@localhost"));
        assert!(!is_secret("ada:password1@db.internal"));
        assert!(!is_secret("ada:hV9wq3LxTz@db.example.com"));
    }
}
