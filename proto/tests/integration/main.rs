//! Behaviour of this crate at its public surface, against the real git and the real file system.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

mod tidy;

mod manifest;

mod delta;

mod bundle;

mod golden;

mod walk;

mod walk_git;

mod writer;

mod edit;
