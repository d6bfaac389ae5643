//! Messages that end on this node: `type discard` and `type file`.

use tokio::sync::mpsc;

use super::{Spec, file, transfer};
use crate::config::settings::DeliveryType;
use crate::delivery::classify;
use crate::delivery::feed::Batch;
use crate::delivery::message::{BatchEnd, SessionEnd, SessionEvent};
use crate::delivery::record::Path;
use crate::message::{Class, Outcome, Status};

pub(super) async fn run(spec: &Spec, assignments: &mut mpsc::Receiver<Batch>) -> SessionEnd {
    spec.tell(SessionEvent::Ready { unreachable: Vec::new(), source: None }).await;
    loop {
        let batch = tokio::select! {
            biased;
            () = spec.env.stopped() => None,
            () = spec.permit.recalled() => None,
            batch = assignments.recv() => batch,
        };
        let Some(batch) = batch else { return SessionEnd::Finished };
        let result = deliver(spec, &batch).await;
        drop(batch);
        spec.tell(SessionEvent::Ended { result, last: false }).await;
    }
}

async fn deliver(spec: &Spec, batch: &Batch) -> BatchEnd {
    let loaded = match transfer::load(spec, batch).await {
        Ok(loaded) => loaded,
        Err(end) => return end,
    };
    if !spec.env.work.may_send(batch.claim.locator.group, batch.term) {
        return BatchEnd::Lost;
    }
    let count = loaded.waiting.len();
    let (dlv_type, outcomes): (_, Vec<Outcome>) = match &spec.settings.delivery_type {
        DeliveryType::File { format, destination } => {
            ("file", file::deliver(&loaded, *format, destination).await)
        }
        DeliveryType::Discard { .. } | DeliveryType::Smtp | DeliveryType::Unavailable(_) => {
            let outcome = classify::own(Class::Delivered, Status(2, 0, 0), "discarded");
            ("discard", vec![outcome; count])
        }
    };
    let path = Path { dlv_type, is_final: true, ..Path::default() };
    let outcomes = outcomes.into_iter().enumerate().map(|(i, outcome)| (i, outcome, true));
    transfer::report(spec, batch, &loaded, &path, outcomes.collect()).await
}
