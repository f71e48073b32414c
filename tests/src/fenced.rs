//! A run behind the fence: a daemon, a user who is paired with it, a project to hand off, and web
//! servers that the daemon's operator placed by hand.

use std::path::PathBuf;

use serde_json::Value;

use crate::{
    remote::Remote,
    web::Web,
    world::{Said, World},
};

/// Shell function `at_once FORMAT`: what `printf FORMAT` prints, in one write.
///
/// A shell writes line by line. When the peer hangs up at the first line of a request, the second
/// would end the shell with SIGPIPE.
pub const AT_ONCE: &str = "at_once() { printf \"$1\" | dd bs=64k iflag=fullblock status=none; }\n";

/// See the module.
#[derive(Debug)]
pub struct Fenced {
    /// The user.
    pub world: World,
    /// The daemon.
    pub remote: Remote,
    /// What is handed off.
    pub project: PathBuf,
}

/// What came of a run.
#[derive(Debug)]
pub struct Ended {
    /// What the command wrote to either stream.
    pub said: Said,
    /// The run object after it.
    pub run: Value,
}

impl Fenced {
    /// A daemon with these servers placed under these names, and more settings.
    #[must_use]
    pub fn with(placed: &[(&str, &Web)], config: &str) -> Self {
        let addresses: String = placed.iter().map(|(name, web)| web.placed(name)).collect();
        let remote = Remote::with_config(&format!("{config}\n[network.addresses]\n{addresses}"));
        let world = World::new();
        world.handoff(&world.home(), ["remote", "add", "box", &remote.invite("ada", &[])]).ok();
        let project = world.directory("app");
        for (name, web) in placed {
            world.write(&project.join(format!("{name}.pem")), web.authority());
        }
        Self { world, remote, project }
    }

    /// Hands a shell script off with these flags and waits for it.
    #[must_use]
    pub fn run(&self, flags: &[&str], script: &str) -> Ended {
        let name = format!("run-{}", self.remote.runs());
        let mut words = vec!["-f", "-n", &name];
        words.extend(flags);
        words.extend(["--", "bash", "-c", script]);
        let said = self.world.handoff(&self.project, words);
        let run = self.world.show(&self.project, &name);
        Ended { said, run }
    }

    /// A path in the project, as the run sees it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.project.join(name).display().to_string()
    }
}

impl Ended {
    /// Everything that the command wrote.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.said.stdout).into_owned()
    }

    /// The value of one `name value` line of the output.
    #[track_caller]
    #[must_use]
    pub fn value(&self, name: &str) -> String {
        let output = self.output();
        let found = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let missing = || panic!("no {name} in {output}\n{}\n{:#}", self.said, self.run);
        found.unwrap_or_else(missing).to_owned()
    }

    /// Asserts one `name value` line of the output.
    #[track_caller]
    pub fn says(&self, name: &str, expected: &str) {
        let output = self.output();
        assert_eq!(self.value(name), expected, "{name} in {output}\n{}\n{:#}", self.said, self.run);
    }

    /// What the run was denied.
    #[must_use]
    pub fn denied(&self) -> &[Value] {
        self.run["denied"].as_array().expect("denied")
    }
}
