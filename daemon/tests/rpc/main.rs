//! The daemon's doors from the outside: pairing, and clients that mean no good.

mod enrollment;
mod floods;
mod foreign;
mod handoff;
mod hostile;
mod server;
