//! Lists changes that run code on this machine, and asks about those that need an answer.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::ending::Ending;
use crate::output::{Format, Output, Stream};
use crate::pull::report::review_lines;
use crate::pull::review::Finding;

/// Lists the findings; goes on if none needs consent, or consent is given. Nobody is asked where
/// there is no terminal.
///
/// # Errors
///
/// Where consent is needed and not given.
pub(super) fn ask(findings: &[Finding], given: bool, output: &Output) -> Result<(), Ending> {
    if findings.is_empty() {
        return Ok(());
    }
    if output.format() == Format::Text {
        output.note("these changes can run code on this machine:");
        review_lines(findings).iter().for_each(|line| output.note(line));
    }
    let needed: Vec<String> = findings
        .iter()
        .filter(|finding| finding.reason.needs_consent())
        .map(|finding| finding.path.to_string())
        .collect();
    let is_terminal = output.format() == Format::Text
        && output.is_terminal(Stream::Err)
        && io::stdin().is_terminal();
    if needed.is_empty() || given || (is_terminal && answered_yes(output)) {
        Ok(())
    } else {
        Err(Ending::NoConsent(needed))
    }
}

/// Anything but a yes is a no.
fn answered_yes(output: &Output) -> bool {
    output.note("let them in? [y/N]");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}
