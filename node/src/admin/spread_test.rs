//! Answers over several nodes: three services that know each other, one of which may be gone.

use super::*;
use crate::id::NodeId;
use crate::queue::audit::Audited;
use crate::queue::model::GroupFigures;

/// Two nodes that know each other, and a third that is gone.
async fn two(messages: u64) -> (Fixture, Fixture) {
    let (one, two) =
        (Fixture::start_node(1, messages).await, Fixture::start_node(2, messages).await);
    let gone = (NodeId(3), Err("connection refused".to_owned()));
    *one.others.others.lock() = vec![(NodeId(2), Ok(two.channel.clone())), gone.clone()];
    *two.others.others.lock() = vec![(NodeId(1), Ok(one.channel.clone())), gone];
    (one, two)
}

fn names(missing: &[proto::Missing]) -> Vec<String> {
    missing.iter().map(|gone| format!("n{}: {}", gone.node, gone.reason)).collect()
}

const GONE: [&str; 1] = ["n3: connection refused"];

#[tokio::test]
async fn tables_are_added_up_and_name_who_is_missing() {
    use proto::queue_item::Item;
    let (mut one, two) = two(2).await;
    two.activity("gmail.com", Activity { connections: 3, ..Activity::default() });
    let error = Some((Timestamp(9), "421 busy".to_owned()));
    two.activity("other.example", Activity { last_error: error, ..Activity::default() });
    let items = all(one.client.queues(proto::QueuesRequest::default()).await.unwrap().into_inner());
    let mut rows = Vec::new();
    for item in items.await {
        match item.item.unwrap() {
            Item::Row(row) => rows.push((row.name, row.recipients, row.connections)),
            Item::End(end) => {
                assert_eq!(
                    (end.shown, end.total, names(&end.missing)),
                    (3, 3, GONE.to_vec().into_iter().map(str::to_owned).collect())
                );
            }
        }
    }
    let expected =
        [("gmail.com/{default}", 4, 3), ("yahoo.com/vm1", 4, 0), ("yahoo.com/{default}", 4, 0)];
    assert_eq!(rows, expected.map(|(name, n, c)| (name.to_owned(), n, c)));
    let (errors, total) =
        one.queues(proto::QueuesRequest { errors: true, ..Default::default() }).await;
    assert_eq!((errors, total), (vec!["other.example/{default}".to_owned()], 1));

    let request = proto::DomainsRequest { pattern: "yahoo.com".into(), ..Default::default() };
    let items = all(one.client.domains(request).await.unwrap().into_inner()).await;
    let Some(proto::domain_item::Item::Row(row)) = &items[0].item else { panic!("no row") };
    assert_eq!(row.recipients, 8);
    let items = all(one.client.jobs(proto::JobsRequest::default()).await.unwrap().into_inner());
    let items = items.await;
    let Some(proto::job_item::Item::Row(row)) = &items[0].item else { panic!("no row") };
    assert_eq!(row.recipients, 12);
}

#[tokio::test]
async fn a_local_call_is_answered_for_one_node() {
    let (one, _two) = two(2).await;
    let say = |mut request: tonic::Request<()>| {
        request.metadata_mut().insert(crate::admin::LOCAL_KEY, 1.into());
        Ok(request)
    };
    let mut local = AdminClient::with_interceptor(one.channel.clone(), say);
    let status = local.status(proto::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.smtp_queues.unwrap().recipients, 6);
    assert!(status.nodes.is_empty() && status.missing.is_empty());
}

#[tokio::test]
async fn status_is_the_sum_with_a_line_per_node() {
    let (mut one, two) = two(2).await;
    two.ingress.connections.lock().current = 4;
    let status = one.client.status(proto::StatusRequest {}).await.unwrap().into_inner();
    let smtp = status.smtp_queues.unwrap();
    // The same two domains are on both nodes.
    assert_eq!((smtp.recipients, smtp.domains, smtp.bytes), (12, 2, 12 * 2048));
    assert_eq!((status.inbound.unwrap().current, status.inbound.unwrap().maximum), (4, 2400));
    assert_eq!(status.nodes.len(), 2);
    assert_eq!(names(&status.missing), GONE);
}

