//! One file per group of commands: ask the node, render the answer.

mod acct;
pub(crate) mod audit;
pub(crate) mod cluster;
mod config;
mod diagnose;
mod gather;
mod limits;
mod members;
mod message;
mod push;
mod queues;
mod recipients;
mod settings;
mod shell;
mod status;
mod switches;
mod totals;
mod upkeep;
mod versions;

use crate::cli::{Acct, Cli, Command, Config, Rotate, Show, Sort};
use crate::client::{Target, connect};
use crate::error::Error;
use crate::output::Output;

type Done = Result<(), Error>;

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, output: &mut Output) -> Done {
    let client = match &cli.command {
        Command::Completions { shell } => return shell::completions(*shell, output),
        Command::Man => return shell::manual(output),
        _ => connect(&Target::of(cli.socket, cli.node, cli.credentials)?, cli.local).await?,
    };
    match cli.command {
        Command::Status | Command::Show(Show::Status) => status::status(client, output).await,
        Command::Show(Show::Version) => status::version(client, output).await,
        Command::Show(Show::Queues(options)) => queues::queues(client, output, options, None).await,
        Command::Show(Show::Topqueues(options)) => {
            queues::queues(client, output, options, Some(Sort::Rcpt)).await
        }
        Command::Show(Show::Domains(options)) => {
            totals::domains(client, output, options, None).await
        }
        Command::Show(Show::Topdomains(options)) => {
            totals::domains(client, output, options, Some(Sort::Rcpt)).await
        }
        Command::Show(Show::Vmtas(options)) => totals::vmtas(client, output, options).await,
        Command::Show(Show::Jobs(options)) => totals::jobs(client, output, options).await,
        Command::Show(Show::Limits(options)) => limits::limits(client, output, options).await,
        Command::Show(Show::Settings { queue }) => settings::settings(client, output, &queue).await,
        Command::Show(Show::Message { id }) => message::message(client, output, id).await,
        Command::List(options) => recipients::list(client, output, options).await,
        Command::Delete(options) => recipients::delete(client, output, options).await,
        Command::Pause(what) => switches::pause(client, output, what).await,
        Command::Resume(what) => switches::resume(client, output, what).await,
        Command::Set(what) => switches::set(client, output, what).await,
        Command::Schedule(options) => switches::schedule(client, output, options).await,
        Command::Reload => config::reload(client, output).await,
        Command::Config(Config::Check { file }) => config::check(client, output, file).await,
        Command::Config(Config::Push { file, options }) => {
            push::push(client, output, file, options).await
        }
        Command::Config(Config::Rollback { version, options }) => {
            push::rollback(client, output, version, options).await
        }
        Command::Config(Config::History) => versions::history(client, output).await,
        Command::Config(Config::Show { version, secrets }) => {
            versions::show(client, output, version, secrets).await
        }
        Command::Config(Config::Diff { sides, secrets }) => {
            versions::diff(client, output, sides, secrets).await
        }
        Command::Rotate(Rotate::Acct { file }) => acct::rotate(client, output, file).await,
        Command::Rotate(Rotate::Log) => upkeep::rotate_log(client, output).await,
        Command::Acct(Acct::Status) => acct::status(client, output).await,
        Command::Trace(options) => diagnose::trace(client, output, options).await,
        Command::Resolve(options) => diagnose::resolve(client, output, options).await,
        Command::Clear(what) => upkeep::clear(client, output, what).await,
        Command::Reset(what) => upkeep::reset(client, output, what).await,
        Command::Cluster(what) => cluster::run(client, output, what).await,
        Command::Audit(options) => audit::audit(client, output, options).await,
        Command::Drain => upkeep::drain(client, output).await,
        // Answered above, without a node.
        Command::Completions { .. } | Command::Man => Ok(()),
    }
}

/// The order as the protocol names it.
fn sort(chosen: Option<Sort>, otherwise: Option<Sort>) -> convoy_proto::admin::Sort {
    match chosen.or(otherwise) {
        None | Some(Sort::Name) => convoy_proto::admin::Sort::Name,
        Some(Sort::Rcpt) => convoy_proto::admin::Sort::Recipients,
        Some(Sort::Size) => convoy_proto::admin::Sort::Size,
    }
}

/// `DOMAIN[/VMTA]` in two.
fn split_queue(queue: &str) -> (String, String) {
    let (domain, vmta) = queue.split_once('/').unwrap_or((queue, ""));
    (domain.to_owned(), vmta.to_owned())
}

/// The list ended without its last item.
fn cut_short() -> Error {
    Error::Local("the connection to mtad broke in the middle of the answer".to_owned())
}
