//! Writes bubblewrap's arguments: the jail around what is on the stage.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use super::stage;
use crate::spec::Spec;

/// Size of `/run`, where programs keep sockets and process ids.
const RUN_BYTES: u64 = 16 << 20;

/// Where bubblewrap itself mounts memory that a run may write.
pub(super) const SCRATCHES: [&str; 3] = [SHM, RUN, QUEUES];
const SHM: &str = "/dev/shm";
const RUN: &str = "/run";

/// Message queues, which no rule could allow that have no place.
const QUEUES: &str = "/dev/mqueue";

/// Returns the arguments, each ended by a NUL byte.
pub(super) fn compose(spec: &Spec, filters: &[OwnedFd]) -> Vec<u8> {
    let filters: Vec<i32> = filters.iter().map(|filter| filter.as_raw_fd()).collect();
    write(spec, &filters)
}

fn write(spec: &Spec, filters: &[i32]) -> Vec<u8> {
    let mut list = List::default();
    list.words("--unshare-user --disable-userns --unshare-pid --unshare-ipc --unshare-uts");
    list.words("--unshare-cgroup-try --cap-drop ALL");
    // Not --die-with-parent: bubblewrap could then die between two steps of its own and leave a
    // child that waits for it for ever. Init ends with the channel, and with bubblewrap.
    list.words("--new-session --as-pid-1 --clearenv");
    list.option("--uid", spec.account.uid.to_string());
    list.option("--gid", spec.account.gid.to_string());
    list.option("--hostname", &spec.hostname);
    list.pair("--bind", stage::PLACE, "/");
    list.words("--proc /proc --dev /dev");
    list.tmpfs("1777", spec.limits.shm_bytes, SHM);
    list.option("--mqueue", QUEUES);
    list.tmpfs("0755", RUN_BYTES, RUN);
    list.words("--remount-ro /dev --remount-ro / --chdir /");
    for filter in filters {
        list.option("--add-seccomp-fd", filter.to_string());
    }
    list.bytes
}

#[derive(Default)]
struct List {
    bytes: Vec<u8>,
}

impl List {
    fn word(&mut self, word: impl AsRef<OsStr>) {
        self.bytes.extend_from_slice(word.as_ref().as_bytes());
        self.bytes.push(0);
    }

    fn words(&mut self, words: &str) {
        words.split(' ').for_each(|word| self.word(word));
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.word(name);
        self.word(value);
    }

    fn pair(&mut self, name: &str, from: impl AsRef<OsStr>, to: impl AsRef<OsStr>) {
        self.option(name, from);
        self.word(to);
    }

    fn tmpfs(&mut self, mode: &str, bytes: u64, at: &str) {
        self.option("--perms", mode);
        self.option("--size", bytes.to_string());
        self.option("--tmpfs", at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Account, Limits, Network};

    fn spec() -> Spec {
        Spec {
            name: "x".into(),
            argv: vec!["secret-argument".into()],
            env: vec![("SECRET".into(), "secret-value".into())],
            cwd: "/home/a".into(),
            account: Account { uid: 1000, gid: 1001, user: "a".into(), home: "/home/a".into() },
            host_uid: None,
            hostname: "box".into(),
            mounts: Vec::new(),
            overlays: Vec::new(),
            terminal: None,
            network: Network::None,
            limits: Limits { shm_bytes: 4096, ..Limits::default() },
            umask: 0o022,
            require: Vec::new(),
        }
    }

    fn written() -> Vec<String> {
        let bytes = write(&spec(), &[21, 22]);
        assert_eq!(bytes.last(), Some(&0), "every argument is ended");
        let bytes = &bytes[..bytes.len() - 1];
        bytes.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
    }

    /// Finds a run of words and returns where it starts.
    fn at(written: &[String], words: &str) -> usize {
        let words: Vec<&str> = words.split(' ').collect();
        let found = written.windows(words.len()).position(|window| window == words);
        found.unwrap_or_else(|| panic!("{words:?} in {written:?}"))
    }

    #[test]
    fn every_wall_is_asked_for() {
        let written = written();
        for words in [
            "--unshare-user --disable-userns --unshare-pid --unshare-ipc --unshare-uts",
            "--cap-drop ALL",
            "--new-session --as-pid-1 --clearenv",
            "--uid 1000 --gid 1001 --hostname box",
            "--perms 1777 --size 4096 --tmpfs /dev/shm",
            "--add-seccomp-fd 21 --add-seccomp-fd 22",
        ] {
            at(&written, words);
        }
        assert!(!written.iter().any(|word| word.contains("secret")), "{written:?}");
    }

    #[test]
    fn the_root_is_closed_after_everything_is_in_it() {
        let written = written();
        let closed = at(&written, "--remount-ro /dev --remount-ro /");
        assert!(at(&written, "--bind /tmp /") < at(&written, "--proc /proc --dev /dev"));
        assert!(written.iter().rposition(|word| word == "--bind").expect("a bind") < closed);
        assert!(written.iter().rposition(|word| word == "--tmpfs").expect("a tmpfs") < closed);
    }
}
