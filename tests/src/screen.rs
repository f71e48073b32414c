//! A program on a screen of its own, in tmux: what a user would see and type.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use crate::process;
use crate::world::{World, said};

/// How long a test waits for something to appear.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often a key is pressed at most.
const PRESSED_MAX: u32 = 3;

/// A screen; it ends with its program when dropped.
#[derive(Debug)]
pub struct Screen<'a> {
    world: &'a World,
    socket: PathBuf,
    /// Gets every byte that the program writes.
    news: File,
}

impl<'a> Screen<'a> {
    /// Starts a program in a directory, with these variables beside the world's.
    ///
    /// # Panics
    ///
    /// Where there is no tmux.
    #[must_use]
    pub fn start(
        world: &'a World,
        name: &str,
        directory: &Path,
        variables: &[(&str, &str)],
        words: &[&str],
    ) -> Self {
        let socket = world.path().join("tmp").join(name);
        let pipe = socket.with_extension("news");
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        )
        .expect("a pipe");
        // Open at both ends, so that neither waits for the other.
        let news = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .expect("open");
        let mut tmux = world.command(directory, "tmux");
        tmux.args(["-u", "-f", "/dev/null", "-S"]).arg(&socket);
        tmux.args(["new-session", "-d", "-x", "130", "-y", "50"]).args(words);
        tmux.env("TERM", "xterm-256color").envs(variables.iter().copied());
        drop(said(&mut tmux).ok());
        let screen = Self { world, socket, news };
        let copy = format!("cat > {}", pipe.display());
        screen.tmux(&["set-option", "remain-on-exit", "on"]);
        screen.tmux(&["pipe-pane", "-O", &copy]);
        screen
    }

    /// Everything on the screen, and above it.
    #[must_use]
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-300"])
    }

    /// Waits until this is so many times on the screen or above it.
    ///
    /// # Panics
    ///
    /// Where it does not appear so often.
    #[track_caller]
    pub fn shows_times(&self, text: &str, times: usize) {
        let is_there = |screen: &Self| screen.text().matches(text).count() >= times;
        self.wait(is_there, &format!("{text:?} {times} times"));
    }

    /// What is on the screen now.
    fn visible(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// Waits until all of these are on the screen or above it.
    ///
    /// # Panics
    ///
    /// Where they do not appear.
    #[track_caller]
    pub fn shows(&self, texts: &[&str]) {
        self.wait(|screen| screen.has(texts), &format!("{texts:?}"));
    }

    /// Whether all of these are on the screen or above it.
    #[must_use]
    pub fn has(&self, texts: &[&str]) -> bool {
        let all = self.text();
        texts.iter().all(|text| all.contains(text))
    }

    /// Types a line and sends it, until all of these are on the screen or above it.
    ///
    /// # Panics
    ///
    /// Where they do not appear.
    #[track_caller]
    pub fn enter(&self, line: &str, texts: &[&str]) {
        self.enter_until(line, &format!("{texts:?}"), |screen| screen.has(texts));
    }

    /// Types a line, and sends it once it is there; again where nothing comes of it: an interface that
    /// is drawing may miss the key which sends it. What it does is named `what`.
    ///
    /// # Panics
    ///
    /// Where that is not done.
    #[track_caller]
    pub fn enter_until(&self, line: &str, what: &str, is_done: impl Fn(&Self) -> bool) {
        self.tmux(&["send-keys", "-l", line]);
        self.wait(|screen| screen.visible().contains(line.trim()), line);
        self.key_until("Enter", what, is_done);
    }

    /// Presses a key, again where nothing comes of it. What it does is named `what`.
    ///
    /// # Panics
    ///
    /// Where that is not done.
    #[track_caller]
    pub fn key_until(&self, key: &str, what: &str, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..PRESSED_MAX {
            self.key(key);
            if self.comes(&is_done, PATIENCE / PRESSED_MAX) {
                return;
            }
        }
        panic!("no {what} on:\n{}", self.text());
    }

    /// Presses a key.
    pub fn key(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Changes its height.
    pub fn resize(&self, rows: u16) {
        self.tmux(&["resize-window", "-y", &rows.to_string()]);
    }

    /// Kills the program, and waits until it is gone.
    pub fn kill(self) {
        process::kill(self.pid());
    }

    /// Closes the window, and waits until the program is gone.
    pub fn close(self) {
        process::ends(self.pid(), || drop(self.tmux(&["kill-server"])));
    }

    fn pid(&self) -> Pid {
        let pid = self.tmux(&["display-message", "-p", "#{pane_pid}"]);
        Pid::from_raw(pid.trim().parse().expect("a pid")).expect("a pid")
    }

    #[track_caller]
    fn wait(&self, is_there: impl Fn(&Self) -> bool, what: &str) {
        assert!(self.comes(is_there, PATIENCE), "no {what} on:\n{}", self.text());
    }

    fn comes(&self, is_there: impl Fn(&Self) -> bool, within: Duration) -> bool {
        let until = Instant::now() + within;
        loop {
            if is_there(self) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).expect("a time");
            let mut news = [PollFd::new(&self.news, PollFlags::IN)];
            let count = poll(&mut news, Some(&timeout)).expect("poll");
            if count == 0 || left.is_zero() {
                return false;
            }
            let mut bytes = [0; 65536];
            assert!((&self.news).read(&mut bytes).expect("news") > 0);
        }
    }

    fn tmux(&self, words: &[&str]) -> String {
        let mut tmux = self.world.command(self.world.path(), "tmux");
        tmux.arg("-S").arg(&self.socket).args(words);
        said(&mut tmux).ok()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let mut tmux = self.world.command(self.world.path(), "tmux");
        tmux.arg("-S").arg(&self.socket).arg("kill-server");
        drop(said(&mut tmux));
    }
}
