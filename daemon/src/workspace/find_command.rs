//! Whether a run will find its command, asked before anything is uploaded.

use std::path::PathBuf;

use handoff_proto::manifest::SnapshotManifest;
use handoff_proto::path::{AbsolutePath, TreePath, escaped};
use handoff_proto::run::Contract;
use thiserror::Error;

use super::environment::{is_program, search_directories};
use super::terms::{Terms, TermsError};
use super::tools::Tools;

/// The command will not be found; says what to do.
#[derive(Debug, Error)]
pub enum CommandMissing {
    /// The contract cannot be kept.
    #[error("contract cannot be kept")]
    Terms(#[from] TermsError),
    /// No directory of `PATH` has it.
    #[error("`{command}` is not installed on the remote (searched: {searched})")]
    Nowhere {
        /// The command, escaped.
        command: String,
        /// The directories, separated by colons.
        searched: String,
    },
    /// The path leads to nothing that a run sees.
    #[error("`{command}` does not exist on the remote, or lies where runs do not see it")]
    NotThere {
        /// The command, escaped.
        command: String,
    },
    /// It is there, but a link leads to where runs do not see it.
    #[error(
        "`{command}` on the remote is a link to {}, which runs do not see",
        target.display()
    )]
    Hidden {
        /// The command, escaped.
        command: String,
        /// Where the link leads.
        target: PathBuf,
    },
    /// It is there and may not be executed.
    #[error("`{command}` on the remote is no program")]
    NoProgram {
        /// The command, escaped.
        command: String,
    },
}

impl CommandMissing {
    /// What to do about it; empty where there is nothing but another command.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Terms(_) => "",
            Self::Nowhere { .. } => {
                "install it there for everybody, or name its directory in `[tools] paths` of handoffd.toml"
            }
            Self::NotThere { .. } => "name its directory in `[tools] paths` of handoffd.toml",
            Self::Hidden { .. } => {
                "name that directory, or the one above it, in `[tools] paths` of handoffd.toml"
            }
            Self::NoProgram { .. } => "make it executable there",
        }
    }
}

/// Says whether the run's command exists, as far as that can be known: files of the tree only with
/// its manifest, and not what setup steps will install into it.
///
/// # Errors
///
/// When it certainly will not be found.
pub fn find_command(
    contract: &Contract,
    manifest: Option<&SnapshotManifest>,
    tools: &Tools,
) -> Result<(), CommandMissing> {
    let terms = Terms::parse(contract)?;
    let command = terms.command[0].as_encoded_bytes();
    let search = Search { terms: &terms, manifest, tools, command };
    if command.contains(&b'/') { search.by_path() } else { search.by_name() }
}

struct Search<'a> {
    terms: &'a Terms,
    manifest: Option<&'a SnapshotManifest>,
    tools: &'a Tools,
    command: &'a [u8],
}

impl Search<'_> {
    fn by_name(&self) -> Result<(), CommandMissing> {
        let directories = search_directories(self.terms, self.tools);
        let mut refusal = None;
        for directory in &directories {
            let Ok(path) = TreePath::parse(self.command)
                .map_err(drop)
                .and_then(|name| directory.join(&name).map_err(drop))
            else {
                continue;
            };
            let found = if path.starts_with(&self.terms.root) {
                // Toolchains of a home that is the tree are shown where the tree lacks them.
                self.in_tree(&path).or_else(|_| self.on_machine(&path))
            } else {
                self.on_machine(&path)
            };
            match found {
                Ok(()) => return Ok(()),
                Err(CommandMissing::NotThere { .. }) => {}
                Err(other) => refusal = refusal.or(Some(other)),
            }
        }
        // A setup step may install it into the tree.
        if !self.terms.setup.is_empty() && !self.terms.path_in_tree.is_empty() {
            return Ok(());
        }
        Err(refusal.unwrap_or_else(|| {
            let searched: Vec<String> = directories.iter().map(ToString::to_string).collect();
            CommandMissing::Nowhere { command: self.shown(), searched: searched.join(":") }
        }))
    }

    fn by_path(&self) -> Result<(), CommandMissing> {
        let Some(path) = resolved(self.terms.directory.as_bytes(), self.command) else {
            return Err(self.not_there());
        };
        // Scripts of the tree may be made by setup steps: the run will tell.
        if path.starts_with(&self.terms.root) { Ok(()) } else { self.on_machine(&path) }
    }

    /// Without the manifest nothing is known, and the run will tell.
    fn in_tree(&self, path: &AbsolutePath) -> Result<(), CommandMissing> {
        let Some(manifest) = self.manifest else { return Ok(()) };
        let relative = path.as_os_path().strip_prefix(manifest.root.as_os_path());
        let relative = relative
            .ok()
            .and_then(|path| TreePath::parse(path.as_os_str().as_encoded_bytes()).ok());
        let there = relative.and_then(|path| manifest.entry(&path));
        if there.is_some_and(|entry| !entry.is_directory()) {
            Ok(())
        } else {
            Err(self.not_there())
        }
    }

    fn on_machine(&self, path: &AbsolutePath) -> Result<(), CommandMissing> {
        let home = Some(&self.terms.account.home);
        let Some(place) = self.tools.host_path(path, home) else { return Err(self.not_there()) };
        let Ok(real) = place.canonicalize() else { return Err(self.not_there()) };
        if !self.tools.shows(&real) {
            return Err(CommandMissing::Hidden { command: self.shown(), target: real });
        }
        if is_program(&real) {
            Ok(())
        } else {
            Err(CommandMissing::NoProgram { command: self.shown() })
        }
    }

    fn not_there(&self) -> CommandMissing {
        CommandMissing::NotThere { command: self.shown() }
    }

    fn shown(&self) -> String {
        escaped(self.command)
    }
}

