//! The part of the user's own git settings that a run gets: who commits, and what is ignored.

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::git::{Git, GitError};

/// Settings that every run has: a snapshot's stat data is not the laptop's, and nobody waits for
/// housekeeping.
const ALWAYS: [(&str, &str); 3] =
    [("gc.auto", "0"), ("maintenance.auto", "false"), ("core.checkStat", "minimal")];

/// The longest file of ignore rules that is carried, in bytes.
const EXCLUDES_MAX: usize = 1 << 20;

/// Most remotes that a run is told of; a repository has a handful.
const REMOTES_MAX: usize = 64;

/// What a run gets of the user's git settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserGit {
    /// The content of `~/.gitconfig`.
    pub config: Vec<u8>,
    /// The content of the file of ignore rules.
    pub excludes: Vec<u8>,
    /// The URLs of the repository's remotes, without credentials.
    pub remotes: Vec<String>,
    /// `core.ignoreCase` where a repository does not say.
    pub ignore_case: bool,
}

/// Asks git about the user's settings as they are in the directory where it runs. Without git
/// there are none.
///
/// # Errors
///
/// Where git cannot read its settings.
pub fn user_git(git: &Git) -> Result<UserGit, GitError> {
    let listing = match git.ask(&["config", "--list", "--show-scope", "--null"]) {
        Ok(listing) => listing,
        Err(GitError::Start(_)) => {
            return Ok(UserGit { config: write(&[]), ..UserGit::default() });
        }
        Err(error) => return Err(error),
    };
    let is_true = |value: &[u8]| {
        matches!(value.to_ascii_lowercase().as_slice(), b"true" | b"yes" | b"on" | b"1")
    };
    Ok(UserGit {
        config: write(&allowed(&listing)),
        excludes: excludes(git, &listing)?,
        remotes: remotes(&listing),
        ignore_case: last(&listing, Scope::User, b"core.ignorecase")
            .is_some_and(|value| value.is_none_or(is_true)),
    })
}

/// Whose settings count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All but the repository's own.
    User,
    All,
}

/// The value that counts of a setting, `None` inside for a name alone.
fn last<'a>(listing: &'a [u8], scope: Scope, key: &[u8]) -> Option<Option<&'a [u8]>> {
    let mut found = None;
    let mut records = listing.split(|&byte| byte == 0);
    while let (Some(of), Some(record)) = (records.next(), records.next()) {
        let (name, value) = match record.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&record[..at], Some(&record[at + 1..])),
            None => (record, None),
        };
        if name == key && (scope == Scope::All || !matches!(of, b"local" | b"worktree")) {
            found = Some(value);
        }
    }
    found
}

/// Records are `SCOPE NUL KEY NEWLINE VALUE NUL`.
fn allowed(listing: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut settings: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut records = listing.split(|&byte| byte == 0);
    while let (Some(scope), Some(record)) = (records.next(), records.next()) {
        // The repository's own settings travel with it.
        if matches!(scope, b"local" | b"worktree") {
            continue;
        }
        let Some(at) = record.iter().position(|&byte| byte == b'\n') else { continue };
        let (key, value) = (&record[..at], &record[at + 1..]);
        if !is_allowed(key) {
            continue;
        }
        match settings.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value.to_vec(),
            None => settings.push((key.to_vec(), value.to_vec())),
        }
    }
    settings
}

/// Where the repository fetches from and pushes to; what is no text is left to the run's own git.
fn remotes(listing: &[u8]) -> Vec<String> {
    let mut remotes = Vec::new();
    let mut records = listing.split(|&byte| byte == 0);
    while let (Some(_scope), Some(record)) = (records.next(), records.next()) {
        let Some(at) = record.iter().position(|&byte| byte == b'\n') else { continue };
        let (key, value) = (&record[..at], &record[at + 1..]);
        let names_url = key.ends_with(b".url") || key.ends_with(b".pushurl");
        if key.starts_with(b"remote.") && names_url && remotes.len() < REMOTES_MAX {
            remotes.extend(String::from_utf8(super::config::safe_text(value)));
        }
    }
    remotes
}

fn is_allowed(key: &[u8]) -> bool {
    key.starts_with(b"user.") || key.starts_with(b"filter.lfs.") || key == b"core.autocrlf"
}

fn write(settings: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let always = ALWAYS.iter().map(|(key, value)| (key.as_bytes(), value.as_bytes()));
    let own = settings.iter().map(|(key, value)| (key.as_slice(), value.as_slice()));
    super::config::write_settings(own.chain(always))
}

fn excludes(git: &Git, listing: &[u8]) -> Result<Vec<u8>, GitError> {
    let set = match last(listing, Scope::All, b"core.excludesfile") {
        // Only git knows which home directory or which prefix is meant.
        Some(Some([b'~' | b'%' | b':', ..]) | None) => {
            git.ask_for_one(&["config", "--type=path", "--get", "core.excludesFile"])?
        }
        Some(Some(path)) => Some(path.to_vec()),
        None => None,
    };
    let file = match set {
        Some(path) => git.directory().join(std::ffi::OsStr::from_bytes(&path)),
        None => match default_excludes() {
            Some(path) => path,
            None => return Ok(Vec::new()),
        },
    };
    // git does not mind either if it cannot be read.
    let content = std::fs::read(file).unwrap_or_default();
    Ok(if content.len() > EXCLUDES_MAX { Vec::new() } else { content })
}

fn default_excludes() -> Option<PathBuf> {
    let config = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(config) if !config.is_empty() => PathBuf::from(config),
        Some(_) | None => directories::BaseDirs::new()?.home_dir().join(".config"),
    };
    Some(config.join("git/ignore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_named_without_credentials() {
        let listing = b"local\0remote.origin.url\nhttps://me:s3cret@host.test/o/r.git\0local\0remote.origin.fetch\n+x\0\
            local\0remote.b.pushurl\ngit@host.test:o/r\0global\0url.x.insteadof\ny\0";
        assert_eq!(remotes(listing), ["https://host.test/o/r.git", "git@host.test:o/r"]);
    }

    #[test]
    fn only_allowed_settings_of_the_user_get_through_the_last_one_counting() {
        let listing = b"system\0user.name\nOld\0global\0user.name\nA \"B\"\0global\0credential.helper\nstore\0\
            local\0user.email\nlocal@x\0global\0user.email\na@b\0global\0filter.lfs.clean\ngit-lfs clean -- %f\0\
            global\0url.https://t@h/.insteadof\ngh:\0command\0core.autocrlf\ninput\0global\0core.bare\0";
        let text = String::from_utf8(write(&allowed(listing))).unwrap();
        assert_eq!(
            text,
            "[user]\n\tname = \"A \\\"B\\\"\"\n\temail = \"a@b\"\n[filter \"lfs\"]\n\tclean = \"git-lfs clean -- %f\"\n\
             [core]\n\tautocrlf = \"input\"\n[gc]\n\tauto = \"0\"\n[maintenance]\n\tauto = \"false\"\n\
             [core]\n\tcheckStat = \"minimal\"\n"
        );
    }
}
