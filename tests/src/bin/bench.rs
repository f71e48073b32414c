//! The benchmarks; `tests/bench` builds and starts this.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use handoff_tests::bench::{Options, run};

fn main() -> Result<ExitCode> {
    if let Some(code) = handoff_sandbox::entry(std::env::args_os()) {
        return Ok(code);
    }
    run(&Options::parse())
}
