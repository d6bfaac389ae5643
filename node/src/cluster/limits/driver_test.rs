//! Nodes that share a limit over real connections.

use std::time::Duration;

use super::State;
use crate::clock::monotonic;
use crate::cluster::fixture::World;
use crate::delivery::limits::{Bound, Key, Shared as _, Usage};
use crate::id::NodeId;

const LIMIT: u32 = 20;

fn bound() -> Bound {
    Bound::places(Key::from_text("max-smtp-out x.example/v"), LIMIT)
}

/// What a node may use, and says that it does.
fn share(world: &World, node: NodeId, used: u64, wanted: u64) -> u64 {
    let usage = Usage { used, wanted, wanted_until: None, busy_until: None };
    world.nodes[&node].limits.share(&bound(), usage, monotonic()).units
}

fn shares(world: &World, wanted: &[u64]) -> Vec<u64> {
    let nodes = world.ids().into_iter().zip(wanted);
    nodes.map(|(node, wanted)| share(world, node, 0, *wanted)).collect()
}

/// The same, and together they keep to the limit.
fn within(world: &World, wanted: &[u64]) -> Vec<u64> {
    let shares = shares(world, wanted);
    assert!(shares.iter().sum::<u64>() <= 20, "{shares:?}");
    shares
}

fn state(world: &World, node: NodeId) -> (State, Option<NodeId>) {
    let sights = world.nodes[&node].limits.sights();
    (sights[0].0.state, sights[0].1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_divide_a_limit_and_keep_to_it_when_one_dies() {
    let mut world = World::founded(2).await;
    let first = NodeId(1);
    assert_eq!(share(&world, first, 0, 1), 20);
    assert_eq!(state(&world, first).0, State::Alone);
    world.join().await;
    world.join().await;
    world.settled().await;

    // Nobody needs more than its part, so that everybody has it at once.
    let sum = |shares: Vec<u64>| shares.iter().sum::<u64>();
    world.until("everybody has a part", || sum(shares(&world, &[1, 1, 1])) == 20).await;
    assert_eq!(state(&world, first).0, State::SafeShare);
    // One needs all of it, and the others nothing.
    world.until("one node has it all", || within(&world, &[30, 0, 0])[0] >= 18).await;
    let (state, coordinator) = state(&world, first);
    assert_eq!(state, State::Granted);
    // Then everybody needs it.
    world
        .until("all have the same", || within(&world, &[30, 30, 30]).iter().all(|n| *n >= 6))
        .await;

    // The node that shares it out dies.
    let victim = coordinator.unwrap();
    world.kill(victim).await;
    let left = world.ids();
    world
        .until("another one shares it out", || {
            let both = within(&world, &[30, 30]);
            let coordinators = left.iter().map(|node| self::state(&world, *node).1);
            both.iter().all(|n| *n >= 6) && coordinators.flatten().all(|node| node != victim)
        })
        .await;
    world.start(victim).await;
    world.settled().await;
    world
        .until("all have the same again", || within(&world, &[30, 30, 30]).iter().all(|n| *n >= 6))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_own_part_comes_at_once_when_it_is_free() {
    let world = World::of(3, 1).await;
    let first = NodeId(1);
    // The others have said that they need nothing.
    world.until("one node has it all", || shares(&world, &[30, 0, 0])[0] >= 18).await;
    // A second limit needs no time at all: nobody knows of it.
    let other = Bound::places(Key::from_text("max-smtp-out y.example/v"), LIMIT);
    let usage = Usage { used: 0, wanted: 1, wanted_until: None, busy_until: None };
    let limits = &world.nodes[&first].limits;
    let start = monotonic();
    assert!(limits.share(&other, usage, start).units >= 6);
    assert!(monotonic() - start < Duration::from_millis(100));
}
