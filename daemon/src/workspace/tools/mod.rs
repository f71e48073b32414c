//! Programs beside the system's that runs may use: what the operator names, and on a user's own
//! machine that user's toolchains. All are shown read-only.
//!
//! Never shows anything that holds credentials: what is found to hold some is left out, and said
//! so. Looks at the file system once, when the daemon starts.

mod cargo_settings;
mod credentials;
mod linked_program;
mod toolchain;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use handoff_proto::path::{AbsolutePath, TreePath};
use handoff_sandbox::{Access, Mount};
use thiserror::Error;

use self::toolchain::TOOLCHAINS;

/// What runs see and search beside the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tools {
    binds: Vec<Bind>,
    path: Vec<AbsolutePath>,
    left_out: Vec<LeftOut>,
    /// How what is added next is shown.
    access: Access,
}

/// One directory or file that runs see.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bind {
    /// Where it really is.
    source: PathBuf,
    /// Where runs see it.
    target: Target,
    /// A toolchain of the daemon's own user may hold files that only that user can read.
    access: Access,
}

/// Where runs see something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// At the path that it has here.
    Same(AbsolutePath),
    /// In the run's home, where programs look for it by themselves.
    Home(TreePath),
}

/// Something that runs do not see, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not shown to runs: {}", self.path.display(), self.reason)
    }
}

/// A directory that the settings name cannot be shown.
#[derive(Debug, Error)]
pub enum ToolsError {
    /// It cannot be found.
    #[error("`[tools] paths` names {}, which cannot be used", path.display())]
    Missing {
        /// What the settings name.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`[tools] paths` names {}, which is no absolute path of a directory", .0.display())]
    NoDirectory(PathBuf),
    /// The sandbox has something of its own there.
    #[error("`[tools] paths` names {}, which cannot be shown to runs: a sandbox has its own files there", .0.display())]
    Reserved(PathBuf),
}

/// What of the daemon's own surroundings decides about its user's toolchains.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The user's home directory.
    pub home: &'a Path,
    /// The daemon's environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("home", &self.home).finish_non_exhaustive()
    }
}

impl Tools {
    /// The directories that the settings name, in their order.
    ///
    /// # Errors
    ///
    /// When one of them is no directory.
    pub fn configured(paths: &[PathBuf]) -> Result<Self, ToolsError> {
        let mut tools = Self::default();
        for path in paths {
            let missing = |source| ToolsError::Missing { path: path.clone(), source };
            let real = path.canonicalize().map_err(missing)?;
            let Ok(named) = AbsolutePath::try_from(path.as_path()) else {
                return Err(ToolsError::NoDirectory(path.clone()));
            };
            if !real.is_dir() {
                return Err(ToolsError::NoDirectory(path.clone()));
            }
            if named.reserved_top_level().is_some() && !is_system(&named) {
                return Err(ToolsError::Reserved(path.clone()));
            }
            let bin = named.join(&in_home("bin")).ok().filter(|_| real.join("bin").is_dir());
            tools.show(&real, &named);
            tools.search(bin.unwrap_or(named));
        }
        Ok(tools)
    }

    /// Adds the toolchains of the daemon's own user, for a daemon that serves nobody else.
    ///
    /// `PATH` keeps the order of the daemon's; toolchains that are not in it come after.
    #[must_use]
    pub fn with_toolchains(mut self, from: Surroundings<'_>) -> Self {
        self.access = Access::ReadOnlyAsOwner;
        for toolchain in &TOOLCHAINS {
            toolchain.add_to(&mut self, from);
        }
        let listed = (from.variable)("PATH").unwrap_or_default();
        for directory in std::env::split_paths(&listed) {
            if let Ok(directory) = AbsolutePath::try_from(directory.as_path())
                && self.host_path(&directory, None).is_some_and(|real| real.is_dir())
            {
                self.search(directory);
            }
        }
        for toolchain in &TOOLCHAINS {
            for directory in toolchain.programs(from) {
                if self.host_path(&directory, None).is_some_and(|real| real.is_dir()) {
                    self.search(directory);
                }
            }
        }
        for program in linked_program::find(&self) {
            self.bind(program, None);
        }
        self
    }

    /// Leaves out what only the daemon's user can read, for runs that are somebody else on the host
    /// and see files with the owners that they have there. Looks at the top of each only.
    #[must_use]
    pub fn without_private(mut self) -> Self {
        for bind in std::mem::take(&mut self.binds) {
            if is_for_everybody(&bind.source) {
                self.binds.push(bind);
            } else if !self.left_out.iter().any(|out| out.path == bind.source) {
                self.leave_out(&bind.source, PRIVATE);
            }
        }
        self
    }

