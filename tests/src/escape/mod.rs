//! What the escape attempts share: a laboratory on the host, and jails in it.
//!
//! An attempt first proves that its act works outside, then expects the exact denial inside. Each
//! attempt runs three times: with a caller that is root, with one that is an ordinary user, and with
//! one that is an ordinary user who has subordinate ids to give to runs.

mod act;
mod jail;
mod lab;
mod listener;
mod live;
mod outcome;

pub use act::{Act, bash, beyond, call, connect, doing, perl};
pub use jail::{Jail, policy};
pub use lab::Lab;
pub use listener::Listener;
pub use live::Live;
pub use outcome::Outcome;

/// An ordinary user that no distribution gives out.
pub const USER: u32 = 54_321;

/// The host uid of runs whose caller is root.
pub const RUN: u32 = 54_400;

/// The host uid of runs whose caller is an ordinary user with subordinate ids.
pub const SUBORDINATE: u32 = 600_007;

/// The uid of the account inside.
pub const INSIDE: u32 = 1000;

/// The program of every attempt that needs system calls; part of the base system of Debian and
/// its relatives.
pub const PERL: &str = "/usr/bin/perl";

/// Makes three tests of an attempt, one for each kind of caller.
#[macro_export]
macro_rules! attempt {
    ($attempt:path) => {
        #[test]
        fn as_root() {
            $attempt(&$crate::escape::Lab::new(
                env!("CARGO_BIN_EXE_jail"),
                $crate::escape::Caller::Root,
            ));
        }

        #[test]
        fn as_an_ordinary_user() {
            $attempt(&$crate::escape::Lab::new(
                env!("CARGO_BIN_EXE_jail"),
                $crate::escape::Caller::User,
            ));
        }

        #[test]
        fn as_an_ordinary_user_with_subordinate_ids() {
            $attempt(&$crate::escape::Lab::new(
                env!("CARGO_BIN_EXE_jail"),
                $crate::escape::Caller::Subordinate,
            ));
        }
    };
}

/// Who starts the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Root, who gives the run a uid of its own.
    Root,
    /// An ordinary user, whose uid the run shares.
    User,
    /// The same user, who gives the run a subordinate id.
    Subordinate,
}
