//! A node of a Convoy cluster.
//!
//! In reading order:
//!
//! - [`clock`], [`id`]: time and names.
//! - [`config`]: PowerMTA's configuration language and the effective settings.
//! - [`smtp`]: SMTP server and client as state machines without I/O.
//! - [`message`]: envelope, outcome, accounting record, trace headers, delivery notices.
//! - [`tls`], [`dns`]: encryption and name resolution.
//! - [`queue`]: the replicated queue over openraft and RocksDB.
//! - [`ingress`]: listeners and connections; hands messages to the queue.
//! - [`delivery`]: scheduler, destinations and sessions; takes messages from the queue.
//! - [`accounting`]: outbox to CSV, exactly once.
//! - [`cluster`], [`admin`]: membership; the gRPC service of `mtactl`.
//! - [`runtime`]: start, supervision, stop, reload.
//!
//! Data flows one way: `ingress -> queue -> delivery -> accounting`.

pub mod accounting;
pub mod admin;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod delivery;
pub mod dns;
pub mod id;
pub mod ingress;
pub mod message;
pub mod queue;
pub mod runtime;
pub mod smtp;
pub mod tls;
