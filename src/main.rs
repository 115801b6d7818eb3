//! The command line program: parse, run, exit status.

use std::process::ExitCode;

use clap::Parser;
use netwatch502::cli::Cli;
use netwatch502::run;

/// Requests and responses are thousands of small allocations that live for a second: with the system's allocator a quarter
/// of the time goes there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run::run(&cli) {
        Ok(code) => code,
        Err(error) => {
            run::say(error);
            ExitCode::from(2)
        }
    }
}