/// A path as the command's directory sees it, `.` and `..` taken by name. `None` for `/` and for
/// what is too long.
fn resolved(directory: &[u8], path: &[u8]) -> Option<AbsolutePath> {
    let start: &[u8] = if path.starts_with(b"/") { b"" } else { directory };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in start.split(|&b| b == b'/').chain(path.split(|&b| b == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            _ => names.push(name),
        }
    }
    AbsolutePath::parse(&[b"/", names.join(&b'/').as_slice()].concat()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use handoff_proto::manifest::{Entry, Kind, Timestamp, VERSION};

    use super::*;
    use crate::workspace::terms::tests::contract;

    fn find(command: &str, tools: &Tools) -> Result<(), CommandMissing> {
        let mut contract = contract();
        contract.command = vec![command.into()];
        find_command(&contract, None, tools)
    }

    fn manifest(path: &str) -> SnapshotManifest {
        let entry = |path: &str, kind| Entry {
            path: path.parse().expect("path"),
            mode: 0o755,
            mtime: Timestamp::default(),
            kind,
        };
        SnapshotManifest {
            version: VERSION,
            root: "/home/alice/src/app".parse().expect("root"),
            root_mode: 0o755,
            root_mtime: Timestamp::default(),
            entries: vec![
                entry("bin", Kind::Directory),
                entry(path, Kind::File { size: 0, chunks: Vec::new() }),
            ],
            repositories: Vec::new(),
            session: None,
        }
    }

    #[test]
    fn programs_of_the_system_are_found_by_name_and_by_path() {
        let none = Tools::default();
        for command in ["sh", "/bin/sh", "/usr/bin/../bin/sh", "env"] {
            find(command, &none).expect(command);
        }
        for command in ["no-such-program", "/usr/bin/no-such-program", "/root/x", "/", "../../x"] {
            find(command, &none).expect_err(command);
        }
        assert!(matches!(find("/usr/bin", &none), Err(CommandMissing::NoProgram { .. })));
    }

    #[test]
    fn what_is_in_the_tree_is_left_to_the_run() {
        for command in ["./x", "../x", "a/b", "/home/alice/src/app/run"] {
            find(command, &Tools::default()).expect(command);
        }
    }

    #[test]
    fn the_message_says_what_to_do() {
        let missing = find("frobnicate\x1b[31m", &Tools::default()).expect_err("missing");
        let (error, hint) = (missing.to_string(), missing.hint());
        assert!(error.contains(r"`frobnicate\x1b[31m`"), "{error}");
        assert!(hint.contains("[tools] paths"), "{hint}");
        assert!(error.contains("/usr/local/sbin:/usr/local/bin:"), "{error}");
    }

    #[test]
    fn a_directory_of_the_tree_in_path_is_looked_up_in_the_manifest() {
        let mut contract = contract();
        contract.command = vec![b"tool".to_vec()];
        contract.path_in_tree = vec![b"/home/alice/src/app/bin".to_vec()];
        let tools = Tools::default();
        let manifests = [manifest("bin/tool"), manifest("bin/other")];
        find_command(&contract, None, &tools).expect("not known yet");
        find_command(&contract, Some(&manifests[0]), &tools).expect("there");
        find_command(&contract, Some(&manifests[1]), &tools).expect_err("not there");
        contract.setup = vec!["make tool".to_owned()];
        find_command(&contract, Some(&manifests[1]), &tools).expect("may be made");
    }

    #[test]
    fn a_tool_whose_link_leads_out_of_sight_is_explained() {
        let top = tempfile::tempdir().expect("directory");
        let top = top.path().canonicalize().expect("real path");
        fs::create_dir_all(top.join("node/bin")).expect("directories");
        fs::create_dir_all(top.join("node/lib")).expect("directories");
        fs::write(top.join("node/lib/tool.js"), "#!/usr/bin/env node\n").expect("write");
        symlink("../lib/tool.js", top.join("node/bin/handoff-tool")).expect("link");
        let tools = Tools::configured(&[top.join("node/bin")]).expect("tools");
        match find("handoff-tool", &tools) {
            Err(CommandMissing::Hidden { target, .. }) => {
                assert_eq!(target, top.join("node/lib/tool.js"));
            }
            other => panic!("{other:?}"),
        }
    }
}
