//! Pulls with real repositories: what comes back, what stays, and what is never let in.

#![expect(clippy::unwrap_used, reason = "a world that cannot be set up fails the test")]

mod corpus;
mod crash;
mod elsewhere;
mod hostile;
mod in_place;
mod world;
