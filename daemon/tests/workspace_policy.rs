//! The policies of a run's steps and of its harvest, as the sandbox gets them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use handoff_daemon::config::{Config, NetworkAccess};
use handoff_daemon::harvest::job_spec;
use handoff_daemon::store::UserName;
use handoff_daemon::workspace::{
    Layout, Owner, PolicyError, PolicyInput, Purpose, Terms, Tools, View, spec,
};
use handoff_proto::run::{Contract, RunId};
use handoff_proto::wire;
use handoff_sandbox::{Access, Network, Spec};

struct Daemon {
    top: tempfile::TempDir,
    config: Config,
    contract: Contract,
    tools: Tools,
    owner: Owner,
}

impl Daemon {
    fn new() -> Self {
        let top = tempfile::tempdir().expect("directory");
        let contract = Contract {
            command: vec![b"make".to_vec(), b"test".to_vec()],
            setup: vec!["npm ci && true".to_owned()],
            root: b"/home/alice/src/app".to_vec(),
            directory: b"/home/alice/src/app/sub".to_vec(),
            caches: vec![b"/home/alice/.npm".to_vec()],
            umask: 0o027,
            git_excludes: b"*.swp\n".to_vec(),
            carry_include: vec![b"*.log".to_vec(), b"/a b/".to_vec()],
            carry_exclude: vec![b"*.mp4".to_vec()],
            account: Some(wire::Account {
                name: "alice".to_owned(),
                home: b"/home/alice".to_vec(),
                uid: 501,
                gid: 20,
                shell: "/bin/sh".to_owned(),
            }),
            ..Contract::default()
        };
        let owner = Owner::Daemon;
        let daemon =
            Self { top, config: Config::default(), contract, tools: Tools::default(), owner };
        fs::create_dir_all(daemon.layout().base().directory()).expect("base");
        fs::create_dir_all(daemon.layout().workspace()).expect("workspace");
        daemon
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().canonicalize().expect("real path").join(name)
    }

    fn layout(&self) -> Layout {
        Layout::new(self.path("runs/x"))
    }

