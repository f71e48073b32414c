//! The `handoffd` program. What must happen before any thread or runtime exists comes first.

use std::{ffi::OsString, process::ExitCode};

use handoff_daemon::{cli, egress, harvest, launcher, supervisor};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let hidden = handoff_sandbox::entry(arguments.clone())
        .or_else(|| supervisor::entry(&arguments))
        .or_else(|| egress::entry(&arguments))
        .or_else(|| launcher::entry(&arguments))
        .or_else(|| harvest::entry(arguments.clone()));
    if let Some(code) = hidden {
        return code;
    }
    // One TLS provider for everything; a second call would find it installed, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    cli::run(arguments)
}
