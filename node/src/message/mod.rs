//! What a message is: envelope, recipients, outcome, accounting record, and the texts that Convoy
//! itself writes (trace headers, delivery status notifications).
//!
//! Pure: no I/O, no clock, no randomness; times and ids are arguments.

pub mod dsn;
pub mod envelope;
pub mod headers;
pub mod outcome;
pub mod record;
pub mod status;
pub mod trace;

pub use envelope::{BodyType, Envelope, Notify, Origin, Recipient, Ret, TlsInfo};
pub use outcome::{Class, Outcome, Status};
pub use record::{Record, RecordType};
