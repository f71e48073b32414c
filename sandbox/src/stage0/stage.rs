//! The stage: a small file system on which the jail's directories are put together, to be handed
//! to bubblewrap whole, as the jail's root. Bubblewrap then never makes a mount point inside
//! anything that a run could have written, and reads the list of mounts once instead of for each.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, fchmod, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

use super::etc::Etc;
use super::executable::{self, Executable};
use super::overlay;
use super::plan::{self, Scratch};
use super::point::{self, Owner};
use super::source::{Kind, Layers, Source};
use super::system::{Link, System};
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::{Spec, enclosing};
use crate::sys::{self, Reach};

/// Where the stage is: a directory that every host has and that every uid can reach. What is
/// there on the host stays as it is; only this process and its children see the stage instead.
pub(super) const PLACE: &str = "/tmp";

/// Room for directories and links, and for what is lost to whole pages.
const STAGE_BYTES: u64 = 4 << 20;

/// What bubblewrap mounts on by itself.
const POINTS: [&str; 3] = ["/proc", "/dev", "/run"];

/// One thing to put on the stage.
enum Node {
    Shown(Source),
    Scratch(Scratch),
}

impl Node {
    fn target(&self) -> &Path {
        match self {
            Self::Shown(source) => &source.target,
            Self::Scratch(scratch) => &scratch.target,
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Shown(source) => source.kind,
            Self::Scratch(_) => Kind::Directory,
        }
    }

    const fn writable(&self) -> bool {
        match self {
            Self::Shown(source) => source.access.is_writable(),
            Self::Scratch(_) => true,
        }
    }
}

/// What is shown to a run.
#[derive(Debug)]
pub(super) struct Shown {
    /// What the policy names.
    pub(super) sources: Vec<Source>,
    pub(super) layers: Vec<Layers>,
    /// What every run sees.
    pub(super) executable: Executable,
    pub(super) system: System,
    pub(super) etc: Etc,
}

/// Puts everything in place.
pub(super) fn compose(spec: &Spec, host_uid: u32, shown: Shown) -> Result<(), Refusal> {
    let Shown { sources, layers, executable, system, etc } = shown;
    let targets = plan::targets(spec);
    let files: usize = etc.written.iter().map(|(_, text)| text.len()).sum();
    let bytes = STAGE_BYTES + executable.bytes() + files as u64;
    let stage = tmpfs(&[("size", bytes.to_string()), ("mode", "0755".into())])
        .refuse(Step::Stage, "make the stage")?;
    attach_at(&stage, PLACE)?;

    for path in POINTS {
        point::make(stage.as_fd(), Path::new(path), Kind::Directory, Owner::Stage)?;
    }
    for Link { name, to } in &system.links {
        symlinkat(to, &stage, name)
            .refuse(Step::Stage, format_args!("link /{}", Path::new(name).display()))?;
    }

    if plan::links_var_tmp(&targets) {
        let var = point::make(stage.as_fd(), Path::new("/var"), Kind::Directory, Owner::Stage)?;
        symlinkat("/tmp", var, "tmp").refuse(Step::Stage, "link /var/tmp")?;
    }
    for (path, text) in etc.written {
        write(stage.as_fd(), &path, &mut text.as_slice(), Mode::RUSR | Mode::RGRP | Mode::ROTH)?;
    }
    let mut shown = system.shown;
    shown.extend(etc.shown);
    shown.extend(sources);
    for layers in layers {
        shown.push(overlay::merge(stage.as_fd(), layers)?);
    }
    match executable {
        Executable::Mounted(source) => shown.push(source),
        Executable::Copied { mut contents, .. } => {
            let mode = Mode::RUSR | Mode::XUSR | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
            write(stage.as_fd(), Path::new(executable::PATH), &mut contents, mode)?;
        }
    }
    let scratches = plan::scratches(&targets, &spec.account, &spec.limits);
    let mut nodes: Vec<Node> = shown
        .into_iter()
        .map(Node::Shown)
        .chain(scratches.into_iter().map(Node::Scratch))
        .collect();
    plan::outer_first(&mut nodes, Node::target);
    for (index, node) in nodes.iter().enumerate() {
        place(stage.as_fd(), node, &nodes[..index], host_uid)?;
    }
    sys::set_mount_attributes(stage.as_fd(), Reach::One, libc::MOUNT_ATTR_RDONLY)
        .refuse(Step::Stage, "make the stage read-only")
}

/// Mounts one thing where it belongs.
fn place(
    stage: BorrowedFd<'_>,
    node: &Node,
    earlier: &[Node],
    host_uid: u32,
) -> Result<(), Refusal> {
    // What has to be made inside something that the run may write is the run's own.
    let around = enclosing(earlier.iter().map(Node::target), node.target());
    let around = earlier.iter().find(|other| Some(other.target()) == around);
    let owner = match around {
        Some(around) if around.writable() => Owner::Run(host_uid),
        _ => Owner::Stage,
    };
    let point = point::make(stage, node.target(), node.kind(), owner)?;
    let what = format_args!("mount {}", node.target().display());
    match node {
        Node::Shown(source) => attach(&source.mount, &point).refuse(Step::Stage, what),
        Node::Scratch(scratch) => {
            let owner = if scratch.mode & 0o002 == 0 { host_uid } else { stage_owner() };
            let mount = tmpfs(&[
                ("size", scratch.bytes.to_string()),
                ("mode", format!("{:o}", scratch.mode)),
                ("uid", owner.to_string()),
                ("gid", owner.to_string()),
            ])
            .refuse(Step::Stage, what)?;
            attach(&mount, &point).refuse(Step::Stage, what)
        }
    }
}

fn stage_owner() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Makes a file system in memory that is not mounted anywhere yet.
fn tmpfs(options: &[(&str, String)]) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, value.as_str())?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

pub(super) fn attach(mount: &OwnedFd, point: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(mount, "", point, "", flags)?)
}

fn attach_at(mount: &OwnedFd, place: &str) -> Result<(), Refusal> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, "", rustix::fs::CWD, place, flags)
        .refuse(Step::Stage, format_args!("mount the stage on {place}"))
}

/// Writes a file of ours.
fn write(
    stage: BorrowedFd<'_>,
    path: &Path,
    contents: &mut impl io::Read,
    mode: Mode,
) -> Result<(), Refusal> {
    let refuse = format!("write {}", path.display());
    let mut file = File::from(point::make(stage, path, Kind::File, Owner::Stage)?);
    io::copy(contents, &mut file).refuse(Step::Stage, &refuse)?;
    file.flush().refuse(Step::Stage, &refuse)?;
    fchmod(&file, mode).refuse(Step::Stage, &refuse)
}