    /// The directories of programs, in the order of `PATH`.
    #[must_use]
    pub fn path(&self) -> &[AbsolutePath] {
        &self.path
    }

    /// What is left out, and why: for the log and for `doctor`.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Whether runs see what is at this real path because of a tool.
    pub(crate) fn binds(&self, source: &Path) -> bool {
        self.binds.iter().any(|bind| bind.source == source)
    }

    /// The mounts for a run with this home.
    pub(super) fn mounts(&self, home: &AbsolutePath) -> Vec<Mount> {
        let mount = |bind: &Bind| {
            let target = bind.target.at(home)?;
            Some(super::mount(&bind.source, &target, bind.access))
        };
        self.binds.iter().filter_map(mount).collect()
    }

    /// Where on this machine a path of a run's sandbox is, if it is a tool's or the system's.
    pub(super) fn host_path(
        &self,
        path: &AbsolutePath,
        home: Option<&AbsolutePath>,
    ) -> Option<PathBuf> {
        if is_system(path) {
            return Some(path.as_os_path().to_owned());
        }
        self.binds.iter().find_map(|bind| {
            let target = match (&bind.target, home) {
                (Target::Same(target), _) => target.clone(),
                (Target::Home(_), None) => return None,
                (Target::Home(_), Some(home)) => bind.target.at(home)?,
            };
            let rest = path.as_os_path().strip_prefix(target.as_os_path()).ok()?;
            // Joining nothing would end in a slash, which a file does not bear.
            let is_target = rest.as_os_str().is_empty();
            Some(if is_target { bind.source.clone() } else { bind.source.join(rest) })
        })
    }

    /// Whether runs see what is really at this path of this machine.
    pub(super) fn shows(&self, real: &Path) -> bool {
        AbsolutePath::try_from(real).is_ok_and(|path| self.host_path(&path, None).is_some())
    }

    fn search(&mut self, directory: AbsolutePath) {
        // The system's directories come last in every run.
        let is_system = super::environment::SYSTEM_PATH
            .iter()
            .any(|system| directory.as_os_path() == Path::new(system));
        let is_separator = |byte: &u8| *byte == b':';
        if !is_system
            && !directory.as_bytes().iter().any(is_separator)
            && !self.path.contains(&directory)
        {
            self.path.push(directory);
        }
    }

    /// Shows something where it is and under the name by which it is known here.
    fn show(&mut self, real: &Path, named: &AbsolutePath) {
        self.bind(real.to_owned(), Some(Target::Same(named.clone())));
        self.bind(real.to_owned(), None);
    }

    /// Shows something; without a target where it really is. The system's is shown already, and
    /// where the sandbox has its own files nothing can be.
    fn bind(&mut self, source: PathBuf, target: Option<Target>) {
        let target = match target {
            Some(target) => target,
            None => match AbsolutePath::try_from(source.as_path()) {
                Ok(same) => Target::Same(same),
                Err(_) => return,
            },
        };
        if matches!(&target, Target::Same(path) if path.reserved_top_level().is_some()) {
            return;
        }
        let known = |bind: &Bind| bind.source == source && bind.target == target;
        if !self.binds.iter().any(known) {
            self.binds.push(Bind { source, target, access: self.access });
        }
    }

    fn leave_out(&mut self, path: &Path, reason: &'static str) {
        self.left_out.push(LeftOut { path: path.to_owned(), reason });
    }
}

impl Target {
    fn at(&self, home: &AbsolutePath) -> Option<AbsolutePath> {
        match self {
            Self::Same(path) => Some(path.clone()),
            Self::Home(path) => home.join(path).ok(),
        }
    }
}

/// Why something private is left out.
const PRIVATE: &str = "only its owner can read it, and runs have uids of their own; to do: chmod -R \
                       o+rX on it, and restart the daemon";

/// Whether everybody can read a file, or list a directory and enter it, by way of a mount.
fn is_for_everybody(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| {
        let needed = if meta.is_dir() { 0o005 } else { 0o004 };
        meta.mode() & needed == needed
    })
}

/// Whether a path is the system's and every run sees it.
fn is_system(path: &AbsolutePath) -> bool {
    match path.reserved_top_level() {
        Some(b"usr" | b"bin" | b"sbin") => true,
        Some(b"etc") => path.as_os_path().starts_with("/etc/alternatives"),
        Some(top) => top.starts_with(b"lib"),
        None => false,
    }
}

/// A path in a home that is written in this program.
fn in_home(path: &'static str) -> TreePath {
    path.parse().expect("a constant of this program is a path")
}

#[cfg(test)]
mod tests;
