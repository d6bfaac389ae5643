//! What nodes say of their groups, put together.

use super::*;
use crate::clock::Timestamp;
use crate::queue::cluster::Identity;

fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
    nodes.iter().map(|n| NodeId(*n)).collect()
}

fn figures(group: u32, leads: bool, last: u64, voters: &[u64]) -> Seen {
    let leader = leads.then_some(NodeId(1));
    Seen {
        group: GroupId(group),
        term: 7,
        leader,
        voters: set(voters),
        learners: BTreeSet::new(),
        last,
        applied: last,
    }
}

fn cluster(nodes: u64) -> Cluster {
    let identity = Identity {
        id: "c1".into(),
        authority_certificate_pem: String::new(),
        authority_key_pem: String::new(),
        founded_at: Timestamp(1),
    };
    let members = (1..=nodes).map(|n| (NodeId(n), Member::default())).collect();
    Cluster { identity: Some(identity), members, ..Cluster::default() }
}

/// Three nodes with two groups; n1 leads both, and n3 lags in one.
fn three() -> Views {
    let voters = &[1, 2, 3];
    Views::from([
        (NodeId(1), vec![figures(0, true, 9, voters), figures(2, true, 100, voters)]),
        (NodeId(2), vec![figures(0, false, 9, voters), figures(2, false, 100, voters)]),
        (NodeId(3), vec![figures(0, false, 9, voters), figures(2, false, 60, voters)]),
    ])
}

#[test]
fn groups_are_told_with_leader_and_lag() {
    let reply = overview(NodeId(2), &cluster(3), &three(), Vec::new());
    assert_eq!((reply.cluster.as_str(), reply.me, reply.replication_factor), ("c1", 2, 3));
    let [meta, p0] = &reply.groups[..] else { panic!("{reply:?}") };
    assert_eq!((meta.name.as_str(), meta.leader, meta.term), ("meta", 1, 7));
    let lags: Vec<u64> = p0.replicas.iter().map(|replica| replica.lag).collect();
    assert_eq!(lags, [0, 0, 40]);
    assert_eq!((reply.can_lose_any, reply.can_lose), (1, vec![1, 2, 3]));
    assert_eq!((reply.members[0].leads, reply.members[2].replicas), (2, 2));
    assert_eq!(reply.warnings, Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_warned_of() {
    let mut views = three();
    views.remove(&NodeId(1));
    let gone = vec![proto::Missing { node: 1, reason: "connection refused".into() }];
    let mut cluster = cluster(3);
    cluster.placement.insert(
        GroupId(2),
        Placement { voters: vec![NodeId(2), NodeId(3)], ..Placement::default() },
    );
    let refusing = cluster.members.get_mut(&NodeId(3)).unwrap();
    refusing.configuration_refused = "line 4".into();
    let reply = overview(NodeId(2), &cluster, &views, gone);
    assert_eq!((reply.can_lose_any, reply.can_lose), (0, vec![]));
    assert!(!reply.members[0].reachable && reply.members[1].reachable);
    assert_eq!(reply.members[0].unreachable, "connection refused");
    for expected in
        ["meta has no leader", "p0 is not yet where it should be: on n2 n3", "n3 does not run"]
    {
        assert!(reply.warnings.iter().any(|w| w.starts_with(expected)), "{:?}", reply.warnings);
    }
    views.remove(&NodeId(3));
    let reply = overview(NodeId(2), &cluster, &views, Vec::new());
    assert!(reply.warnings[0].starts_with("meta has no majority"), "{:?}", reply.warnings);
}

#[test]
fn removal_is_objected_to_when_mail_or_majorities_are_at_stake() {
    let check = |views: &Views, nodes: u64, node: u64, expected: &[&str]| {
        let objections = objections(&cluster(nodes), views, NodeId(node));
        let got: Vec<bool> =
            expected.iter().map(|e| objections.iter().any(|o| o.contains(e))).collect();
        assert!(got.iter().all(|found| *found), "{objections:?} for {expected:?}");
        assert_eq!(objections.is_empty(), expected.is_empty(), "{objections:?}");
    };
    let mut four = three();
    four.insert(NodeId(4), Vec::new());
    check(&four, 4, 3, &[]);
    check(&four, 4, 4, &[]);
    check(&three(), 3, 3, &["2 node(s) are left"]);
    four.remove(&NodeId(1));
    check(&four, 4, 2, &["without n2, p0 has no majority (n3 left)"]);
    four.remove(&NodeId(3));
    check(&four, 4, 2, &["n2 has the last replica of p0"]);
}

#[test]
fn views_travel_between_nodes_unchanged() {
    let mut one = figures(2, true, 9, &[1, 2]);
    one.learners = set(&[4]);
    one.leader = Some(NodeId(1));
    assert_eq!(read_view(view(&one)), one);
}
