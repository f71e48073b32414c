//! Subordinate ids: numbers that an ordinary user may give to runs and to their files.
//!
//! Who wants to use them enters a user namespace in which the caller's user is 0 and each
//! subordinate id has its own number: stage-0, so that it can become one of them, and short
//! processes that give files to a run or look at them. Only `newuidmap` and `newgidmap` may write
//! such a mapping; they know whose the subordinate ids are.
//!
//! ```text
//! on the host       in the namespace
//! the user      ──▶ 0
//! 100000        ──▶ 100000               one of them is the run
//! 100001 ...    ──▶ 100001 ...
//! anybody else      nobody: out of reach
//! ```

mod ids;
mod mapper;
mod namespace;
mod ownership;
mod walk;

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Gid, Uid, fchown, fstat};

use crate::report::{Refusal, Refuse as _, Step};

pub use self::ids::SubordinateIds;
pub use self::namespace::enter_beside;
pub use self::ownership::{Given, give};

pub(crate) use self::mapper::{Mapper, run as map};
pub(crate) use self::ownership::run as change_owners;

/// What to do where an ordinary user's runs get no uid of their own.
pub(crate) const FIX: &str = "apt install uidmap, and as root: usermod --add-subuids \
                              100000-165535 --add-subgids 100000-165535 USER; or run the daemon \
                              as a service with a launcher";

/// Gives the pipes of the command to the run, or else it could not open `/dev/stdout`.
pub(crate) fn give_streams(streams: [&OwnedFd; 3], uid: u32) -> Result<(), Refusal> {
    let run = (Uid::from_raw(uid), Gid::from_raw(uid));
    for stream in streams {
        let kind = fstat(stream).refuse(Step::Identity, "look at a stream")?.st_mode;
        if FileType::from_raw_mode(kind) == FileType::Fifo {
            // Somebody else's pipe is left as it is: it can be used, and only not opened anew.
            let _somebody_elses = fchown(stream, Some(run.0), Some(run.1));
        }
    }
    Ok(())
}
