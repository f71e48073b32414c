//! Handing off inside an agent's own interface.

use super::tell;
use crate::agents::Kind;
use crate::agents::install::{InstallError, Installation, Uninstalled};
use crate::context::Context;
use crate::exit::Exit;

pub(super) fn install(interface: Kind, context: &Context) -> anyhow::Result<Exit> {
    let installation = Installation::of_this_program(interface, &context.settings.places)?;
    let done = installation.install()?;
    if done.is_empty() {
        context.output.note("it is installed already");
    }
    context.output.note(installation.how_to_use());
    tell(done, context)
}

pub(super) fn uninstall(interface: Kind, context: &Context) -> anyhow::Result<Exit> {
    let installation = Installation::of_this_program(interface, &context.settings.places)?;
    let Uninstalled { done, stuck } = installation.uninstall()?;
    if done.is_empty() && stuck.is_empty() {
        context.output.note("it was not installed");
    }
    let exit = tell(done, context)?;
    if stuck.is_empty() { Ok(exit) } else { Err(InstallError::Stuck(stuck).into()) }
}
