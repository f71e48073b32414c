//! Takes credentials out of a repository's settings, on the way into the snapshot.
//!
//! A file without any is carried as it is. Otherwise its settings are written anew, in order, with
//! what is secret left out; the file on disk is never touched.

use std::path::Path;

use super::config_syntax::{self, Setting};
use super::git::{Git, GitError};

/// What else has to change because a git directory is carried to another place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It stays where it is relative to its working tree.
    Same,
    /// It becomes the `.git` of its working tree.
    Moved,
}

/// A settings file that is not carried as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) content: Vec<u8>,
    /// The settings whose secrets were left out.
    pub(super) secrets: Vec<String>,
}

/// What was found out about a settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Examined {
    /// What to carry instead of it; `None` to carry the file.
    pub(super) rewritten: Option<Rewritten>,
    /// The other files that it includes, as they are written there, whatever the conditions.
    pub(super) includes: Vec<Vec<u8>>,
}

/// Looks for secrets and included files in a settings file.
pub(super) fn examine(file: &Path, content: &[u8], place: Place) -> Result<Examined, GitError> {
    if place == Place::Same && !is_worth_a_look(content) {
        return Ok(Examined::default());
    }
    let settings = match config_syntax::parse(content) {
        Some(settings) => settings,
        None => {
            let directory = file.parent().unwrap_or(file);
            // Only the file's own settings: each file that it includes is examined by itself.
            let words = ["config", "--list", "--null", "--no-includes", "--file"];
            let mut arguments = words.to_vec();
            let name = file.to_string_lossy();
            arguments.push(&name);
            listed(&Git::new(directory).ask(&arguments)?)
        }
    };
    let includes = settings.iter().filter(|setting| is_include(&setting.key));
    let includes = includes.filter_map(|setting| setting.value.clone()).collect();
    Ok(Examined { rewritten: without_secrets(settings, place), includes })
}

/// Words without which a file holds neither a secret nor an include: names can be written in any
/// case but not be broken up, and nothing in a value can stand for an `@`.
const TELLING: [&[u8]; 8] =
    [b"@", b"extraheader", b"pass", b"token", b"secret", b"apikey", b"helper", b"include"];

/// Whether looking closer is worth starting git.
fn is_worth_a_look(content: &[u8]) -> bool {
    let lower = content.to_ascii_lowercase();
    TELLING.iter().any(|word| contains(&lower, word))
}

fn is_include(key: &[u8]) -> bool {
    key == b"include.path" || key.starts_with(b"includeif.") && name(key) == b"path"
}

/// The last part of a key.
fn name(key: &[u8]) -> &[u8] {
    key.rsplit(|&byte| byte == b'.').next().unwrap_or(key)
}

/// Every setting is ended by a NUL; a newline parts key and value.
pub(super) fn listed(listing: &[u8]) -> Vec<Setting> {
    let records = listing.split(|&byte| byte == 0).filter(|record| !record.is_empty());
    let setting = |record: &[u8]| match record.iter().position(|&byte| byte == b'\n') {
        Some(at) => Setting { key: record[..at].to_vec(), value: Some(record[at + 1..].to_vec()) },
        None => Setting { key: record.to_vec(), value: None },
    };
    records.map(setting).collect()
}

fn without_secrets(settings: Vec<Setting>, place: Place) -> Option<Rewritten> {
    let mut secrets = Vec::new();
    let mut kept = Vec::new();
    let mut moved = false;
    for setting in settings {
        if place == Place::Moved && names_place(&setting) {
            moved = true;
            continue;
        }
        let secret = is_secret(&setting.key) || is_secret_helper(&setting);
        let safe = if secret { None } else { Some(safe(&setting)) };
        if safe.as_ref() != Some(&setting) {
            secrets.push(String::from_utf8_lossy(&safe_text(&setting.key)).into_owned());
        }
        kept.extend(safe);
    }
    let changed = moved || !secrets.is_empty();
    changed.then(|| Rewritten { content: write(&kept), secrets })
}

/// Settings that say where the working tree is, which git finds by itself from a `.git` directory.
fn names_place(setting: &Setting) -> bool {
    matches!(setting.key.as_slice(), b"core.worktree" | b"core.bare")
}

/// Settings that hold nothing but a secret.
fn is_secret(key: &[u8]) -> bool {
    let name = name(key);
    matches!(name, b"extraheader" | b"smtppass" | b"pass")
        || SECRET_NAMES.iter().any(|end| name.ends_with(end))
}

/// How the names end of settings and of parameters in URLs that hold a secret.
const SECRET_NAMES: [&[u8]; 5] = [b"token", b"password", b"passwd", b"secret", b"apikey"];

