//! The list of what is allowed. Data only.
//!
//! It follows the default profile of Docker and Podman (`seccomp/default.json` in the repository
//! `moby/profiles`, as of June 2026) as that is for a container without capabilities, less what a
//! run has no use for and this list says. What is in neither this list nor that of denied calls
//! does not exist for a run.

// One import instead of three hundred prefixes: nothing but names of system calls follows.
use libc::*;

/// System calls that are allowed whatever their arguments.
pub(super) fn calls() -> Vec<c_long> {
    [FILES, MEMORY, PROCESSES, IDENTITY, TIME, WAITING, MESSAGES, ARCHITECTURE].concat()
}

/// Without `name_to_handle_at`, which the profile has: handles go around paths.
#[rustfmt::skip]
const FILES: &[c_long] = &[
    // By name.
    SYS_chdir, SYS_execve, SYS_execveat, SYS_faccessat, SYS_faccessat2, SYS_fchdir, SYS_fchmodat,
    FCHMODAT2, SYS_fchownat, SYS_getcwd, SYS_linkat, SYS_mkdirat, SYS_mknodat, SYS_newfstatat,
    SYS_openat, SYS_openat2, SYS_readlinkat, SYS_renameat2, SYS_statfs, SYS_statx,
    SYS_symlinkat, SYS_truncate, SYS_umask, SYS_unlinkat, SYS_utimensat, LISTMOUNT, STATMOUNT,
    // By descriptor.
    SYS_close, SYS_close_range, SYS_copy_file_range, SYS_dup, SYS_dup3, SYS_fadvise64,
    SYS_fallocate, SYS_fchmod, SYS_fchown, SYS_fcntl, SYS_fdatasync, SYS_flock, SYS_fstat,
    SYS_fstatfs, SYS_fsync, SYS_ftruncate, SYS_getdents64, SYS_lseek, SYS_pipe2, SYS_pread64,
    SYS_preadv, SYS_preadv2, SYS_pwrite64, SYS_pwritev, SYS_pwritev2, SYS_read, SYS_readahead,
    SYS_readv, SYS_sendfile, SYS_splice, SYS_sync, SYS_syncfs, SYS_tee,
    SYS_vmsplice, SYS_write, SYS_writev, CACHESTAT,
    // Extended attributes.
    SYS_fgetxattr, SYS_flistxattr, SYS_fremovexattr, SYS_fsetxattr, SYS_getxattr, SYS_lgetxattr,
    SYS_listxattr, SYS_llistxattr, SYS_lremovexattr, SYS_lsetxattr, SYS_removexattr, SYS_setxattr,
    GETXATTRAT, LISTXATTRAT, REMOVEXATTRAT, SETXATTRAT,
    // Changes.
    SYS_inotify_add_watch, SYS_inotify_init1, SYS_inotify_rm_watch,
    // Asynchronous, the old way: databases use it.
    SYS_io_cancel, SYS_io_destroy, SYS_io_getevents, SYS_io_setup, SYS_io_submit, IO_PGETEVENTS,
];

/// Without `memfd_secret`, which the profile has: while one is open, the machine cannot hibernate.
#[rustfmt::skip]
const MEMORY: &[c_long] = &[
    SYS_brk, SYS_madvise, SYS_membarrier, SYS_memfd_create, SYS_mincore, SYS_mlock, SYS_mlock2,
    SYS_mlockall, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_mseal, SYS_msync, SYS_munlock,
    SYS_munlockall, SYS_munmap, SYS_pkey_alloc, SYS_pkey_free, SYS_pkey_mprotect,
    SYS_remap_file_pages, MAP_SHADOW_STACK,
];

/// With `ptrace` and its kin: a run has nobody but itself to look into.
#[rustfmt::skip]
const PROCESSES: &[c_long] = &[
    SYS_exit, SYS_exit_group, SYS_get_robust_list, SYS_getcpu, SYS_getpgid, SYS_getpid, SYS_getppid,
    SYS_getpriority, SYS_getrusage, SYS_getsid, SYS_gettid, SYS_ioprio_get, SYS_ioprio_set,
    SYS_kill, SYS_landlock_add_rule, SYS_landlock_create_ruleset, SYS_landlock_restrict_self,
    SYS_pidfd_open, SYS_pidfd_send_signal, SYS_prctl, SYS_prlimit64, SYS_process_mrelease,
    SYS_process_vm_readv, SYS_process_vm_writev, SYS_ptrace, SYS_restart_syscall, SYS_rseq,
    SYS_rt_sigaction, SYS_rt_sigpending, SYS_rt_sigprocmask, SYS_rt_sigqueueinfo, SYS_rt_sigreturn,
    SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_tgsigqueueinfo, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_sched_getaffinity, SYS_sched_getattr, SYS_sched_getparam,
    SYS_sched_getscheduler, SYS_sched_rr_get_interval, SYS_sched_setaffinity, SYS_sched_setattr,
    SYS_sched_setparam, SYS_sched_setscheduler, SYS_sched_yield, SYS_seccomp, SYS_set_robust_list,
    SYS_set_tid_address, SYS_setpgid, SYS_setpriority, SYS_setsid,
    SYS_sigaltstack, SYS_sysinfo, SYS_tgkill, SYS_tkill, SYS_uname, SYS_wait4, SYS_waitid,
];

