//! Whether settings of a toolchain hold credentials.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Settings are small; what is larger is no settings file.
const SETTINGS_MAX: u64 = 1 << 20;

/// Versions of one toolchain, or checked-out repositories of cargo, that are looked at.
const NAMES_MAX: usize = 4096;

/// Words in the names of keys that hold secrets.
const SECRET_WORDS: [&str; 7] =
    ["_auth", "authorization", "credential", "extraheader", "password", "secret", "token"];

/// The first of the suspects in this part of a toolchain that holds credentials.
pub(super) fn first(top: &Path, part: &str, suspects: &[&str]) -> Option<PathBuf> {
    suspects
        .iter()
        .filter(|suspect| Path::new(suspect).starts_with(part))
        .flat_map(|suspect| matching(top, suspect))
        .find(|path| read(path).is_some_and(|text| held_by(&text)))
}

/// The existing paths that a pattern stands for.
fn matching(top: &Path, pattern: &str) -> Vec<PathBuf> {
    pattern.split('/').fold(vec![top.to_owned()], |places, name| {
        places
            .iter()
            .flat_map(|place| match name {
                "*" => children(place),
                _ => vec![place.join(name)],
            })
            .take(NAMES_MAX)
            .collect()
    })
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Reads a settings file; `None` if there is none.
pub(super) fn read(path: &Path) -> Option<String> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|m| m.is_file()))?;
    let mut bytes = Vec::new();
    file.take(SETTINGS_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a text looks as if it held credentials; rather too often than too rarely.
pub(super) fn held_by(text: &str) -> bool {
    text.lines().any(|line| is_secret_name(line) || has_user_in_url(line))
}

/// Whether a key of this name holds a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Whether a text holds an address with a user and a password before the host.
pub(super) fn has_user_in_url(text: &str) -> bool {
    text.split("://").skip(1).any(|rest| {
        let authority = rest.split(['/', '"', '\'', ' ', '\t']).next().unwrap_or_default();
        authority.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_recognised_and_ordinary_settings_are_not() {
        for text in [
            "//registry.npmjs.org/:_authToken=npm_x",
            "index-url = https://me:pw@example.com/simple",
            "url = https://token123@github.com/a/b",
            "[http]\n\textraheader = Basic abc",
            "password=x",
        ] {
            assert!(held_by(text), "{text}");
        }
        for text in [
            "[remote \"origin\"]\n\turl = https://github.com/pyenv/pyenv.git",
            "url = git@github.com:a/b.git",
            "prefix=/home/alice/.nvm/versions/node/v20\nregistry=https://registry.npmjs.org/",
        ] {
            assert!(!held_by(text), "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_one_name() {
        let top = tempfile::tempdir().expect("directory");
        let etc = top.path().join("versions/node/v20/etc");
        fs::create_dir_all(&etc).expect("directories");
        fs::write(etc.join("npmrc"), "//x/:_authToken=y").expect("write");
        let suspects = ["versions/node/*/etc/npmrc"];
        assert_eq!(first(top.path(), "", &suspects), Some(etc.join("npmrc")));
        assert_eq!(first(top.path(), "bin", &suspects), None);
        fs::write(etc.join("npmrc"), "fund=false").expect("write");
        assert_eq!(first(top.path(), "", &suspects), None);
    }
}
