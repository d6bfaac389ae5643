//! `mtactl` administers a node over its Unix socket. It knows the protocol and nothing else of the
//! node.
//!
//! Exit codes: 0 done; 1 refused or failed; 2 wrong usage; 3 the node cannot be reached.

mod cli;
mod client;
mod commands;
mod error;
mod format;
mod missing;
mod output;
mod table;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::error::Error;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // Help and version go to standard output and are no failure.
            let _closed = message.print();
            return if message.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let mut output = Output::new(cli.json);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&mut output, &Error::Local(error.to_string())),
    };
    match runtime.block_on(commands::run(cli, &mut output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&mut output, &error),
    }
}

fn report(output: &mut Output, error: &Error) -> ExitCode {
    output.failure(error);
    error.exit_code()
}
