//! What this machine has.

use std::process::{Command, Stdio};

use super::check::Check;
use crate::exit::chain_text;
use crate::local;
use crate::notifier;
use crate::settings::Settings;

/// The oldest git that handoff is tested with.
const GIT_RECOMMENDED: (u32, u32) = (2, 39);

pub(super) fn version() -> Check {
    Check::ok("handoff", format!("version {}", env!("CARGO_PKG_VERSION")))
}

pub(super) fn settings(settings: &Settings) -> Check {
    let path = settings.places.config_file();
    if !path.exists() {
        return Check::ok("settings", format!("none yet; they will be in {}", path.display()));
    }
    let known = settings.remotes().count();
    let default = match settings.default_remote() {
        Some(default) => format!("default {default}"),
        None => "no default".to_owned(),
    };
    Check::ok("settings", format!("{}, {known} remotes, {default}", path.display()))
}

pub(super) fn git() -> Check {
    let hint = format!("install git {}.{} or newer", GIT_RECOMMENDED.0, GIT_RECOMMENDED.1);
    let output = match Command::new("git").arg("--version").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            return Check::failed("git", format!("does not work: {}", said.trim()), Some(hint));
        }
        Err(error) => return Check::failed("git", format!("cannot be run: {error}"), Some(hint)),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    judge_git(said.trim(), hint)
}

fn judge_git(said: &str, hint: String) -> Check {
    match parse_git(said) {
        Some(version) if version >= GIT_RECOMMENDED => Check::ok("git", said),
        Some(_) => {
            Check::warning("git", format!("{said} is older than what handoff is tested with"), hint)
        }
        None => Check::warning("git", format!("unknown version: {said}"), hint),
    }
}

/// Major and minor version in what git says about itself.
fn parse_git(said: &str) -> Option<(u32, u32)> {
    let version = said.strip_prefix("git version ")?;
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn local_daemon(settings: &Settings) -> Check {
    let name = "daemon on this machine";
    match local::program() {
        Ok(program) => Check::ok(name, format!("{} is started when needed", program.display())),
        Err(error) => {
            let text = chain_text(&error);
            let hint = "install handoffd, or pair with a daemon elsewhere: `handoff remote add NAME INVITATION`";
            // Whoever has paired with another machine needs none here.
            match settings.remotes().any(|(name, _)| name != local::REMOTE_NAME) {
                true => Check::ok(name, format!("{text}; none is needed")),
                false => Check::failed(name, text, Some(hint.to_owned())),
            }
        }
    }
}

pub(super) async fn notifications() -> Check {
    match notifier::desktop_service().await {
        Ok(service) => Check::ok("desktop notifications", service),
        Err(error) => Check::warning(
            "desktop notifications",
            chain_text(&error),
            "run this in a desktop session with a notification service, such as dunst, mako or the desktop's own; otherwise use `handoff watch`",
        ),
    }
}

pub(super) fn notifier(settings: &Settings) -> Check {
    if notifier::is_running(&settings.places) {
        return Check::ok("notifier", "runs");
    }
    let hint = "`handoff install notifier` has it started at every login";
    Check::warning("notifier", "does not run: nobody tells when a run finishes", hint)
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn an_old_git_is_a_warning() {
        let state = |said: &str| judge_git(said, String::new()).state;
        assert_eq!(state("git version 2.39.5"), State::Ok);
        assert_eq!(state("git version 3.0.0.windows.1"), State::Ok);
        assert_eq!(state("git version 2.50.1 (Apple Git-155)"), State::Ok);
        assert_eq!(state("git version 2.38.1"), State::Warning);
        assert_eq!(state("git version 1.99.0"), State::Warning);
        assert_eq!(state("hub version 2"), State::Warning);
    }
}