/// Whether a credential helper is written so that it says the secret itself.
fn is_secret_helper(setting: &Setting) -> bool {
    let value = setting.value.as_deref().unwrap_or_default();
    let lower = value.to_ascii_lowercase();
    let says = |word: &&[u8]| contains(&lower, word);
    let speaks = value.starts_with(b"!") && [b"echo".as_slice(), b"printf", b"<<"].iter().any(says);
    setting.key.starts_with(b"credential.")
        && name(&setting.key) == b"helper"
        && (speaks || SECRET_NAMES.iter().any(says))
}

fn safe(setting: &Setting) -> Setting {
    let name = name(&setting.key);
    let value = setting.value.as_ref().map(|value| {
        let value = safe_text(value);
        // A proxy needs no scheme.
        if name == b"proxy" && !contains(&value, b"://") {
            after_last_at(&value).to_vec()
        } else {
            value
        }
    });
    Setting { key: safe_text(&setting.key), value }
}

/// Removes what stands between `://` and `@` in every URL. For a program that logs in by a key,
/// the user's name stays: it is no secret and needed.
pub(super) fn safe_text(text: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, b"://") {
        let (before, after) = rest.split_at(at + 3);
        safe.extend_from_slice(before);
        let authority = authority_len(after);
        let host = after_last_at(&after[..authority]);
        let login = &after[..authority - host.len()];
        if !is_http(&before[..at]) {
            let user = login.strip_suffix(b"@").unwrap_or(login);
            let user = user.split(|&byte| byte == b':').next().unwrap_or_default();
            safe.extend_from_slice(user);
            if !login.is_empty() {
                safe.push(b'@');
            }
        }
        rest = &after[login.len()..];
        if is_http(&before[..at]) {
            let url = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            safe.extend(without_secret_parameters(&rest[..url]));
            rest = &rest[url..];
        }
    }
    safe.extend_from_slice(rest);
    safe
}

/// A URL's host and path with a query that no longer says a secret.
fn without_secret_parameters(url: &[u8]) -> Vec<u8> {
    let Some(query) = url.iter().position(|&byte| byte == b'?') else { return url.to_vec() };
    let is_harmless = |parameter: &&[u8]| {
        let name = parameter.split(|&byte| byte == b'=').next().unwrap_or_default();
        let name = name.to_ascii_lowercase();
        !SECRET_NAMES.iter().any(|end| name.ends_with(end))
    };
    let parameters = url[query + 1..].split(|&byte| byte == b'&').filter(is_harmless);
    let parameters = parameters.collect::<Vec<_>>().join(&b'&');
    let mark: &[u8] = if parameters.is_empty() { b"" } else { b"?" };
    [&url[..query], mark, &parameters].concat()
}

/// Up to the first byte that ends user, host and port.
fn authority_len(text: &[u8]) -> usize {
    let ends = |byte: &u8| *byte == b'/' || byte.is_ascii_whitespace();
    text.iter().position(ends).unwrap_or(text.len())
}

fn after_last_at(text: &[u8]) -> &[u8] {
    text.rsplit(|&byte| byte == b'@').next().unwrap_or(text)
}

/// Whether a URL's scheme, which ends this text, is one where the user's name may be a token.
fn is_http(text: &[u8]) -> bool {
    let scheme = text.rsplit(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
    !matches!(scheme.to_ascii_lowercase().as_slice(), b"ssh" | b"git" | b"rsync" | b"file")
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    find(text, word).is_some()
}

fn write(settings: &[Setting]) -> Vec<u8> {
    let mut file = b"; Written by handoff: secrets were left out.\n".to_vec();
    let settings =
        settings.iter().map(|setting| (setting.key.as_slice(), setting.value.as_deref()));
    write_all(&mut file, settings);
    file
}

/// A settings file that holds these keys and values, in this order.
pub(super) fn write_settings<'a>(settings: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut file = Vec::new();
    write_all(&mut file, settings.map(|(key, value)| (key, Some(value))));
    file
}

fn write_all<'a>(file: &mut Vec<u8>, settings: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) {
    let mut current: Option<&[u8]> = None;
    for (key, value) in settings {
        let Some(name_at) = key.iter().rposition(|&byte| byte == b'.') else {
            continue;
        };
        let (section, name) = (&key[..name_at], &key[name_at + 1..]);
        if current.replace(section) != Some(section) {
            write_section(file, section);
        }
        file.push(b'\t');
        file.extend_from_slice(name);
        if let Some(value) = value {
            file.extend_from_slice(b" = ");
            write_quoted(file, value);
        }
        file.push(b'\n');
    }
}

