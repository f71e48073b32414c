//! The benchmarks; `tests/bench` builds and starts this.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use handoff_tests::bench::{Options, run};

fn main() -> Result<ExitCode> {
    run(&Options::parse())
}
