//! Writes bubblewrap's arguments: the jail around what is on the stage.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::stage;
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::Spec;

/// Size of `/run`, where programs keep sockets and process ids.
const RUN_BYTES: u64 = 16 << 20;

/// Where bubblewrap itself mounts memory that a run may write.
pub(super) const SCRATCHES: [&str; 3] = [SHM, RUN, QUEUES];
const SHM: &str = "/dev/shm";
const RUN: &str = "/run";

/// Message queues, which no rule could allow that have no place.
const QUEUES: &str = "/dev/mqueue";

/// A top-level directory of the host that holds programs.
#[derive(Debug, PartialEq, Eq)]
enum System {
    Link { name: OsString, to: OsString },
    Directory { name: OsString },
}

/// Returns the arguments, each ended by a NUL byte.
pub(super) fn compose(
    spec: &Spec,
    tops: &[OsString],
    filters: &[OwnedFd],
) -> Result<Vec<u8>, Refusal> {
    let system = system().refuse(Step::Stage, "list the host's root directory")?;
    let filters: Vec<i32> = filters.iter().map(|filter| filter.as_raw_fd()).collect();
    Ok(write(spec, &system, tops, &filters))
}

fn write(spec: &Spec, system: &[System], tops: &[OsString], filters: &[i32]) -> Vec<u8> {
    let mut list = List::default();
    list.words("--unshare-user --disable-userns --unshare-pid --unshare-ipc --unshare-uts");
    list.words("--unshare-cgroup-try --cap-drop ALL");
    // Not --die-with-parent: bubblewrap could then die between two steps of its own and leave a
    // child that waits for it for ever. Init ends with the channel, and with bubblewrap.
    list.words("--new-session --as-pid-1 --clearenv");
    list.option("--uid", spec.account.uid.to_string());
    list.option("--gid", spec.account.gid.to_string());
    list.option("--hostname", &spec.hostname);
    list.pair("--ro-bind", "/usr", "/usr");
    for entry in system {
        match entry {
            System::Link { name, to } => list.pair("--symlink", to, at_root(name)),
            System::Directory { name } => list.pair("--ro-bind", at_root(name), at_root(name)),
        }
    }
    list.words("--proc /proc --dev /dev");
    list.tmpfs("1777", spec.limits.shm_bytes, SHM);
    list.option("--mqueue", QUEUES);
    list.tmpfs("0755", RUN_BYTES, RUN);
    for top in tops {
        list.pair("--bind", Path::new(stage::PLACE).join(top), at_root(top));
    }
    list.words("--remount-ro /dev --remount-ro / --chdir /");
    for filter in filters {
        list.option("--add-seccomp-fd", filter.to_string());
    }
    list.bytes
}

fn at_root(name: &OsStr) -> OsString {
    Path::new("/").join(name).into()
}

/// Finds `/bin`, `/sbin` and `/lib*`: links into `/usr` on most hosts, directories on some.
fn system() -> io::Result<Vec<System>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let name = entry.file_name();
        let wanted = name == "bin" || name == "sbin" || name.as_bytes().starts_with(b"lib");
        let kind = entry.file_type()?;
        if wanted && kind.is_symlink() {
            found.push(System::Link { name, to: fs::read_link(entry.path())?.into() });
        } else if wanted && kind.is_dir() {
            found.push(System::Directory { name });
        }
    }
    Ok(found)
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
    use std::os::unix::ffi::OsStringExt as _;

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
            network: Network::None,
            limits: Limits { shm_bytes: 4096, ..Limits::default() },
            umask: 0o022,
            require: Vec::new(),
        }
    }

    fn written(tops: &[OsString]) -> Vec<String> {
        let system = [
            System::Link { name: "bin".into(), to: "usr/bin".into() },
            System::Directory { name: "lib32".into() },
        ];
        let bytes = write(&spec(), &system, tops, &[21, 22]);
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
        let written = written(&[]);
        for words in [
            "--unshare-user --disable-userns --unshare-pid --unshare-ipc --unshare-uts",
            "--cap-drop ALL",
            "--new-session --as-pid-1 --clearenv",
            "--uid 1000 --gid 1001 --hostname box",
            "--ro-bind /usr /usr --symlink usr/bin /bin --ro-bind /lib32 /lib32",
            "--perms 1777 --size 4096 --tmpfs /dev/shm",
            "--add-seccomp-fd 21 --add-seccomp-fd 22",
        ] {
            at(&written, words);
        }
        assert!(!written.iter().any(|word| word.contains("secret")), "{written:?}");
    }

    #[test]
    fn the_root_is_closed_after_everything_is_in_it() {
        let odd = OsString::from_vec(b"o\xffd".to_vec());
        let written = written(&["home".into(), odd]);
        let closed = at(&written, "--remount-ro /dev --remount-ro /");
        assert!(at(&written, "--bind /tmp/home /home") < closed);
        assert!(written.iter().rposition(|word| word == "--bind").expect("a bind") < closed);
        assert!(written.iter().rposition(|word| word == "--tmpfs").expect("a tmpfs") < closed);
    }
}
