//! Puts a directory together from layers: a mount that is made once and copied by nobody.
//!
//! The kernel names layers by path and takes only paths in this mount namespace. So they are
//! mounted for a moment in a corner of the stage, under names of ours: no path of the host's, and
//! none that a run could have chosen, is ever looked up or parsed.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, UnmountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, unmount,
};

use super::point::{self, Owner};
use super::source::{Kind, Layers, Source};
use super::stage::{PLACE, attach};
use crate::report::{Refusal, Refuse as _, Step};
use crate::spec::{Access, Overlay};

/// Where layers are mounted while the overlay is made. Gone afterwards.
const CORNER: &str = "/.layers";

/// Makes the merged directory, to be mounted where the layers say.
pub(super) fn merge(stage: BorrowedFd<'_>, layers: Layers) -> Result<Source, Refusal> {
    let named = layers.target.display();
    let mut names = vec!["changes".to_owned()];
    names.extend((0..layers.lowers.len()).map(|number| number.to_string()));
    for (name, mount) in names.iter().zip([&layers.changes].into_iter().chain(&layers.lowers)) {
        let place = Path::new(CORNER).join(name);
        let point = point::make(stage, &place, Kind::Directory, Owner::Stage)?;
        attach(mount, &point).refuse(Step::Stage, format_args!("mount a layer of {named}"))?;
    }
    let mount = overlay(&names[1..], layers.access)
        .refuse(Step::Stage, format_args!("merge the layers of {named}"))?;
    // The overlay holds copies of its own.
    clear(&names).refuse(Step::Stage, format_args!("unmount the layers of {named}"))?;
    Ok(Source { mount, kind: Kind::Directory, target: layers.target, access: layers.access })
}

fn overlay(lowers: &[String], access: Access) -> io::Result<OwnedFd> {
    let at = |name: &str| format!("{PLACE}{CORNER}/{name}");
    let upper = at(&format!("changes/{}", Overlay::UPPER));
    let mut stack: Vec<String> = lowers.iter().map(|name| at(name)).collect();
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let set = |key, value: &str| fsconfig_set_string(context.as_fd(), key, value);
    // Without the first, renaming a directory fails; without the second, hard links fall apart.
    set("redirect_dir", "on")?;
    set("metacopy", "off")?;
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    if access == Access::ReadWrite {
        set("index", "on")?;
        set("upperdir", &upper)?;
        set("workdir", &at(&format!("changes/{}", Overlay::WORK)))?;
    } else {
        // One more lower layer: with no upper one, there is nothing that could be written.
        set("index", "off")?;
        stack.insert(0, upper);
        fsconfig_set_flag(context.as_fd(), "ro")?;
        attributes |= MountAttrFlags::MOUNT_ATTR_RDONLY;
    }
    set("lowerdir", &stack.join(":"))?;
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn clear(names: &[String]) -> io::Result<()> {
    let corner = format!("{PLACE}{CORNER}");
    for name in names {
        let place = format!("{corner}/{name}");
        unmount(&place, UnmountFlags::DETACH)?;
        unlinkat(CWD, &place, AtFlags::REMOVEDIR)?;
    }
    Ok(unlinkat(CWD, &corner, AtFlags::REMOVEDIR)?)
}
