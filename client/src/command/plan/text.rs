//! The plan for humans.

use std::fmt;

use handoff_proto::path::escaped;
use indicatif::{DecimalBytes, HumanCount};

use super::report::{CommandOnRemote, DroppedAttribute, Lacking, Quota, Redacted, Report};
use super::sizes::Measure;
use crate::command::handoff::Tally;
use crate::secrets::SCANNED_BYTES_MAX;

/// How many paths of a kind a human is shown; `--json` has all.
const SHOWN_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.root)?;
        for (name, group) in [
            ("tracked", &self.tracked),
            ("untracked", &self.untracked),
            ("included", &self.included),
            ("git directories", &self.git),
        ] {
            if group.files > 0 {
                let tally = Tally { files: group.files, bytes: group.bytes };
                writeln!(f, "  carries {tally:>24}  {name}")?;
            }
        }
        self.write_left_out(f)?;
        for DroppedAttribute { attribute, count, first } in &self.dropped {
            writeln!(f, "  drops   {attribute} ({count})")?;
            write_paths(f, first.iter().map(String::as_str), *count)?;
        }
        for Redacted { path, settings } in &self.redacted {
            writeln!(f, "  removes credentials from {path}: {}", settings.join(", "))?;
        }
        writeln!(f, "  passes on the environment variables {}", self.environment.join(" "))?;
        self.write_secrets(f)?;
        if let Some(session) = &self.session {
            write!(f, "{session}")?;
        }
        self.write_sends(f)?;
        self.write_refusals(f)
    }
}

impl Report {
    fn write_left_out(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: Vec<&str> = self.left_out.iter().map(|left_out| left_out.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let of_reason = || self.left_out.iter().filter(|left_out| left_out.reason == reason);
            let count = of_reason().count();
            writeln!(f, "  leaves  {count} here: {reason}")?;
            write_paths(f, of_reason().map(|left_out| left_out.path.as_str()), count)?;
        }
        Ok(())
    }

    fn write_secrets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scanned = HumanCount(self.secrets.scanned as u64);
        writeln!(
            f,
            "  scans   {scanned} untracked, included and modified files for secrets; what is committed as it is and git directories are not scanned"
        )?;
        let too_large = &self.secrets.too_large;
        if !too_large.is_empty() {
            let count = too_large.len();
            let limit = SCANNED_BYTES_MAX >> 20;
            writeln!(f, "  does not scan {count} that are larger than {limit} MiB")?;
            write_paths(f, too_large.iter().map(String::as_str), count)?;
        }
        Ok(())
    }

    fn write_sends(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sends = &self.sends;
        let of_session = self.session.as_ref().map_or(0, |session| session.bytes);
        let (plain, all) = (DecimalBytes(sends.bytes), DecimalBytes(self.bytes + of_session));
        match &self.lacking {
            Lacking::Known { remote, .. } => writeln!(f, "{remote} lacks {plain} of {all}")?,
            Lacking::Unknown { why } => {
                writeln!(f, "cannot tell what the remote lacks, so at most this is sent: {why}")?;
            }
            Lacking::NoRemote => writeln!(f, "no remote is paired: all of {all} would be sent")?,
        }
        let about = match sends.compressed_is {
            Measure::Exact => "",
            Measure::Estimated => "about ",
        };
        let (compressed, list) =
            (DecimalBytes(sends.compressed_bytes), DecimalBytes(sends.manifest_bytes));
        let entries = HumanCount(self.entries as u64);
        writeln!(
            f,
            "  sends   {about}{compressed} (compressed), and at most {list} for the list of {entries} entries"
        )?;
        if let Some(Quota { bytes, bytes_max, files, files_max, .. }) = &self.quota {
            writeln!(
                f,
                "  quota   {} of {} and {} of {} files are used there",
                DecimalBytes(*bytes),
                DecimalBytes(*bytes_max),
                HumanCount(*files),
                HumanCount(*files_max)
            )?;
        }
        match &self.command_on_remote {
            CommandOnRemote::Accepted => {
                let word = self.command.first().map(|word| escaped(word.as_bytes()));
                writeln!(f, "  runs    {}: the remote knows it", word.unwrap_or_default())
            }
            CommandOnRemote::Refused { .. } | CommandOnRemote::NotAsked => Ok(()),
        }
    }

    fn write_refusals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_refused() {
            return Ok(());
        }
        writeln!(f, "a handoff would be refused:")?;
        for refused in self.refused.iter().take(SHOWN_MAX) {
            writeln!(f, "  {} {}", refused.path, refused.reason)?;
        }
        write_more(f, self.refused.len())?;
        for found in self.secrets.found.iter().take(SHOWN_MAX) {
            writeln!(f, "  {}:{} looks like a secret: {}", found.path, found.line, found.rule)?;
        }
        write_more(f, self.secrets.found.len())?;
        if let CommandOnRemote::Refused { error, hint, .. } = &self.command_on_remote {
            let hint = if hint.is_empty() { String::new() } else { format!("; {hint}") };
            writeln!(f, "  {error}{hint}")?;
        }
        match &self.quota {
            Some(quota) if !quota.fits => writeln!(
                f,
                "  there is no room for this within your quota; `handoff rm` removes runs, or ask the operator"
            ),
            Some(_) | None => Ok(()),
        }
    }
}

