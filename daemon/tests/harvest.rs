//! The harvest, from a tree that a run left to a stored result.

#[path = "harvest/corpus.rs"]
mod corpus;
#[path = "harvest/hostile.rs"]
mod hostile;
#[path = "harvest/output.rs"]
mod output;
#[path = "harvest/repositories.rs"]
mod repositories;
#[path = "harvest/trees.rs"]
mod trees;
#[path = "harvest/world.rs"]
mod world;
