//! What is measured, a family of rows a file.

mod cold;
mod cut;
mod fence;
mod memory;
mod processor;
mod pull;
mod repack;
mod second;
mod slow_link;
mod start;
mod wire;

use anyhow::{Result, bail};

use super::{Bench, table::Line, trees::Tree};

/// One measurement, which can be asked for by its name or by what precedes its last hyphen.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) measure: fn(&Bench) -> Result<Vec<Line>>,
}

const ROWS: &[Row] = &[
    Row { name: "cold-a", measure: |bench| cold::measure(bench, Tree::Own) },
    Row { name: "cold-b", measure: |bench| cold::measure(bench, Tree::Pack) },
    Row { name: "cold-c", measure: |bench| cold::measure(bench, Tree::Files) },
    Row { name: "cold-d", measure: |bench| cold::measure(bench, Tree::Data) },
    Row { name: "slow-sources", measure: |bench| slow_link::measure(bench, Tree::Sources, 0.95) },
    Row { name: "slow-noise", measure: |bench| slow_link::measure(bench, Tree::Noise, 1.02) },
    Row { name: "second-a", measure: |bench| second::measure(bench, Tree::Own) },
    Row { name: "second-b", measure: |bench| second::measure(bench, Tree::Pack) },
    Row { name: "second-c", measure: |bench| second::measure(bench, Tree::Files) },
    Row { name: "second-d", measure: |bench| second::measure(bench, Tree::Data) },
    Row { name: "cpu", measure: processor::measure },
    Row { name: "wire", measure: wire::measure },
    Row { name: "repack", measure: repack::measure },
    Row { name: "start", measure: start::measure },
    Row { name: "memory", measure: memory::measure },
    Row { name: "cut", measure: cut::measure },
    Row { name: "pull", measure: pull::measure },
    Row { name: "fence-start", measure: fence::start },
    Row { name: "fence-throughput", measure: fence::throughput },
];

/// The rows with these names or of these families, all if there is none.
pub(super) fn selected(only: &[String]) -> Result<Vec<&'static Row>> {
    let is = |row: &Row, name: &str| {
        row.name == name || row.name.rsplit_once('-').is_some_and(|(family, _)| family == name)
    };
    if let Some(unknown) = only.iter().find(|name| !ROWS.iter().any(|row| is(row, name))) {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        bail!("no row {unknown:?}; there are {}", names.join(", "));
    }
    let wanted = |row: &&Row| only.is_empty() || only.iter().any(|name| is(row, name));
    Ok(ROWS.iter().filter(wanted).collect())
}