/// Without capabilities these change nothing, but programs ask to be whom they are.
#[rustfmt::skip]
const IDENTITY: &[c_long] = &[
    SYS_capget, SYS_capset, SYS_getegid, SYS_geteuid, SYS_getgid, SYS_getgroups, SYS_getrandom,
    SYS_getresgid, SYS_getresuid, SYS_getuid, SYS_setfsgid, SYS_setfsuid, SYS_setgid, SYS_setgroups,
    SYS_setregid, SYS_setresgid, SYS_setresuid, SYS_setreuid, SYS_setuid,
];

/// The clock can be read; setting it takes a capability, for `adjtimex` and its kin, too.
#[rustfmt::skip]
const TIME: &[c_long] = &[
    SYS_adjtimex, SYS_clock_adjtime, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep,
    SYS_getitimer, SYS_gettimeofday, SYS_nanosleep, SYS_setitimer, SYS_timer_create,
    SYS_timer_delete, SYS_timer_getoverrun, SYS_timer_gettime, SYS_timer_settime,
    SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_settime, SYS_times,
];

#[rustfmt::skip]
const WAITING: &[c_long] = &[
    SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2, SYS_futex,
    SYS_futex_waitv, FUTEX_REQUEUE_CALL, FUTEX_WAIT_CALL, FUTEX_WAKE_CALL, SYS_ppoll, SYS_pselect6,
    SYS_signalfd4,
];

/// Sockets once they are made, and what a run has in a namespace of its own.
#[rustfmt::skip]
const MESSAGES: &[c_long] = &[
    SYS_accept, SYS_accept4, SYS_bind, SYS_connect, SYS_getpeername, SYS_getsockname,
    SYS_getsockopt, SYS_listen, SYS_recvfrom, SYS_recvmmsg, SYS_recvmsg, SYS_sendmmsg, SYS_sendmsg,
    SYS_sendto, SYS_setsockopt, SYS_shutdown,
    SYS_mq_getsetattr, SYS_mq_notify, SYS_mq_open, SYS_mq_timedreceive, SYS_mq_timedsend,
    SYS_mq_unlink, SYS_msgctl, SYS_msgget, SYS_msgrcv, SYS_msgsnd, SYS_semctl, SYS_semget,
    SYS_semop, SYS_semtimedop, SYS_shmat, SYS_shmctl, SYS_shmdt, SYS_shmget,
];

/// What only x86-64 has, mostly older forms of the above.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ARCHITECTURE: &[c_long] = &[
    SYS_access, SYS_alarm, SYS_arch_prctl, SYS_chmod, SYS_chown, SYS_creat, SYS_dup2,
    SYS_epoll_create, SYS_epoll_wait, SYS_eventfd, SYS_fork, SYS_futimesat, SYS_getdents,
    SYS_getpgrp, SYS_inotify_init, SYS_lchown, SYS_link, SYS_lstat, SYS_mkdir, SYS_mknod, SYS_open,
    SYS_pause, SYS_pipe, SYS_poll, SYS_readlink, SYS_rename, SYS_rmdir, SYS_select, SYS_signalfd,
    SYS_stat, SYS_symlink, SYS_time, SYS_unlink, SYS_utime, SYS_utimes, SYS_vfork,
    SYS_getrlimit, SYS_renameat, SYS_setrlimit, SYS_sync_file_range, URETPROBE,
];

/// What libc does not name on AArch64: `renameat`, `sync_file_range`, `getrlimit`, `setrlimit`.
#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURE: &[c_long] = &[38, 84, 163, 164];

// Numbers that libc does not name on every architecture. From 424 on they are the same everywhere
// (`scripts/syscall.tbl` in the kernel).
const CACHESTAT: c_long = 451;
const FCHMODAT2: c_long = 452;
const MAP_SHADOW_STACK: c_long = 453;
const FUTEX_WAKE_CALL: c_long = 454;
const FUTEX_WAIT_CALL: c_long = 455;
const FUTEX_REQUEUE_CALL: c_long = 456;
const STATMOUNT: c_long = 457;
const LISTMOUNT: c_long = 458;
const SETXATTRAT: c_long = 463;
const GETXATTRAT: c_long = 464;
const LISTXATTRAT: c_long = 465;
const REMOVEXATTRAT: c_long = 466;

#[cfg(target_arch = "x86_64")]
const IO_PGETEVENTS: c_long = 333;
#[cfg(not(target_arch = "x86_64"))]
const IO_PGETEVENTS: c_long = 292;

/// The return from functions that the host's administrator traces; the process dies without it.
#[cfg(target_arch = "x86_64")]
const URETPROBE: c_long = 335;

/// Execution domains that a process may choose with `personality`: the plain one, Linux of 32 bits,
/// both with old version numbers, asking only (the profile's), and addresses that are not random
/// (for debuggers and sanitizers).
pub(super) const PERSONALITIES: [u32; 6] = [
    0,
    0x0008,      // PER_LINUX32
    0x0002_0000, // UNAME26
    0x0002_0008, // both
    0xffff_ffff, // ask
    0x0004_0000, // ADDR_NO_RANDOMIZE
];

/// The families that sockets may have beside those of the Internet. Netlink is for the routing
/// protocol alone.
pub(super) const LOCAL: c_int = AF_UNIX;
pub(super) const ROUTING: [c_int; 2] = [AF_NETLINK, NETLINK_ROUTE];

/// Families whose types and protocols are limited.
pub(super) const INTERNET: [c_int; 2] = [AF_INET, AF_INET6];

/// Types that Internet sockets may have.
pub(super) const INTERNET_TYPES: [c_int; 2] = [SOCK_STREAM, SOCK_DGRAM];

/// Protocols that Internet sockets may have. Asking for any other can load a kernel module.
pub(super) const INTERNET_PROTOCOLS: [c_int; 6] =
    [0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_MPTCP];
