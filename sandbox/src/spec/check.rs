//! Decides whether a policy is acceptable at all. Pure: looks at nothing but the policy.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{Access, Limits, Overlay, Spec, target};
use crate::report::{Refusal, Step};

/// Most mounts of one run. Each is a few system calls and a line of every process's `mountinfo`.
const MOUNTS_MAX: usize = 256;

/// Most lower layers of an overlay. The kernel takes more; each costs a look-up of every name.
const LOWERS_MAX: usize = 64;

/// Longest name of a run; it becomes a directory of the control group file system.
const NAME_MAX: usize = 64;

/// The kernel's own limit on host names.
const HOSTNAME_MAX: usize = 64;

/// Longest name of a user that `useradd` and the tools around `/etc/passwd` take.
const USER_MAX: usize = 32;

/// Less memory than this and not even init starts reliably.
const MEMORY_MIN: u64 = 16 << 20;

impl Spec {
    /// Checks the policy.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        self.check_command()?;
        self.check_account()?;
        self.check_mounts()?;
        check_limits(&self.limits)?;
        let named = |name: &str, max, extra: &[u8]| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
            !name.is_empty() && name.len() <= max && name.bytes().all(allowed)
        };
        require(named(&self.name, NAME_MAX, b"-"), || {
            format!("the name {:?} is not 1 to {NAME_MAX} letters, digits and dashes", self.name)
        })?;
        require(named(&self.hostname, HOSTNAME_MAX, b"-."), || {
            format!("the host name {:?} is not a host name", self.hostname)
        })?;
        require(self.umask <= 0o777, || format!("the umask {:o} has extra bits", self.umask))
    }

    /// Returns the uid that the run has on the host, given the caller's.
    pub(crate) fn identity(&self, caller: u32) -> Result<u32, Refusal> {
        let refuse = |detail: String| Err(Refusal::new(Step::Identity, detail));
        match (caller, self.host_uid) {
            (_, Some(0)) => refuse("the run would be root on the host".into()),
            (0, None) => refuse("a caller that is root must name the host uid of the run".into()),
            (0, Some(uid)) => Ok(uid),
            // Whether an ordinary user may give away another uid is seen when it is tried.
            (_, Some(uid)) => Ok(uid),
            (caller, None) => Ok(caller),
        }
    }

    fn check_command(&self) -> Result<(), Refusal> {
        require(self.argv.first().is_some_and(|command| !command.is_empty()), || {
            "there is no command".into()
        })?;
        let values = self.env.iter().map(|(_, value)| value);
        require(self.argv.iter().chain(values).all(|text| !has_nul(text)), || {
            "an argument or a variable contains a NUL byte".into()
        })?;
        for (name, _) in &self.env {
            let bytes = name.as_bytes();
            require(!bytes.is_empty() && !bytes.contains(&b'=') && !has_nul(name), || {
                format!("the variable name {name:?} is not a variable name")
            })?;
        }
        require(self.cwd.is_absolute() && !has_nul(self.cwd.as_os_str()), || {
            format!("the working directory {} is not absolute", self.cwd.display())
        })
    }

    fn check_account(&self) -> Result<(), Refusal> {
        let account = &self.account;
        require(account.uid != 0 && account.gid != 0, || {
            "the account inside must be neither uid 0 nor gid 0".into()
        })?;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':' && byte != b'/';
        let user = account.user.as_str();
        require(!user.is_empty() && user.len() <= USER_MAX && user.bytes().all(plain), || {
            format!("the user name {user:?} cannot stand in /etc/passwd")
        })?;
        let home = account.home.as_os_str().as_bytes();
        require(!home.iter().any(|byte| *byte == b':' || byte.is_ascii_control()), || {
            format!("the home {} cannot stand in /etc/passwd", account.home.display())
        })?;
        target::check(&account.home)
    }

    fn check_mounts(&self) -> Result<(), Refusal> {
        require(self.mounts.len() <= MOUNTS_MAX, || {
            format!("{} mounts are more than {MOUNTS_MAX}", self.mounts.len())
        })?;
        for (index, mount) in self.mounts.iter().enumerate() {
            target::check(&mount.target)?;
            require(is_real(&mount.source), || {
                format!("the source {} is not a real path", mount.source.display())
            })?;
            let twice = self.mounts[..index].iter().any(|other| other.target == mount.target);
            require(!twice, || format!("{} is mounted twice", mount.target.display()))?;
        }
        for (index, overlay) in self.overlays.iter().enumerate() {
            self.check_overlay(overlay, &self.overlays[..index])?;
        }
        Ok(())
    }

    fn check_overlay(&self, overlay: &Overlay, earlier: &[Overlay]) -> Result<(), Refusal> {
        let shown = overlay.target.display();
        target::check(&overlay.target)?;
        require((1..=LOWERS_MAX).contains(&overlay.lowers.len()), || {
            format!("the overlay {shown} has not 1 to {LOWERS_MAX} lower layers")
        })?;
        for source in overlay.lowers.iter().chain([&overlay.changes]) {
            require(is_real(source), || {
                format!("the source {} is not a real path", source.display())
            })?;
        }
        require(matches!(overlay.access, Access::ReadOnly | Access::ReadWrite), || {
            format!("the overlay {shown} is neither read-only nor writable")
        })?;
        let mounts = self.mounts.iter().map(|mount| &mount.target);
        let mut targets = mounts.chain(earlier.iter().map(|other| &other.target));
        require(targets.all(|target| *target != overlay.target), || {
            format!("{shown} is mounted twice")
        })
    }
}

