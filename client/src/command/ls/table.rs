//! Runs as lines of aligned columns. Pure.

use super::Listed;
use crate::wording::{age, between, command_line, cut, one_line, standing};

/// Longest text of a column whose content is not ours, in characters.
const CELL_MAX: usize = 4096;

/// Between two columns.
const GAP: &str = "  ";

/// Which columns there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// Those that tell runs of the same directory apart.
    OfOneDirectory,
    /// Those and where the runs are.
    All,
}

/// How runs are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub(super) columns: Columns,
    /// Longest command, in characters.
    pub(super) command_max: usize,
    pub(super) now_unix_nanos: i64,
}

impl Table {
    /// The lines, headings first.
    pub(super) fn of(&self, runs: &[Listed]) -> String {
        let headings =
            ["NAME", "STATE", "AGE", "COMMAND", "DIRECTORY", "REMOTE"].map(str::to_owned);
        let rows: Vec<Vec<String>> = std::iter::once(headings)
            .chain(runs.iter().map(|listed| self.row(listed)))
            .map(|row| row.into_iter().take(self.count()).collect())
            .collect();
        let widths: Vec<usize> = (0..self.count())
            .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or_default())
            .collect();
        rows.iter().map(|row| line(row, &widths)).collect()
    }

    fn count(&self) -> usize {
        match self.columns {
            Columns::OfOneDirectory => 4,
            Columns::All => 6,
        }
    }

    fn row(&self, Listed { run, remote }: &Listed) -> [String; 6] {
        let contract = run.contract.clone().unwrap_or_default();
        let root = String::from_utf8_lossy(&contract.root);
        [
            one_line(&run.name, CELL_MAX),
            one_line(standing(run), CELL_MAX),
            age(between(run.created_at_unix_nanos, self.now_unix_nanos)),
            cut(&command_line(&contract.command), self.command_max),
            one_line(&root, CELL_MAX),
            one_line(remote, CELL_MAX),
        ]
    }
}

/// Cells padded to their columns, but for the last one.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width_max) in cells.iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width_max - width(cell)));
        line.push_str(GAP);
    }
    format!("{}\n", line.trim_end())
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use handoff_proto::wire;

    use super::*;

    fn run(name: &str, outcome: &str, command: &[&str], created_s: i64) -> Listed {
        let state = if outcome.is_empty() { "running" } else { "finished" };
        let run = wire::RunView {
            name: name.to_owned(),
            state: state.to_owned(),
            outcome: outcome.to_owned(),
            contract: Some(wire::Contract {
                command: command.iter().map(|word| word.as_bytes().to_vec()).collect(),
                root: b"/home/a/pro\nject".to_vec(),
                ..wire::Contract::default()
            }),
            created_at_unix_nanos: created_s * 1_000_000_000,
            ..wire::RunView::default()
        };
        Listed { run, remote: "box".to_owned() }
    }

    fn table(columns: Columns, command_max: usize) -> String {
        let runs = [
            run("make-abcd", "", &["make", "-j8"], 90),
            run("t", "succeeded", &["sh", "-c", "a\nb"], 0),
        ];
        Table { columns, command_max, now_unix_nanos: 100_000_000_000 }.of(&runs)
    }

    #[test]
    fn columns_are_aligned() {
        assert_eq!(
            table(Columns::OfOneDirectory, 60),
            "\
NAME       STATE      AGE  COMMAND
make-abcd  running    10s  make -j8
t          succeeded  1m   sh -c $'a\\nb'
"
        );
    }

    #[test]
    fn all_runs_have_a_directory_and_a_remote() {
        assert_eq!(
            table(Columns::All, 6),
            "\
NAME       STATE      AGE  COMMAND  DIRECTORY         REMOTE
make-abcd  running    10s  make …   /home/a/pro ject  box
t          succeeded  1m   sh -c…   /home/a/pro ject  box
"
        );
    }
}
