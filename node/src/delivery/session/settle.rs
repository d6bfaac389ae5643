//! Tells the queue what was done, until it knows it or somebody else is responsible.

use std::time::Duration;

use crate::delivery::environment::Environment;
use crate::queue::door::ReportError;
use crate::queue::model::Report;

/// Between two tries to record the same results.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Records `reports`. A message that was sent and is not recorded would be sent again, so this
/// does not give up while this node is the one that sends. False when it is not any more.
pub(crate) async fn settle(env: &Environment, term: u64, reports: Vec<Report>) -> bool {
    for report in reports {
        let group = report.locator.group;
        loop {
            match env.work.report(term, report.clone()).await {
                Ok(()) => break,
                Err(ReportError::Stopping) => return false,
                Err(ReportError::LostLeadership) => {
                    if !env.work.led().contains(&(group, term)) {
                        return false;
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }
    true
}
