//! The jail's `/etc`: a few files of the host that programs cannot do without, and a few of our
//! own. Never the host's accounts, its configuration of git, its name, or anything secret.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::source::{self, Source};
use crate::doors::DOOR_ADDRESS;
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::{Access, Network, Spec};

/// What is shown of the host if it exists: the dynamic linker, certificates, time, fonts, the
/// alternatives system and the settings of interpreters.
const SHOWN: [&str; 24] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "magic.mime",
    "mime.types",
    "os-release",
    "perl",
    "pki",
    "protocols",
    "rpc",
    "services",
    "shells",
    "ssl",
    "terminfo",
    "timezone",
    "xml",
];

/// Beginnings of names that carry a version.
const SHOWN_PREFIXES: [&str; 2] = ["java", "python3"];

/// Files up to this size are copied: cheaper than a mount, which every process that lists mounts
/// pays for once more, bubblewrap a dozen times. Neither sees what later takes the file's name.
const COPIED_MAX: u64 = 256 << 10;

/// What anybody must be allowed to do with a file for a copy to tell nothing new.
const EVERYONE_READS: u32 = 0o004;

/// What `/etc` is made of.
#[derive(Debug)]
pub(super) struct Etc {
    pub(super) shown: Vec<Source>,
    pub(super) written: Vec<(PathBuf, Vec<u8>)>,
}

/// Opens what is shown and writes what is ours.
pub(super) fn open(spec: &Spec) -> Result<Etc, Refusal> {
    let entries = fs::read_dir("/etc").refuse(Step::Source, "list /etc")?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| is_shown(name, spec.network));
    names.sort();
    let mut etc = Etc { shown: Vec::new(), written: written(spec, &shell()) };
    for name in names {
        etc.show(&name)?;
    }
    Ok(etc)
}

fn is_shown(name: &str, network: Network) -> bool {
    SHOWN.contains(&name)
        || SHOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || (name == "resolv.conf" && network == Network::Host)
}

impl Etc {
    /// Opens one entry of the host's `/etc`, following the links that distributions keep there.
    fn show(&mut self, name: &str) -> Result<(), Refusal> {
        let path = Path::new("/etc").join(name);
        // A dangling link, or something that is not for everybody, is as good as not there.
        let Ok(found) = File::open(&path) else {
            return Ok(());
        };
        match copy(&found).refuse(Step::Source, format_args!("read {}", path.display()))? {
            Some(text) => self.written.push((path, text)),
            None => {
                let shown = source::detach(found.as_fd(), &path, &path, Access::ReadOnly)?;
                self.shown.push(shown);
            }
        }
        Ok(())
    }
}

/// Reads a file that may be copied.
fn copy(mut file: &File) -> io::Result<Option<Vec<u8>>> {
    let found = file.metadata()?;
    if !found.is_file() || found.mode() & EVERYONE_READS == 0 || found.len() > COPIED_MAX {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(Some(text))
}

fn shell() -> String {
    let bash = "/bin/bash";
    if Path::new(bash).exists() { bash.into() } else { "/bin/sh".into() }
}

fn written(spec: &Spec, shell: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let account = &spec.account;
    let (user, uid, gid) = (account.user.as_str(), account.uid, account.gid);
    let mut passwd = format!("{user}:x:{uid}:{gid}:{user}:").into_bytes();
    // A home is named by bytes, as every directory.
    passwd.extend_from_slice(account.home.as_os_str().as_bytes());
    passwd.extend_from_slice(format!(":{shell}\n").as_bytes());
    let mut group = format!("{user}:x:{gid}:\n");
    if user != "root" {
        passwd.extend_from_slice(b"root:x:0:0:root:/:/usr/sbin/nologin\n");
        group.push_str("root:x:0:\n");
    }
    passwd.extend_from_slice(b"nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
    group.push_str("nogroup:x:65534:\n");
    let host = &spec.hostname;
    let hosts =
        format!("127.0.0.1 localhost {host}\n::1 localhost ip6-localhost ip6-loopback {host}\n");
    let nsswitch = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
                    networks: files\nprotocols: files\nservices: files\nrpc: files\n";
    [
        ("passwd", passwd),
        ("group", group.into_bytes()),
        ("hosts", hosts.into_bytes()),
        ("hostname", format!("{host}\n").into_bytes()),
        ("nsswitch.conf", nsswitch.into()),
    ]
    .into_iter()
    .chain((spec.network == Network::Fenced).then(|| ("resolv.conf", resolver())))
    .map(|(name, text)| (Path::new("/etc").join(name), text))
    .collect()
}

/// The only name server of a fenced network.
fn resolver() -> Vec<u8> {
    format!("nameserver {DOOR_ADDRESS}\noptions timeout:5 attempts:2\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_files_for_everybody_are_copied() {
        let directory = tempfile::tempdir().expect("directory");
        let (path, limit) = (directory.path().join("file"), COPIED_MAX.try_into().expect("size"));
        for (mode, bytes, copied) in
            [(0o644, 3, true), (0o640, 3, false), (0o644, limit, true), (0o644, limit + 1, false)]
        {
            fs::write(&path, vec![b'x'; bytes]).expect("write");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(&path, mode).expect("mode");
            let text = copy(&File::open(&path).expect("open")).expect("read");
            assert_eq!(text.map(|text| text.len()), copied.then_some(bytes), "{bytes}");
        }
        assert_eq!(copy(&File::open(directory.path()).expect("open")).expect("look"), None);
    }

    #[test]
    fn secrets_and_the_hosts_own_settings_are_not_shown() {
        for name in ["shadow", "gitconfig", "hostname", "passwd", "sudoers", "machine-id", "ssh"] {
            assert!(!is_shown(name, Network::Host), "{name}");
        }
        assert!(is_shown("java-17-openjdk", Network::None));
        assert!(is_shown("resolv.conf", Network::Host));
        assert!(!is_shown("resolv.conf", Network::None));
    }
}
