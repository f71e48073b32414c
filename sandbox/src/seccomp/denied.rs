//! The list of what is denied although programs know it. Data only.
//!
//! Nothing outside the list of allowed calls is allowed; this one only tells "not permitted" from
//! "not implemented". A program that finds a new call missing uses the older one.

use libc::c_long;

/// System calls that fail with `EPERM` whatever their arguments.
pub(super) fn calls() -> Vec<c_long> {
    let mut calls = COMMON.to_vec();
    calls.extend_from_slice(ARCHITECTURE);
    calls
}

const COMMON: &[c_long] = &[
    // Mounts and roots.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    // Namespaces; clone is filtered by its flags.
    libc::SYS_setns,
    libc::SYS_unshare,
    // Large and young parts of the kernel, or such as see beyond the process.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_syslog,
    libc::SYS_acct,
    // Keyrings belong to a uid, not to a run.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Files by handle go around every path.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Other processes' descriptors and memory policy.
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_process_madvise,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    libc::SYS_mbind,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_set_mempolicy_home_node,
    // The machine.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &[c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
];

#[cfg(not(target_arch = "x86_64"))]
const ARCHITECTURE: &[c_long] = &[];

/// Flags with which `clone` fails: a process may start processes, not namespaces.
pub(super) const CLONE_FLAGS: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// Terminal requests with which `ioctl` fails. The first two put input into a terminal that others
/// read; the last one loads drivers for lines that nobody dials any more.
pub(super) const TERMINAL_REQUESTS: [u32; 3] =
    [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */, 0x5423 /* TIOCSETD */];

/// Requests of btrfs with which `ioctl` fails: they make subvolumes and snapshots, which everybody
/// may who may make a directory. One of a run's own would have room that no limit on its directory
/// counts, and could not be removed like a directory. From `linux/btrfs.h`.
pub(super) const SUBVOLUME_REQUESTS: [u32; 4] = [
    0x5000_9401, /* BTRFS_IOC_SNAP_CREATE */
    0x5000_940e, /* BTRFS_IOC_SUBVOL_CREATE */
    0x5000_9417, /* BTRFS_IOC_SNAP_CREATE_V2 */
    0x5000_9418, /* BTRFS_IOC_SUBVOL_CREATE_V2 */
];
