//! The harvest, from a tree that a run left to a stored result.

#[path = "harvest/corpus.rs"]
mod corpus;
#[path = "harvest/hostile.rs"]
mod hostile;
#[path = "harvest/output.rs"]
mod output;
#[path = "../../tests/src/program.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests that cross crates")]
mod program;
#[path = "harvest/repositories.rs"]
mod repositories;
#[path = "harvest/trees.rs"]
mod trees;
#[path = "harvest/world.rs"]
mod world;
