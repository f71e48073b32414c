//! The arguments of the hidden subcommand, written by the daemon and read in the jail.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use handoff_proto::path::{AbsolutePath, TreePath};

/// The argument that makes the executable a harvester.
pub(super) const SUBCOMMAND: &str = "harvest";

const TREE: &str = "--tree";
const BASE: &str = "--base";
const SCRATCH: &str = "--scratch";
const MOUNT_POINT: &str = "--mount-point";
const SESSION: &str = "--session";

/// Where a harvester finds things, as its jail shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// The tree that the run left.
    pub(super) tree: PathBuf,
    /// The manifest of the snapshot and what else there is to compare with.
    pub(super) base: PathBuf,
    /// An empty directory to work in.
    pub(super) scratch: PathBuf,
    /// Places in the tree on which the run saw something else.
    pub(super) mount_points: Vec<TreePath>,
    /// What the run's agent keeps, and what the agent is, if there is one.
    pub(super) session: Option<SessionArguments>,
}

/// Where a harvester finds what an agent keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionArguments {
    /// The kind of agent.
    pub(super) agent: String,
    /// The session's id.
    pub(super) id: String,
    /// Where the run's processes saw the agent's directory.
    pub(super) directory: AbsolutePath,
    /// Where it is now.
    pub(super) place: PathBuf,
}

impl Arguments {
    /// The arguments after the name of the subcommand.
    pub(super) fn write(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        for (name, value) in [(TREE, &self.tree), (BASE, &self.base), (SCRATCH, &self.scratch)] {
            words.extend([OsString::from(name), value.into()]);
        }
        for point in &self.mount_points {
            words.extend([OsString::from(MOUNT_POINT), point.as_os_path().into()]);
        }
        if let Some(session) = &self.session {
            words.push(SESSION.into());
            words.extend([OsString::from(&session.agent), OsString::from(&session.id)]);
            words.extend([session.directory.as_os_path().into(), (&session.place).into()]);
        }
        words
    }

    /// Reads what [`write`](Self::write) wrote; `None` for anything else.
    pub(super) fn read(words: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = Self::default();
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            let value = words.next()?;
            match name.to_str()? {
                TREE => arguments.tree = value.into(),
                BASE => arguments.base = value.into(),
                SCRATCH => arguments.scratch = value.into(),
                MOUNT_POINT => arguments.mount_points.push(tree_path(&value)?),
                SESSION => {
                    arguments.session = Some(SessionArguments {
                        agent: value.into_string().ok()?,
                        id: words.next()?.into_string().ok()?,
                        directory: AbsolutePath::parse(words.next()?.as_bytes()).ok()?,
                        place: words.next()?.into(),
                    });
                }
                _ => return None,
            }
        }
        let places = [&arguments.tree, &arguments.base, &arguments.scratch];
        places.iter().all(|place| place.is_absolute()).then_some(arguments)
    }
}

fn tree_path(text: &OsStr) -> Option<TreePath> {
    TreePath::parse(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_writes_the_harvester_reads() {
        let arguments = Arguments {
            tree: "/home/a b/src".into(),
            base: "/base".into(),
            scratch: "/scratch".into(),
            mount_points: vec!["node_modules".parse().expect("path")],
            session: Some(SessionArguments {
                agent: "claude".into(),
                id: "1-2".into(),
                directory: "/home/a b/.claude".parse().expect("path"),
                place: "/session".into(),
            }),
        };
        assert_eq!(Arguments::read(arguments.write()), Some(arguments));
    }

    #[test]
    fn anything_else_is_refused() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        for text in [
            "--tree /t",
            "--tree t --base /b --scratch /s",
            "--tree /t --base /b --scratch",
            "--tree /t --base /b --scratch /s --else x",
            "--tree /t --base /b --scratch /s --mount-point ../x",
            "--tree /t --base /b --scratch /s --session claude 1-2 /a",
            "--tree /t --base /b --scratch /s --session claude 1-2 a /b",
        ] {
            assert_eq!(Arguments::read(words(text)), None, "{text}");
        }
    }
}