fn write_section(file: &mut Vec<u8>, section: &[u8]) {
    file.push(b'[');
    match section.iter().position(|&byte| byte == b'.') {
        None => file.extend_from_slice(section),
        Some(dot) => {
            file.extend_from_slice(&section[..dot]);
            file.push(b' ');
            // Here only these two are escaped; whatever else stands for itself.
            file.push(b'"');
            for &byte in &section[dot + 1..] {
                if matches!(byte, b'"' | b'\\') {
                    file.push(b'\\');
                }
                file.push(byte);
            }
            file.push(b'"');
        }
    }
    file.extend_from_slice(b"]\n");
}

fn write_quoted(file: &mut Vec<u8>, text: &[u8]) {
    file.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => file.extend_from_slice(&[b'\\', byte]),
            b'\n' => file.extend_from_slice(b"\\n"),
            b'\t' => file.extend_from_slice(b"\\t"),
            0x08 => file.extend_from_slice(b"\\b"),
            _ => file.push(byte),
        }
    }
    file.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn safe_str(text: &str) -> String {
        String::from_utf8(safe_text(text.as_bytes())).unwrap()
    }

    #[test]
    fn logins_leave_urls_and_nothing_else_does() {
        for (from, to) in [
            ("https://me:secret@host/x.git", "https://host/x.git"),
            ("https://ghp_token@host/x.git", "https://host/x.git"),
            ("https://me:p@ss@host:8443/x@y.git", "https://host:8443/x@y.git"),
            ("https://me:se#cr?et@host", "https://host"),
            ("ssh://git@host/x.git", "ssh://git@host/x.git"),
            ("ssh://git:secret@host/x.git", "ssh://git@host/x.git"),
            ("git+ssh://git:secret@host/x", "git+ssh://git@host/x"),
            ("git@host:x.git", "git@host:x.git"),
            ("ftp://me:secret@host/x", "ftp://host/x"),
            ("https://a:b@one/ https://c:d@two/", "https://one/ https://two/"),
            ("me@example.com", "me@example.com"),
            ("https://host/x?private_token=s&v=1 y", "https://host/x?v=1 y"),
            ("https://host/x?access_token=s", "https://host/x"),
            ("https::https://me:secret@host/x", "https::https://host/x"),
        ] {
            assert_eq!(safe_str(from), to, "{from}");
        }
    }

    #[test]
    fn a_file_without_secrets_is_carried_as_it_is() {
        let settings =
            listed(b"user.email\nme@example.com\0core.bare\0remote.origin.url\ngit@host:x\0");
        assert_eq!(without_secrets(settings.clone(), Place::Same), None);
        let moved = without_secrets(settings, Place::Moved).unwrap();
        assert!(!contains(&moved.content, b"bare"));
        assert!(moved.secrets.is_empty());
    }

    #[test]
    fn secrets_leave_values_headers_and_section_names() {
        let listing = b"http.https://me:pw@host/.sslverify\nfalse\0http.https://host/.extraheader\nAuthorization: basic c2VjcmV0\0\
            http.proxy\nme:pw@proxy:3128\0url.https://tok@host/.insteadof\ngh:\0remote.o.url\nhttps://me:pw@host/x\0";
        let Rewritten { content, secrets } = without_secrets(listed(listing), Place::Same).unwrap();
        let text = String::from_utf8(content).unwrap();
        for secret in ["pw", "c2VjcmV0", "tok@"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("[http \"https://host/\"]\n\tsslverify = \"false\"\n"), "{text}");
        assert!(text.contains("\tproxy = \"proxy:3128\"\n"), "{text}");
        assert_eq!(secrets.len(), 5);
        assert!(secrets.iter().all(|key| !key.contains("pw") && !key.contains("tok@")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn git_reads_back_what_was_written(
            values in proptest::collection::vec(("[a-z][a-z0-9-]{0,5}", "[^\\x00\\r\\n]{1,8}", "[^\\x00\\r]{0,20}"), 1..6),
        ) {
            let settings: Vec<Setting> = values
                .into_iter()
                .map(|(name, subsection, value)| Setting {
                    key: format!("handoff.{subsection}.{name}").into_bytes(),
                    value: Some(value.into_bytes()),
                })
                .collect();
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("config");
            std::fs::write(&file, write(&settings)).unwrap();
            let listing = Git::new(home.path())
                .ask(&["config", "--list", "--null", "--file", file.to_str().unwrap()])
                .unwrap();
            prop_assert_eq!(listed(&listing), settings);
        }

        #[test]
        fn no_password_survives(
            user in "[a-z]{1,6}", password in "[A-Z]{8}", host in "[a-z]{1,8}", path in "[a-z/]{0,10}",
            scheme in "https|http|ssh|ftp|git",
        ) {
            let safe = safe_str(&format!("{scheme}://{user}:{password}@{host}/{path}"));
            prop_assert!(!safe.contains(&password), "{}", safe);
            prop_assert!(safe.ends_with(&format!("{host}/{path}")), "{}", safe);
        }
    }
}
