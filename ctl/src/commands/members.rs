//! `cluster status`, and the commands that change members and leaders.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::Subcommand;
use convoy_proto::admin as proto;
use convoy_proto::admin::{ClusterGroup, ClusterMember, ClusterStatusReply, MemberStanding};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Done;
use super::cluster::{self, parse_node};
use crate::client::Client;
use crate::error::Error;
use crate::format::{parse_duration, plain};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

const STATUS_EXAMPLES: &str = "Examples:
  mtactl cluster status
  mtactl --json cluster status

`can lose` names the nodes that may go at this moment, disks and all, without mail being lost or
waiting: every group keeps a majority of its voters without them.";

const DRAIN_EXAMPLES: &str = "Examples:
  mtactl cluster drain n2 && ssh mx2 systemctl stop mtad

The node leads nothing and takes no mail any more, but keeps its replicas. The command waits until
it is so; `undrain` takes it back.";

const REMOVE_EXAMPLES: &str = "Examples:
  mtactl cluster remove n4
  mtactl cluster remove n4 --yes

The replicas of the node move to the others; when the last one has, it is forgotten. Without --yes,
a removal is refused when mail could be lost by it.";

const REPLACE_EXAMPLES: &str = "Examples:
  mtactl cluster replace n2
  mtactl cluster replace n2 --ttl 2h

For a node whose disk is gone: the new one joins under a number of its own with the token that is
printed, takes over the replicas of the old one, and the old one is forgotten.";

const TRANSFER_EXAMPLES: &str = "Examples:
  mtactl cluster transfer p3 n2
  mtactl cluster transfer meta n1";

/// Members and leaders.
#[derive(Debug, Subcommand)]
pub(crate) enum Members {
    /// Show members, groups, leaders, lag, and which nodes could be lost
    #[command(after_help = STATUS_EXAMPLES)]
    Status,
    /// Let a node hand over what it leads and take no mail
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain {
        /// Which: n2
        #[arg(value_parser = parse_node)]
        node: u64,
        /// How long to wait
        #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// Let a drained node work again
    #[command(after_help = "Examples:\n  mtactl cluster undrain n2")]
    Undrain {
        /// Which: n2
        #[arg(value_parser = parse_node)]
        node: u64,
    },
    /// Move the replicas of a node to the others and forget it
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// Which: n4
        #[arg(value_parser = parse_node)]
        node: u64,
        /// Also when mail may be lost by it
        #[arg(long)]
        yes: bool,
    },
    /// Print a token for a new node in the place of a lost one
    #[command(after_help = REPLACE_EXAMPLES)]
    Replace {
        /// The node that is lost: n2
        #[arg(value_parser = parse_node)]
        node: u64,
        /// How long the token is good
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
        ttl: Duration,
    },
    /// Let another node lead a group
    #[command(after_help = TRANSFER_EXAMPLES)]
    Transfer {
        /// Which: p3, meta, accounting
        group: String,
        /// The new leader: n2
        #[arg(value_parser = parse_node)]
        node: u64,
    },
    /// Let every group be led by the node that it is meant for
    #[command(after_help = "Examples:\n  mtactl cluster balance")]
    Balance,
}

/// Does what the command line says.
pub(super) async fn run(mut client: Client, output: &Output, what: Members) -> Done {
    match what {
        Members::Status => {
            let reply = ask(&mut client).await?;
            Ok(output.answer(&Answer::data(text(&reply), data(&reply)))?)
        }
        Members::Drain { node, timeout } => drain(client, output, node, timeout).await,
        Members::Undrain { node } => {
            stand(&mut client, node, MemberStanding::MemberActive, false).await?;
            Ok(output.answer(&Answer::message(format!("n{node} takes mail and leads again.")))?)
        }
        Members::Remove { node, yes } => remove(client, output, node, yes).await,
        Members::Replace { node, ttl } => cluster::token(client, output, ttl, Some(node)).await,
        Members::Transfer { group, node } => {
            let request = proto::TransferGroupRequest { group: group.clone(), node };
            client.transfer_group(request).await?;
            Ok(output.answer(&Answer::message(format!("n{node} leads {group}.")))?)
        }
        Members::Balance => {
            let reply = client.balance(proto::BalanceRequest {}).await?.into_inner();
            let answer = Answer {
                text: String::new(),
                data: json!({"moved": reply.moved, "missing": missing::data(&reply.missing)}),
                message: format!("{} group(s) have another leader now.", reply.moved),
            };
            missing::told(output, answer, &reply.missing)
        }
    }
}

