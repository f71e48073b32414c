//! The whole environment of a step; nothing is inherited from the daemon.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use handoff_proto::path::AbsolutePath;

use super::spec::AgentStart;
use super::terms::Terms;
use super::tools::Tools;
use crate::egress::{self, Policy};

/// Where programs of the system are, in the order in which they are searched, after all others.
pub(super) const SYSTEM_PATH: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What the account and the tools decide, whatever the client's list says.
const DECIDED_HERE: [&str; 5] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL"];

/// Nobody is there to page through output or to answer a prompt, unless the client says otherwise.
const UNATTENDED: [(&str, &str); 4] =
    [("PAGER", "cat"), ("GIT_PAGER", "cat"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_EDITOR", "false")];

/// The shell that every system has.
const FALLBACK_SHELL: &str = "/bin/sh";

/// The directory for temporary files that every sandbox has.
const TEMPORARY: &str = "/tmp";

/// Builds the environment. `git_config` is where git finds the user's settings, if not at home;
/// `egress` is what the run may reach through the fence, if there is one.
pub(super) fn environment(
    terms: &Terms,
    tools: &Tools,
    git_config: Option<&AbsolutePath>,
    egress: Option<&Policy>,
    agent: Option<&AgentStart>,
) -> Vec<(OsString, OsString)> {
    let account = &terms.account;
    let mut variables: Vec<(OsString, OsString)> = Vec::new();
    for (name, value) in &terms.environment {
        if !DECIDED_HERE.iter().any(|decided| name == decided) {
            set(&mut variables, name, value);
        }
    }
    if let Some((_, value)) = variables.iter_mut().find(|(name, _)| name == "TMPDIR")
        && !exists_inside(value, terms)
    {
        *value = TEMPORARY.into();
    }
    let unattended = UNATTENDED.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let usual: Vec<(String, String)> =
        unattended.chain(egress.into_iter().flat_map(egress::variables)).collect();
    for (name, value) in usual {
        // What the client names wins; one that names its own way out finds it closed.
        if !terms.environment.iter().any(|(set, _)| *set == *name) {
            set(&mut variables, name, value);
        }
    }
    set(&mut variables, "PATH", search_path(terms, tools));
    set(&mut variables, "HOME", account.home.as_os_path());
    set(&mut variables, "USER", &account.name);
    set(&mut variables, "LOGNAME", &account.name);
    set(&mut variables, "SHELL", shell(&account.shell));
    if let Some(path) = git_config {
        set(&mut variables, "GIT_CONFIG_GLOBAL", path.as_os_path());
    }
    for (name, value) in agent.iter().flat_map(|agent| &agent.variables) {
        set(&mut variables, name, value);
    }
    variables
}

/// The directories that are searched for programs, in order, each once.
pub(super) fn search_directories(terms: &Terms, tools: &Tools) -> Vec<AbsolutePath> {
    let system = SYSTEM_PATH.iter().filter_map(|path| path.parse().ok());
    let mut directories: Vec<AbsolutePath> = Vec::new();
    for directory in terms.path_in_tree.iter().chain(tools.path()).cloned().chain(system) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories
}

fn search_path(terms: &Terms, tools: &Tools) -> OsString {
    let directories = search_directories(terms, tools);
    let bytes: Vec<&[u8]> = directories.iter().map(AbsolutePath::as_bytes).collect();
    OsString::from_vec(bytes.join(&b':'))
}

fn set(
    variables: &mut Vec<(OsString, OsString)>,
    name: impl AsRef<OsStr>,
    value: impl AsRef<OsStr>,
) {
    let (name, value) = (name.as_ref(), value.as_ref().to_owned());
    match variables.iter_mut().find(|(set, _)| set == name) {
        Some((_, old)) => *old = value,
        None => variables.push((name.to_owned(), value)),
    }
}

/// Whether a directory for temporary files is one that the sandbox shows. The laptop's own, such
/// as those of macOS beneath `/var/folders`, is not.
fn exists_inside(directory: &OsStr, terms: &Terms) -> bool {
    directory == TEMPORARY
        || AbsolutePath::parse(directory.as_bytes()).is_ok_and(|path| path.starts_with(&terms.root))
}

fn shell(wanted: &str) -> &OsStr {
    let usable = AbsolutePath::parse(wanted.as_bytes())
        .is_ok_and(|path| path.reserved_top_level().is_some() && is_program(path.as_os_path()));
    OsStr::new(if usable { wanted } else { FALLBACK_SHELL })
}

/// Whether somebody may execute this file, links followed.
pub(super) fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use handoff_proto::wire::EnvironmentVariable;

    use super::*;
    use crate::workspace::terms::tests::contract;

    fn of(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut contract = contract();
        contract.path_in_tree = vec![b"/home/alice/src/app/node_modules/.bin".to_vec()];
        contract.environment = variables
            .iter()
            .map(|(name, value)| EnvironmentVariable {
                name: name.as_bytes().to_vec(),
                value: value.as_bytes().to_vec(),
            })
            .collect();
        let terms = Terms::parse(&contract).expect("terms");
        let mut text: Vec<(String, String)> =
            environment(&terms, &Tools::default(), None, None, None)
                .into_iter()
                .map(|(name, value)| {
                    (name.into_string().expect("text"), value.into_string().expect("text"))
                })
                .collect();
        text.sort();
        text
    }

    fn value(variables: &[(String, String)], name: &str) -> Option<String> {
        variables.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone())
    }

    #[test]
    fn a_run_has_exactly_what_the_contract_and_the_rules_name() {
        let variables = of(&[("LANG", "C.UTF-8"), ("RUST_LOG", "debug")]);
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "GIT_EDITOR",
                "GIT_PAGER",
                "GIT_TERMINAL_PROMPT",
                "HOME",
                "LANG",
                "LOGNAME",
                "PAGER",
                "PATH",
                "RUST_LOG",
                "SHELL",
                "USER",
            ]
        );
        assert_eq!(
            value(&variables, "PATH").as_deref(),
            Some(
                "/home/alice/src/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            )
        );
    }

    #[test]
    fn the_account_wins_and_so_does_a_pager_that_the_user_names() {
        let variables =
            of(&[("HOME", "/root"), ("USER", "root"), ("PATH", "/x"), ("PAGER", "less")]);
        assert_eq!(value(&variables, "HOME").as_deref(), Some("/home/alice"));
        assert_eq!(value(&variables, "USER").as_deref(), Some("alice"));
        assert!(!value(&variables, "PATH").expect("PATH").contains("/x"));
        assert_eq!(value(&variables, "PAGER").as_deref(), Some("less"));
    }

    #[test]
    fn places_that_exist_on_the_laptop_only_are_replaced() {
        let variables = of(&[("TMPDIR", "/var/folders/xy/T/")]);
        assert_eq!(value(&variables, "TMPDIR").as_deref(), Some("/tmp"));
        assert_eq!(value(&variables, "SHELL").as_deref(), Some("/bin/sh"), "no zsh on this path");
        let variables = of(&[("TMPDIR", "/home/alice/src/app/tmp")]);
        assert_eq!(value(&variables, "TMPDIR").as_deref(), Some("/home/alice/src/app/tmp"));
    }
}
