//! `config push` and `config rollback`.

use std::path::PathBuf;

use convoy_proto::admin::{
    ConfigMember, ConfigOutcome, ConfigPushReply, ConfigPushRequest, ConfigRollbackRequest,
    Diagnostic, Severity,
};
use serde_json::{Value, json};

use super::Done;
use super::config::{finding_json, line};
use super::gather::Gathered;
use crate::cli::PushOptions;
use crate::client::Client;
use crate::format::plain;
use crate::output::{Answer, Output};

pub(super) async fn push(
    mut client: Client,
    output: &Output,
    file: PathBuf,
    options: PushOptions,
) -> Done {
    let mut gathered = Gathered::begin(&file)?;
    let reply = loop {
        let request = ConfigPushRequest {
            bundle: Some(gathered.bundle()),
            comment: options.comment.clone().unwrap_or_default(),
            dry_run: options.dry_run,
            skip_unreachable: options.skip_unreachable,
        };
        let reply = client.config_push(request).await?.into_inner();
        if reply.missing.is_empty() {
            break reply;
        }
        gathered.add(&reply.missing)?;
    };
    tell(output, &reply)
}

pub(super) async fn rollback(
    mut client: Client,
    output: &Output,
    version: u64,
    options: PushOptions,
) -> Done {
    let request = ConfigRollbackRequest {
        version,
        comment: options.comment.unwrap_or_default(),
        dry_run: options.dry_run,
        skip_unreachable: options.skip_unreachable,
    };
    let reply = client.config_rollback(request).await?.into_inner();
    tell(output, &reply)
}

fn tell(output: &Output, reply: &ConfigPushReply) -> Done {
    let verdict = verdict(reply);
    let answer = Answer {
        text: text(reply),
        data: json!({
            "outcome": outcome(reply),
            "version": reply.version,
            "member": reply.members.iter().map(member_json).collect::<Vec<_>>(),
        }),
        message: verdict.clone().unwrap_or_default(),
    };
    match verdict {
        Ok(_) => Ok(output.answer(&answer)?),
        Err(message) => Err(output.found(&answer, &message)),
    }
}

/// What has become of it, in a sentence; an error when it is not what was asked for.
fn verdict(reply: &ConfigPushReply) -> Result<String, String> {
    let version = reply.version;
    match reply.outcome() {
        ConfigOutcome::Pushed => running(reply),
        ConfigOutcome::Acceptable => Ok(format!(
            "It can be pushed: {} it. Nothing was changed.",
            nodes(reply.members.iter().filter(|m| m.unreachable.is_empty()).count(), "accept")
        )),
        ConfigOutcome::Unchanged => {
            Ok(format!("Nothing to change: version {version}, which is active, is the same."))
        }
        ConfigOutcome::Rejected => {
            Err("Nothing was changed: the configuration has errors.".to_owned())
        }
        ConfigOutcome::Unreachable => Err("Nothing was changed: not every node could be asked. \
             --skip-unreachable pushes without those that do not answer."
            .to_owned()),
        ConfigOutcome::Overtaken => Err(format!(
            "Nothing was changed: version {version} became active meanwhile. Compare with \
             `mtactl config diff FILE` and push again."
        )),
        ConfigOutcome::Unspecified => {
            Err("this mtad answers in a way that mtactl does not know".to_owned())
        }
    }
}

/// After a push: does everybody run with it?
fn running(reply: &ConfigPushReply) -> Result<String, String> {
    let version = reply.version;
    let reached: Vec<_> = reply.members.iter().filter(|m| m.unreachable.is_empty()).collect();
    let behind = reached.iter().filter(|member| member.running != version).count();
    let absent = reply.members.len() - reached.len();
    if behind > 0 {
        return Err(format!(
            "Version {version} is active, but {} not run with it.",
            nodes(behind, "do")
        ));
    }
    let missing = match absent {
        0 => String::new(),
        n => format!(" {} not answer.", nodes(n, "do")),
    };
    Ok(format!("Version {version} is active: {} with it.{missing}", nodes(reached.len(), "run")))
}

/// `1 node runs`, `3 nodes run`.
fn nodes(n: usize, verb: &str) -> String {
    match (n, verb) {
        (1, "do") => "1 node does".to_owned(),
        (1, verb) => format!("1 node {verb}s"),
        (n, verb) => format!("{n} nodes {verb}"),
    }
}

/// Each finding once, with the nodes that have it; then what else there is to say of nodes.
fn text(reply: &ConfigPushReply) -> String {
    let mut found: Vec<(&Diagnostic, Vec<String>)> = Vec::new();
    for member in &reply.members {
        for diagnostic in &member.diagnostics {
            match found.iter_mut().find(|(known, _)| *known == diagnostic) {
                Some((_, nodes)) => nodes.push(format!("n{}", member.node)),
                None => found.push((diagnostic, vec![format!("n{}", member.node)])),
            }
        }
    }
    let mut text = String::new();
    for (diagnostic, nodes) in found {
        let everywhere = nodes.len() == reply.members.len();
        let whose = match (reply.members.len(), everywhere) {
            (1, _) => String::new(),
            (_, true) => " [all nodes]".to_owned(),
            (_, false) => format!(" [{}]", nodes.join(", ")),
        };
        text += &format!("{}{whose}\n", line(diagnostic).trim_end());
    }
    for member in &reply.members {
        text += &state(member, reply);
    }
    text
}

