//! How much a client may ask without sending mail.

use std::time::Duration;

/// Faults (unknown commands, bad syntax, wrong order, failed AUTH) between two messages.
const MAX_FAULTS: u32 = 20;
/// Recipients refused between two messages.
const MAX_REFUSED_RECIPIENTS: u32 = 100;
/// Commands between two messages that bring no message nearer.
const MAX_IDLE_COMMANDS: u32 = 100;
/// Recipients of a message, whatever is configured: their number must fit the queue's keys, and
/// one log entry holds them all.
pub(super) const MAX_RECIPIENTS: usize = 10_000;
/// Octets of an overlong line that are thrown away before the connection is.
pub(super) const MAX_SKIPPED_BYTES: usize = 64 * 1024;
/// Octets of a chunk that is refused and still read, to stay in step.
pub(super) const MAX_REFUSED_CHUNK_BYTES: u64 = 64 * 1024 * 1024;
/// Octets of replies that wait to be sent before more commands are read.
pub(super) const MAX_UNSENT_BYTES: usize = 16 * 1024;
/// Octets per second that a message must average, once the data timeout has passed.
pub(super) const MIN_RATE_BYTES: u64 = 500;
/// Time between messages, whatever commands come.
pub(super) const MAX_IDLE_SESSION: Duration = Duration::from_secs(3600);

/// What a client has used up.
#[derive(Debug, Default)]
pub(super) struct Tally {
    faults: u32,
    refused_recipients: u32,
    idle_commands: u32,
}

impl Tally {
    /// True when that was one too many.
    pub(super) fn fault(&mut self) -> bool {
        self.faults += 1;
        self.faults >= MAX_FAULTS
    }

    /// True when that was one too many.
    pub(super) fn refused_recipient(&mut self) -> bool {
        self.refused_recipients += 1;
        self.refused_recipients >= MAX_REFUSED_RECIPIENTS
    }

    /// True when that was one too many.
    pub(super) fn idle_command(&mut self) -> bool {
        self.idle_commands += 1;
        self.idle_commands >= MAX_IDLE_COMMANDS
    }

    /// Mail was received: what is allowed between messages starts anew.
    pub(super) fn mail_received(&mut self) {
        *self = Self::default();
    }
}
