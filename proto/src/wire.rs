//! The generated messages and services of `handoff.v1`.
//!
//! Nothing here is trusted: bytes become domain types once, at the edge (`TryFrom`).

#![expect(missing_docs, reason = "the .proto files are the documentation")]
#![expect(unused_qualifications, clippy::large_enum_variant, reason = "generated code")]

tonic::include_proto!("handoff.v1");

/// What a run waits for that asks a question.
pub const QUESTION: &str = "question";

/// What a run waits for that wants to do something.
pub const PERMISSION: &str = "permission";

/// The network of runs that reach what they are allowed to through the daemon, which adds credentials.
pub const FENCED: &str = "fenced";

/// What stands in an MCP server's definition in place of a secret: a reference to a credential of
/// the daemon's. No variable of that name is ever set.
pub const CREDENTIAL_REFERENCE: &str = "${HANDOFF_CREDENTIAL}";

/// Largest part of a byte stream in one message: large enough that framing costs nothing, far
/// below the 4 MiB at which gRPC refuses to decode a message.
pub const FRAME_BYTES_MAX: usize = 512 * 1024;
