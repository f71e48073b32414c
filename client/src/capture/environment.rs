//! Which of the laptop's environment variables a run sees.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use handoff_proto::path::AbsolutePath;
use handoff_proto::wire::EnvironmentVariable;

use super::account::normal;

/// Variables that every run sees, beside all that begin with `LC_`.
const CARRIED: [&str; 5] = ["USER", "SHELL", "LANG", "TERM", "TZ"];

/// Where time zones are beneath, wherever a system keeps them.
const ZONES: &str = "/zoneinfo/";

/// `--env` asks for what cannot be passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// The variable is not set here.
    #[error("environment variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// It cannot be the name of a variable.
    #[error("{text:?} names no environment variable")]
    Name {
        /// What was given.
        text: String,
    },
}

/// Whether a variable that is not set matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It was asked for on this very command line.
    Refused,
    /// It is on a list that serves everybody who works on the tree.
    LeftOut,
}

/// What the run sees: the usual variables, then what `wanted` names as `NAME` or `NAME=VALUE`;
/// the later counts. `all` is this process's environment.
///
/// # Errors
///
/// Where something wanted cannot be passed on.
pub fn environment<'a>(
    all: &[(OsString, OsString)],
    wanted: impl IntoIterator<Item = (&'a OsStr, Missing)>,
) -> Result<Vec<EnvironmentVariable>, EnvironmentError> {
    let mut carried = Vec::new();
    for (name, value) in all {
        let is_locale = name.as_bytes().starts_with(b"LC_");
        if is_locale || CARRIED.iter().any(|carried| name == carried) {
            set(&mut carried, name.as_bytes(), value.as_bytes());
        }
    }
    if !carried.iter().any(|variable| variable.name == b"TZ")
        && let Some(zone) = time_zone(Path::new("/etc/localtime"))
    {
        set(&mut carried, b"TZ", &zone);
    }
    for (text, missing) in wanted {
        let bytes = text.as_bytes();
        let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
            Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
            None => (bytes, None),
        };
        let shown = || String::from_utf8_lossy(name).into_owned();
        if name.is_empty() {
            return Err(EnvironmentError::Name {
                text: String::from_utf8_lossy(bytes).into_owned(),
            });
        }
        let here = || {
            all.iter().find(|(set, _)| set.as_bytes() == name).map(|(_, value)| value.as_bytes())
        };
        match (value.or_else(here), missing) {
            (Some(value), _) => set(&mut carried, name, value),
            (None, Missing::LeftOut) => {}
            (None, Missing::Refused) => return Err(EnvironmentError::NotSet { name: shown() }),
        }
    }
    Ok(carried)
}

/// The directories of PATH that lie in the tree, in order: the tree brings them along.
#[must_use]
pub fn path_in_tree(path: &OsStr, root: &AbsolutePath) -> Vec<Vec<u8>> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .filter_map(|directory| normal(&directory).ok())
        .filter(|directory| directory.starts_with(root))
        .map(|directory| directory.as_bytes().to_vec())
        .collect()
}

fn set(variables: &mut Vec<EnvironmentVariable>, name: &[u8], value: &[u8]) {
    match variables.iter_mut().find(|variable| variable.name == name) {
        Some(variable) => variable.value = value.to_vec(),
        None => variables.push(EnvironmentVariable { name: name.to_vec(), value: value.to_vec() }),
    }
}

/// The name of the time zone that a link to its file tells, such as `Europe/Berlin`.
fn time_zone(link: &Path) -> Option<Vec<u8>> {
    let target = std::fs::read_link(link).ok()?;
    let target = target.as_os_str().as_bytes();
    let at = target.windows(ZONES.len()).rposition(|window| window == ZONES.as_bytes())?;
    Some(target[at + ZONES.len()..].to_vec()).filter(|zone| !zone.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn carried(
        here: &[(&str, &str)],
        wanted: &[(&str, Missing)],
    ) -> Result<Vec<(String, String)>, EnvironmentError> {
        let wanted = wanted.iter().map(|(text, missing)| (OsStr::new(*text), *missing));
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let variables = environment(&all(here), wanted)?;
        Ok(variables.into_iter().map(|v| (text(v.name), text(v.value))).collect())
    }

    #[test]
    fn only_the_usual_and_the_wanted_leaves_the_laptop() {
        let here = [
            ("SECRET", "1"),
            ("TZ", "UTC"),
            ("LC_ALL", "C"),
            ("PATH", "/bin"),
            ("A", "a"),
            ("HOME", "/h"),
        ];
        let wanted = [
            ("A", Missing::Refused),
            ("B=b=c", Missing::Refused),
            ("C", Missing::LeftOut),
            ("TZ=CET", Missing::Refused),
        ];
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            carried(&here, &wanted).unwrap(),
            [pair("TZ", "CET"), pair("LC_ALL", "C"), pair("A", "a"), pair("B", "b=c")]
        );
    }

    #[test]
    fn what_was_asked_for_by_hand_must_be_there() {
        let missing = carried(&[("TZ", "")], &[("A", Missing::Refused)]);
        assert_eq!(missing, Err(EnvironmentError::NotSet { name: "A".to_owned() }));
        assert!(matches!(
            carried(&[], &[("=x", Missing::Refused)]),
            Err(EnvironmentError::Name { .. })
        ));
    }

    #[test]
    fn a_time_zone_is_read_off_the_link() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("localtime");
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Berlin", &link).unwrap();
        assert_eq!(time_zone(&link).unwrap(), b"Europe/Berlin");
        assert_eq!(time_zone(home.path()), None);
    }

    #[test]
    fn only_directories_in_the_tree_stay_in_the_path() {
        let root: AbsolutePath = "/home/a/tree".parse().unwrap();
        let path = "/usr/bin:/home/a/tree/node_modules/.bin/:.:/home/a/tree2/bin:/home/a/tree";
        let expected: [&[u8]; 2] = [b"/home/a/tree/node_modules/.bin", b"/home/a/tree"];
        assert_eq!(path_in_tree(OsStr::new(path), &root), expected);
    }
}
