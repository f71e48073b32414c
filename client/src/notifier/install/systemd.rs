//! The notifier as a unit of the user's systemd.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{InstallError, Installation, remove, write};

/// The unit's name.
const UNIT: &str = "handoff-notifier.service";

/// How long systemd may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether this session has a systemd that starts units for the user.
pub(super) async fn is_usable() -> bool {
    systemctl(&["show-environment"]).await.is_ok()
}

pub(super) async fn install(installation: &Installation) -> Result<Vec<String>, InstallError> {
    let mut done = vec![write(&path(installation), &unit(installation)?)?];
    systemctl(&["daemon-reload"]).await?;
    systemctl(&["enable", UNIT]).await?;
    if installation.lock().is_held() && systemctl(&["is-active", UNIT]).await.is_err() {
        done.push(
            "a notifier is running already; systemd starts it from the next login on".to_owned(),
        );
        return Ok(done);
    }
    // Also when it runs: it may be of an older version.
    systemctl(&["restart", UNIT]).await?;
    done.push(format!(
        "started it with systemd, now and at every login: `systemctl --user status {UNIT}`"
    ));
    Ok(done)
}

pub(super) async fn uninstall(installation: &Installation) -> Result<Vec<String>, InstallError> {
    let path = path(installation);
    let mut done = Vec::new();
    if path.exists() && is_usable().await {
        systemctl(&["disable", "--now", UNIT]).await?;
        done.push(format!("stopped {UNIT}"));
    }
    let removed = remove(&path)?;
    if removed.is_some() && !done.is_empty() {
        systemctl(&["daemon-reload"]).await?;
    }
    done.extend(removed);
    Ok(done)
}

fn path(installation: &Installation) -> PathBuf {
    installation.config.join("systemd/user").join(UNIT)
}

fn unit(installation: &Installation) -> Result<String, InstallError> {
    let name = |path: &PathBuf| InstallError::Name { path: path.clone(), format: "systemd unit" };
    // systemd runs no program with such a name, however it is quoted.
    let refused = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\');
    let program = installation.program.to_str().filter(|program| !program.contains(refused));
    let program = program.ok_or_else(|| name(&installation.program))?;
    let mut environment = String::new();
    for (variable, value) in &installation.environment {
        let value = value.to_str().ok_or_else(|| name(&value.into()))?;
        environment.push_str(&format!("Environment={}\n", quoted(&format!("{variable}={value}"))));
    }
    Ok(format!(
        "# Written by `handoff install notifier`; `handoff uninstall notifier` removes it.\n\
         [Unit]\n\
         Description=Desktop notifications about handed-off runs\n\
         \n\
         [Service]\n\
         ExecStart={} notifier\n\
         {environment}\
         Restart=on-failure\n\
         RestartSec=5\n\
         # Another notifier is running.\n\
         RestartPreventExitStatus=5\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        quoted(program)
    ))
}

/// A word as systemd reads it. A dollar sign needs no escape: neither in the program's path nor in
/// an assignment are variables replaced.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    quoted.push_str(&format!("\\x{byte:02x}"));
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

async fn systemctl(arguments: &[&str]) -> Result<(), InstallError> {
    let failed =
        |message: String| InstallError::Systemctl { arguments: arguments.join(" "), message };
    let output = Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(ANSWER_TIMEOUT, output).await {
        Err(_elapsed) => Err(failed(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Places;

    #[test]
    fn a_word_reaches_systemd_as_it_is() {
        assert_eq!(quoted("/opt/a b/handoff"), r#""/opt/a b/handoff""#);
        assert_eq!(quoted(r#"/a"b\c%d$e"#), r#""/a\"b\\c%%d$e""#);
        assert_eq!(quoted("/a\nb"), r#""/a\x0ab""#);
    }

    #[test]
    fn the_unit_runs_this_program_with_the_places_of_this_session() {
        let installation = Installation {
            places: Places::beneath("/home/a".as_ref()),
            config: "/home/a/.config".into(),
            program: "/opt/hand off/handoff".into(),
            environment: vec![("XDG_STATE_HOME", "/state 1".into())],
        };
        let quote = Installation { program: "/opt/\"/handoff".into(), ..installation.clone() };
        assert!(matches!(unit(&quote), Err(InstallError::Name { .. })));
        let text = unit(&installation).unwrap();
        assert!(text.contains("\nExecStart=\"/opt/hand off/handoff\" notifier\n"), "{text}");
        assert!(
            text.contains("\nEnvironment=\"XDG_STATE_HOME=/state 1\"\nRestart=on-failure\n"),
            "{text}"
        );
        assert_eq!(
            path(&installation).to_str(),
            Some("/home/a/.config/systemd/user/handoff-notifier.service")
        );
    }
}
