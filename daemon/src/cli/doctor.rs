//! `handoffd doctor`: what this machine can do, asked of the daemon or, without one, found out.

use clap::Args;
use handoff_proto::{
    problem::{Code, Problem},
    wire::{DoctorReply, DoctorRequest, IsolationLayer},
};
use rustix::process::geteuid;

use super::{admin, output, settings};
use crate::doctor;

/// Tell how well this machine keeps runs in, and what to do about it
#[derive(Debug, Args)]
pub(super) struct Doctor {}

impl Doctor {
    pub(super) fn run(self) -> Result<(), Problem> {
        match admin::ask(async |mut daemon| daemon.doctor(DoctorRequest {}).await) {
            Ok(reply) => {
                output::line(&format!("daemon: running, {}", describe(&reply)))?;
                report(&reply.isolation)
            }
            Err(problem) if problem.code == Code::Unreachable => {
                output::line(&format!("daemon: {}", problem.message))?;
                let (config, state) = settings::read(None)?;
                // Root makes the trial run as a launcher would, which answers to the daemon only.
                let launcher = config.isolation.launcher.filter(|_| !geteuid().is_root());
                report(&doctor::layers(launcher.as_deref(), &state))
            }
            Err(problem) => Err(problem),
        }
    }
}

fn describe(reply: &DoctorReply) -> String {
    let DoctorReply { state_directory, free_bytes, runs_active, .. } = reply;
    format!("{runs_active} runs going on; {state_directory} has {} MiB free", free_bytes >> 20)
}

fn report(layers: &[IsolationLayer]) -> Result<(), Problem> {
    for layer in layers {
        output::line(&format!("{}: {} ({})", layer.name, layer.state, layer.detail))?;
    }
    Ok(())
}