async fn ask(client: &mut Client) -> Result<ClusterStatusReply, Error> {
    Ok(client.cluster_status(proto::ClusterStatusRequest {}).await?.into_inner())
}

async fn stand(
    client: &mut Client,
    node: u64,
    standing: MemberStanding,
    yes: bool,
) -> Result<Vec<String>, Error> {
    let request = proto::SetStandingRequest { node, standing: standing.into(), yes };
    Ok(client.set_standing(request).await?.into_inner().objections)
}

/// Between looks at what a node still leads.
const LOOK: Duration = Duration::from_millis(250);

async fn drain(mut client: Client, output: &Output, node: u64, most: Duration) -> Done {
    stand(&mut client, node, MemberStanding::MemberDraining, false).await?;
    let (until, watched) = (Instant::now() + most, io::stderr().is_terminal());
    loop {
        let reply = ask(&mut client).await?;
        let leads: Vec<&str> = reply
            .groups
            .iter()
            .filter(|group| group.leader == node)
            .map(|group| group.name.as_str())
            .collect();
        if watched {
            let end = if leads.is_empty() { "\n" } else { "" };
            let _closed = write!(io::stderr(), "\rn{node} leads {} group(s){end}", leads.len());
        }
        if leads.is_empty() {
            let message = format!("n{node} is drained: it leads nothing and takes no mail.");
            let data = json!({"node": node, "leads": []});
            return Ok(output.answer(&Answer { text: String::new(), data, message })?);
        }
        if Instant::now() >= until {
            let data = json!({"node": node, "leads": leads});
            let message = format!("n{node} still leads {}: see cluster status.", leads.join(" "));
            return Err(output.found(&Answer::data(String::new(), data), &message));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn remove(mut client: Client, output: &Output, node: u64, yes: bool) -> Done {
    let objections = stand(&mut client, node, MemberStanding::MemberRemoving, yes).await?;
    if objections.is_empty() {
        return Ok(output.answer(&Answer::message(format!(
            "The replicas of n{node} move to the other nodes; then it is forgotten: see cluster \
             status."
        )))?);
    }
    let text: String = objections.iter().map(|o| format!("{}\n", plain(o))).collect();
    let answer = Answer::data(text, json!({"node": node, "objections": objections}));
    Err(output.found(&answer, "Nothing was done. To remove it nevertheless, add --yes."))
}

fn text(reply: &ClusterStatusReply) -> String {
    // One node alone tells its own groups only, for others to put together.
    if reply.members.is_empty() {
        return "The cluster is what all nodes say: leave out --local.\n".to_owned();
    }
    let name = match reply.cluster.as_str() {
        "" => "No cluster: this node is alone".to_owned(),
        name => format!("Cluster {}", plain(name)),
    };
    let warnings: String =
        reply.warnings.iter().map(|w| format!("warning: {}\n", plain(w))).collect();
    format!(
        "{name}, asked n{}\n\n{}\n{}\nReplication factor: {}\n{}\n{warnings}{}",
        reply.me,
        members(reply),
        groups(&reply.groups),
        reply.replication_factor,
        survival(reply),
        missing::text(&reply.missing)
    )
}

fn names(nodes: &[u64]) -> String {
    nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ")
}

/// What may be lost at this moment.
fn survival(reply: &ClusterStatusReply) -> String {
    let reachable: Vec<u64> =
        reply.members.iter().filter(|m| m.reachable).map(|m| m.node).collect();
    let risky: Vec<u64> =
        reachable.iter().copied().filter(|node| !reply.can_lose.contains(node)).collect();
    match (reply.can_lose_any, reply.can_lose.is_empty()) {
        (0, true) => "Can lose: no node".to_owned(),
        (0, false) => format!("Can lose: one of {}; not {}", names(&reply.can_lose), names(&risky)),
        (1, _) => format!("Can lose: any one of {}", names(&reachable)),
        (any, _) => format!("Can lose: any {any} of {}", names(&reachable)),
    }
}

fn standing(member: &ClusterMember) -> &'static str {
    match member.standing() {
        MemberStanding::Unspecified => "unknown",
        MemberStanding::MemberActive => "active",
        MemberStanding::MemberDraining => "draining",
        MemberStanding::MemberRemoving => "removing",
    }
}

fn members(reply: &ClusterStatusReply) -> String {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("name", Align::Left),
        ("address", Align::Left),
        ("standing", Align::Left),
        ("version", Align::Left),
        ("level", Align::Right),
        ("leads", Align::Right),
        ("replicas", Align::Right),
        ("config", Align::Left),
        ("egress", Align::Left),
        ("reachable", Align::Left),
    ]);
    for m in &reply.members {
        let replaces = if m.replaces > 0 { format!(" for n{}", m.replaces) } else { String::new() };
        let config = match m.configuration_refused.as_str() {
            "" => m.configuration_version.to_string(),
            why => format!("{}: {why}", m.configuration_version),
        };
        table.row([
            format!("n{}", m.node),
            m.name.clone(),
            m.address.clone(),
            format!("{}{replaces}", standing(m)),
            m.version.clone(),
            m.level.to_string(),
            m.leads.to_string(),
            m.replicas.to_string(),
            config,
            m.egress_addresses.join(" "),
            if m.reachable { "yes".to_owned() } else { format!("no: {}", m.unreachable) },
        ]);
    }
    table.text()
}