/// A source is below the root: showing all of the host is not a policy.
fn is_real(source: &Path) -> bool {
    target::is_plain(source) && source.parent().is_some()
}

fn check_limits(limits: &Limits) -> Result<(), Refusal> {
    require(limits.memory_bytes >= MEMORY_MIN, || {
        format!("{} bytes of memory are too few to start anything", limits.memory_bytes)
    })?;
    let counts = [limits.processes, limits.open_files, limits.tmp_bytes, limits.shm_bytes];
    require(counts.iter().all(|limit| *limit > 0), || "a limit of 0 allows nothing".into())
}

fn has_nul(text: &OsStr) -> bool {
    text.as_bytes().contains(&0)
}

fn require(holds: bool, detail: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::new(Step::Policy, detail())) }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::PathBuf;

    use super::*;
    use crate::spec::{Account, Mount, Network};

    fn spec() -> Spec {
        Spec {
            name: "run-1".into(),
            argv: vec!["true".into()],
            env: vec![("PATH".into(), "/usr/bin".into())],
            cwd: "/home/alice".into(),
            account: Account {
                uid: 1000,
                gid: 1000,
                user: "alice".into(),
                home: "/home/alice".into(),
            },
            host_uid: None,
            hostname: "handoff".into(),
            mounts: vec![Mount {
                source: "/var/lib/home".into(),
                target: "/home/alice".into(),
                access: Access::ReadWrite,
            }],
            overlays: Vec::new(),
            terminal: None,
            network: Network::None,
            limits: Limits::default(),
            umask: 0o022,
            require: Vec::new(),
        }
    }

    fn refused(change: impl FnOnce(&mut Spec)) {
        let mut spec = spec();
        spec.check().expect("acceptable before the change");
        change(&mut spec);
        let refusal = spec.check().expect_err("not acceptable after the change");
        assert!(matches!(refusal.step, Step::Policy | Step::Target), "{refusal}");
    }

    #[test]
    fn an_acceptable_policy_with_any_bytes_survives_serialisation() {
        let mut spec = spec();
        let odd = || OsString::from_vec(b"\xff a\x80".to_vec());
        spec.argv.push(odd());
        spec.env.push(("ODD".into(), odd()));
        spec.mounts[0].source = PathBuf::from("/var").join(odd());
        spec.cwd = PathBuf::from("/home/alice").join(odd());
        spec.check().expect("acceptable");
        let json = serde_json::to_string(&spec).expect("serialise");
        assert_eq!(serde_json::from_str::<Spec>(&json).expect("deserialise"), spec);
        assert!(json.contains(r#""argv":["true",["#) || json.contains(r#""argv":["true",[255"#));
    }

    #[test]
    fn root_inside_is_refused() {
        refused(|spec| spec.account.uid = 0);
        refused(|spec| spec.account.gid = 0);
    }

    #[test]
    fn names_that_would_be_read_as_something_else_are_refused() {
        refused(|spec| spec.name = "../x".into());
        refused(|spec| spec.name.clear());
        refused(|spec| spec.hostname = "a\nb".into());
        refused(|spec| spec.account.user = "x:0:0".into());
        refused(|spec| spec.account.user = "a\nroot::0:0".into());
        refused(|spec| spec.account.home = "/home/a:b".into());
    }

    #[test]
    fn commands_that_cannot_be_passed_on_are_refused() {
        refused(|spec| spec.argv.clear());
        refused(|spec| spec.argv[0].clear());
        refused(|spec| spec.argv.push("a\0b".into()));
        refused(|spec| spec.env.push(("A=B".into(), "c".into())));
        refused(|spec| spec.env.push(("".into(), "c".into())));
        refused(|spec| spec.cwd = "relative".into());
    }

    #[test]
    fn mounts_that_show_too_much_or_twice_are_refused() {
        refused(|spec| spec.mounts[0].source = "/".into());
        refused(|spec| spec.mounts[0].source = "/var/../etc".into());
        refused(|spec| spec.mounts[0].target = "/etc/x".into());
        refused(|spec| spec.mounts.push(spec.mounts[0].clone()));
    }

    #[test]
    fn limits_that_allow_nothing_are_refused() {
        refused(|spec| spec.limits.memory_bytes = 1024);
        refused(|spec| spec.limits.processes = 0);
        refused(|spec| spec.umask = 0o7777);
    }

    #[test]
    fn nobody_chooses_root() {
        let with = |uid| Spec { host_uid: uid, ..spec() };
        assert_eq!(with(Some(7000)).identity(0), Ok(7000));
        assert_eq!(with(None).identity(1000), Ok(1000));
        assert_eq!(with(Some(1000)).identity(1000), Ok(1000));
        assert_eq!(with(Some(100_000)).identity(1000), Ok(100_000));
        for (uid, caller) in [(None, 0), (Some(0), 0), (Some(0), 1000)] {
            let refusal = with(uid).identity(caller).expect_err("refused");
            assert_eq!(refusal.step, Step::Identity);
        }
    }
}
