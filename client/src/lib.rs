//! The `handoff` program: sends a command with its tree to a daemon and brings the result back.
//!
//! ```text
//! cli ──▶ command/* ──▶ capture ──▶ outbox ──▶ transfer ──▶ remote ──▶ (daemon)
//!                  └──▶ pull, notifier ──────────────────┘
//! ```
//!
//! `cli` only parses, `command` holds one file per command, everything below knows neither flags
//! nor exit codes. Printing happens in `output`, exit codes are chosen in `exit`, gRPC statuses
//! are read in `remote::status`: one door each.

pub mod cli;
pub mod command;
pub mod context;
pub mod exit;
pub mod interrupt;
pub mod json;
pub mod output;
pub mod wording;

pub mod contract;
pub mod settings;

pub mod backoff;
pub mod detached;
pub mod file_watch;
pub mod local;
pub mod reconnect;
pub mod remote;
pub mod runs;

pub mod agents;
pub mod bundle;
pub mod capture;
pub mod outbox;
pub mod secrets;
pub mod transfer;

pub mod follow;
pub mod terminal;

pub mod notifier;
pub mod pull;

mod index_file;

use std::ffi::OsString;
use std::process::ExitCode;

use exit::Exit;
use output::Output;

/// Runs the command line and returns the process's exit code.
pub fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(error) = detached::become_if_asked(&words) {
        return exit::report(&error.into(), &Output::new(output::Format::Text)).into();
    }
    if let Some(exit) = agents::hook::answer_if_asked(&words) {
        return exit.into();
    }
    let output = Output::new(cli::wanted_format(&words));
    let exit = match cli::parse(&words) {
        Ok(cli::Parsed::Run(invocation)) => run(*invocation, output.clone()),
        Ok(cli::Parsed::Text(text)) => output.text(&text).map(|()| Exit::Done).map_err(Into::into),
        Err(error) => Err(error.into()),
    };
    match exit {
        Ok(exit) => exit,
        Err(error) => exit::report(&error, &output),
    }
    .into()
}

fn run(invocation: cli::Invocation, output: Output) -> anyhow::Result<Exit> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let exit = runtime.block_on(command::run(invocation, output));
    // A blocking thread that still reads a large file must not hold up an interrupt.
    runtime.shutdown_background();
    exit
}
