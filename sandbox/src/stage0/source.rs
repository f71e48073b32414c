//! Opens what is to be mounted while the host is still in sight, and copies it into detached
//! mounts: from here on, names on the host no longer matter.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::identity::{Change, Run};
use super::mapping::Mappings;
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::{Access, HostUser, Mount, Overlay, Spec};
use crate::sys::{self, Reach};

/// A detached mount and where it is to appear.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) mount: OwnedFd,
    pub(super) kind: Kind,
    pub(super) target: PathBuf,
    pub(super) access: Access,
}

/// What a mount point has to be for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    File,
}

/// The detached mounts that an overlay is made of.
#[derive(Debug)]
pub(super) struct Layers {
    /// Nearest first, their owners mapped to the run.
    pub(super) lowers: Vec<OwnedFd>,
    pub(super) changes: OwnedFd,
    pub(super) target: PathBuf,
    pub(super) access: Access,
}

/// Opens every source of the policy.
pub(super) fn open(spec: &Spec, run: Run) -> Result<(Vec<Source>, Vec<Layers>), Refusal> {
    // Only root may map what belongs to others.
    let mapped = spec.host_uid.filter(|_| run.change == Change::FromRoot);
    let mut mappings = Mappings::new(mapped);
    let mounts = spec.mounts.iter().map(|mount| open_one(mount, &mut mappings));
    let mounts = mounts.collect::<Result<_, _>>()?;
    let overlays = spec.overlays.iter().map(|overlay| open_layers(overlay, &mut mappings));
    Ok((mounts, overlays.collect::<Result<_, _>>()?))
}

fn open_layers(overlay: &Overlay, mappings: &mut Mappings) -> Result<Layers, Refusal> {
    let target = &overlay.target;
    let Some(mapping) = mappings.of(HostUser::ROOT)? else {
        let detail = format!("the overlay {} takes a caller that is root", target.display());
        return Err(Refusal::new(Step::Source, detail));
    };
    let lower = |path: &PathBuf| {
        let found = find(path)?;
        let source = detach(found.as_fd(), path, target, Access::ReadOnly)?;
        sys::map_owners(source.mount.as_fd(), mapping.as_fd())
            .refuse(Step::Source, format_args!("map the owners in {}", path.display()))?;
        Ok(source.mount)
    };
    let found = find(&overlay.changes)?;
    // Writable also for a read-only overlay, in which nothing is written all the same.
    let changes = detach(found.as_fd(), &overlay.changes, target, Access::ReadWrite)?.mount;
    Ok(Layers {
        lowers: overlay.lowers.iter().map(lower).collect::<Result<_, _>>()?,
        changes,
        target: target.clone(),
        access: overlay.access,
    })
}

/// Opens a path that must not lead over a symlink.
pub(super) fn find(path: &Path) -> Result<OwnedFd, Refusal> {
    openat2(
        CWD,
        path,
        // Not NOFOLLOW, which would open a link at the end instead of refusing it.
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
    .refuse(Step::Source, format_args!("open {} without following symlinks", path.display()))
}

fn open_one(mount: &Mount, mappings: &mut Mappings) -> Result<Source, Refusal> {
    let named = mount.source.display();
    let found = find(&mount.source)?;
    let source = detach(found.as_fd(), &mount.source, &mount.target, mount.access)?;
    let mut map = |owner| {
        let mapping = mappings.of(owner)?;
        Ok(mapping.map(|mapping| sys::map_owners(source.mount.as_fd(), mapping.as_fd())))
    };
    match mount.access {
        Access::ReadOnly | Access::ReadWrite => {}
        Access::ReadOnlyAsOwner => match map(HostUser::ROOT)? {
            // A file system that cannot do it shows the owners as they are: less can be read.
            Some(Err(error)) if error.raw_os_error() == Some(libc::EINVAL) => {}
            // Without a uid of its own the run is the owner; an ordinary user's sees what others may.
            mapped => mapped
                .unwrap_or(Ok(()))
                .refuse(Step::Source, format_args!("map the owners in {named}"))?,
        },
        Access::ReadOnlyOf(owner) | Access::ReadWriteOf(owner) => {
            let Some(mapped) = map(owner)? else {
                let detail = format!("owners in {named} are mapped by callers that are root only");
                return Err(Refusal::new(Step::Source, detail));
            };
            mapped.refuse(
                Step::Source,
                format_args!(
                    "map the owners in {named} (ext4, xfs, btrfs and tmpfs can do it; NFS cannot)"
                ),
            )?;
        }
    }
    Ok(source)
}

/// Copies what a descriptor refers to into a detached mount.
pub(super) fn detach(
    found: BorrowedFd<'_>,
    path: &Path,
    target: &Path,
    access: Access,
) -> Result<Source, Refusal> {
    let named = path.display();
    let mode = fstat(found).refuse(Step::Source, format_args!("look at {named}"))?.st_mode;
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Directory,
        FileType::RegularFile | FileType::Socket => Kind::File,
        other => {
            let detail = format!("{named} is {other:?}, which is not shown to any run");
            return Err(Refusal::new(Step::Source, detail));
        }
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let mount = open_tree(found, "", flags).refuse(Step::Source, format_args!("mount {named}"))?;
    let only = if access.is_writable() { 0 } else { libc::MOUNT_ATTR_RDONLY };
    let add = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | only;
    sys::set_mount_attributes(mount.as_fd(), Reach::Tree, add)
        .refuse(Step::Source, format_args!("restrict {named}"))?;
    Ok(Source { mount, kind, target: target.to_owned(), access })
}
