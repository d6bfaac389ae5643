//! Who works on what: recipients that were handed out and are not reported yet.
//!
//! Claims belong to the node and not to an actor, so that a recipient in the middle of its
//! transaction is not handed out a second time, whatever restarts around it.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::id::{GroupId, Locator};

/// A recipient of a stored message.
pub(crate) type Key = (Locator, u16);

/// All claims of a node. As many as recipients are in work: bounded by the connections.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<HashSet<Key>>,
}

impl Claims {
    /// Claims those of `recipients` that nobody holds; none if all are held.
    pub(crate) fn take(
        self: &Arc<Self>,
        locator: Locator,
        recipients: impl IntoIterator<Item = u16>,
    ) -> Option<Claim> {
        let mut held = self.held.lock();
        let free = |recipient: &u16| held.insert((locator, *recipient));
        let recipients: Vec<u16> = recipients.into_iter().filter(free).collect();
        drop(held);
        (!recipients.is_empty()).then(|| Claim { claims: Arc::clone(self), locator, recipients })
    }

    /// Is a recipient of this group in work?
    pub(crate) fn any_of(&self, group: GroupId) -> bool {
        self.held.lock().iter().any(|(locator, _)| locator.group == group)
    }

    /// How many recipients are in work.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held.lock().len()
    }
}

/// The right to work on some recipients of one message; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    /// The message.
    pub(crate) locator: Locator,
    /// Numbers of the recipients.
    pub(crate) recipients: Vec<u16>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock();
        for recipient in &self.recipients {
            held.remove(&(self.locator, *recipient));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_claims_twice_until_the_claim_ends() {
        let claims = Arc::new(Claims::default());
        let at = Locator { group: GroupId(2), index: 1, slot: 0 };
        let first = claims.take(at, [0, 1]).unwrap();
        let second = claims.take(at, [0, 1, 2]).unwrap();
        assert_eq!(second.recipients, [2]);
        assert!(claims.take(at, [0, 2]).is_none());
        drop(first);
        assert_eq!(claims.take(at, [0, 2]).unwrap().recipients, [0]);
        drop(second);
        assert_eq!(claims.len(), 0);
    }
}
