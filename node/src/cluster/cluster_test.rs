use std::collections::BTreeSet;

use bytes::Bytes;

use super::fixture::World;
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, NodeId};
use crate::queue::cluster::{Change, Changed, Standing};
use crate::queue::door::{
    Groups as _, Inbox as _, Inspect as _, Meta as _, Propose as _, ReportError, Work as _,
};
use crate::queue::fixture as testing;
use crate::queue::fixture::Class;
use crate::queue::model::{Accepted, SubmitError};

const BOTH: usize = 2;

async fn submit(world: &World, node: NodeId, id: u128) -> Result<Accepted, SubmitError> {
    let body = Bytes::from(format!("Subject: {id}\r\n\r\nhello\r\n"));
    let submission = testing::submission(id, &["rcpt@one.example"], body);
    world.queue(node).submit(submission).await
}

/// Waits until the leaders have exactly these messages: a group may be changing its leader.
async fn has_stored(world: &World, expected: &BTreeSet<u128>) {
    let mut last = BTreeSet::new();
    for _ in 0..200 {
        last = stored(world).await;
        if last == *expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(last, *expected);
}

/// Ids of all messages that the leaders have.
async fn stored(world: &World) -> BTreeSet<u128> {
    let mut ids = BTreeSet::new();
    for node in world.ids() {
        let page = world.queue(node).page(None, 100_000).await;
        ids.extend(page.into_iter().map(|stored| stored.envelope.id.0));
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_grows_to_three_and_survives_the_loss_of_any() {
    let mut world = World::founded(2).await;
    let mut accepted = BTreeSet::new();
    assert!(submit(&world, NodeId(1), 1).await.is_ok());
    accepted.insert(1);
    for _ in 0..BOTH {
        world.join().await;
    }
    world.settled().await;
    let mut next = 2;
    for node in world.ids() {
        assert!(submit(&world, node, next).await.is_ok(), "on {node}");
        accepted.insert(next);
        next += 1;
    }
    world.converged().await;
    has_stored(&world, &accepted).await;
    for victim in world.ids() {
        let led: Vec<GroupId> =
            world.groups().into_iter().filter(|g| world.leader(*g) == Some(victim)).collect();
        world.kill(victim).await;
        for group in led {
            world.led_by_another(group, victim).await;
        }
        for node in world.ids() {
            assert!(submit(&world, node, next).await.is_ok(), "on {node} without {victim}");
            accepted.insert(next);
            next += 1;
        }
        world.start(victim).await;
        world.settled().await;
        world.converged().await;
        has_stored(&world, &accepted).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_a_majority_neither_accepts_nor_sends() {
    let world = World::of(3, 1).await;
    let group = GroupId::partition(0);
    let old = world.leader(group).unwrap();
    let term = world.queue(old).leads(group).unwrap();
    let at = submit(&world, old, 1).await.unwrap().locator;
    assert!(world.queue(old).may_send(group, term));
    world.isolate(old);
    let new = world.led_by_another(group, old).await;
    assert!(!world.queue(old).may_send(group, term), "two nodes may send");
    let refused = submit(&world, old, 2).await;
    assert!(matches!(refused, Err(SubmitError::NoQuorum | SubmitError::Unknown)), "{refused:?}");
    // The new leader goes on with what the old one had accepted.
    let other = world.queue(new);
    let new_term = other.leads(group).unwrap();
    assert!(new_term > term);
    assert_eq!(other.load(at).await.unwrap().waiting.len(), 1);
    let done = testing::report(at, vec![testing::result(0, Class::Delivered)]);
    assert_eq!(other.report(new_term, done.clone()).await, Ok(()));
    world.heal();
    let late = world.queue(old).report(term, done).await;
    assert_eq!(late, Err(ReportError::LostLeadership), "the report of an old leader");
    world.converged().await;
    for node in world.ids() {
        assert!(world.queue(node).load(at).await.is_none(), "{node} has the message still");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_stored_once_whoever_is_asked_again() {
    let world = World::of(3, 1).await;
    let group = GroupId::partition(0);
    let leader = world.leader(group).unwrap();
    let first = submit(&world, leader, 7).await.unwrap();
    for node in world.ids() {
        let body = Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n");
        let again = testing::submission(7, &["rcpt@one.example"], body);
        let accepted = world.queue(node).submit(again).await.unwrap();
        // At commit nobody knows whether it was there; the state does.
        assert_eq!(accepted.locator.group, first.locator.group);
    }
    world.converged().await;
    has_stored(&world, &BTreeSet::from([7])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_messages_go_to_the_leader_in_pieces() {
    let world = World::of(3, 1).await;
    let leader = world.leader(GroupId::partition(0)).unwrap();
    let other = world.ids().into_iter().find(|node| *node != leader).unwrap();
    let body: Bytes = (0..3 << 20).map(|i: u32| u8::try_from(i % 251).unwrap()).collect();
    let submission = testing::submission(5, &["rcpt@one.example"], body.clone());
    let at = world.queue(other).submit(submission).await.unwrap().locator;
    assert_eq!(world.queue(leader).body(at).await, Some(body.clone()));
    world.converged().await;
    for node in world.ids() {
        assert_eq!(world.queue(node).body(at).await.as_ref(), Some(&body), "on {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_missed_what_is_purged_gets_a_snapshot() {
    let mut world = World::of(3, 1).await;
    let group = GroupId::partition(0);
    let behind = world.ids().into_iter().find(|n| world.leader(group) != Some(*n)).unwrap();
    world.kill(behind).await;
    let leader = world.leader(group).unwrap();
    let big = Bytes::from(vec![b'x'; 200 << 10]);
    let mut accepted = BTreeSet::new();
    let mut kept: Option<Locator> = None;
    for id in 1..=40 {
        let submission = testing::submission(id, &["rcpt@one.example"], big.clone());
        kept = Some(world.queue(leader).submit(submission).await.unwrap().locator);
        accepted.insert(id);
    }
    let first = || world.figures(leader, group).first;
    world.queue(leader).bound_logs().await;
    world
        .until("the log is purged", || {
            let queue = world.queue(leader).clone();
            tokio::spawn(async move { queue.bound_logs().await });
            first() > 20
        })
        .await;
    world.start(behind).await;
    world.settled().await;
    world.converged().await;
    assert!(world.figures(behind, group).first > 20, "it got entries, not a snapshot");
    assert_eq!(world.queue(behind).body(kept.unwrap()).await, Some(big));
    // It can lead with what it got.
    let steward = world.nodes[&leader].steward.clone();
    if world.leader(group) == Some(leader) {
        world
            .until("it can follow", || world.queue(leader).successors(group).contains(&behind))
            .await;
        steward.hand_over(group, behind).await.unwrap();
        world.until("it leads", || world.leader(group) == Some(behind)).await;
    }
    has_stored(&world, &accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_leads_nothing_and_a_removed_one_is_forgotten() {
    let mut world = World::of(3, 2).await;
    let (first, second, third) = (NodeId(1), NodeId(2), NodeId(3));
    let change = |change| {
        let queue = world.queue(third).clone();
        async move { queue.change(change).await }
    };
    let drain = Change::set_standing(first, Standing::Draining);
    assert_eq!(change(drain).await, Ok(Changed::Done));
    world
        .until("it leads nothing", || {
            world.groups().iter().all(|g| world.leader(*g).is_some_and(|leader| leader != first))
        })
        .await;
    assert!(submit(&world, first, 1).await.is_ok(), "it forwards what it is given");
    let undrain = Change::set_standing(first, Standing::Active);
    assert_eq!(change(undrain).await, Ok(Changed::Done));
    let fourth = world.join().await;
    let remove = Change::set_standing(second, Standing::Removing);
    assert_eq!(world.queue(third).change(remove).await, Ok(Changed::Done));
    world
        .until("it is forgotten", || {
            !world.queue(third).cluster().borrow().members.contains_key(&second)
        })
        .await;
    world.kill(second).await;
    for node in [first, third, fourth] {
        let id = 100 + u128::from(node.0);
        assert!(submit(&world, node, id).await.is_ok(), "on {node}");
    }
    for group in world.groups() {
        let leader = world.leader(group).unwrap();
        let voters = world.figures(leader, group).voters;
        assert_eq!(voters, BTreeSet::from([first, third, fourth]), "{group}");
    }
    has_stored(&world, &BTreeSet::from([1, 101, 103, 104])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_and_retry_times_stay_as_they_were_after_a_takeover() {
    let mut world = World::of(3, 1).await;
    let group = GroupId::partition(0);
    let old = world.leader(group).unwrap();
    let at = submit(&world, old, 1).await.unwrap().locator;
    let term = world.queue(old).leads(group).unwrap();
    let deferred = testing::report(at, vec![testing::result(0, Class::Deferred)]);
    assert_eq!(world.queue(old).report(term, deferred).await, Ok(()));
    let before = world.queue(old).load(at).await.unwrap().waiting;
    world.kill(old).await;
    let new = world.led_by_another(group, old).await;
    let after = world.queue(new).load(at).await.unwrap().waiting;
    assert_eq!(after, before);
    assert_eq!(after[0].attempts, 1);
    assert_eq!(after[0].due, Timestamp(1_000_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_elsewhere_is_found_again() {
    let mut world = World::of(3, 1).await;
    let moved = NodeId(2);
    world.kill(moved).await;
    world.forget_address(moved);
    world.start(moved).await;
    assert!(submit(&world, NodeId(1), 1).await.is_ok());
    // Entries reach it only when the others have learnt where it is.
    world.settled().await;
    world.converged().await;
}
