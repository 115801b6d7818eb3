//! The command line program: parse, run, exit status.

use std::process::ExitCode;

use clap::Parser;
use netwatch502::cli::Cli;
use netwatch502::run;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run::run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("netwatch502: {error}");
            ExitCode::from(2)
        }
    }
}
