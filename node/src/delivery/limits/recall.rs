//! How a connection learns that its place is wanted back.

use tokio::sync::watch;

/// What the holder of a place has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Go on.
    #[default]
    Stay,
    /// End after the current message.
    Finish,
    /// End before anything else becomes final: the place is somebody else's.
    Stop,
}

/// Tells the holder of a permit.
#[derive(Debug, Default)]
pub(super) struct Recall {
    stage: watch::Sender<Stage>,
}

impl Recall {
    pub(super) fn raise(&self, stage: Stage) {
        self.stage.send_if_modified(|old| {
            let higher = stage > *old;
            *old = stage.max(*old);
            higher
        });
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Resolves when the place is wanted back.
    pub(super) async fn raised(&self) {
        let mut stage = self.stage.subscribe();
        // The sender lives as long as this.
        drop(stage.wait_for(|stage| *stage > Stage::Stay).await);
    }
}
