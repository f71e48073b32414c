use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Machine {
    top: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn new() -> Self {
        let top = tempfile::Builder::new().prefix("tools").tempdir().expect("directory");
        fs::create_dir(top.path().join("home")).expect("home");
        Self { top, variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().canonicalize().expect("real path").join(name)
    }

    fn absolute(&self, name: &str) -> AbsolutePath {
        AbsolutePath::try_from(self.path(name).as_path()).expect("path")
    }

    fn directory(&self, name: &str) {
        fs::create_dir_all(self.path(name)).expect("directory");
    }

    fn program(&self, name: &str, content: &[u8]) {
        self.directory(Path::new(name).parent().and_then(Path::to_str).expect("parent"));
        fs::write(self.path(name), content).expect("write");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("chmod");
    }

    fn tools(&self) -> Tools {
        let variable = |name: &str| {
            let (_, value) = self.variables.iter().find(|(set, _)| *set == name)?;
            Some(OsString::from(value))
        };
        let home = self.path("home");
        Tools::default().with_toolchains(Surroundings { home: &home, variable: &variable })
    }

    /// Where a run whose home is `/home/run` sees things.
    fn seen(&self, tools: &Tools) -> Vec<PathBuf> {
        let home = "/home/run".parse().expect("path");
        tools.mounts(&home).into_iter().map(|mount| mount.target).collect()
    }
}

#[test]
fn a_configured_directory_is_shown_and_its_programs_are_found() {
    let machine = Machine::new();
    machine.directory("opt/node/bin");
    machine.directory("opt/flat");
    let paths = [machine.path("opt/node"), machine.path("opt/flat"), PathBuf::from("/usr/lib")];
    let tools = Tools::configured(&paths).expect("tools");
    let usr_lib = "/usr/lib".parse().expect("path");
    assert_eq!(
        tools.path(),
        [machine.absolute("opt/node/bin"), machine.absolute("opt/flat"), usr_lib]
    );
    assert_eq!(machine.seen(&tools), [machine.path("opt/node"), machine.path("opt/flat")]);
}

#[test]
fn what_only_its_owner_can_read_is_left_out_where_runs_are_somebody_else() {
    let machine = Machine::new();
    let names = ["opt/open", "opt/closed", "opt/listed"];
    for (name, mode) in names.into_iter().zip([0o755, 0o750, 0o754]) {
        machine.directory(name);
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(machine.path(name), permissions).expect("mode");
    }
    let tools = Tools::configured(&names.map(|name| machine.path(name))).expect("tools");
    assert_eq!(machine.seen(&tools).len(), 3);
    let tools = tools.without_private();
    assert_eq!(machine.seen(&tools), [machine.path("opt/open")]);
    let left_out: Vec<&Path> = tools.left_out().iter().map(|out| out.path.as_path()).collect();
    assert_eq!(left_out, [machine.path("opt/closed"), machine.path("opt/listed")]);
    let told = tools.left_out()[0].to_string();
    assert!(told.contains("chmod -R o+rX"), "{told}");
}

#[test]
fn a_configured_directory_that_is_none_is_an_error_that_names_it() {
    let machine = Machine::new();
    fs::write(machine.path("file"), "").expect("write");
    for name in ["missing", "file"] {
        let error = Tools::configured(&[machine.path(name)]).expect_err("refused");
        assert!(error.to_string().contains(name), "{error}");
    }
    Tools::configured(&[PathBuf::from("relative/..")]).expect_err("relative");
    let error = Tools::configured(&[PathBuf::from("/proc")]).expect_err("reserved");
    assert!(matches!(error, ToolsError::Reserved(_)), "{error}");
}

#[test]
fn cargo_keeps_a_directory_of_the_runs_own() {
    let machine = Machine::new();
    machine.directory("home/.cargo/bin");
    machine.directory("home/.cargo/registry");
    machine.directory("home/.rustup");
    fs::write(machine.path("home/.cargo/credentials.toml"), "token").expect("write");
    fs::write(machine.path("home/.cargo/config.toml"), "[build]\njobs = 1\n").expect("write");
    let seen = machine.seen(&machine.tools());
    for part in [".cargo/bin", ".cargo/registry", ".cargo/config.toml", ".rustup"] {
        assert!(seen.contains(&Path::new("/home/run").join(part)), "{part} in {seen:?}");
    }
    assert!(seen.contains(&machine.path("home/.cargo/bin")), "PATH names it: {seen:?}");
    let whole = |path: &PathBuf| path.ends_with(".cargo") || path.ends_with("credentials.toml");
    assert!(!seen.iter().any(whole), "{seen:?}");
}

#[test]
fn settings_and_directories_with_secrets_are_left_out_and_named() {
    let machine = Machine::new();
    machine.directory("home/.cargo/bin");
    fs::write(machine.path("home/.cargo/config.toml"), "[registry]\ntoken = 'x'\n").expect("write");
    machine.directory("home/.nvm/versions/node/v20/etc");
    fs::write(machine.path("home/.nvm/versions/node/v20/etc/npmrc"), "//x/:_authToken=y")
        .expect("write");
    let tools = machine.tools();
    let seen = machine.seen(&tools);
    assert!(!seen.iter().any(|path| path.ends_with("config.toml") || path.ends_with(".nvm")));
    let left_out: Vec<&Path> = tools.left_out().iter().map(|out| out.path.as_path()).collect();
    assert!(left_out.contains(&machine.path("home/.cargo/config.toml").as_path()));
    assert!(left_out.contains(&machine.path("home/.nvm").as_path()));
    assert!(!format!("{:?}", tools.left_out()).contains("authToken"));
}

#[test]
fn path_has_the_daemons_order_and_then_what_it_lacks() {
    let mut machine = Machine::new();
    for directory in [".cargo/bin", ".local/bin", ".pyenv/shims", ".pyenv/bin", "go/bin"] {
        machine.directory(&format!("home/{directory}"));
    }
    machine.directory("elsewhere/bin");
    let in_order = ["home/.local/bin", "elsewhere/bin", "home/.pyenv/bin", "home/.cargo/bin"];
    let mut path: Vec<String> =
        in_order.iter().map(|name| machine.path(name).display().to_string()).collect();
    path.push("/usr/bin:relative:".to_owned());
    machine.variables.push(("PATH", path.join(":")));
    let expected = ["home/.local/bin", "home/.pyenv/bin", "home/.cargo/bin"]
        .into_iter()
        .chain(["home/.pyenv/shims", "home/go/bin"])
        .map(|name| machine.absolute(name));
    assert_eq!(machine.tools().path(), expected.collect::<Vec<_>>());
}

#[test]
fn a_toolchain_elsewhere_is_seen_there_and_in_the_home() {
    let mut machine = Machine::new();
    machine.directory("data/rustup");
    machine.directory("real/pyenv/shims");
    symlink(machine.path("real/pyenv"), machine.path("home/.pyenv")).expect("link");
    machine.variables.push(("RUSTUP_HOME", machine.path("data/rustup").display().to_string()));
    let tools = machine.tools();
    let seen = machine.seen(&tools);
    for path in [
        machine.path("data/rustup"),
        PathBuf::from("/home/run/.rustup"),
        machine.path("home/.pyenv"),
        machine.path("real/pyenv"),
        PathBuf::from("/home/run/.pyenv"),
    ] {
        assert!(seen.contains(&path), "{} in {seen:?}", path.display());
    }
    let sources = tools.mounts(&machine.absolute("home"));
    assert!(
        sources.iter().all(|mount| mount.source.canonicalize().expect("exists") == mount.source)
    );
}

#[test]
fn a_program_of_one_file_behind_a_link_is_seen_and_a_script_is_not() {
    let machine = Machine::new();
    machine.directory("home/.local/bin");
    machine.program("home/.local/share/agent/versions/1.2", b"\x7fELF and so on");
    machine.program("home/.local/share/pipx/venvs/black/bin/black", b"#!/nowhere/python\n");
    fs::write(machine.path("home/.netrc"), "\x7fELF but no program").expect("write");
    for (target, name) in [
        ("home/.local/share/agent/versions/1.2", "agent"),
        ("home/.local/share/pipx/venvs/black/bin/black", "black"),
        ("home/.netrc", "netrc"),
    ] {
        symlink(machine.path(target), machine.path(&format!("home/.local/bin/{name}")))
            .expect("link");
    }
    let seen = machine.seen(&machine.tools());
    assert!(seen.contains(&machine.path("home/.local/share/agent/versions/1.2")), "{seen:?}");
    assert!(!seen.iter().any(|path| path.ends_with("black") || path.ends_with(".netrc")));
}
