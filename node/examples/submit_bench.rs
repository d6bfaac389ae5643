//! How many messages per second one node stores on this disk.
//!
//! `cargo run --release --example submit_bench -- DIR [SUBMITTERS] [BODY_BYTES] [SECONDS]`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use convoy_node::clock::{Timestamp, monotonic};
use convoy_node::id::{MessageId, NodeId, QueueName};
use convoy_node::message::{BodyType, Envelope, Notify, Origin, Recipient};
use convoy_node::queue::door::Inbox;
use convoy_node::queue::machine::{
    Answer, Changes, Committed, LiveBodies, Machine, MachineError, View, no_bodies,
};
use convoy_node::queue::model::Submission;
use convoy_node::queue::raft::group::Timing;
use convoy_node::queue::store::FatalHook;
use convoy_node::queue::store::database::Sizes;
use convoy_node::queue::{Queue, QueueOptions};
use convoy_node::smtp::address::{Address, ReversePath};

struct Nothing;

impl Machine for Nothing {
    fn opened(&mut self, _: &dyn View) -> Result<(), MachineError> {
        Ok(())
    }

    fn apply(&mut self, _: &Committed, _: &mut dyn Changes) -> Result<Vec<Answer>, MachineError> {
        Ok(Vec::new())
    }

    fn written(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn live_bodies(&self) -> LiveBodies {
        no_bodies
    }
}

fn submission(body: &Bytes) -> anyhow::Result<Submission> {
    let id = MessageId::generate();
    let domain = format!("d{}.example", id.0 % 100);
    let recipient = Recipient {
        address: Address::parse(&format!("someone@{domain}"))?,
        notify: Notify::Unspecified,
        orcpt: None,
        queue: QueueName { domain, vmta: "v1".to_owned() },
    };
    let envelope = Envelope {
        id,
        received_at: Timestamp::now(),
        sender: ReversePath::Address(Address::parse("bounce@sender.example")?),
        recipients: vec![recipient],
        size_bytes: 0,
        body_type: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        job: Some("bench".to_owned()),
        vmta_pool: None,
        origin: Origin::Internal,
        suppress_dsn: false,
    };
    Ok(Submission { envelope, body: body.clone(), records: Vec::new() })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or_else(|| anyhow::anyhow!("name a directory"))?);
    let mut number = |default| args.next().map_or(Ok(default), |arg| arg.parse::<u64>());
    let (submitters, body_bytes, seconds) = (number(64)?, number(4096)?, number(10)?);
    let queue = Queue::open(QueueOptions {
        dir,
        node: NodeId(1),
        peers: Arc::new(convoy_node::queue::raft::Alone),
        founder: true,
        partitions: 2,
        accounting: Box::new(Nothing),
        sizes: Sizes::default(),
        timing: Timing::default(),
        commit_timeout: Duration::from_secs(30),
        min_free_bytes: 0,
        fatal: FatalHook::new(|reason| eprintln!("{reason}")),
    })
    .await?;
    let body = Bytes::from(vec![b'x'; usize::try_from(body_bytes)?]);
    let stored = Arc::new(AtomicU64::new(0));
    let begin = monotonic();
    let workers: Vec<_> = (0..submitters)
        .map(|_| {
            let (queue, stored, body) = (queue.clone(), stored.clone(), body.clone());
            tokio::spawn(async move {
                while begin.elapsed() < Duration::from_secs(seconds) {
                    queue.submit(submission(&body)?).await?;
                    stored.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for worker in workers {
        worker.await??;
    }
    let (count, taken) = (stored.load(Ordering::Relaxed), begin.elapsed().as_secs_f64());
    println!("{count} messages of {body_bytes} bytes, {:.0}/s", count as f64 / taken);
    queue.shutdown().await;
    Ok(())
}
