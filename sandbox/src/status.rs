//! Reads what the kernel says about this process in `/proc/self/status`. Judges nothing.

use std::fs;
use std::io;

/// The lines that say who a process is and what it may do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// Real, effective, saved, file system.
    pub(crate) uids: Vec<u32>,
    pub(crate) gids: Vec<u32>,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Inheritable, permitted, effective, bounding and ambient set, by the kernel's names.
    pub(crate) capabilities: Vec<(String, u64)>,
    pub(crate) no_new_privs: Option<u32>,
    pub(crate) seccomp: Option<u32>,
    /// How many filters; older kernels do not say.
    pub(crate) seccomp_filters: Option<u32>,
}

impl Status {
    pub(crate) fn read() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status")?)
            .ok_or_else(|| io::Error::other("/proc/self/status is not what it used to be"))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut status = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match key {
                "Uid" => status.uids = numbers(value)?,
                "Gid" => status.gids = numbers(value)?,
                "Groups" => status.groups = numbers(value)?,
                "NoNewPrivs" => status.no_new_privs = Some(value.parse().ok()?),
                "Seccomp" => status.seccomp = Some(value.parse().ok()?),
                "Seccomp_filters" => status.seccomp_filters = Some(value.parse().ok()?),
                "CapInh" | "CapPrm" | "CapEff" | "CapBnd" | "CapAmb" => {
                    status.capabilities.push((key.into(), u64::from_str_radix(value, 16).ok()?));
                }
                _ => {}
            }
        }
        Some(status)
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split_whitespace().map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_interest_are_found() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGroups:\t27 100 \nCapInh:\t0000000000000000\n\
                    CapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let status = Status::parse(text).expect("parse");
        assert_eq!(status.uids, [1, 2, 3, 4]);
        assert_eq!(status.groups, [27, 100]);
        assert_eq!(status.capabilities[1], ("CapBnd".into(), 0x1ff_ffff_ffff));
        assert_eq!(status.seccomp_filters, Some(3));
    }

    #[test]
    fn this_process_can_be_read() {
        let status = Status::read().expect("read");
        assert_eq!(status.capabilities.len(), 5);
        assert_eq!(status.uids[1], rustix::process::geteuid().as_raw());
    }
}