#[tokio::test]
async fn lists_go_on_where_the_next_node_begins_and_end_at_the_most() {
    let (mut one, _two) = two(100).await;
    let request = |max_items| proto::ListRequest {
        filter: of_queue("gmail.com"),
        max_items,
        action: proto::ListAction::Show.into(),
    };
    for (most, expected, more) in
        [(0, 200, false), (150, 150, true), (100, 100, true), (200, 200, false), (99, 99, true)]
    {
        let (rows, done) = one.list(request(most)).await;
        assert_eq!((rows.len(), done.recipients, done.more), (expected, expected as u64, more));
        assert_eq!(names(&done.missing), GONE);
    }
}

#[tokio::test]
async fn changes_are_made_on_every_node() {
    let (mut one, two) = two(100).await;
    let request = proto::ListRequest {
        filter: of_queue("gmail.com"),
        max_items: 150,
        action: proto::ListAction::Hold.into(),
    };
    let (_, done) = one.list(request).await;
    assert_eq!((done.recipients, done.more), (150, true));
    let held = |node: &Fixture| {
        let messages = node.store.messages.lock();
        messages.values().flat_map(|m| &m.waiting).filter(|w| w.held).count()
    };
    assert_eq!((held(&one), held(&two)), (100, 50));

    let request = proto::DeleteRequest { filter: of_queue("yahoo.com/*"), no_accounting: true };
    let progress = all(one.client.delete(request).await.unwrap().into_inner()).await;
    let last = progress.last().unwrap();
    assert_eq!((last.examined, last.deleted, last.finished), (200, 400, true));
    assert_eq!(names(&last.missing), GONE);
    assert_eq!(two.store.messages.lock().len(), 100);

    let request = proto::ScheduleRequest { pattern: "*/*".into(), retry_recipients: true };
    let reply = one.client.schedule(request).await.unwrap().into_inner();
    assert_eq!((reply.matching, names(&reply.missing)), (1, GONE.map(str::to_owned).to_vec()));
}

#[tokio::test]
async fn a_message_is_found_wherever_it_is() {
    let (mut one, two) = two(0).await;
    let message = stored(7, 1000);
    let id = message.envelope.id.to_string();
    two.store.insert(message);
    let reply = one.client.message(proto::MessageRequest { id }).await.unwrap().into_inner();
    assert_eq!((reply.leader, reply.term, reply.partition.as_str()), (2, 3, "p0"));
    assert_eq!(names(&reply.missing), GONE);
    let absent = proto::MessageRequest { id: "01K4Z3X5J8Q6W2E9R7T0YBVCNM".into() };
    let error = one.client.message(absent).await.unwrap_err();
    assert!(error.message().contains("n3: connection refused"), "{}", error.message());
    assert!(error.message().contains("acct.csv"), "{}", error.message());
}

#[tokio::test]
async fn the_first_node_with_a_connection_is_traced() {
    let (mut one, two) = two(0).await;
    let (_own, waiting) = mpsc::channel(4);
    *one.delivery.trace.lock() = Some(waiting);
    let (lines, waiting) = mpsc::channel(4);
    *two.delivery.trace.lock() = Some(waiting);
    let request = proto::TraceRequest { queue: "gmail.com".into(), ..Default::default() };
    let traced = one.client.trace(request).await.unwrap().into_inner();
    lines.send((Timestamp(1), ">>> 220 hello".into())).await.unwrap();
    drop(lines);
    let got: Vec<String> = all(traced).await.into_iter().map(|line| line.text).collect();
    assert_eq!(got, ["connections of n3 are not seen: connection refused", ">>> 220 hello"]);
}

