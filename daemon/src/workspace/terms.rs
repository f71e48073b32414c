//! A contract whose paths, names and sizes have been checked: parsed once, trusted after that.
//!
//! The command is the user's own, so nothing here judges what it does. What is checked is that the
//! values mean what they seem to mean to a kernel, a sandbox and a `PATH`.

mod error;
#[cfg(test)]
pub(super) mod tests;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use handoff_proto::path::{AbsolutePath, escaped};
use handoff_proto::run::Contract;
use handoff_proto::wire;
use handoff_sandbox::TerminalSize;

pub use error::TermsError;

use crate::egress::Rule;

/// The kernel refuses to execute with one argument or variable longer than this (`MAX_ARG_STRLEN`).
const TEXT_MAX: usize = 128 * 1024 - 1;

/// Command and environment together; the kernel takes a quarter of the stack limit, usually 2 MiB.
const TEXTS_SUM_MAX: usize = 1 << 20;

/// Arguments of the command: a shell's glob over a large directory still fits.
const ARGUMENTS_MAX: usize = 8_192;

/// Variables; a shell session has about fifty.
const VARIABLES_MAX: usize = 512;

/// Setup steps, cache directories and in-tree directories of `PATH`, of each.
const LIST_MAX: usize = 64;

/// Hosts of one run; a project names a handful.
const HOSTS_MAX: usize = 1024;

/// Bytes of the URL of one git remote.
const URL_MAX: usize = 4096;

/// Globs of what is carried and of what is not, of each; a project has a handful.
const GLOBS_MAX: usize = 256;

/// Bytes of one of them: as long as a path.
const GLOB_MAX: usize = 4096;

/// A model's name, a session's id and the like.
const AGENT_SETTING_MAX: usize = 256;

/// Content of a generated git file.
const GIT_FILE_MAX: usize = 1 << 20;

/// What a uid or gid becomes inside where the laptop's is root's: the first ordinary user.
const ORDINARY_ID: u32 = 1000;

/// The user's name inside where the laptop's cannot stand in `/etc/passwd`.
const ORDINARY_NAME: &str = "user";

/// The longest name that the tools around `/etc/passwd` take.
const NAME_MAX: usize = 32;

/// A top-level directory that belongs to the sandbox beside those of the system.
const SANDBOX_TOP_LEVEL: &[u8] = b"handoff";

/// What a contract asks for, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Where the tree is.
    pub root: AbsolutePath,
    /// Where the command starts; the root or beneath it.
    pub directory: AbsolutePath,
    /// The command and its arguments; never empty.
    pub command: Vec<OsString>,
    /// Shell commands that run before it.
    pub setup: Vec<OsString>,
    /// Variables that the client names.
    pub environment: Vec<(OsString, OsString)>,
    /// Directories of the client's `PATH` in the tree, in order.
    pub path_in_tree: Vec<AbsolutePath>,
    /// Directories that are kept between runs.
    pub caches: Vec<AbsolutePath>,
    /// Who the command believes to be.
    pub account: Account,
    /// The file mode creation mask.
    pub umask: u32,
    /// Content of `~/.gitconfig`.
    pub git_config: Vec<u8>,
    /// Content of `~/.config/git/ignore`.
    pub git_excludes: Vec<u8>,
    /// Globs of ignored things that a result holds nevertheless.
    pub carry_include: Vec<Vec<u8>>,
    /// Globs of things that a result does not hold.
    pub carry_exclude: Vec<Vec<u8>>,
    /// Hosts that it may reach beside those that the daemon allows.
    pub hosts: Vec<Rule>,
    /// URLs of the repository's remotes.
    pub git_remotes: Vec<String>,
    /// The directory of the run's agent, if it has one that is driven.
    pub agent_directory: Option<AbsolutePath>,
    /// The command's terminal as large as it is at first, if it has one.
    pub terminal: Option<TerminalSize>,
}

/// Who the command believes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: String,
    /// The home directory.
    pub home: AbsolutePath,
    /// The user id, never 0.
    pub uid: u32,
    /// The group id, never 0.
    pub gid: u32,
    /// The login shell, as the laptop has it.
    pub shell: String,
}

