//! `cluster …`: making a cluster, and letting nodes and operators into it.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use convoy_proto::admin as proto;
use serde_json::json;

use super::Done;
use crate::client::Client;
use crate::format::{parse_duration, time, time_zoned};
use crate::output::{Answer, Output};

const INIT_EXAMPLES: &str = "Examples:
  mtactl cluster init
  mtactl cluster init --address mx1.example.com:2526

The configuration must name a cluster-listener. The node goes on working meanwhile.";

const TOKEN_EXAMPLES: &str = "Examples:
  mtactl cluster token
  mtactl cluster token --ttl 15m
  mtactl cluster token --replaces n3

A token lets one node join, once:
  mtad --config /etc/convoy/config --join mx1.example.com:2526 --token TOKEN";

const OPERATOR_EXAMPLES: &str = "Examples:
  mtactl cluster operator anna --role admin > anna.pem
  mtactl cluster operator grafana --role monitor --ttl 365d > grafana.pem

What is printed holds a private key: keep the file to yourself (chmod 600). Then, elsewhere:
  mtactl --node mx1.example.com:2526 --credentials anna.pem status";

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Cluster {
    /// Make a cluster of this node, which others can join then
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        /// How other nodes reach this one, if not by cluster-address
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
    },
    /// Print a token with which a new node joins
    #[command(after_help = TOKEN_EXAMPLES)]
    Token {
        /// How long it is good
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
        ttl: Duration,
        /// Member whose place the new node takes: n3
        #[arg(long, value_name = "NODE", value_parser = parse_node)]
        replaces: Option<u64>,
    },
    /// Print credentials for mtactl on another machine
    #[command(after_help = OPERATOR_EXAMPLES)]
    Operator {
        /// Who they are for
        name: String,
        /// What they allow
        #[arg(long)]
        role: Role,
        /// How long they are good
        #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration)]
        ttl: Duration,
    },
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Look at everything
    Monitor,
    /// Also change queues, jobs and messages, reload and rotate
    Operator,
    /// Everything
    Admin,
}

impl From<Role> for proto::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Monitor => Self::Monitor,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

/// `n3` or `3`.
pub(crate) fn parse_node(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix(['n', 'N']).unwrap_or(text);
    let number = digits.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("`{text}` is no node: write for instance n3"))
}

/// Does what the command line says.
pub(super) async fn run(client: Client, output: &Output, what: Cluster) -> Done {
    match what {
        Cluster::Init { address } => init(client, output, address).await,
        Cluster::Token { ttl, replaces } => token(client, output, ttl, replaces).await,
        Cluster::Operator { name, role, ttl } => operator(client, output, name, role, ttl).await,
    }
}

async fn init(mut client: Client, output: &Output, address: Option<String>) -> Done {
    let request = proto::ClusterInitRequest { address: address.unwrap_or_default() };
    let reply = client.cluster_init(request).await?.into_inner();
    Ok(output.answer(&Answer {
        text: String::new(),
        data: json!({"cluster": reply.cluster, "node": reply.node, "address": reply.address}),
        message: format!(
            "Cluster {} made. This is node n{}, at {} for the others; `mtactl cluster token` lets \
             the next one in.",
            reply.cluster, reply.node, reply.address
        ),
    })?)
}

async fn token(mut client: Client, output: &Output, ttl: Duration, replaces: Option<u64>) -> Done {
    let request =
        proto::ClusterTokenRequest { ttl_ms: millis(ttl), replaces: replaces.unwrap_or(0) };
    let reply = client.cluster_token(request).await?.into_inner();
    // Apart from the token, so that a script can take standard output as it is.
    eprintln!(
        "Good once, until {}. On the new node:\n  mtad --config FILE --join {} --token TOKEN",
        time(reply.expires_ms),
        reply.address
    );
    Ok(output.answer(&shown(&reply))?)
}

fn shown(reply: &proto::ClusterTokenReply) -> Answer {
    Answer {
        text: format!("{}\n", reply.token),
        data: json!({"token": reply.token, "expires": time_zoned(reply.expires_ms),
                     "address": reply.address}),
        message: String::new(),
    }
}

async fn operator(
    mut client: Client,
    output: &Output,
    name: String,
    role: Role,
    ttl: Duration,
) -> Done {
    let role = proto::Role::from(role).into();
    let request = proto::ClusterOperatorRequest { name, role, ttl_ms: millis(ttl) };
    let reply = client.cluster_operator(request).await?.into_inner();
    let expires = time_zoned(reply.expires_ms);
    let data = json!({"credentials": reply.credentials, "expires": expires});
    Ok(output.answer(&Answer::data(reply.credentials, data))?)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_by_number() {
        for (text, node) in [("n3", Some(3)), ("3", Some(3)), ("n0", None), ("", None), ("x", None)]
        {
            assert_eq!(parse_node(text).ok(), node, "{text}");
        }
    }

    #[test]
    fn a_token_stands_alone_for_people_and_with_its_place_for_scripts() {
        let answer = shown(&proto::ClusterTokenReply {
            token: "cj1-abc".to_owned(),
            expires_ms: 1,
            address: "mx1.example.com:2526".to_owned(),
        });
        assert_eq!(answer.text, "cj1-abc\n");
        assert_eq!(answer.data["token"], "cj1-abc");
        assert_eq!(answer.data["address"], "mx1.example.com:2526");
    }
}