fn groups(groups: &[ClusterGroup]) -> String {
    let mut table = Table::new(&[
        ("group", Align::Left),
        ("leader", Align::Left),
        ("term", Align::Right),
        ("voters", Align::Left),
        ("learners", Align::Left),
        ("last", Align::Right),
        ("applied", Align::Right),
        ("lag", Align::Left),
    ]);
    for group in groups {
        let lag = |replica: &proto::GroupReplica| match replica.reachable {
            true => format!("n{}:{}", replica.node, replica.lag),
            false => format!("n{}:?", replica.node),
        };
        let others = group.replicas.iter().filter(|replica| replica.node != group.leader);
        table.row([
            group.name.clone(),
            if group.leader == 0 { "none".to_owned() } else { format!("n{}", group.leader) },
            group.term.to_string(),
            names(&group.voters),
            names(&group.learners),
            group.last.to_string(),
            group.applied.to_string(),
            others.map(lag).collect::<Vec<_>>().join(" "),
        ]);
    }
    table.text()
}

fn data(reply: &ClusterStatusReply) -> Value {
    let member = |m: &ClusterMember| {
        json!({
            "node": m.node, "name": m.name, "address": m.address, "standing": standing(m),
            "version": m.version, "level": m.level, "reachable": m.reachable,
            "unreachable": m.unreachable, "configurationVersion": m.configuration_version,
            "configurationRefused": m.configuration_refused, "egress": m.egress_addresses,
            "replaces": m.replaces, "leads": m.leads, "replicas": m.replicas,
        })
    };
    let replica = |r: &proto::GroupReplica| {
        json!({"node": r.node, "reachable": r.reachable, "last": r.last, "applied": r.applied,
               "lag": r.lag})
    };
    let group = |g: &ClusterGroup| {
        json!({
            "name": g.name, "leader": g.leader, "term": g.term, "voters": g.voters,
            "learners": g.learners, "last": g.last, "applied": g.applied,
            "replica": g.replicas.iter().map(replica).collect::<Vec<_>>(),
            "placedVoters": g.placed_voters, "placedLearners": g.placed_learners,
        })
    };
    json!({
        "cluster": reply.cluster,
        "me": reply.me,
        "member": reply.members.iter().map(member).collect::<Vec<_>>(),
        "group": reply.groups.iter().map(group).collect::<Vec<_>>(),
        "replicationFactor": reply.replication_factor,
        "canLoseAny": reply.can_lose_any,
        "canLose": reply.can_lose,
        "warning": reply.warnings,
        "missing": missing::data(&reply.missing),
    })
}

#[cfg(test)]
#[path = "members_test.rs"]
mod tests;
