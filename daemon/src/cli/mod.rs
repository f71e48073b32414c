//! The operator's command line: one file per command; the doc comment of a command is its help.
//!
//! Commands other than `serve` and `launch` only talk to a running daemon over its admin socket.

mod admin;
mod exit;
mod output;
mod settings;

mod connect;
mod launch;
mod serve;

mod credential;
mod doctor;
mod gc;
mod invite;
mod stop;
mod unbuilt;
mod user;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};
use handoff_proto::problem::Problem;

/// Runs handed-off commands in sandboxes and keeps their results.
#[derive(Debug, Parser)]
#[command(name = "handoffd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Launch(launch::Launch),
    Stop(stop::Stop),
    Connect(connect::Connect),
    Invite(invite::Invite),
    User(user::User),
    Doctor(doctor::Doctor),
    Credential(credential::Credential),
    Audit(unbuilt::Audit),
    Gc(gc::Gc),
}

/// Runs the command that the arguments name, the program's own name first.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(Arguments { command }) => command,
        Err(error) => return exit::usage(&error),
    };
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => exit::problem(&problem),
    }
}

fn execute(command: Command) -> Result<(), Problem> {
    match command {
        Command::Serve(serve) => serve.run(),
        Command::Launch(launch) => launch.run(),
        Command::Stop(stop) => stop.run(),
        Command::Connect(connect) => connect.run(),
        Command::Invite(invite) => invite.run(),
        Command::User(user) => user.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Credential(credential) => credential.run(),
        Command::Audit(_) => Err(unbuilt::problem("audit")),
        Command::Gc(gc) => gc.run(),
    }
}
