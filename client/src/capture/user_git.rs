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
        ignore_case: last(settings(&listing).filter(Setting::is_users), b"core.ignorecase")
            .is_some_and(|value| value.is_none_or(is_true)),
    })
}

/// One setting, of a listing whose records are `SCOPE NUL KEY NEWLINE VALUE NUL`.
struct Setting<'a> {
    scope: &'a [u8],
    key: &'a [u8],
    /// None for a name alone.
    value: Option<&'a [u8]>,
}

impl Setting<'_> {
    /// Whether it is one of the user's; the repository's own settings travel with it.
    fn is_users(&self) -> bool {
        !matches!(self.scope, b"local" | b"worktree")
    }
}

fn settings(listing: &[u8]) -> impl Iterator<Item = Setting<'_>> {
    let mut fields = listing.split(|&byte| byte == 0);
    std::iter::from_fn(move || {
        let (scope, record) = (fields.next()?, fields.next()?);
        Some(match record.iter().position(|&byte| byte == b'\n') {
            Some(at) => Setting { scope, key: &record[..at], value: Some(&record[at + 1..]) },
            None => Setting { scope, key: record, value: None },
        })
    })
}

/// The value that counts of a setting, `None` inside for a name alone.
fn last<'a>(settings: impl Iterator<Item = Setting<'a>>, key: &[u8]) -> Option<Option<&'a [u8]>> {
    settings.filter(|setting| setting.key == key).last().map(|setting| setting.value)
}

fn allowed(listing: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut allowed: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for Setting { key, value, .. } in settings(listing).filter(Setting::is_users) {
        let Some(value) = value.filter(|_| is_allowed(key)) else { continue };
        match allowed.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value.to_vec(),
            None => allowed.push((key.to_vec(), value.to_vec())),
        }
    }
    allowed
}

/// Where the repository fetches from and pushes to; what is no text is left to the run's own git.
fn remotes(listing: &[u8]) -> Vec<String> {
    let mut remotes = Vec::new();
    for Setting { key, value, .. } in settings(listing) {
        let names_url = key.ends_with(b".url") || key.ends_with(b".pushurl");
        if let Some(value) = value
            && key.starts_with(b"remote.")
            && names_url
            && remotes.len() < REMOTES_MAX
        {
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
    let set = match last(settings(listing), b"core.excludesfile") {
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
