//! The conversation of a run, which comes back with its tree.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use handoff_proto::path::AbsolutePath;
use handoff_proto::run::RunId;
use rustix::fs::{Mode, OFlags, open};

use super::ending::Ending;
use crate::agents::lease::Leases;
use crate::agents::live::Live;
use crate::agents::{Import, ImportError, ImportPlace, Imported, Kind};
use crate::capture::account::home;
use crate::context::Context;
use crate::exit::Exit;
use crate::pull::chunks::Chunks;
use crate::pull::fetch;
use crate::pull::report::Report;
use crate::pull::restorable::restorable;
use crate::pull::returned::Returned;
use crate::remote::Remote;
use crate::settings::create_private_directory;

/// Brings a run's conversation back to a directory, if an agent had one there; `report` says what
/// became of the tree.
///
/// # Errors
///
/// Where it cannot be had or written. The tree is back by then: the next pull brings the
/// conversation only.
pub(super) async fn bring_back(
    context: &Context,
    remote: &Remote,
    returned: &Returned,
    directory: &AbsolutePath,
    report: &Report,
) -> anyhow::Result<Option<Imported>> {
    let Some(session) = &returned.result.session else { return Ok(None) };
    let Some(kind) = Kind::from_name(&session.agent) else { return Ok(None) };
    let (run, name) = (&returned.run.id, &returned.run.name);
    let brought = async {
        // Where the agent keeps its sessions here is not for the run to say.
        let agent = kind.directory(&home()?)?;
        let base = returned.base.session.as_ref();
        let files = restorable(report, &returned.base, &returned.result, directory);
        let place = ImportPlace { agent: &agent, directory, files: &files };
        let import = Import::new(kind, run, place, base, session)?;
        let wanted = import.wanted();
        let state = &context.settings.places.state;
        create_private_directory(state)?;
        let mut chunks = Chunks::new(state)?;
        // What left this machine need not come back, where it is still here.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let (Ok(top), Some(base)) = (open(agent.as_os_path(), flags, Mode::empty()), base) {
            chunks.add_local(&top, &base.files, &wanted)?;
        }
        let lacking = wanted.iter().filter(|(id, _)| !chunks.has(id));
        let bytes = lacking.map(|(_, size)| u64::from(*size)).sum();
        let progress = context.output.progress("fetching the conversation", bytes);
        let on_bytes = move |arrived| progress.set(arrived);
        let chunks = fetch::contents(remote, run, &wanted, chunks, on_bytes).await?;
        // One that cannot be looked at may be open.
        let is_held = |id: &str| kind.holder(agent.as_os_path(), id).map_or(true, Live::is_open);
        let imported = tokio::task::block_in_place(|| {
            let mut imported = import.apply(&chunks, state, is_held)?;
            Import::make_known(kind, &agent, &mut imported);
            Ok::<_, ImportError>(imported)
        })?;
        anyhow::Ok(imported)
    };
    let brought = match brought.await {
        Err(error) => match error.downcast_ref::<ImportError>() {
            // The next pull would meet it again.
            Some(why) if why.is_final() => Ok(Imported::nothing(&session.id, why)),
            Some(_) | None => Err(error),
        },
        brought => brought,
    };
    let imported = brought.with_context(|| {
        format!("the tree is back, the conversation is not; `handoff pull {name}` tries again")
    })?;
    Ok(Some(imported))
}

/// The session is this machine's again.
///
/// # Errors
///
/// Where that cannot be written down.
pub(super) fn release(context: &Context, returned: &Returned) -> anyhow::Result<()> {
    let Ok(run) = RunId::parse(&returned.run.id) else { return Ok(()) };
    Leases::new(&context.settings.places).release_run(&run)?;
    Ok(())
}

/// Becomes the agent, with the conversation.
///
/// # Errors
///
/// Where the agent cannot be started.
pub(super) fn resume(conversation: &Imported, directory: &Path) -> anyhow::Result<Exit> {
    let mut words = conversation.resume.iter();
    let program = words.next().cloned().unwrap_or_default();
    // Returns only where it fails.
    let source = Command::new(&program).args(words).current_dir(directory).exec();
    Err(Ending::Agent { program, source }.into())
}
