//! Which keys a settings file may hold: a misspelt key must never be silently without effect.

use toml::{Table, Value};

/// How far apart two spellings may be to be suggested for each other.
const SIMILARITY_MIN: f64 = 0.6;

/// What may stand at one place of a settings file.
#[derive(Clone, Copy, Debug)]
pub enum Schema {
    /// A value; its type is checked where it is used.
    Value,
    /// These keys.
    Table(&'static [(&'static str, Self)]),
    /// Any keys, each with this beneath it.
    Each(&'static Self),
    /// Known, but without effect so far.
    NotBuilt,
}

/// A key that must not be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nobody knows it.
    #[error("unknown key {key}")]
    Unknown {
        /// The key with its tables, dotted.
        key: String,
        /// A known key that looks like it, dotted.
        nearest: Option<String>,
    },
    /// Its effect does not exist yet.
    #[error("key {key} is not built yet")]
    NotBuilt {
        /// The key with its tables, dotted.
        key: String,
    },
}

impl KeyError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => {
                nearest.as_ref().map(|nearest| format!("did you mean {nearest}?"))
            }
            Self::NotBuilt { .. } => Some("remove the key; it would have no effect".to_owned()),
        }
    }
}

/// Refuses the first key that the schema does not hold.
///
/// # Errors
///
/// That key.
pub(super) fn check_keys(table: &Table, schema: &Schema) -> Result<(), KeyError> {
    check(table, schema, "")
}

fn check(table: &Table, schema: &Schema, prefix: &str) -> Result<(), KeyError> {
    for (key, value) in table {
        let dotted = format!("{prefix}{key}");
        let beneath = match schema {
            Schema::Each(schema) => schema,
            Schema::Table(known) => match known.iter().find(|(name, _)| name == key) {
                Some((_, schema)) => schema,
                None => return Err(unknown(known, prefix, key, dotted)),
            },
            Schema::Value => continue,
            Schema::NotBuilt => return Err(KeyError::NotBuilt { key: dotted }),
        };
        match (beneath, value) {
            (Schema::NotBuilt, _) => return Err(KeyError::NotBuilt { key: dotted }),
            (_, Value::Table(table)) => check(table, beneath, &format!("{dotted}."))?,
            // A value where a table belongs is reported with its type and line by serde.
            (_, _) => {}
        }
    }
    Ok(())
}

fn unknown(known: &[(&str, Schema)], prefix: &str, key: &str, dotted: String) -> KeyError {
    let nearest = nearest(key, known.iter().map(|(name, _)| *name));
    KeyError::Unknown { key: dotted, nearest: nearest.map(|name| format!("{prefix}{name}")) }
}

/// The candidate that looks most like `word`, if any does.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
