//! Stage-0: arranges what bubblewrap cannot, gives up its rights and becomes bubblewrap.
//!
//! It runs in a process of its own, entered by exec, so it has one thread and none of the caller's
//! memory. It never looks at what is inside the mounts, and never runs anything but bubblewrap.

mod arguments;
mod cgroup;
mod doors;
mod etc;
mod executable;
mod identity;
mod inherited;
mod limits;
mod loopback;
mod mapping;
mod namespaces;
mod overlay;
mod plan;
mod point;
mod source;
mod stage;
mod system;

use std::convert::Infallible;
use std::process::ExitCode;

use self::stage::Shown;
use crate::bubblewrap::Bubblewrap;
use crate::channel::Channel;
use crate::entry::REFUSED;
use crate::handover::{self, Descriptors, ForInit, ForStage0};
use crate::report::{Refusal, Refuse as _, Report, Step};
use crate::seccomp;

pub use self::executable::PATH as INIT_PATH;
pub(crate) use self::mapping::run as hold_mapping;
pub(crate) use self::plan::writable;

/// Runs stage-0; returns only if it refuses.
pub(crate) fn run(descriptors: Descriptors) -> ExitCode {
    // Nothing may be opened before what leaked in is closed.
    let cleared = inherited::clear(&descriptors);
    let complain = descriptors.channel.try_clone();
    let Err(refusal) = cleared.and_then(|()| enter(descriptors));
    if let Ok(channel) = complain {
        // A caller that has gone needs no answer.
        let _gone = Channel::new(channel).send(&Report::Refused(refusal));
    }
    ExitCode::from(REFUSED)
}

/// Takes every step, in the one order that works: sources are opened while the host is in sight,
/// hidden after, and every right is given up last.
fn enter(mut descriptors: Descriptors) -> Result<Infallible, Refusal> {
    let told: ForStage0 =
        handover::read(descriptors.description).refuse(Step::Handover, "read the policy")?;
    let spec = &told.spec;
    spec.check()?;
    let caller = rustix::process::geteuid().as_raw();
    let run = identity::Run::new(spec.identity(caller)?, caller);
    let bubblewrap = Bubblewrap::find(told.bubblewrap.as_deref(), run.host)?;
    cgroup::join(&told.cgroup)?;

    let outside = namespaces::outside()?;
    namespaces::enter(spec.network, run)?;
    run.take_streams([&descriptors.stdin, &descriptors.stdout, &descriptors.stderr])?;
    loopback::up(spec.network)?;
    doors::open(spec.network, &descriptors.channel)?;

    let (sources, layers) = source::open(spec, run)?;
    let (executable, system, etc) = (executable::open()?, system::open()?, etc::open(spec)?);
    let shown = Shown { sources, layers, executable, system, etc };
    stage::compose(spec, run.host, shown)?;

    let filters = seccomp::programs()?;
    let arguments = arguments::compose(spec, &filters);
    let arguments =
        handover::sealed("bubblewrap", &arguments).refuse(Step::Handover, "pass arguments")?;

    limits::set(&spec.limits, &told.layers)?;
    let mut layers = told.layers;
    layers.push(identity::assume(run)?);
    let told = ForInit { spec: told.spec, outside, layers };
    descriptors.description =
        handover::write(&told).refuse(Step::Handover, "pass the policy on")?;
    bubblewrap.become_it(&arguments, &filters, &descriptors)
}
