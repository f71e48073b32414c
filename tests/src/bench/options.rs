//! The command line.

use clap::Parser;

use super::scale::Scale;

/// Measures handoff against rsync, git and physical floors; prints a table with the targets
#[derive(Clone, Debug, Parser)]
#[command(name = "tests/bench")]
pub struct Options {
    /// Measure trees of a tenth of the size, in under ten minutes (the default)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Measure the full trees, on which targets are judged
    #[arg(long)]
    full: bool,
    /// Measure only these rows, or families of rows (`cold`, `cold-c`)
    #[arg(long, value_delimiter = ',', value_name = "ROW")]
    pub(super) only: Vec<String>,
    /// Exit with 1 if a target is missed
    #[arg(long)]
    pub(super) check: bool,
    /// Put the table into README.md between its two marker comments
    #[arg(long)]
    pub(super) write_readme: bool,
}

impl Options {
    pub(super) const fn scale(&self) -> Scale {
        if self.full { Scale::Full } else { Scale::Quick }
    }
}
