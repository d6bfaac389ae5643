//! What probes ask, answered by the owners; and word to the service manager.

use std::sync::Arc;

use sd_notify::NotifyState;
use tracing::warn;

use super::node::Parts;
use crate::admin::ports::{CertificateFigures, HealthPort, Leadership};
use crate::queue::cluster::Standing;
use crate::queue::door::{Groups, Meta as _, Work as _};
use crate::queue::model::GroupFigures;

/// The node, as probes see it.
pub(super) struct Health(pub(super) Arc<Parts>);

impl HealthPort for Health {
    fn groups(&self) -> Vec<Leadership> {
        let queue = &self.0.queue;
        let (me, led) = (queue.me(), queue.groups());
        let term = |group| led.iter().find(|(led, _)| *led == group).and_then(|(_, term)| *term);
        let leadership = |figures: GroupFigures| {
            let group = figures.group;
            let leader = match term(group) {
                // Without a quorum it can store nothing, and does not know who else leads.
                Some(term) => queue.may_send(group, term).then_some(me),
                None => figures.leader,
            };
            let is_here = figures.voters.contains(&me) || figures.learners.contains(&me);
            let led = term(group).is_some();
            (is_here || leader.is_some()).then_some(Leadership { group, leader, led })
        };
        Groups::figures(&**queue).into_iter().filter_map(leadership).collect()
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
        let smtp = self.0.ingress.certificates().into_iter();
        let smtp = smtp.map(|(listener, until)| (format!("smtp {listener}"), until));
        let cluster = self.0.credentials.loaded().map(|own| own.validity.until);
        smtp.chain(cluster.map(|until| ("cluster".to_owned(), until)))
            .map(|(name, expires_at)| CertificateFigures { name, expires_at })
            .collect()
    }
}

/// Tells systemd, where it started this program with `Type=notify`; nothing elsewhere.
pub(super) fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!("the service manager cannot be told: {error}");
    }
}
