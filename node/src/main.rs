//! `mtad`: a node of a Convoy cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, ValueEnum};
use convoy_node::{config, runtime};

/// A node of a Convoy mail transfer cluster.
///
/// Reads a configuration in PowerMTA's language and runs in the foreground until SIGTERM or
/// SIGINT. SIGHUP reads the configuration again; `mtactl` administers the running node.
#[derive(Debug, Parser)]
#[command(name = "mtad", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    /// Configuration file to run with.
    #[arg(long, value_name = "FILE", default_value = "/etc/convoy/config")]
    config: PathBuf,

    /// Become a member of a cluster through this member of it, then run. A node that is a member
    /// already just runs. MTAD_JOIN sets it too.
    #[arg(long, value_name = "HOST:PORT", env = "MTAD_JOIN", hide_env = true)]
    join: Option<String>,

    /// What `mtactl cluster token` printed, for --join. MTAD_TOKEN sets it too, and is not seen in
    /// the list of processes.
    #[arg(long, value_name = "TOKEN", env = "MTAD_TOKEN", hide_env = true)]
    token: Option<String>,

    /// Check a configuration and the files it names, show every error, and exit.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "list_ciphers", "describe",
        "manual", "split_config"])]
    check_config: Option<PathBuf>,

    /// With --check-config: the configuration that the nodes of a cluster share.
    #[arg(long, value_name = "FILE", requires = "check_config")]
    shared: Option<PathBuf>,

    /// Make two configurations out of one, node.conf for this node and cluster.conf for
    /// `mtactl config push`, check them, and exit.
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["config",
        "list_ciphers", "describe", "manual"])]
    split_config: Option<PathBuf>,

    /// With --split-config: the directory to write into. Nothing in it is overwritten.
    #[arg(long, value_name = "DIR", requires = "split_config")]
    out: Option<PathBuf>,

    /// Show which ciphers an OpenSSL cipher string selects here, and exit.
    #[arg(long, value_name = "STRING", exclusive = true)]
    list_ciphers: Option<String>,

    /// Explain a directive, and exit.
    #[arg(long, value_name = "DIRECTIVE", exclusive = true)]
    describe: Option<String>,

    /// Print a manual page, and exit.
    #[arg(long, value_name = "PAGE", exclusive = true)]
    manual: Option<Page>,
}

const EXAMPLES: &str = "Examples:
  mtad --check-config /etc/pmta/config
  mtad --check-config node.conf --shared cluster.conf
  mtad --split-config /etc/pmta/config --out /etc/convoy
  mtad --config /etc/convoy/config
  mtad --config /etc/convoy/config --join mx1.example.com:2526 --token cj1-...
  mtad --describe require-starttls
  mtad --list-ciphers 'HIGH:!ADH:@STRENGTH'

Exit status: 0 when all went well, 1 for a configuration that is refused or a node that cannot
run, 2 for wrong arguments.";

/// A page of the manual.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Page {
    /// mtad.conf(5): every directive.
    Conf,
    /// mtad(8): this program.
    Program,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if let Some(file) = arguments.check_config {
        Ok(runtime::check::print(&file, arguments.shared.as_deref()))
    } else if let (Some(file), Some(out)) = (arguments.split_config, arguments.out) {
        runtime::split::print(&file, &out)
    } else if let Some(string) = arguments.list_ciphers {
        Ok(runtime::check::print_ciphers(&string))
    } else if let Some(name) = arguments.describe {
        Ok(describe(&name))
    } else if let Some(page) = arguments.manual {
        print_manual(page)
    } else {
        let token = arguments.token;
        let join = arguments.join.map(|address| runtime::JoinWith { address, token });
        runtime::run(&arguments.config, join)
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mtad: {}", runtime::explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn describe(name: &str) -> bool {
    match config::manual::describe(name) {
        Ok(text) => {
            runtime::say(format_args!("{}", text.trim_end()));
            true
        }
        Err(unknown) => {
            eprintln!("mtad: {unknown}; `man mtad.conf` lists all directives");
            false
        }
    }
}

fn print_manual(page: Page) -> anyhow::Result<bool> {
    match page {
        Page::Conf => runtime::say(config::manual::manual().trim_end()),
        Page::Program => {
            clap_mangen::Man::new(Arguments::command())
                .section("8")
                .render(&mut std::io::stdout())?;
        }
    }
    Ok(true)
}
