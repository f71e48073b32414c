//! The notifier without systemd: a process of its own now, an autostart entry for the next login.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Command;
use tokio::time::timeout;

use super::{InstallError, Installation, START_TIMEOUT, remove, write};
use crate::detached;
use crate::file_watch::FileWatch;
use crate::settings::create_private_directory;

/// The autostart entry's name.
const ENTRY: &str = "handoff-notifier.desktop";

/// How long a notifier may take for its end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the entry that the desktop reads at login.
pub(super) fn install(installation: &Installation) -> Result<Vec<String>, InstallError> {
    Ok(vec![write(&path(installation), &entry(installation)?)?])
}

pub(super) fn uninstall(installation: &Installation) -> Result<Option<String>, InstallError> {
    remove(&path(installation))
}

/// Starts the notifier, unless one runs, so that it outlives us.
pub(super) async fn start(installation: &Installation) -> Result<String, InstallError> {
    let lock = installation.lock();
    if let Some(pid) = lock.holder() {
        return Ok(format!("a notifier is running already, as process {pid}"));
    }
    let log = installation.places.notifier().join("log");
    let failed = InstallError::Start;
    create_private_directory(&installation.places.notifier()).map_err(failed)?;
    // A new log each time, so that it cannot grow for ever.
    let stdio = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&log);
    let stdio = stdio.map_err(failed)?;
    let mut watch = FileWatch::new(&installation.places.notifier()).map_err(failed)?;
    let words = [installation.program.clone().into_os_string(), "notifier".into()];
    let mut child = Command::new(detached::program().map_err(failed)?)
        .args(detached::arguments(words))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdio.try_clone().map_err(failed)?)
        .stderr(stdio)
        .spawn()
        .map_err(failed)?;
    let held = async {
        loop {
            if let Some(pid) = lock.holder() {
                return Ok(format!("started it as process {pid}; it writes to {}", log.display()));
            }
            tokio::select! {
                changed = watch.changed() => changed.map_err(failed)?,
                _ended = child.wait() => return Err(InstallError::Ended { log: log.clone() }),
            }
        }
    };
    timeout(START_TIMEOUT, held).await.unwrap_or_else(|elapsed| Err(failed(elapsed.into())))
}

/// Stops a notifier that runs by itself, and waits for its end.
pub(super) async fn stop(installation: &Installation) -> Result<Option<String>, InstallError> {
    let Some(pid) = installation.lock().holder() else {
        return Ok(None);
    };
    end(pid).await.map_err(InstallError::Stop)?;
    Ok(Some(format!("stopped the notifier that ran as process {pid}")))
}

async fn end(pid: Pid) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_send_signal(&process, Signal::TERM)?;
    let limit = STOP_TIMEOUT.try_into().map_err(|_| io::ErrorKind::InvalidInput)?;
    // Readable means ended.
    let ended = move || poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit));
    match tokio::task::spawn_blocking(ended).await {
        Ok(Ok(0)) | Err(_) => Err(io::ErrorKind::TimedOut.into()),
        Ok(ended) => Ok(ended.map(drop)?),
    }
}

fn path(installation: &Installation) -> PathBuf {
    installation.config.join("autostart").join(ENTRY)
}

fn entry(installation: &Installation) -> Result<String, InstallError> {
    let name = |path: PathBuf| InstallError::Name { path, format: "desktop entry" };
    let mut words = Vec::new();
    if !installation.environment.is_empty() {
        words.push("env".to_owned());
    }
    for (variable, value) in &installation.environment {
        let value = value.to_str().ok_or_else(|| name(value.into()))?;
        words.push(format!("{variable}={value}"));
    }
    words.push(
        installation.program.to_str().ok_or_else(|| name(installation.program.clone()))?.to_owned(),
    );
    words.push("notifier".to_owned());
    let exec: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!(
        "# Written by `handoff install notifier`; `handoff uninstall notifier` removes it.\n\
         [Desktop Entry]\n\
         Type=Application\n\
         Name=handoff notifier\n\
         Comment=Notifies about handed-off runs\n\
         Exec={}\n\
         NoDisplay=true\n",
        exec.join(" ")
    ))
}

/// A word as the desktop reads it: escaped once for the command line, then once more as every text
/// in such a file is.
fn quoted(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '`' | '$' | '\\' => quoted.extend(['\\', c]),
            '%' => quoted.push_str("%%"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    let escaped = quoted.replace('\\', r"\\");
    escaped.replace('\n', r"\n").replace('\r', r"\r").replace('\t', r"\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Places;

    #[test]
    fn a_path_reaches_the_desktop_as_it_is() {
        assert_eq!(quoted("/opt/a b/handoff"), r#""/opt/a b/handoff""#);
        assert_eq!(quoted(r#"/a"b\c%d$e"#), r#""/a\\"b\\\\c%%d\\$e""#);
        assert_eq!(quoted("/a\nb"), r#""/a\nb""#);
    }

    #[test]
    fn the_entry_is_written_once_and_removed_once() {
        let home = tempfile::tempdir().unwrap();
        let installation = Installation {
            places: Places::beneath(home.path()),
            config: home.path().join(".config"),
            program: "/opt/handoff".into(),
            environment: vec![("XDG_STATE_HOME", "/state 1".into())],
        };
        let first = install(&installation).unwrap();
        assert!(first[0].starts_with("wrote "), "{first:?}");
        let again = install(&installation).unwrap();
        assert!(again[0].ends_with(" is as it should be"), "{again:?}");
        let text = std::fs::read_to_string(path(&installation)).unwrap();
        assert!(
            text.contains(
                "\nExec=\"env\" \"XDG_STATE_HOME=/state 1\" \"/opt/handoff\" \"notifier\"\n"
            ),
            "{text}"
        );
        assert!(uninstall(&installation).unwrap().is_some());
        assert_eq!(uninstall(&installation).unwrap(), None);
    }
}
