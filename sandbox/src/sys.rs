//! The one door to the kernel for what no safe interface covers. Every function here is safe to
//! call; each says why.
#![expect(unsafe_code, reason = "system calls that neither std nor rustix offers safely")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::thread::UnshareFlags;

/// Takes over a descriptor that this process was started with.
///
/// Returns nothing for a number that is not open or is a standard stream. The descriptor is closed
/// on exec from now on.
pub(crate) fn adopt(number: RawFd) -> Option<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: F_SETFD changes a flag and takes no pointer; a bad number is an error.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: the descriptor is open. It came from the process that started this one by name, in
    // the arguments, for this purpose; nothing else in this process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Tells whether a descriptor of this number is open.
pub(crate) fn is_open(number: RawFd) -> bool {
    // SAFETY: F_GETFD reads a flag and takes no pointer; a bad number is an error.
    unsafe { libc::fcntl(number, libc::F_GETFD) >= 0 }
}

/// Closes every descriptor but the standard streams and `keep`.
///
/// Only for a stage that has just started, when nothing but `keep` can be in use.
pub(crate) fn close_others(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|number| *number > 2).collect();
    keep.sort_unstable();
    let mut first = libc::STDERR_FILENO + 1;
    for kept in keep.into_iter().chain([libc::c_int::MAX]) {
        if first < kept {
            // SAFETY: close_range takes numbers only. The process has just started: nothing in it
            // owns a descriptor outside `keep`.
            let done = unsafe {
                libc::syscall(
                    libc::SYS_close_range,
                    first.cast_unsigned(),
                    (kept - 1).cast_unsigned(),
                    0,
                )
            };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = kept.saturating_add(1);
    }
    Ok(())
}

/// Lets a command inherit descriptors under the numbers that they have here.
///
/// The descriptors stay closed on exec in this process, so no other child gets them. They must be
/// open when the command is spawned.
pub(crate) fn inherit(command: &mut Command, descriptors: Vec<RawFd>) {
    let keep = move || {
        for number in &descriptors {
            // SAFETY: F_SETFD changes a flag of a descriptor of the child and takes no pointer.
            if unsafe { libc::fcntl(*number, libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec. It calls only fcntl, which is safe to call
    // there, and allocates nothing: the list was moved in before.
    unsafe { command.pre_exec(keep) };
}

/// Gives a command its own session, the terminal on its standard input if there is one, and the
/// signal dispositions that a program expects at its start.
pub(crate) fn own_session(command: &mut Command) {
    let prepare = || {
        // SAFETY: setsid has no arguments; ioctl(TIOCSCTTY) takes a number. Failing to get a
        // terminal leaves the command without job control, which is no reason not to run it.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            if libc::isatty(libc::STDIN_FILENO) == 1 {
                libc::ioctl(libc::STDIN_FILENO, libc::TIOCSCTTY, 0);
            }
        }
        for signal in 1..=libc::SIGRTMAX() {
            // SAFETY: SIG_DFL installs no code of ours. KILL, STOP and the signals that libc keeps
            // to itself are refused, which is right.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // SAFETY: an empty set is built on the stack and read by the call; no old set is asked for.
        unsafe {
            let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and calls only functions that POSIX allows
    // there; it captures and allocates nothing.
    unsafe { command.pre_exec(prepare) };
}

/// Moves this process into new namespaces. The descriptor table stays shared.
pub(crate) fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    let namespaces = namespaces.difference(UnshareFlags::FILES);
    // SAFETY: only unsharing the descriptor table can take descriptors away from other threads,
    // and that flag was just removed.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Whether an attribute is for one mount or for those below it too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    One,
    Tree,
}

/// Adds `MOUNT_ATTR_*` flags to a mount.
pub(crate) fn set_mount_attributes(
    mount: BorrowedFd<'_>,
    reach: Reach,
    add: u64,
) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: add, attr_clr: 0, propagation: 0, userns_fd: 0 };
    mount_setattr(mount, reach, attributes)
}

/// Shows the owners in a mount as this user namespace maps them.
pub(crate) fn map_owners(mount: BorrowedFd<'_>, mapping: BorrowedFd<'_>) -> io::Result<()> {
    let userns_fd = u64::from(mapping.as_raw_fd().unsigned_abs());
    let attr_set = libc::MOUNT_ATTR_IDMAP;
    let attributes = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd };
    mount_setattr(mount, Reach::One, attributes)
}

fn mount_setattr(
    mount: BorrowedFd<'_>,
    reach: Reach,
    attributes: libc::mount_attr,
) -> io::Result<()> {
    let flags = match reach {
        Reach::One => libc::AT_EMPTY_PATH,
        Reach::Tree => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    // SAFETY: the path is an empty C string and the structure outlives the call, which only reads
    // it and is told its size.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is a valid one with an empty name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    // SAFETY: the request is a live ifreq with a terminated name, which both calls expect; the
    // flags are the field that the first one fills in and the second one reads.
    unsafe {
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) < 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= UP_AND_RUNNING;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// `IFF_UP | IFF_RUNNING` in the width that the kernel's structure has.
const UP_AND_RUNNING: i16 = 0x1 | 0x40;

/// Blocks signals for this process and returns a descriptor that reads them.
pub(crate) fn catch_signals(signals: &[i32]) -> io::Result<OwnedFd> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised by sigemptyset before anything reads it and lives on this
    // stack during all calls; signalfd returns a new descriptor, owned by nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Sends a signal by number to a process group.
pub(crate) fn signal_group(leader: rustix::process::Pid, signal: i32) {
    // SAFETY: kill takes numbers only. A group that has gone is what the caller wanted anyway.
    unsafe { libc::kill(-leader.as_raw_nonzero().get(), signal) };
}

/// Kills every process that this one can see and may signal, except itself.
///
/// Does nothing unless this process is process 1 of its namespace.
pub(crate) fn kill_everything() {
    if rustix::process::getpid().is_init() {
        // SAFETY: kill takes numbers only.
        unsafe { libc::kill(-1, libc::SIGKILL) };
    }
}

/// What a request of btrfs does with its argument, from the kernel's side: the bits that
/// `_IOR`, `_IOW` and `_IOWR` set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transfer {
    Reads = 1,
    Writes = 2,
    Both = 3,
}

/// Makes the request of btrfs with this number about a file or directory of it.
pub(crate) fn btrfs<const WORDS: usize>(
    file: BorrowedFd<'_>,
    number: u8,
    transfer: Transfer,
    argument: &mut [u64; WORDS],
) -> io::Result<()> {
    /// `BTRFS_IOCTL_MAGIC`.
    const MAGIC: u64 = 0x94;
    let size = size_of_val(argument) as u64;
    let request = (transfer as u64) << 30 | size << 16 | MAGIC << 8 | u64::from(number);
    // SAFETY: the request holds the size of the argument, and the kernel knows each request with
    // one size only: it touches no more than the array, which is of numbers, so that any bytes are
    // good, and outlives the call. A size that does not fit makes an unknown request.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), request, argument.as_mut_ptr()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
