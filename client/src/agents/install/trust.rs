//! Codex runs a hook only if its settings say that the user trusts it as it is: by its place and a
//! hash of what it does.

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::edit::{Edit, line_end};
use super::hooks::TIMEOUT_SECONDS;

/// Why the settings cannot say it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    /// They are no TOML.
    #[error("it is no valid TOML: {0}")]
    Toml(String),
    /// `hooks` is written in a way that takes no section.
    #[error("`hooks` is written there in a way that takes no section `{0}`")]
    Shape(String),
}

/// What a hook is known by: the file, and its numbers in there.
pub(super) fn key(file: &str, (group, hook): (usize, usize)) -> String {
    format!("{file}:user_prompt_submit:{group}:{hook}")
}

/// The file of a hook that is known by this key.
pub(super) fn file_of(key: &str) -> Option<&str> {
    key.rsplit_once(":user_prompt_submit:").map(|(file, _)| file)
}

/// The hash of our hook as Codex makes it: of compact JSON with sorted keys.
pub(super) fn hash(command: &str) -> String {
    let hook = json!({
        "async": false, "command": command, "timeout": TIMEOUT_SECONDS, "type": "command",
    });
    let known = json!({ "event_name": "user_prompt_submit", "hooks": [hook] });
    let digest = digest(&SHA256, sorted(&known).as_bytes());
    format!("sha256:{}", data_encoding::HEXLOWER.encode(digest.as_ref()))
}

/// Maps are sorted as long as no crate of the build asks for another order of `serde_json`.
fn sorted(value: &serde_json::Value) -> String {
    value.to_string()
}

/// The change that has the settings trust a hook; none if they do.
pub(super) fn add(text: &str, key: &str, hash: &str) -> Result<Option<Edit>, TrustError> {
    let header = header(key);
    let shape = || TrustError::Shape(header.clone());
    let edit = match trusted(text, key)? {
        Some(before) if before == hash => return Ok(None),
        // Another hook was there before, or ours as it was.
        Some(before) => {
            let section = section(text, &header).ok_or_else(shape)?;
            let at = text[section.clone()].find(&before).ok_or_else(shape)? + section.start;
            Edit { at, removed: before, inserted: hash.to_owned() }
        }
        None => {
            let newline = line_end(text);
            let gap = match text {
                _ if text.is_empty() || text.ends_with("\n\n") || text.ends_with("\n\r\n") => "",
                _ if text.ends_with('\n') => newline,
                _ => &newline.repeat(2),
            };
            let inserted = format!("{gap}{header}{newline}trusted_hash = \"{hash}\"{newline}");
            Edit { at: text.len(), removed: String::new(), inserted }
        }
    };
    let with = edit.apply(text).ok_or_else(shape)?;
    match trusted(&with, key) {
        Ok(Some(now)) if now == hash => Ok(Some(edit)),
        Ok(_) | Err(_) => Err(shape()),
    }
}

/// The text without the section of this key, as far as that can be told. What is trusted there by now
/// may be another hook, which stays.
pub(super) fn remove(text: &str, key: &str, edit: &Edit) -> Option<String> {
    match trusted(text, key).ok()? {
        Some(hash) if edit.inserted.is_empty() || edit.inserted.contains(&hash) => {}
        Some(_) | None => return Some(text.to_owned()),
    }
    let without = match text.matches(&edit.inserted).count() {
        1 => text.replacen(&edit.inserted, &edit.removed, 1),
        _ => {
            let section = section(text, &header(key))?;
            [&text[..section.start], &text[section.end..]].concat()
        }
    };
    toml::from_str::<toml::Table>(&without).ok().map(|_| without)
}

/// The text in which hooks that have moved are trusted as they were: each entry goes from one key to
/// another with the hash that it was given for, so that nothing is trusted that was not before.
/// Those behind come later. None where an entry is written in a way that cannot be moved.
pub(super) fn moved(text: &str, moves: &[(String, String)]) -> Option<String> {
    let mut text = text.to_owned();
    for (from, to) in moves {
        let Some(hash) = trusted(&text, from).ok()? else { continue };
        // What was trusted in that place is there no more.
        if trusted(&text, to).ok()?.is_some() {
            let stale = section(&text, &header(to))?;
            text.replace_range(stale, "");
        }
        let section = section(&text, &header(from))?;
        let at = text[section.clone()].find(&header(from))? + section.start;
        text.replace_range(at..at + header(from).len(), &header(to));
        let is_moved =
            trusted(&text, to).ok()? == Some(hash) && trusted(&text, from).ok()?.is_none();
        if !is_moved {
            return None;
        }
    }
    Some(text)
}

fn header(key: &str) -> String {
    format!("[hooks.state.{}]", toml::Value::from(key))
}

/// The section with this header, up to the next one.
fn section(text: &str, header: &str) -> Option<std::ops::Range<usize>> {
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match start {
            None if line.trim() == header => start = Some(at),
            Some(start) if line.trim_start().starts_with('[') => return Some(start..at),
            None | Some(_) => {}
        }
        at += line.len();
    }
    start.map(|start| start..at)
}