    fn with<T>(&self, make: impl FnOnce(&PolicyInput<'_>) -> T) -> T {
        let user = UserName::parse("ada").expect("user");
        make(&PolicyInput {
            config: &self.config,
            state: self.top.path(),
            tools: &self.tools,
            terms: &Terms::parse(&self.contract).expect("terms"),
            run: &RunId::from_random([3; 10]),
            user: &user,
            layout: &self.layout(),
            view: &View::Copy,
            owner: self.owner,
            egress: None,
            agent: None,
        })
    }

    fn step(&self, purpose: Purpose) -> Result<Spec, PolicyError> {
        self.with(|input| spec(input, purpose))
    }

    fn harvest(&self) -> Spec {
        self.with(|input| job_spec(input, None)).expect("policy")
    }
}

fn mounts(spec: &Spec) -> Vec<(&Path, &Path, Access)> {
    spec.mounts.iter().map(|m| (m.source.as_path(), m.target.as_path(), m.access)).collect()
}

#[test]
fn a_command_gets_what_its_contract_says_and_no_more() {
    let mut daemon = Daemon::new();
    fs::create_dir(daemon.path("tools")).expect("tools");
    daemon.tools = Tools::configured(&[daemon.path("tools")]).expect("tools");
    let spec = daemon.step(Purpose::Command).expect("policy");
    assert_eq!(spec.argv, ["make", "test"]);
    assert_eq!(spec.cwd, Path::new("/home/alice/src/app/sub"));
    assert_eq!((spec.account.uid, spec.account.gid, spec.umask), (501, 20, 0o027));
    assert_eq!((spec.host_uid, spec.network), (None, Network::Fenced));
    assert_eq!(spec.limits.memory_bytes, daemon.config.runs.memory_bytes);
    assert_eq!(spec.limits.file_size_bytes, Some(daemon.config.runs.disk_bytes));
    let found = mounts(&spec);
    let has = |source: &Path, target: &str, access| {
        assert!(found.contains(&(source, Path::new(target), access)), "{target} in {found:?}");
    };
    has(&daemon.path("runs/x/writable/home"), "/home/alice", Access::ReadWrite);
    has(&daemon.path("runs/x/writable/workspace"), "/home/alice/src/app", Access::ReadWrite);
    let tools = daemon.path("tools");
    has(&tools, tools.to_str().expect("text"), Access::ReadOnly);
    let cache = found.iter().find(|mount| mount.1 == Path::new("/home/alice/.npm")).expect("cache");
    assert!(cache.0.starts_with(daemon.path("caches")) && cache.0.is_dir());
    assert_eq!(found.len(), 4);
}

#[test]
fn a_setup_step_is_the_same_with_a_shell() {
    let daemon = Daemon::new();
    let (setup, command) = (
        daemon.step(Purpose::Setup(0)).expect("policy"),
        daemon.step(Purpose::Command).expect("policy"),
    );
    assert_eq!(setup.argv, ["/bin/sh", "-c", "npm ci && true"]);
    assert_ne!(setup.name, command.name);
    assert_eq!((setup.mounts, setup.env, setup.cwd), (command.mounts, command.env, command.cwd));
    assert!(matches!(daemon.step(Purpose::Setup(1)), Err(PolicyError::NoSuchStep(1))));
}

#[test]
fn settings_reach_the_policy() {
    let mut daemon = Daemon::new();
    daemon.config.network.access = NetworkAccess::Host;
    daemon.config.isolation.require = vec!["landlock".to_owned()];
    daemon.owner = Owner::Own(0x7000_0005.try_into().expect("uid"));
    if rustix::process::geteuid().is_root() {
        let spec = daemon.step(Purpose::Command).expect("policy");
        assert_eq!((spec.host_uid, spec.network), (Some(0x7000_0005), Network::Host));
        assert_eq!(spec.require.len(), 1);
    }
    // Another one: what was given to a run does not come back to a daemon that is root.
    let mut daemon = Daemon::new();
    daemon.config.isolation.require = vec!["moat".to_owned()];
    let error = daemon.step(Purpose::Command).expect_err("unknown layer").to_string();
    assert!(error.contains("moat") && error.contains("landlock"), "{error}");
}

#[test]
fn a_harvest_can_read_the_tree_and_change_nothing() {
    let mut daemon = Daemon::new();
    daemon.config.network.access = NetworkAccess::Host;
    let spec = daemon.harvest();
    assert_eq!(spec.network, Network::None);
    assert!(spec.mounts.iter().all(|mount| mount.access == Access::ReadOnly));
    let found = mounts(&spec);
    assert_eq!(found.len(), 3, "neither home nor caches nor tools: {found:?}");
    assert_eq!(found[0].0, daemon.path("runs/x/base"));
    assert_eq!(found[1].0, daemon.path("runs/x/rules"));
    assert_eq!(found[2].1, Path::new("/home/alice/src/app"));
    assert_eq!(spec.argv[1], "harvest");
    assert_eq!(spec.account.home, spec.cwd);
    assert!(!spec.mounts.iter().any(|mount| spec.cwd.starts_with(&mount.target)));
    let rules = daemon.layout().rules();
    for (rules, content) in [
        (rules.ignore(), &b"*.swp\n"[..]),
        (rules.include(), b"*.log\0/a b/\0"),
        (rules.exclude(), b"*.mp4\0"),
    ] {
        assert_eq!(fs::read(&rules).expect("rules"), content);
        assert_eq!(fs::metadata(&rules).expect("rules").permissions().mode() & 0o044, 0o044);
    }
}

#[test]
fn our_own_places_move_aside_for_a_tree_of_that_name() {
    let mut daemon = Daemon::new();
    daemon.contract.root = b"/harvest-base/app".to_vec();
    daemon.contract.directory = daemon.contract.root.clone();
    daemon.contract.account.as_mut().expect("account").home = b"/harvest-scratch".to_vec();
    let spec = daemon.harvest();
    assert_eq!(spec.mounts[0].target, Path::new("/harvest-base-1"));
    assert_eq!(spec.cwd, Path::new("/harvest-scratch-1"));
}

#[test]
fn caches_in_the_tree_are_named_to_the_harvest_as_places_to_mount_on() {
    let mut daemon = Daemon::new();
    daemon.contract.caches = vec![b"/home/alice/src/app/node_modules/.cache".to_vec()];
    let spec = daemon.harvest();
    let at = spec.argv.iter().position(|word| word == "--mount-point").expect("named");
    assert_eq!(spec.argv[at + 1], "node_modules/.cache");
}
