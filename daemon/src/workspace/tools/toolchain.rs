//! Where toolchains that people install for themselves keep things, and which of these a run needs.

use std::path::PathBuf;

use handoff_proto::path::AbsolutePath;

use super::{Surroundings, Target, Tools, cargo_settings, credentials, in_home};

/// One toolchain.
pub(super) struct Toolchain {
    /// Where it is in a home by default.
    home: &'static str,
    /// The variable that names another place.
    variable: Option<&'static str>,
    /// What of it runs see; everything if there is one empty part.
    parts: &'static [&'static str],
    /// The directories of programs that people put into `PATH`, within it.
    programs: &'static [&'static str],
    /// Files in it that may hold credentials, `*` standing for any one name. Where one does, the
    /// part that holds it is left out.
    suspects: &'static [&'static str],
}

/// All of one directory.
const WHOLE: &[&str] = &[""];

/// Every toolchain that is looked for.
///
/// Cargo's directory itself is not among the parts: cargo keeps its locks there and must be able
/// to write them, so it stays a directory of the run's own home with these parts inside.
pub(super) const TOOLCHAINS: [Toolchain; 10] = [
    Toolchain {
        home: ".cargo",
        variable: Some("CARGO_HOME"),
        parts: &["bin", "registry", "git"],
        programs: &["bin"],
        suspects: &["git/db/*/config", "git/db/*/FETCH_HEAD"],
    },
    Toolchain {
        home: ".rustup",
        variable: Some("RUSTUP_HOME"),
        parts: WHOLE,
        programs: &[],
        suspects: &[],
    },
    Toolchain {
        home: ".nvm",
        variable: Some("NVM_DIR"),
        parts: WHOLE,
        programs: &[],
        suspects: &[".npmrc", ".git/config", "versions/node/*/etc/npmrc"],
    },
    Toolchain {
        home: ".pyenv",
        variable: Some("PYENV_ROOT"),
        parts: WHOLE,
        programs: &["shims", "bin"],
        suspects: &[".git/config", "versions/*/pip.conf", "versions/*/etc/pip.conf"],
    },
    Toolchain { home: ".local/bin", variable: None, parts: WHOLE, programs: &[""], suspects: &[] },
    Toolchain {
        home: ".volta",
        variable: Some("VOLTA_HOME"),
        parts: WHOLE,
        programs: &["bin"],
        suspects: &["tools/image/node/*/etc/npmrc"],
    },
    Toolchain {
        home: ".asdf",
        variable: Some("ASDF_DATA_DIR"),
        parts: WHOLE,
        programs: &["shims", "bin"],
        suspects: &[".git/config", "installs/nodejs/*/etc/npmrc"],
    },
    Toolchain {
        home: ".bun",
        variable: Some("BUN_INSTALL"),
        parts: WHOLE,
        programs: &["bin"],
        suspects: &[],
    },
    Toolchain {
        home: "go/bin",
        variable: Some("GOBIN"),
        parts: WHOLE,
        programs: &[""],
        suspects: &[],
    },
    Toolchain {
        home: ".deno",
        variable: Some("DENO_INSTALL"),
        parts: &["bin"],
        programs: &["bin"],
        suspects: &[],
    },
];

impl Toolchain {
    /// Shows what there is of this toolchain.
    pub(super) fn add_to(&self, tools: &mut Tools, from: Surroundings<'_>) {
        let top = self.place(from);
        for part in self.parts {
            let place = join(&top, part);
            let Ok(real) = place.canonicalize() else { continue };
            if !real.is_dir() {
                continue;
            }
            if let Some(file) = credentials::first(&top, part, self.suspects) {
                tools.leave_out(&place, "a file in it holds credentials");
                tools.leave_out(&file, "it holds credentials");
                continue;
            }
            if let Ok(named) = AbsolutePath::try_from(place.as_path()) {
                tools.show(&real, &named);
            }
            // Programs find their toolchain in the home without any variable.
            if let Ok(usual) = in_home(self.home).join(part.as_bytes()) {
                tools.bind(real, Some(Target::Home(usual)));
            } else {
                tools.bind(real, Some(Target::Home(in_home(self.home))));
            }
        }
        if self.home == ".cargo" {
            cargo_settings::add_to(tools, &top);
        }
    }

    /// The directories of programs, whether they exist or not.
    pub(super) fn programs(&self, from: Surroundings<'_>) -> Vec<AbsolutePath> {
        let top = self.place(from);
        let parse = |part: &&str| AbsolutePath::try_from(join(&top, part).as_path()).ok();
        self.programs.iter().filter_map(parse).collect()
    }

    fn place(&self, from: Surroundings<'_>) -> PathBuf {
        self.variable
            .and_then(from.variable)
            .map(PathBuf::from)
            .filter(|place| place.is_absolute())
            .unwrap_or_else(|| from.home.join(self.home))
    }
}

/// Joins a part that may be empty, which must not end the path in a slash.
fn join(top: &std::path::Path, part: &str) -> PathBuf {
    if part.is_empty() { top.to_owned() } else { top.join(part) }
}