/// The hash that the settings trust under this key.
fn trusted(text: &str, key: &str) -> Result<Option<String>, TrustError> {
    let table: toml::Table =
        toml::from_str(text).map_err(|error| TrustError::Toml(error.message().to_owned()))?;
    let hook = table.get("hooks").and_then(|hooks| hooks.get("state")?.get(key));
    Ok(hook.and_then(|hook| hook.get("trusted_hash")?.as_str().map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "/home/a/.codex/hooks.json:user_prompt_submit:0:0";

    fn check(text: &str) -> String {
        let hash = hash("handoff hook codex");
        let edit = add(text, KEY, &hash).unwrap().unwrap();
        let with = edit.apply(text).unwrap();
        assert_eq!(edit.take_back(&with).unwrap(), text);
        assert_eq!(add(&with, KEY, &hash).unwrap(), None, "{with}");
        let changed = format!("# mine\n{with}\n[added]\nby = \"hand\"\n");
        let left = remove(&changed, KEY, &edit).unwrap();
        let expected = format!("# mine\n{text}\n[added]\nby = \"hand\"\n");
        let table = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
        assert_eq!(table(&left), table(&expected), "{left}");
        with
    }

    #[test]
    fn every_shape_of_settings_takes_the_trust_and_gives_it_back() {
        for text in [
            "",
            "model = \"x\"",
            "# a comment\nmodel = \"x\" # why\n\n[features]\nplugins = false\n",
            "[hooks.state.\"/other:stop:0:0\"]\ntrusted_hash = \"sha256:1\"\n\n",
            "a = 1\r\n[b]\r\nc = 2\r\n",
            "[hooks]\nx = 1",
            "[projects.\"/w\"]\ntrust_level = \"trusted\"",
        ] {
            drop(check(text));
        }
        let with = check("a = 1\r\n");
        assert!(!with.replace("\r\n", "").contains('\n'), "{with}");
    }

    #[test]
    fn an_older_hash_is_replaced_and_comes_back() {
        let text = format!("{}\ntrusted_hash = \"sha256:1\" # old\n[x]\n", header(KEY));
        let with = check(&text);
        assert!(with.contains("# old\n[x]\n") && !with.contains("sha256:1\""), "{with}");
    }

    #[test]
    fn what_is_trusted_in_our_place_by_now_stays() {
        let edit = add("", KEY, &hash("handoff hook codex")).unwrap().unwrap();
        let text = format!("{}\ntrusted_hash = \"sha256:1\"\n", header(KEY));
        assert_eq!(remove(&text, KEY, &edit).unwrap(), text);
        assert_eq!(remove("", KEY, &edit).unwrap(), "");
    }

    #[test]
    fn trust_moves_with_its_hook_and_is_given_to_nothing_else() {
        let keys =
            ["f:user_prompt_submit:0:0", "f:user_prompt_submit:1:0", "f:user_prompt_submit:1:1"];
        let entry = |key: &str, hash: &str| {
            format!("{}\nenabled = true\ntrusted_hash = \"{hash}\" # mine\n", header(key))
        };
        let moves =
            [(keys[1].to_owned(), keys[0].to_owned()), (keys[2].to_owned(), keys[1].to_owned())];
        let text =
            format!("a = 1\n{}[x]\n{}", entry(keys[1], "sha256:1"), entry(keys[2], "sha256:2"));
        let expected =
            format!("a = 1\n{}[x]\n{}", entry(keys[0], "sha256:1"), entry(keys[1], "sha256:2"));
        assert_eq!(moved(&text, &moves).unwrap(), expected);
        // The one between was not trusted, and is not now.
        let text = entry(keys[2], "sha256:2");
        assert_eq!(moved(&text, &moves).unwrap(), entry(keys[1], "sha256:2"));
        // What was trusted there once, before ours, makes way.
        let text = format!("{}{}", entry(keys[0], "sha256:0"), entry(keys[1], "sha256:1"));
        assert_eq!(moved(&text, &moves).unwrap(), entry(keys[0], "sha256:1"));
        let inline = format!("hooks.state.{:?}.trusted_hash = \"sha256:1\"\n", keys[1]);
        assert_eq!(moved(&inline, &moves), None);
        assert_eq!(moved("a = 1", &moves).unwrap(), "a = 1");
    }

    #[test]
    fn what_cannot_take_it_is_refused() {
        for text in ["a = ", "hooks = {}", "hooks = 1", "[hooks]\nstate = {}"] {
            assert!(add(text, KEY, "sha256:2").is_err(), "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_one_that_codex_makes() {
        let known = sorted(&json!({ "b": [{ "d": 1, "c": "é/\"" }], "a": false }));
        assert_eq!(known, r#"{"a":false,"b":[{"c":"é/\"","d":1}]}"#);
        let digest = digest(&SHA256, b"abc");
        assert!(data_encoding::HEXLOWER.encode(digest.as_ref()).starts_with("ba7816bf"));
    }
}
