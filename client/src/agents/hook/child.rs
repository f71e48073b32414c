//! A program of ours that is waited for until a moment, and what it said by then.

use std::io::{Read as _, copy, sink};
use std::process::Child;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// More than this of its output is not looked at.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What it printed on its standard output, which is ours to read; none while it goes on.
pub(super) fn printed(child: &mut Child, until: Instant) -> std::io::Result<Option<Vec<u8>>> {
    let Some(mut stream) = child.stdout.take() else { return Ok(Some(Vec::new())) };
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("printed".to_owned()).spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is all that there is.
        drop((&mut stream).take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
        drop(copy(&mut stream, &mut sink()));
        drop(sender.send(bytes));
    })?;
    Ok(receiver.recv_timeout(until.saturating_duration_since(Instant::now())).ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_heard_until_its_end_but_not_longer_than_the_moment() {
        let mut child =
            Command::new("echo").arg("said").stdout(Stdio::piped()).spawn().expect("spawn");
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(printed(&mut child, until).expect("thread").as_deref(), Some(&b"said\n"[..]));
        child.wait().expect("wait");
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let until = Instant::now() + Duration::from_millis(1);
        assert_eq!(printed(&mut child, until).expect("thread"), None);
        // Its input ends with it.
        drop(child.stdin.take());
        child.wait().expect("wait");
    }
}