#[tokio::test]
async fn partitions_are_audited_on_their_replicas() {
    let (mut one, two) = two(0).await;
    let group = crate::id::GroupId::partition(0);
    let members = [NodeId(1), NodeId(2), NodeId(3)].into();
    let figures = |leader: u64| GroupFigures {
        group,
        leader: Some(NodeId(leader)),
        term: 3,
        voters: std::collections::BTreeSet::clone(&members),
        learners: [].into(),
        first: 1,
        last: 9,
        committed: 9,
        applied: 9,
        matched: [].into(),
        heard: [].into(),
    };
    let audited = |checksum: u8| Audited {
        group,
        applied: 25,
        counted: Default::default(),
        found: Default::default(),
        findings: Vec::new(),
        more_findings: 0,
        checksum: [checksum; 32],
        acknowledged: Default::default(),
    };
    for node in [&one, &two] {
        *node.others.groups.lock() = vec![figures(2)];
        *node.partitions.audited.lock() = vec![audited(1)];
    }
    let reply = one.client.audit(proto::AuditRequest::default()).await.unwrap().into_inner();
    let [p0] = &reply.partitions[..] else { panic!("{reply:?}") };
    assert_eq!((p0.node, &p0.agreeing[..], p0.led), (2, &[1][..], true));
    assert_eq!(p0.findings, Vec::<String>::new());
    assert_eq!(names(&reply.missing), GONE);

    *one.partitions.audited.lock() = vec![audited(9)];
    let reply = one.client.audit(proto::AuditRequest::default()).await.unwrap().into_inner();
    assert!(reply.partitions[0].findings[0].contains("n1 has another state than n2"));
    one.partitions.audited.lock().clear();
    let reply = one.client.audit(proto::AuditRequest::default()).await.unwrap().into_inner();
    assert!(reply.partitions[0].findings[0].contains("n1 could not be audited"));
}

#[tokio::test]
async fn leadership_is_handed_over_by_the_node_that_has_it() {
    use crate::queue::cluster::{Cluster, Identity, Member};
    let (mut one, two) = two(0).await;
    let identity = Identity {
        id: "c1".into(),
        authority_certificate_pem: String::new(),
        authority_key_pem: String::new(),
        founded_at: Timestamp(1),
    };
    let members = (1..=4).map(|n| (NodeId(n), Member::default())).collect();
    let cluster = Arc::new(Cluster { identity: Some(identity), members, ..Cluster::default() });
    let group = crate::id::GroupId::partition(0);
    for node in [&one, &two] {
        *node.others.cluster.lock() = Arc::clone(&cluster);
        *node.others.groups.lock() = vec![GroupFigures {
            group,
            leader: Some(NodeId(2)),
            term: 3,
            voters: [NodeId(1), NodeId(2)].into(),
            learners: [].into(),
            first: 1,
            last: 9,
            committed: 9,
            applied: 9,
            matched: [].into(),
            heard: [].into(),
        }];
    }
    let transfer = |group: &str, node| proto::TransferGroupRequest { group: group.into(), node };
    one.client.transfer_group(transfer("p0", 1)).await.unwrap();
    assert_eq!(*two.others.done.lock(), ["transfer p0 n1"]);
    for (request, code) in
        [(transfer("p9", 1), Code::NotFound), (transfer("p0", 9), Code::NotFound)]
    {
        assert_eq!(one.client.transfer_group(request).await.unwrap_err().code(), code);
    }
    let balanced = one.client.balance(proto::BalanceRequest {}).await.unwrap().into_inner();
    assert_eq!((balanced.moved, names(&balanced.missing)), (4, GONE.map(str::to_owned).to_vec()));

    let stand = |node, standing: proto::MemberStanding, yes| proto::SetStandingRequest {
        node,
        standing: standing.into(),
        yes,
    };
    let removing = proto::MemberStanding::MemberRemoving;
    let reply = one.client.set_standing(stand(2, removing, false)).await.unwrap().into_inner();
    assert!(reply.objections[0].contains("without n2, p0 has no majority"), "{reply:?}");
    one.client.set_standing(stand(2, removing, true)).await.unwrap();
    let draining = proto::MemberStanding::MemberDraining;
    one.client.set_standing(stand(4, draining, false)).await.unwrap();
    assert_eq!(*one.others.done.lock(), ["Removing n2", "Draining n4"]);
}
