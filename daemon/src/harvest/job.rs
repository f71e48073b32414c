//! The sandbox policy of a harvest: a fresh jail with the run's uid, in which the tree can only be
//! read, with no network and nothing of the run's home.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use handoff_sandbox::{Access, Account, INIT_PATH, Limits, Mount, Network, Spec};

use super::arguments::{Arguments, SUBCOMMAND, SessionArguments};
use super::ingest::ExpectedSession;
use crate::workspace::{self, Base, PolicyError, PolicyInput, Rules, Terms};

/// Where the jail shows what there is of the snapshot.
const BASE: &str = "/harvest-base";

/// Where the jail shows what the run's agent keeps.
const SESSION: &str = "/harvest-session";

/// The jail's home, empty and in memory, in which git directories of ours and packs are made.
const SCRATCH: &str = "/harvest-scratch";

/// A harvester has a few threads, and one git at a time with a few of its own.
pub(crate) const PROCESSES: u64 = 256;

/// Wall time of a harvest, in seconds: far more than hashing the largest allowed tree takes.
pub(crate) const TIME_LIMIT_SECONDS: u64 = 3600;

/// Makes the policy of a run's harvest.
///
/// # Errors
///
/// When the user's ignore rules cannot be written for the harvester, or the settings name an unknown
/// layer.
pub fn job_spec(
    input: &PolicyInput<'_>,
    session: Option<&ExpectedSession>,
) -> Result<Spec, PolicyError> {
    let terms = input.terms;
    let layout = workspace::real_layout(input.layout)?;
    write_rules(&layout.rules(), terms)?;
    let base = workspace::free_path(BASE, terms);
    let scratch = workspace::free_path(SCRATCH, terms);
    let step_mounts = workspace::step_mounts(input)?;
    let arguments = Arguments {
        tree: terms.root.as_os_path().to_owned(),
        base: base.as_os_path().to_owned(),
        scratch: scratch.as_os_path().to_owned(),
        mount_points: workspace::targets_in_tree(&step_mounts, &terms.root),
        session: session.map(|session| SessionArguments {
            agent: session.agent.clone(),
            id: session.id.clone(),
            directory: session.directory.clone(),
            place: workspace::free_path(SESSION, terms).as_os_path().to_owned(),
        }),
    };
    let read_only = |source: PathBuf, target: &PathBuf| Mount {
        source,
        target: target.clone(),
        access: Access::ReadOnly,
    };
    let mut mounts = vec![
        read_only(layout.base().directory().to_owned(), &arguments.base),
        read_only(
            layout.rules().directory().to_owned(),
            &Base::new(&arguments.base).rules().directory().to_owned(),
        ),
    ];
    let session = arguments.session.as_ref();
    mounts.extend(session.map(|session| read_only(layout.agent(), &session.place)));
    let overlay = workspace::overlay(input, Access::ReadOnly)?;
    if overlay.is_none() {
        mounts.push(read_only(layout.workspace(), &arguments.tree));
    }
    Ok(Spec {
        name: format!("{}-harvest", input.run),
        argv: [INIT_PATH.into(), SUBCOMMAND.into()].into_iter().chain(arguments.write()).collect(),
        env: vec![
            ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
            ("LC_ALL".into(), "C".into()),
            ("TMPDIR".into(), arguments.scratch.clone().into()),
        ],
        cwd: arguments.scratch.clone(),
        account: Account { home: arguments.scratch.clone(), ..workspace::account(terms) },
        host_uid: input.owner.host_uid(),
        hostname: workspace::HOSTNAME.to_owned(),
        mounts,
        overlays: overlay.into_iter().collect(),
        terminal: None,
        network: Network::None,
        limits: limits(input),
        umask: 0o077,
        require: workspace::required_layers(input.config)?,
    })
}

/// The scratch directory is memory: half of what the run may use, the other half is for git.
fn limits(input: &PolicyInput<'_>) -> Limits {
    let limits = workspace::limits(input.config);
    Limits {
        processes: PROCESSES,
        tmp_bytes: (limits.memory_bytes / 2).max(1),
        file_size_bytes: None,
        ..limits
    }
}

/// Keeps what decides about being carried where the harvester finds it and the run could not
/// change it.
fn write_rules(rules: &Rules, terms: &Terms) -> Result<(), PolicyError> {
    let directory = rules.directory();
    let make = || {
        fs::DirBuilder::new().recursive(true).create(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
    };
    make().map_err(|source| PolicyError::Place { path: directory.to_owned(), source })?;
    write_for_jail(&rules.ignore(), &terms.git_excludes)?;
    write_for_jail(&rules.include(), &terminated(&terms.carry_include))?;
    write_for_jail(&rules.exclude(), &terminated(&terms.carry_exclude))
}

fn write_for_jail(path: &std::path::Path, content: &[u8]) -> Result<(), PolicyError> {
    let write = || {
        fs::write(path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    };
    write().map_err(|source| PolicyError::Place { path: path.to_owned(), source })
}

/// Globs with a NUL byte after each, which none of them holds.
fn terminated(globs: &[Vec<u8>]) -> Vec<u8> {
    globs.iter().flat_map(|glob| [glob.as_slice(), b"\0"].concat()).collect()
}
