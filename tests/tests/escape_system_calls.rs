//! Attempt: reach the parts of the kernel that no build needs.

use std::process::Command;

use handoff_tests::escape::{Act, Lab, call, doing};

/// Calls that do no harm even where they are allowed. Of what is denied, `vhangup` is not among them:
/// the control would hang up the terminal of whoever runs it.
fn acts() -> Vec<Act> {
    let mut acts = of_one_architecture();
    acts.extend([
        call("bpf", libc::SYS_bpf, "0, 0, 0"),
        call("perf_event_open", libc::SYS_perf_event_open, "0, 0, -1, -1, 0"),
        call("userfaultfd", libc::SYS_userfaultfd, "1"),
        call("io_uring_setup", libc::SYS_io_uring_setup, "8, my $b = text(' ') x 200"),
        call("io_uring_enter", libc::SYS_io_uring_enter, "-1, 0, 0, 0, 0, 0"),
        call("io_uring_register", libc::SYS_io_uring_register, "-1, 0, 0, 0"),
        call("keyctl", libc::SYS_keyctl, "0, -3, 0"),
        call("add_key", libc::SYS_add_key, "text('nonsense'), text('a'), text('b'), 1, -3"),
        call("request_key", libc::SYS_request_key, "text('nonsense'), text('a'), 0, 0"),
        call("kexec_load", libc::SYS_kexec_load, "0, 0, 0, 0xffff"),
        call("init_module", libc::SYS_init_module, "0, 0, text('')"),
        call("finit_module", libc::SYS_finit_module, "-1, text(''), 0"),
        call("delete_module", libc::SYS_delete_module, "text('no-such-module'), 0"),
        call("open_by_handle_at", libc::SYS_open_by_handle_at, "-1, 0, 0"),
        call("name_to_handle_at", libc::SYS_name_to_handle_at, "-1, text(''), 0, 0, 0"),
        call("fanotify_init", libc::SYS_fanotify_init, "0xffff, 0"),
        call("syslog", libc::SYS_syslog, "10, 0, 0"),
        call("reboot", libc::SYS_reboot, "0, 0, 0, 0"),
        call("swapon", libc::SYS_swapon, "text('/no-such-file'), 0"),
        call("swapoff", libc::SYS_swapoff, "text('/no-such-file')"),
        call("acct", libc::SYS_acct, "text('/no-such-file')"),
        call("quotactl", libc::SYS_quotactl, "0, text('/no-such-file'), 0, 0"),
        call("clock_settime", libc::SYS_clock_settime, "0, 0"),
        call("pidfd_getfd", libc::SYS_pidfd_getfd, "-1, 0, 0"),
        call("kcmp", libc::SYS_kcmp, "$$, $$, 0, 0, 0"),
        call("mbind", libc::SYS_mbind, "0, 0, 0, 0, 0, 0"),
        call("get_mempolicy", libc::SYS_get_mempolicy, "0, 0, 0, 0, 0"),
        call("sethostname", libc::SYS_sethostname, "0, -1"),
        call("migrate_pages", libc::SYS_migrate_pages, "-1, 0, 0, 0"),
        call("kexec_file_load", libc::SYS_kexec_file_load, "-1, -1, 0, 0, 0xffff"),
        call("lookup_dcookie", libc::SYS_lookup_dcookie, "0, 0, 0"),
        call("move_pages", libc::SYS_move_pages, "0, 0, 0, 0, 0, 0xffff"),
        call("nfsservctl", libc::SYS_nfsservctl, "0, 0, 0"),
        call("process_madvise", libc::SYS_process_madvise, "-1, 0, 0, 0, 0"),
        call("quotactl_fd", libc::SYS_quotactl_fd, "-1, 0, 0, 0"),
        call("set_mempolicy", libc::SYS_set_mempolicy, "-1, 0, 0"),
        call("home_node", libc::SYS_set_mempolicy_home_node, "0, 0, 0, 1"),
        call("setdomainname", libc::SYS_setdomainname, "0, -1"),
        call("settimeofday", libc::SYS_settimeofday, "1, 0"),
    ]);
    acts
}

