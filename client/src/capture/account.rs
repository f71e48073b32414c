//! Who the command believes to be: the user who hands it off.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use directories::BaseDirs;
use handoff_proto::path::{AbsolutePath, PathError};
use handoff_proto::wire;
use rustix::fs::Mode;

/// The shell where the environment names none.
const FALLBACK_SHELL: &str = "/bin/sh";

/// This user cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The environment names no home directory.
    #[error("there is no home directory")]
    NoHome,
    /// Its path cannot be carried.
    #[error("the home directory cannot be handed off")]
    Home(#[from] PathError),
}

/// The home directory, at the path by which the user's files know it.
///
/// # Errors
///
/// Where there is none, or its path is none that can be carried.
pub fn home() -> Result<AbsolutePath, AccountError> {
    let dirs = BaseDirs::new().ok_or(AccountError::NoHome)?;
    Ok(normal(dirs.home_dir())?)
}

/// Describes this user; `variable` reads the environment.
#[must_use]
pub fn account(home: &AbsolutePath, variable: &dyn Fn(&str) -> Option<OsString>) -> wire::Account {
    let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
    let uid = rustix::process::getuid().as_raw();
    let listed = || name_of(uid, &std::fs::read_to_string("/etc/passwd").unwrap_or_default());
    wire::Account {
        name: text("USER").or_else(|| text("LOGNAME")).or_else(listed).unwrap_or_default(),
        home: home.as_bytes().to_vec(),
        uid,
        gid: rustix::process::getgid().as_raw(),
        shell: text("SHELL").unwrap_or_else(|| FALLBACK_SHELL.to_owned()),
    }
}

/// The name in a list of users; lines are `NAME:PASSWORD:UID:...`.
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|user| user.get(2).and_then(|id| id.parse().ok()) == Some(uid))?;
    user.first().map(|name| (*name).to_owned())
}

/// The file mode creation mask.
#[must_use]
pub fn umask() -> u32 {
    // It can only be read by setting it; whoever creates a private file says so itself.
    let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(mask);
    widen(mask.as_raw_mode())
}

/// Modes are narrower on some systems.
pub(super) fn widen(mode: impl Into<u32>) -> u32 {
    mode.into()
}

/// A path without the slashes and dots that mean nothing.
pub(super) fn normal(path: &Path) -> Result<AbsolutePath, PathError> {
    let normal: std::path::PathBuf = path.components().collect();
    AbsolutePath::parse(normal.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\na:x:1000:1000::/home/a:/bin/sh\n";
        assert_eq!(name_of(1000, passwd).as_deref(), Some("a"));
        assert_eq!(name_of(1, passwd), None);
    }
}
