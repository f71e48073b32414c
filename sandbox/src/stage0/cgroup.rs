//! Joins the control group that the caller made, before anything is charged to anyone.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use crate::report::{Refusal, Refuse as _, Step};

/// Moves this process, which has one thread, into the groups behind these files.
pub(super) fn join(doors: &[PathBuf]) -> Result<(), Refusal> {
    for door in doors {
        let what = format_args!("join {}", door.display());
        let mut file = File::options().write(true).open(door).refuse(Step::Cgroup, what)?;
        // 0 is who writes.
        file.write_all(b"0").refuse(Step::Cgroup, what)?;
    }
    Ok(())
}
