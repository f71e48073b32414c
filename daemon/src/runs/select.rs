//! Which run a user means: an id, a unique prefix of one, a name, or a directory's newest. Pure.

use handoff_proto::run::Run;
use thiserror::Error;

/// How a user names a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// An id, a unique prefix of one, or a name.
    Text(String),
    /// The newest run of the directory with this root.
    NewestOf(Vec<u8>),
}

/// No single run is meant.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectError {
    /// The user has no such run.
    #[error("no run is called {0:?}")]
    NotFound(String),
    /// The directory has no runs.
    #[error("this directory has no runs")]
    NoneHere,
    /// Several ids start like this.
    #[error("{text:?} is the start of several runs: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// The ids that fit, with their names.
        candidates: Vec<String>,
    },
}

/// Picks one of a user's runs. An exact name beats an id, an exact id a prefix.
pub(super) fn select<'a>(
    runs: impl Iterator<Item = &'a Run>,
    selector: &Selector,
) -> Result<&'a Run, SelectError> {
    match selector {
        Selector::NewestOf(root) => runs
            .filter(|run| run.contract.root == *root)
            .max_by_key(|run| (run.created_at_unix_nanos, run.id.clone()))
            .ok_or(SelectError::NoneHere),
        Selector::Text(text) => {
            let mut found: Vec<&Run> = Vec::new();
            for run in runs {
                if run.name.as_str() == text {
                    return Ok(run);
                }
                if !text.is_empty() && run.id.as_str().starts_with(text.as_str()) {
                    found.push(run);
                }
            }
            match found.as_slice() {
                [] => Err(SelectError::NotFound(text.clone())),
                [run] => Ok(run),
                several => {
                    let mut candidates: Vec<String> =
                        several.iter().map(|run| format!("{} ({})", run.id, run.name)).collect();
                    candidates.sort();
                    Err(SelectError::Ambiguous { text: text.clone(), candidates })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use handoff_proto::{
        manifest::SnapshotId,
        run::{Event, Record, RunId, RunName},
        wire::Contract,
    };

    use super::*;

    fn run(id: &str, name: &str, root: &str, at: i64) -> Run {
        let contract = Contract { root: root.as_bytes().to_vec(), ..Contract::default() };
        Run::open(&Record {
            seq: 1,
            at_unix_nanos: at,
            event: Event::Queued {
                id: RunId::parse(id).unwrap(),
                name: RunName::parse(name).unwrap(),
                user: "ada".into(),
                idempotency_key: vec![],
                snapshot: SnapshotId::from_bytes([0; 32]),
                contract: Box::new(contract),
            },
        })
        .unwrap()
    }

    fn pick(text: &str) -> Result<String, SelectError> {
        let runs = [
            run("abcaaaaaaa", "one", "/home/a", 1),
            run("abdaaaaaaa", "two", "/home/a", 3),
            run("zzzaaaaaaa", "abc", "/home/b", 2),
        ];
        select(runs.iter(), &Selector::Text(text.to_owned())).map(|run| run.name.to_string())
    }

    #[test]
    fn an_exact_name_beats_a_prefix() {
        assert_eq!(pick("abc"), Ok("abc".to_owned()));
        assert_eq!(pick("abd"), Ok("two".to_owned()));
        assert_eq!(pick("abcaaaaaaa"), Ok("one".to_owned()));
    }

    #[test]
    fn an_ambiguous_prefix_names_the_candidates() {
        let error = pick("ab").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"ab\" is the start of several runs: abcaaaaaaa (one), abdaaaaaaa (two)"
        );
        assert_eq!(pick("nope"), Err(SelectError::NotFound("nope".to_owned())));
        assert_eq!(pick(""), Err(SelectError::NotFound(String::new())));
    }

    #[test]
    fn without_a_name_the_directorys_newest_run_is_meant() {
        let runs = [run("abcaaaaaaa", "one", "/a", 1), run("abdaaaaaaa", "two", "/a", 3)];
        let newest = |root: &str| {
            select(runs.iter(), &Selector::NewestOf(root.as_bytes().to_vec()))
                .map(|run| run.name.to_string())
        };
        assert_eq!(newest("/a"), Ok("two".to_owned()));
        assert_eq!(newest("/b"), Err(SelectError::NoneHere));
    }
}
