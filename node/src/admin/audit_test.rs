//! What replicas said of a partition, put together.

use super::*;

const GROUP: GroupId = GroupId(2);

fn one(node: u64, applied: u64, checksum: &str) -> (NodeId, Result<proto::AuditReply, String>) {
    let partition = proto::AuditedPartition {
        name: "p0".into(),
        node,
        applied,
        checksum: checksum.into(),
        ..proto::AuditedPartition::default()
    };
    let reply = proto::AuditReply { partitions: vec![partition], ..Default::default() };
    (NodeId(node), Ok(reply))
}

#[test]
fn replicas_at_the_same_entry_must_have_the_same_state() {
    let said = vec![one(1, 9, "aa"), one(2, 9, "aa"), one(3, 9, "bb")];
    let sum = put_together(GROUP, Some(NodeId(2)), said);
    assert_eq!((sum.node, sum.led, sum.agreeing), (2, true, vec![1]));
    assert_eq!(sum.findings.len(), 1);
    assert!(sum.findings[0].starts_with("n3 has another state than n2 at entry 9"));
    // At different entries nothing is compared.
    let sum = put_together(GROUP, Some(NodeId(2)), vec![one(1, 8, "aa"), one(2, 9, "bb")]);
    assert_eq!((sum.agreeing, sum.findings), (vec![], vec![]));
}

#[test]
fn a_replica_that_cannot_be_audited_and_a_missing_leader_are_findings() {
    let said = vec![one(1, 9, "aa"), (NodeId(2), Err("disk on fire".into()))];
    let sum = put_together(GROUP, None, said);
    assert_eq!(
        sum.findings,
        ["p0 has no leader", "n2 could not be audited: disk on fire"].map(str::to_owned)
    );
    let sum = put_together(GROUP, None, Vec::new());
    assert!(sum.unfinished && !sum.findings.is_empty());
}

#[test]
fn what_is_acknowledged_the_accounting_group_must_have() {
    let at = |index| OutboxPosition { index, n: 1 };
    for (acknowledged, known, good) in [(5, 5, true), (5, 6, true), (6, 5, false)] {
        let mut partition = proto::AuditedPartition {
            group: GROUP.0,
            acknowledged: Some(mark(GROUP, at(acknowledged))),
            ..proto::AuditedPartition::default()
        };
        check_marks(&mut partition, &BTreeMap::from([(GROUP, at(known))]));
        assert_eq!(partition.findings.is_empty(), good, "{acknowledged} {known}");
    }
}