impl Terms {
    /// Checks a contract.
    ///
    /// # Errors
    ///
    /// The first value that cannot be used, by name.
    pub fn parse(contract: &Contract) -> Result<Self, TermsError> {
        check_sizes(contract)?;
        let root = usable("root", &contract.root)?;
        let directory = in_tree("directory", &contract.directory, &root)?;
        let path_in_tree = contract
            .path_in_tree
            .iter()
            .map(|path| path_entry(path, &root))
            .collect::<Result<_, _>>()?;
        let account = account(contract.account.as_ref().ok_or(TermsError::NoAccount)?)?;
        let caches = caches(&contract.caches, &root, &account.home)?;
        let agent = contract.agent_terms.as_ref().filter(|_| !contract.agent.is_empty());
        let agent_directory = agent.map(|terms| agent_directory(terms, &root, &account.home));
        if contract.umask > 0o777 {
            return Err(TermsError::Umask(contract.umask));
        }
        Ok(Self {
            command: contract
                .command
                .iter()
                .map(|word| text("command", word))
                .collect::<Result<_, _>>()?,
            setup: contract
                .setup
                .iter()
                .map(|step| text("setup step", step.as_bytes()))
                .collect::<Result<_, _>>()?,
            environment: contract.environment.iter().map(variable).collect::<Result<_, _>>()?,
            umask: contract.umask,
            git_config: contract.git_config.clone(),
            git_excludes: contract.git_excludes.clone(),
            carry_include: globs(&contract.carry_include)?,
            carry_exclude: globs(&contract.carry_exclude)?,
            hosts: contract.hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
            git_remotes: contract.git_remotes.clone(),
            agent_directory: agent_directory.transpose()?,
            terminal: contract.terminal.as_ref().map(terminal).transpose()?,
            root,
            directory,
            path_in_tree,
            caches,
            account,
        })
    }

    /// Whether the home directory is a part of the tree, so that the tree is all that is mounted.
    #[must_use]
    pub fn home_is_in_tree(&self) -> bool {
        self.account.home.starts_with(&self.root)
    }
}

/// A terminal that a program can draw on.
fn terminal(size: &wire::TerminalSize) -> Result<TerminalSize, TermsError> {
    let usable = |length: u32| u16::try_from(length).ok().filter(|length| *length > 0);
    match (usable(size.rows), usable(size.columns)) {
        (Some(rows), Some(columns)) => Ok(TerminalSize { rows, columns }),
        _ => Err(TermsError::Terminal { rows: size.rows, columns: size.columns }),
    }
}

fn check_sizes(contract: &Contract) -> Result<(), TermsError> {
    if contract.command.first().is_none_or(Vec::is_empty) {
        return Err(TermsError::NoCommand);
    }
    at_most("arguments", contract.command.len(), ARGUMENTS_MAX)?;
    at_most("variables", contract.environment.len(), VARIABLES_MAX)?;
    at_most("setup steps", contract.setup.len(), LIST_MAX)?;
    at_most("caches", contract.caches.len(), LIST_MAX)?;
    at_most("hosts", contract.hosts.len(), HOSTS_MAX)?;
    at_most("git remotes", contract.git_remotes.len(), LIST_MAX)?;
    let longest = contract.git_remotes.iter().map(String::len).max().unwrap_or_default();
    at_most("bytes in the URL of a git remote", longest, URL_MAX)?;
    at_most("directories of PATH", contract.path_in_tree.len(), LIST_MAX)?;
    for globs in [&contract.carry_include, &contract.carry_exclude] {
        at_most("globs of what is carried", globs.len(), GLOBS_MAX)?;
        let longest = globs.iter().map(Vec::len).max().unwrap_or_default();
        at_most("bytes in one glob", longest, GLOB_MAX)?;
    }
    if let Some(agent) = &contract.agent_terms {
        at_most("bytes in what the agent is told", agent.prompt.len(), TEXT_MAX)?;
        for text in [&agent.model, &agent.permissions, &contract.session_id] {
            at_most("bytes in a setting of the agent", text.len(), AGENT_SETTING_MAX)?;
        }
    }
    at_most("bytes of git settings", contract.git_config.len(), GIT_FILE_MAX)?;
    at_most("bytes of git ignore rules", contract.git_excludes.len(), GIT_FILE_MAX)?;
    let variables = contract.environment.iter().map(|v| v.name.len() + v.value.len() + 1);
    let texts = || contract.command.iter().map(Vec::len).chain(variables.clone());
    for len in texts().chain(contract.setup.iter().map(String::len)) {
        at_most("bytes in one argument or variable", len, TEXT_MAX)?;
    }
    at_most("bytes of arguments and variables", texts().sum(), TEXTS_SUM_MAX)
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), TermsError> {
    if count <= limit { Ok(()) } else { Err(TermsError::TooMany { what, count, limit }) }
}

