//! Keeps of what the caller's process had only what was handed over on purpose.

use rustix::fs::Mode;
use rustix::process::umask;

use crate::handover::Descriptors;
use crate::report::{Refusal, Refuse as _, Step};
use crate::sys;

/// Closes descriptors that leaked in, and sets the mask that the stage is made with.
pub(super) fn clear(descriptors: &Descriptors) -> Result<(), Refusal> {
    umask(Mode::WGRP | Mode::WOTH);
    sys::close_others(&descriptors.numbers()).refuse(Step::Handover, "close inherited descriptors")
}