#[cfg(target_arch = "x86_64")]
fn of_one_architecture() -> Vec<Act> {
    vec![
        call("iopl", libc::SYS_iopl, "4"),
        call("ioperm", libc::SYS_ioperm, "0, 0, 0"),
        call("modify_ldt", libc::SYS_modify_ldt, "0, 0, 0"),
        call("uselib", libc::SYS_uselib, "text('/no-such-file')"),
        call("ustat", libc::SYS_ustat, "0, 0"),
        call("sysfs", libc::SYS_sysfs, "3"),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn of_one_architecture() -> Vec<Act> {
    Vec::new()
}

/// Calls that are there and do nothing with these arguments: what recent libraries try first.
fn recent() -> Vec<Act> {
    // From 424 on, numbers are the same everywhere.
    vec![
        call("openat2", libc::SYS_openat2, "-1, 0, 0, 0"),
        call("faccessat2", libc::SYS_faccessat2, "-1, 0, 0, 0"),
        call("close_range", libc::SYS_close_range, "2, 1, 0"),
        call("epoll_pwait2", libc::SYS_epoll_pwait2, "-1, 0, 0, 0, 0, 0"),
        call("futex_waitv", libc::SYS_futex_waitv, "0, 0, 0, 0, 0"),
        call("landlock", libc::SYS_landlock_create_ruleset, "0, 0, 1"),
        call("rseq", libc::SYS_rseq, "0, 0, 0, 0"),
        call("statx", libc::SYS_statx, "-1, 0, 0, 0, 0"),
        call("cachestat", 451, "-1, 0, 0, 0"),
        call("fchmodat2", 452, "-1, 0, 0, 0"),
        call("map_shadow_stack", 453, "1, 0, 0"),
        call("futex_wake", 454, "0, 0, 0, 0"),
        call("mseal", libc::SYS_mseal, "1, 0, 0"),
        call("getxattrat", 464, "-1, 0, 0, 0, 0, 0"),
        call("ptrace", libc::SYS_ptrace, "-1, 0, 0, 0"),
        call("process_vm_readv", libc::SYS_process_vm_readv, "0, 0, 0, 0, 0, 0"),
        call("asks", libc::SYS_personality, "0xffffffff"),
        call("not-random", libc::SYS_personality, "0x40000"),
    ]
}

/// Calls that a kernel can be built without, or that recent ones have no more.
const OPTIONAL: [&str; 14] = [
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "lookup_dcookie",
    "nfsservctl",
    "quotactl_fd",
    "home_node",
    "modify_ldt",
    "iopl",
    "ioperm",
    "uselib",
    "sysfs",
];

/// A number that no kernel has given out.
const NOT_YET: libc::c_long = 1000;

/// A call that exists, and that nobody has decided about.
const LSM_LIST_MODULES: libc::c_long = 461;

/// The number of `getpid` in the x32 interface.
const X32_GETPID: libc::c_long = 0x4000_0000 | 39;

fn attempt(lab: &Lab) {
    let command = doing(&acts());
    // As root: most of these need rights outside, too, and the point is that they exist.
    let outside = Command::new(&command[0]).args(&command[1..]).output().expect("run the control");
    let outside = String::from_utf8_lossy(&outside.stdout).into_owned();
    assert_eq!(outside.lines().count(), acts().len(), "{outside}");
    for line in outside.lines() {
        let (name, result) = line.split_once(' ').expect("a name and a result");
        assert_ne!(result, "EPERM", "{line}");
        assert!(result != "ENOSYS" || OPTIONAL.contains(&name), "{line}");
    }

    let inside = lab.jail("calls").run(&command);
    for (name, _) in acts() {
        inside.says(name, "EPERM");
    }
    let inside = lab.jail("recent").run(&doing(&recent()));
    // Whatever this kernel answers: the filters are not in the way.
    assert_eq!(inside.succeeded(), lab.outside(&doing(&recent())).succeeded());
    assert!(!inside.stdout.contains("EPERM"), "{inside:?}");
    let others = [
        call("getpid", libc::SYS_getpid, ""),
        call("x32", X32_GETPID, ""),
        call("next", NOT_YET, ""),
        call("secret", libc::SYS_memfd_secret, "0xffff"),
        call("modules", LSM_LIST_MODULES, "0, 0, 0xffff"),
        call("executable", libc::SYS_personality, "0x400000"),
        call("upper-half", libc::SYS_mount | 0x1_0000_0000, "0, 0, 0, 0, 0"),
    ];
    let outside = lab.outside(&doing(&others));
    for (name, outcome) in [("secret", "EINVAL"), ("modules", "EINVAL"), ("executable", "ok")] {
        outside.says(name, outcome);
    }
    let inside = lab.jail("others").run(&doing(&others));
    inside.says("getpid", "ok");
    for name in ["x32", "next", "secret", "modules"] {
        inside.says(name, "ENOSYS");
    }
    for name in ["executable", "upper-half"] {
        inside.says(name, "EPERM");
    }
}

handoff_tests::attempt!(attempt);