/// A line about a node that is not as it should be.
fn state(member: &ConfigMember, reply: &ConfigPushReply) -> String {
    let node = format!("n{} ({})", member.node, plain(&member.name));
    if !member.unreachable.is_empty() {
        return format!("{node}: does not answer: {}\n", plain(&member.unreachable));
    }
    if reply.outcome() != ConfigOutcome::Pushed || member.running == reply.version {
        return String::new();
    }
    let with = match member.running {
        0 => "its own file alone".to_owned(),
        version => format!("version {version}"),
    };
    match member.refused.as_str() {
        "" => format!("{node}: still runs with {with}\n"),
        reason => format!("{node}: runs with {with}: {}\n", plain(reason)),
    }
}

fn outcome(reply: &ConfigPushReply) -> &'static str {
    match reply.outcome() {
        ConfigOutcome::Pushed => "pushed",
        ConfigOutcome::Acceptable => "acceptable",
        ConfigOutcome::Rejected => "rejected",
        ConfigOutcome::Unreachable => "unreachable",
        ConfigOutcome::Overtaken => "overtaken",
        ConfigOutcome::Unchanged => "unchanged",
        ConfigOutcome::Unspecified => "unknown",
    }
}

fn member_json(member: &ConfigMember) -> Value {
    let errors = member.diagnostics.iter().filter(|d| d.severity() == Severity::Error).count();
    json!({
        "node": member.node,
        "name": member.name,
        "unreachable": member.unreachable,
        "errors": errors,
        "diagnostic": member.diagnostics.iter().map(finding_json).collect::<Vec<_>>(),
        "running": member.running,
        "refused": member.refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u64, running: u64) -> ConfigMember {
        ConfigMember { node, name: format!("mx{node}"), running, ..ConfigMember::default() }
    }

    fn reply(outcome: ConfigOutcome, members: Vec<ConfigMember>) -> ConfigPushReply {
        let missing = Vec::new();
        ConfigPushReply { missing, outcome: outcome.into(), version: 8, members }
    }

    fn error(line: u32, text: &str) -> Diagnostic {
        let file = "cluster.conf".into();
        let severity = Severity::Error.into();
        Diagnostic { severity, file, line, column: 3, text: text.into() }
    }

    #[test]
    fn the_sentence_says_what_became_of_it() {
        let silent = ConfigMember { unreachable: "timed out".into(), ..member(3, 0) };
        for (given, expected) in [
            (
                reply(ConfigOutcome::Pushed, vec![member(1, 8), member(2, 8)]),
                Ok("Version 8 is active: 2 nodes run with it."),
            ),
            (
                reply(ConfigOutcome::Pushed, vec![member(1, 8), silent]),
                Ok("Version 8 is active: 1 node runs with it. 1 node does not answer."),
            ),
            (
                reply(ConfigOutcome::Pushed, vec![member(1, 8), member(2, 7)]),
                Err("Version 8 is active, but 1 node does not run with it."),
            ),
            (
                reply(ConfigOutcome::Acceptable, vec![member(1, 7)]),
                Ok("It can be pushed: 1 node accepts it. Nothing was changed."),
            ),
            (
                reply(ConfigOutcome::Rejected, vec![member(1, 7)]),
                Err("Nothing was changed: the configuration has errors."),
            ),
        ] {
            let said = verdict(&given);
            assert_eq!(said.as_deref().map_err(String::as_str), expected);
        }
        for refused in [ConfigOutcome::Unreachable, ConfigOutcome::Overtaken] {
            assert!(verdict(&reply(refused, vec![member(1, 7)])).is_err());
        }
    }

    #[test]
    fn findings_come_once_and_name_their_nodes() {
        let mut members = vec![member(1, 7), member(2, 7)];
        members[0].diagnostics = vec![error(3, "odd"), error(9, "no such file")];
        members[1].diagnostics = vec![error(3, "odd")];
        members.push(ConfigMember { unreachable: "no route".into(), ..member(3, 0) });
        let expected = "\
cluster.conf:3:3: error: odd [n1, n2]
cluster.conf:9:3: error: no such file [n1]
n3 (mx3): does not answer: no route
";
        assert_eq!(text(&reply(ConfigOutcome::Rejected, members)), expected);
    }

    #[test]
    fn a_node_that_stays_behind_says_why() {
        let refused = ConfigMember { refused: "a.pem is gone".into(), ..member(2, 7) };
        let members = vec![member(1, 8), refused, member(3, 0)];
        let expected = "\
n2 (mx2): runs with version 7: a.pem is gone
n3 (mx3): still runs with its own file alone
";
        assert_eq!(text(&reply(ConfigOutcome::Pushed, members)), expected);
    }
}
