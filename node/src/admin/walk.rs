//! Goes through the stored messages page by page, so that memory does not depend on their number.

use std::sync::Arc;

use crate::id::Locator;
use crate::queue::door::Inspect;
use crate::queue::model::{Operation, Stored, Target};

/// Messages per page.
const PAGE: usize = 64;

/// Recipients changed by one entry of the log.
const TARGETS_PER_OPERATION: usize = 500;

/// A way through the store. Messages that come in meanwhile may or may not be met.
pub(super) struct Walk {
    store: Arc<dyn Inspect>,
    after: Option<Locator>,
    /// Messages met so far.
    pub(super) examined: u64,
}

impl Walk {
    pub(super) fn new(store: Arc<dyn Inspect>) -> Self {
        Self { store, after: None, examined: 0 }
    }

    /// The next page; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Vec<Stored>> {
        let page = self.store.page(self.after, PAGE).await;
        self.after = Some(page.last()?.locator);
        self.examined += page.len() as u64;
        Some(page)
    }
}

/// Applies an operation to `targets` in entries of bounded size; gives the recipients changed.
pub(super) async fn operate(
    store: &dyn Inspect,
    mut targets: Vec<Target>,
    operation: impl Fn(Vec<Target>) -> Operation,
) -> Result<u64, tonic::Status> {
    let mut changed = 0;
    while !targets.is_empty() {
        let rest = targets.split_off(targets.len().min(TARGETS_PER_OPERATION));
        changed += store.operate(operation(targets)).await.map_err(super::service::not_recorded)?;
        targets = rest;
    }
    Ok(changed)
}
