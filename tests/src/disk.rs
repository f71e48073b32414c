//! Tests on a file system of their own: an image that is mounted where only the test sees it.
//!
//! A test calls itself in a new mount namespace, so nothing is left mounted however it ends; its
//! temporary directories are on that disk.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells a test that it is on its disk.
const MOUNTED: &str = "HANDOFF_TEST_DISK";

/// An ordinary user that no distribution gives out.
const ORDINARY_UID: u32 = 54_321;

/// What is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Files can share blocks.
    Xfs,
    /// Files can share blocks.
    Btrfs,
    /// They cannot.
    Ext4,
}

/// Who the test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tester {
    /// Whoever started it, who has to be root.
    Root,
    /// A user without any rights.
    Ordinary,
}

impl Format {
    /// The program that makes it, and the Debian package with that.
    fn maker(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Xfs => (&["mkfs.xfs", "-q", "-m", "reflink=1"], "xfsprogs"),
            Self::Btrfs => (&["mkfs.btrfs", "-q"], "btrfs-progs"),
            Self::Ext4 => (&["mkfs.ext4", "-q"], "e2fsprogs"),
        }
    }
}

/// Runs a test, `module` (its `module_path!()`) and `name`, on a new disk of so many bytes, which
/// it finds at the path that it is given.
///
/// # Panics
///
/// Where the test fails, or something that it needs is not there.
pub fn on_disk(
    (format, bytes): (Format, u64),
    tester: Tester,
    (module, name): (&str, &str),
    test: impl FnOnce(&Path),
) {
    if let Some(disk) = std::env::var_os(MOUNTED) {
        return test(Path::new(&disk));
    }
    // The crate's own name is no part of the test's.
    let name =
        module.split_once("::").map_or_else(String::new, |(_, rest)| format!("{rest}::")) + name;
    let top = tempfile::Builder::new().prefix("handoff-disk-").tempdir().expect("directory");
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).expect("mode");
    let [image, place] = ["image", "disk"].map(|name| top.path().join(name));
    File::create(&image).expect("image").set_len(bytes).expect("size");
    let (maker, package) = format.maker();
    let made = Command::new(maker[0]).args(&maker[1..]).arg(&image).output();
    let made = made.unwrap_or_else(|error| panic!("{}: {error}: install {package}", maker[0]));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::create_dir(&place).expect("mount point");
    let program = program(tester, top.path());

    let script = "mount -o loop \"$1\" \"$2\"; chmod 1777 \"$2\"; shift 2; exec \"$@\"";
    let mut command: Vec<OsString> =
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"]
            .map(OsString::from)
            .to_vec();
    command.extend([image.into(), place.clone().into()]);
    if tester == Tester::Ordinary {
        command.extend(["setpriv", "--clear-groups"].map(OsString::from));
        command.extend(["--reuid", "--regid"].map(|id| format!("{id}={ORDINARY_UID}").into()));
    }
    command.extend([program.into(), "--exact".into(), name.clone().into(), "--nocapture".into()]);
    let output = Command::new(&command[0])
        .args(&command[1..])
        .current_dir("/")
        .env("TMPDIR", &place)
        .env(MOUNTED, &place)
        .output()
        .expect("unshare");
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    let passed = output.status.success() && stdout.contains("test result: ok. 1 passed");
    assert!(passed, "{name} on {format:?} as {tester:?}, started by root:\n{stdout}\n{stderr}");
}

/// This program, where the tester can execute it.
fn program(tester: Tester, directory: &Path) -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    if tester == Tester::Root {
        return own;
    }
    let program = directory.join("test");
    if fs::hard_link(&own, &program).is_err() {
        fs::copy(&own, &program).expect("own program");
    }
    program
}
