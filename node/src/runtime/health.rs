//! What probes ask, answered by the owners; and word to the service manager.

use std::sync::Arc;

use sd_notify::NotifyState;
use tracing::warn;

use super::node::Parts;
use crate::admin::ports::{CertificateFigures, GroupFigures, HealthPort};
use crate::id::GroupId;
use crate::queue::cluster::Standing;
use crate::queue::door::{Meta as _, Work as _};

/// The node, as probes see it.
pub(super) struct Health(pub(super) Arc<Parts>);

impl HealthPort for Health {
    fn groups(&self) -> Vec<GroupFigures> {
        let queue = &self.0.queue;
        let figures = |(group, term): (GroupId, Option<u64>)| GroupFigures {
            group,
            led: term.is_some(),
            leader: match term {
                // Without a quorum it can store nothing, and does not know who else leads.
                Some(term) => queue.may_send(group, term).then(|| queue.me()),
                None => queue.leader(group),
            },
        };
        queue.groups().into_iter().map(figures).collect()
    }

    fn leaving(&self) -> bool {
        let cluster = self.0.queue.cluster();
        let cluster = cluster.borrow();
        cluster
            .members
            .get(&self.0.queue.me())
            .is_some_and(|member| member.standing != Standing::Active)
    }

    fn certificates(&self) -> Vec<CertificateFigures> {
        let certificates = self.0.ingress.certificates().into_iter();
        certificates
            .map(|(listener, expires_at)| CertificateFigures {
                name: format!("smtp {listener}"),
                expires_at,
            })
            .collect()
    }
}

/// Tells systemd, where it started this program with `Type=notify`; nothing elsewhere.
pub(super) fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("the service manager cannot be told: {error}");
    }
}
