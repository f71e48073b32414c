//! Which keys `handoffd.toml` may hold, and which of them have no effect yet.
//!
//! Looks at key names and at the few values that name something unbuilt; types are serde's.

use toml::{Table, Value};

use crate::agents::Kind;

/// Every key that has an effect, by section.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    ("listen", &["address", "names"]),
    ("store", &["directory", "quota", "files", "reserve"]),
    ("runs", &["concurrent", "time_limit", "memory", "processes", "disk", "output"]),
    ("tools", &["paths"]),
    ("isolation", &["backend", "require", "launcher"]),
    ("network", &["default", "hosts", "addresses"]),
];

/// Sections of sections: every key of one of them, which the operator names.
pub(super) const NAMED: &[(&str, &[&str])] = &[
    ("providers", &["base_url", "credential", "api", "kind", "token_url"]),
    ("git", &["base_url", "credential", "username"]),
    ("agents", &["command", "provider"]),
    ("mcp", &["url", "credential", "header", "scheme"]),
];

/// The section whose names are ours, too.
const AGENTS: &str = "agents";

/// Keys that are planned: known, but setting one must not look as if it did something.
const NOT_BUILT: &[(&str, &[&str])] = &[("store", &["keep"])];

/// Values that are planned.
const VALUES_NOT_BUILT: &[(&str, &str, &[&str])] =
    &[("isolation", "backend", &["gvisor", "firecracker", "podman", "docker"])];

/// What is wrong with a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyProblem {
    /// No such key; perhaps that one was meant.
    Unknown { key: String, nearest: Option<String> },
    /// It has no effect yet.
    NotBuilt { key: String },
}

/// Finds the first key that must not be there.
pub(super) fn check(table: &Table) -> Result<(), KeyProblem> {
    for (section, content) in table {
        if let Some(known) = keys_of(NAMED, section) {
            check_named(section, content, known)?;
            continue;
        }
        let Some(known) = keys_of(KEYS, section) else {
            return Err(unknown(section));
        };
        let Value::Table(content) = content else { continue };
        for (key, value) in content {
            let dotted = format!("{section}.{key}");
            if not_built(section).is_some_and(|keys| keys.contains(&key.as_str())) {
                return Err(KeyProblem::NotBuilt { key: dotted });
            }
            if !known.contains(&key.as_str()) {
                return Err(unknown(&dotted));
            }
            if let Some(value) = value.as_str()
                && value_not_built(section, key, value)
            {
                return Err(KeyProblem::NotBuilt { key: format!("{dotted} = {value:?}") });
            }
        }
    }
    Ok(())
}

fn check_named(section: &str, content: &Value, known: &[&str]) -> Result<(), KeyProblem> {
    for (name, content) in content.as_table().into_iter().flatten() {
        if section == AGENTS && Kind::from_name(name).is_none() {
            let known = Kind::ALL.iter().map(|kind| format!("{AGENTS}.{}", kind.name()));
            let key = format!("{section}.{name}");
            return Err(KeyProblem::Unknown { nearest: nearest(&key, known), key });
        }
        let keys = content.as_table().into_iter().flatten().map(|(key, _)| key.as_str());
        if let Some(key) = keys.into_iter().find(|key| !known.contains(key)) {
            let nearest = nearest(key, known.iter().map(ToString::to_string));
            let nearest = nearest.map(|nearest| format!("{section}.{name}.{nearest}"));
            return Err(KeyProblem::Unknown { key: format!("{section}.{name}.{key}"), nearest });
        }
    }
    Ok(())
}

fn keys_of(sections: &'static [(&str, &[&str])], section: &str) -> Option<&'static [&'static str]> {
    sections.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys)
}

fn not_built(section: &str) -> Option<&'static [&'static str]> {
    keys_of(NOT_BUILT, section)
}

fn value_not_built(section: &str, key: &str, value: &str) -> bool {
    VALUES_NOT_BUILT
        .iter()
        .any(|(s, k, values)| *s == section && *k == key && values.contains(&value))
}

fn unknown(key: &str) -> KeyProblem {
    let sections = KEYS.iter().chain(NAMED).map(|(section, _)| (*section).to_owned());
    let dotted = KEYS
        .iter()
        .flat_map(|(section, keys)| keys.iter().map(move |key| format!("{section}.{key}")));
    KeyProblem::Unknown { key: key.to_owned(), nearest: nearest(key, sections.chain(dotted)) }
}

/// The candidate that was perhaps meant.
fn nearest(key: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let likeness = |candidate: &str| match candidate.rsplit('.').next() {
        // A key outside of its section is nearer than any misspelling.
        Some(bare) if bare == key => 1.0,
        Some(_) | None => strsim::jaro_winkler(key, candidate),
    };
    candidates
        .map(|candidate| (likeness(&candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.7)
        .map(|(_, candidate)| candidate)
}
