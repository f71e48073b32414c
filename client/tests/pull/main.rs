//! Pulls with real repositories: what comes back, what stays, and what is never let in.

#![expect(clippy::unwrap_used, reason = "a world that cannot be set up fails the test")]

mod corpus;
mod crash;
mod elsewhere;
mod hostile;
mod in_place;
#[path = "../../../tests/src/program.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests that cross crates")]
mod program;
mod world;
