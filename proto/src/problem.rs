//! An error as it crosses the wire: its kind, what happened, what to do next.
//!
//! A gRPC status alone cannot tell a client which exit code to use, so both ride along in its
//! metadata. Decides nothing about which error is of which kind.

use std::fmt;

use tonic::{Status, metadata::MetadataMap};

/// Metadata key of the kind.
const CODE_KEY: &str = "handoff-code";

/// Metadata key of the hint, percent-encoded.
const HINT_KEY: &str = "handoff-hint";

/// Longest hint in bytes: metadata travels in headers, whose size is limited.
const HINT_BYTES_MAX: usize = 1024;

/// The kind of an error; its number is the exit code of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Something went wrong that fits nowhere else.
    Failed,
    /// The request makes no sense.
    Usage,
    /// Something else was faster or is in the way; nothing changed.
    Conflict,
    /// The daemon cannot be reached or cannot answer now.
    Unreachable,
    /// Not allowed.
    Refused,
    /// There is no such thing.
    NotFound,
}

/// An error for a human on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// What happened, where.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

impl Code {
    const ALL: [Self; 6] = [
        Self::Failed,
        Self::Usage,
        Self::Conflict,
        Self::Unreachable,
        Self::Refused,
        Self::NotFound,
    ];

    /// The exit code of a command that ends with it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Conflict => 5,
            Self::Unreachable => 6,
            Self::Refused => 7,
            Self::NotFound => 8,
        }
    }

    /// Its name on the wire and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Conflict => "conflict",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::NotFound => "not_found",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The gRPC code that comes nearest, for whoever knows no better.
    const fn to_grpc(self) -> tonic::Code {
        match self {
            Self::Failed => tonic::Code::Internal,
            Self::Usage => tonic::Code::InvalidArgument,
            Self::Conflict => tonic::Code::Aborted,
            Self::Unreachable => tonic::Code::Unavailable,
            Self::Refused => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
        }
    }

    /// The kind of a status that names none: it comes from gRPC itself or from a stranger.
    const fn from_grpc(code: tonic::Code) -> Self {
        match code {
            tonic::Code::InvalidArgument | tonic::Code::OutOfRange => Self::Usage,
            tonic::Code::Aborted | tonic::Code::AlreadyExists | tonic::Code::FailedPrecondition => {
                Self::Conflict
            }
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Cancelled
            | tonic::Code::Unknown => Self::Unreachable,
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Self::Refused,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::Ok
            | tonic::Code::Internal
            | tonic::Code::Unimplemented
            | tonic::Code::ResourceExhausted
            | tonic::Code::DataLoss => Self::Failed,
        }
    }
}

impl Problem {
    /// A problem without a hint.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: String::new() }
    }

    /// The same problem with what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The status that carries it.
    #[must_use]
    pub fn into_status(self) -> Status {
        let grpc = self.code.to_grpc();
        self.into_status_as(grpc)
    }

    /// The status that carries it under a gRPC code of the caller's choice.
    #[must_use]
    pub fn into_status_as(self, grpc: tonic::Code) -> Status {
        let mut metadata = MetadataMap::new();
        if let Ok(name) = self.code.name().parse() {
            metadata.insert(CODE_KEY, name);
        }
        if let Ok(hint) = percent_encode(cut(&self.hint, HINT_BYTES_MAX)).parse()
            && !self.hint.is_empty()
        {
            metadata.insert(HINT_KEY, hint);
        }
        Status::with_metadata(grpc, self.message, metadata)
    }

    /// Reads a problem out of a status, whoever made it.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let text = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
        Self {
            code: text(CODE_KEY)
                .and_then(Code::from_name)
                .unwrap_or_else(|| Code::from_grpc(status.code())),
            message: status.message().to_owned(),
            hint: text(HINT_KEY).map(percent_decode).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Cuts a text to a number of bytes without splitting a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=text.len().min(bytes_max)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// What is not an encoded byte stays as it is.
fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = encoded
            .filter(|digits| *first == b'%' && digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = Code::ALL.map(|code| (code.name(), code.exit_code()));
        let documented = [
            ("failed", 1),
            ("usage", 2),
            ("conflict", 5),
            ("unreachable", 6),
            ("refused", 7),
            ("not_found", 8),
        ];
        assert_eq!(codes, documented);
    }

    #[test]
    fn a_status_of_a_stranger_keeps_its_message() {
        let problem = Problem::from_status(&Status::unavailable("connection refused"));
        assert_eq!(problem, Problem::new(Code::Unreachable, "connection refused"));
    }

    #[test]
    fn a_long_hint_is_cut_between_characters() {
        let problem = Problem::new(Code::Failed, "").with_hint("ü".repeat(HINT_BYTES_MAX));
        let hint = Problem::from_status(&problem.into_status()).hint;
        assert_eq!(hint, "ü".repeat(HINT_BYTES_MAX / 2));
    }

    proptest! {
        #[test]
        fn a_problem_survives_the_way(
            code in proptest::sample::select(Code::ALL.to_vec()),
            message in "\\PC{0,40}",
            hint in "(\\PC|\n|%){0,40}",
        ) {
            let problem = Problem { code, message, hint };
            let status = problem.clone().into_status();
            prop_assert_eq!(Problem::from_status(&status), problem.clone());
            let status = problem.clone().into_status_as(tonic::Code::Unauthenticated);
            prop_assert_eq!(Problem::from_status(&status), problem);
        }

        #[test]
        fn hostile_hints_are_only_odd_text(text in "[%0-9a-f]{0,20}") {
            drop(percent_decode(&text));
        }
    }
}