/// A path that something of the run's may be mounted at.
fn usable(what: &'static str, bytes: &[u8]) -> Result<AbsolutePath, TermsError> {
    let path = AbsolutePath::parse(bytes).map_err(|source| TermsError::Path { what, source })?;
    let ours = path.components().next().filter(|&top| top == SANDBOX_TOP_LEVEL);
    match path.reserved_top_level().or(ours).map(escaped) {
        Some(top) => Err(TermsError::Reserved { what, path, top }),
        None => Ok(path),
    }
}

fn in_tree(
    what: &'static str,
    bytes: &[u8],
    root: &AbsolutePath,
) -> Result<AbsolutePath, TermsError> {
    let path = AbsolutePath::parse(bytes).map_err(|source| TermsError::Path { what, source })?;
    if path.starts_with(root) {
        Ok(path)
    } else {
        Err(TermsError::OutsideRoot { what, path, root: root.clone() })
    }
}

fn path_entry(bytes: &[u8], root: &AbsolutePath) -> Result<AbsolutePath, TermsError> {
    const WHAT: &str = "directory of PATH";
    let path = in_tree(WHAT, bytes, root)?;
    if bytes.contains(&b':') {
        return Err(TermsError::Character { what: WHAT, text: path.to_string() });
    }
    Ok(path)
}

fn account(account: &wire::Account) -> Result<Account, TermsError> {
    let home = usable("home directory", &account.home)?;
    // These end a field of /etc/passwd.
    if home.as_bytes().iter().any(|&byte| byte == b':' || byte.is_ascii_control()) {
        return Err(TermsError::Character { what: "home directory", text: home.to_string() });
    }
    let ordinary = |id| if id == 0 { ORDINARY_ID } else { id };
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':' && byte != b'/';
    let fits = (1..=NAME_MAX).contains(&account.name.len()) && account.name.bytes().all(plain);
    let shell_is_path = Path::new(&account.shell).is_absolute() && !account.shell.contains('\0');
    Ok(Account {
        name: if fits { account.name.clone() } else { ORDINARY_NAME.to_owned() },
        home,
        uid: ordinary(account.uid),
        gid: ordinary(account.gid),
        shell: if shell_is_path { account.shell.clone() } else { String::new() },
    })
}

fn caches(
    paths: &[Vec<u8>],
    root: &AbsolutePath,
    home: &AbsolutePath,
) -> Result<Vec<AbsolutePath>, TermsError> {
    let mut caches = Vec::with_capacity(paths.len());
    for bytes in paths {
        let cache = usable("cache", bytes)?;
        if let Some(hidden) = [root, home].into_iter().find(|path| path.starts_with(&cache)) {
            return Err(TermsError::HidingCache { cache, hidden: hidden.clone() });
        }
        if !caches.contains(&cache) {
            caches.push(cache);
        }
    }
    Ok(caches)
}

/// Where the agent keeps its settings and sessions: a directory of its own, which hides nothing.
fn agent_directory(
    terms: &wire::AgentTerms,
    root: &AbsolutePath,
    home: &AbsolutePath,
) -> Result<AbsolutePath, TermsError> {
    const WHAT: &str = "directory of the agent";
    let directory = usable(WHAT, &terms.directory)?;
    if let Some(hidden) = [root, home].into_iter().find(|path| path.starts_with(&directory)) {
        return Err(TermsError::HidingAgent { directory, hidden: hidden.clone() });
    }
    Ok(directory)
}

fn variable(variable: &wire::EnvironmentVariable) -> Result<(OsString, OsString), TermsError> {
    let name = text("variable name", &variable.name)?;
    if variable.name.is_empty() || variable.name.contains(&b'=') {
        return Err(TermsError::Character { what: "variable name", text: escaped(&variable.name) });
    }
    // The value may be a secret: a message names the variable only.
    match text("variable", &variable.value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(TermsError::Character { what: "variable", text: escaped(&variable.name) }),
    }
}

fn globs(globs: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, TermsError> {
    globs.iter().try_for_each(|glob| text("glob", glob).map(drop))?;
    Ok(globs.to_vec())
}

fn text(what: &'static str, bytes: &[u8]) -> Result<OsString, TermsError> {
    if bytes.contains(&0) {
        return Err(TermsError::Character { what, text: escaped(bytes) });
    }
    Ok(OsString::from_vec(bytes.to_vec()))
}
