//! The tables of `cluster status`.

use super::*;

fn reply() -> ClusterStatusReply {
    let member = |node: u64, reachable| ClusterMember {
        node,
        name: format!("mx{node}"),
        address: format!("mx{node}:2526"),
        standing: MemberStanding::MemberActive.into(),
        version: "0.2.0".into(),
        level: 1,
        reachable,
        unreachable: if reachable { String::new() } else { "timed out".into() },
        leads: u32::from(node == 1),
        replicas: 1,
        ..ClusterMember::default()
    };
    let replica = |node, reachable, lag| proto::GroupReplica {
        node,
        reachable,
        lag,
        ..proto::GroupReplica::default()
    };
    ClusterStatusReply {
        cluster: "c1".into(),
        me: 2,
        members: vec![member(1, true), member(2, true), member(3, false)],
        groups: vec![ClusterGroup {
            name: "p0".into(),
            leader: 1,
            term: 7,
            voters: vec![1, 2, 3],
            last: 100,
            applied: 99,
            replicas: vec![replica(1, true, 0), replica(2, true, 4), replica(3, false, 0)],
            ..ClusterGroup::default()
        }],
        replication_factor: 3,
        warnings: vec!["p0 is slow".into()],
        missing: vec![proto::Missing { node: 3, reason: "timed out".into() }],
        ..ClusterStatusReply::default()
    }
}

#[test]
fn members_and_groups_are_tables() {
    let expected = "\
Cluster c1, asked n2

node  name  address   standing  version  level  leads  replicas  config  egress  reachable
n1    mx1   mx1:2526  active    0.2.0        1      1         1  0               yes
n2    mx2   mx2:2526  active    0.2.0        1      0         1  0               yes
n3    mx3   mx3:2526  active    0.2.0        1      0         1  0               no: timed out

group  leader  term  voters    learners  last  applied  lag
p0     n1         7  n1 n2 n3             100       99  n2:4 n3:?

Replication factor: 3
Can lose: no node
warning: p0 is slow
missing: n3: timed out
";
    assert_eq!(text(&reply()), expected);
    let json = data(&reply());
    assert_eq!(json["group"][0]["replica"][1]["lag"], 4);
    assert_eq!(json["member"][2]["reachable"], false);
}

#[test]
fn what_may_be_lost_is_said_in_words() {
    for (any, single, expected) in [
        (0, vec![], "Can lose: no node"),
        (0, vec![2], "Can lose: one of n2; not n1"),
        (1, vec![1, 2], "Can lose: any one of n1 n2"),
        (2, vec![1, 2], "Can lose: any 2 of n1 n2"),
    ] {
        let reply = ClusterStatusReply { can_lose_any: any, can_lose: single, ..reply() };
        assert_eq!(survival(&reply), expected);
    }
}
