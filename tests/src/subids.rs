//! An ordinary user with subordinate ids. The machine's own files stay as they are: a mount
//! namespace shows other ones.

use std::{
    ffi::OsStr, fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command,
};

/// Becomes the user of the second argument, with the accounts, the subordinate ids and, if there is
/// one, the `newuidmap` in the directory of the first one, and executes the rest.
const BECOME: &str = "for f in passwd subuid subgid; do \
    /usr/bin/mount --bind \"$1/$f\" /etc/$f || exit 1; done; if [ -e \"$1/newuidmap\" ]; then \
    /usr/bin/mount --bind \"$1/newuidmap\" /usr/bin/newuidmap || exit 1; fi; u=$2 && shift 2 && \
    exec /usr/bin/setpriv --reuid=$u --regid=$u --clear-groups -- \"$@\"";

/// A command of this user, who has so many subordinate ids from `first` on; `directory` is to hold
/// what `/etc` has of them, and can be the same for all commands.
///
/// # Panics
///
/// If the tests do not run as root.
#[must_use]
pub fn command(
    directory: &Path,
    uid: u32,
    (first, count): (u32, u32),
    program: impl AsRef<OsStr>,
) -> Command {
    assert!(rustix::process::geteuid().is_root(), "root is needed to become another user");
    let mut accounts = fs::read_to_string("/etc/passwd").expect("read the accounts");
    accounts.push_str(&format!("handoff-escape:x:{uid}:{uid}::/:/bin/sh\n"));
    let ids = format!("handoff-escape:{first}:{count}\n");
    for (name, text) in [("passwd", &accounts), ("subuid", &ids), ("subgid", &ids)] {
        let path = directory.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == *text) {
            continue;
        }
        // Another test's command may be about to show the one that is there.
        let mut file = tempfile::NamedTempFile::new_in(directory).expect("create");
        file.write_all(text.as_bytes()).expect("write");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).expect("mode");
        file.persist(&path).expect("put in place");
    }
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-c", BECOME, "sh"]).arg(directory);
    command.arg(uid.to_string()).arg(program);
    command
}
