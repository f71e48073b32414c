//! `handoff`: prefix a command with it and the command goes on running on another machine.

fn main() -> std::process::ExitCode {
    handoff_client::main(std::env::args_os())
}
