//! Files without a name that processes of a run still hold open: they take room on the disk, and no
//! walk through directories finds them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use rustix::fs::{FileType, stat, statfs};

use super::measure::{Measured, bytes};

/// Processes that are looked at: more than any run may have, so that nothing goes on for ever.
const PROCESSES_MAX: usize = 100_000;

/// File systems in memory, which have limits of their own: tmpfs, ramfs and hugetlbfs
/// (`linux/magic.h`).
const IN_MEMORY: [i64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// Measures them for a process and all its descendants. One that has just ended is skipped.
pub(super) fn unlinked(top: u32) -> Measured {
    let mut found = Measured::default();
    let mut seen = HashSet::new();
    let (mut waiting, mut known) = (vec![top], HashSet::from([top]));
    while let Some(pid) = waiting.pop() {
        // A thread may have descriptors of its own.
        for thread in listed(&Path::new("/proc").join(pid.to_string()).join("task")) {
            for file in listed(&thread.join("fd")) {
                count(&file, &mut seen, &mut found);
            }
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
            waiting
                .extend(children.filter(|pid| known.len() < PROCESSES_MAX && known.insert(*pid)));
        }
    }
    found
}

fn count(file: &Path, seen: &mut HashSet<(u64, u64)>, found: &mut Measured) {
    let Ok(stat) = stat(file) else { return };
    let is_unlinked =
        stat.st_nlink == 0 && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_unlinked || seen.contains(&(stat.st_dev, stat.st_ino)) {
        return;
    }
    let in_memory = statfs(file).is_ok_and(|disk| IN_MEMORY.contains(&disk.f_type));
    if !in_memory && seen.insert((stat.st_dev, stat.st_ino)) {
        found.files += 1;
        found.bytes += bytes(&stat);
    }
}

fn listed(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_file_without_a_name_counts_once_for_all_who_hold_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let script = "exec 3>gone; rm gone; head -c 1048576 /dev/zero >&3; \
                      sh -c 'echo ready; read -r line; exit'; exit";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("standard output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut ready)
            .expect("a line");
        let found = unlinked(child.id());
        child.stdin.take().expect("standard input").write_all(b"\n").expect("let go");
        child.wait().expect("wait");
        assert_eq!(found.files, 1);
        assert!((1 << 20..2 << 20).contains(&found.bytes), "{found:?}");
    }
}