fn write_paths<'a>(
    f: &mut fmt::Formatter<'_>,
    paths: impl Iterator<Item = &'a str>,
    count: usize,
) -> fmt::Result {
    for path in paths.take(SHOWN_MAX) {
        writeln!(f, "            {path}")?;
    }
    match count.saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(f, "            and {more} more"),
    }
}

fn write_more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.saturating_sub(SHOWN_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Found, Group, LeftOut, RefusedPath, Secrets};
    use super::super::session::Session;
    use super::super::sizes::Sends;
    use super::*;
    use crate::agents::Stays;

    fn report() -> Report {
        let group = |files, bytes| Group { files, bytes };
        Report {
            root: "/home/a/tree".to_owned(),
            directory: "/home/a/tree/sub".to_owned(),
            command: vec!["make".to_owned(), "test".to_owned()],
            environment: vec!["LANG".to_owned(), "TERM".to_owned()],
            snapshot: "ab".repeat(32),
            entries: 1310,
            bytes: 23_500_007,
            tracked: group(1200, 3_000_000),
            untracked: group(1, 7),
            included: group(0, 0),
            git: group(90, 20_500_000),
            repositories: 1,
            left_out: vec![
                LeftOut { path: "target".to_owned(), reason: "ignored", directory: true },
                LeftOut { path: "film.mp4".to_owned(), reason: "excluded", directory: false },
            ],
            dropped: vec![DroppedAttribute {
                attribute: "extended attributes",
                count: 1,
                first: vec!["a.txt".to_owned()],
            }],
            redacted: vec![Redacted {
                path: ".git/config".to_owned(),
                settings: vec!["remote.origin.url".to_owned()],
            }],
            refused: vec![RefusedPath {
                path: "run/agent.sock".to_owned(),
                reason: "is a socket".to_owned(),
            }],
            secrets: Secrets {
                scanned: 12,
                found: vec![Found {
                    path: "notes.md".to_owned(),
                    line: 3,
                    rule: "github-token",
                    reference: "https://example.com/format",
                }],
                too_large: vec!["dump.sql".to_owned()],
            },
            sends: Sends {
                chunks: 3,
                bytes: 70_000,
                compressed_bytes: 21_000,
                compressed_is: Measure::Exact,
                manifest_bytes: 64_000,
            },
            lacking: Lacking::Known { remote: "box".to_owned(), chunks: 3, bytes: 70_000 },
            command_on_remote: CommandOnRemote::Refused {
                error: "box does not know make".to_owned(),
                code: "refused",
                hint: "install it there".to_owned(),
            },
            quota: Some(Quota {
                bytes: 5_000_000,
                bytes_max: 50_000_000,
                files: 900,
                files_max: 100_000,
                fits: true,
            }),
            session: Some(Session {
                agent: "claude".to_owned(),
                session_id: "6fe487e1".to_owned(),
                new: false,
                forked_from: None,
                files: 3,
                bytes: 150_000,
                stays: vec![Stays {
                    what: "MCP server tickets".to_owned(),
                    why: "its env.TOKEN looks like a secret".to_owned(),
                }],
                lacks_variables: vec!["REGION".to_owned()],
                lacks_programs: vec!["uvx".to_owned()],
            }),
        }
    }

    #[test]
    fn a_plan_is_what_programs_rely_on() {
        let object = serde_json::to_string_pretty(&report()).unwrap();
        assert_eq!(object, include_str!("../../../tests/golden/plan.json").trim_end());
    }

    #[test]
    fn a_plan_can_be_read() {
        let expected = "\
/home/a/tree
  carries     1,200 files, 3.00 MB  tracked
  carries              1 file, 7 B  untracked
  carries       90 files, 20.50 MB  git directories
  leaves  1 here: excluded
            film.mp4
  leaves  1 here: ignored
            target
  drops   extended attributes (1)
            a.txt
  removes credentials from .git/config: remote.origin.url
  passes on the environment variables LANG TERM
  scans   12 untracked, included and modified files for secrets; what is committed as it is and git directories are not scanned
  does not scan 1 that are larger than 1 MiB
            dump.sql
  takes   session 6fe487e1 of claude along: 3 files, 150.00 kB, not scanned for secrets
          without MCP server tickets: its env.TOKEN looks like a secret
          which misses the variable REGION: `--env REGION` passes it on
          which misses the program uvx there
box lacks 70.00 kB of 23.65 MB
  sends   21.00 kB (compressed), and at most 64.00 kB for the list of 1,310 entries
  quota   5.00 MB of 50.00 MB and 900 of 100,000 files are used there
a handoff would be refused:
  run/agent.sock is a socket
  notes.md:3 looks like a secret: github-token
  box does not know make; install it there
";
        assert_eq!(report().to_string(), expected);
    }
}
