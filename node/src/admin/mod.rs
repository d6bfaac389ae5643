//! Administration: the gRPC service behind `mtactl`, counters and recent events.
//!
//! Owns the monitor's windows and nothing else: it asks the queue's [`Inspect`] door and the
//! traits in [`ports`], and turns what they say into typed replies. It refuses what would be
//! unbounded: lists are streamed page by page, operations are cut into entries of bounded size.
//!
//! [`Inspect`]: crate::queue::door::Inspect

pub mod access;
mod acct;
mod audit;
mod caller;
mod cluster;
mod difference;
mod filter;
pub mod health;
mod limits;
mod members;
mod metrics;
pub mod monitor;
mod operate;
pub mod ports;
pub mod probes;
mod push;
mod recipients;
mod resolve;
mod service;
mod show;
pub mod socket;
mod spread;
mod status;
mod story;
mod survive;
mod switch;
mod upkeep;
mod versions;
mod walk;
pub mod window;

pub use service::{API_KEY, CheckApi, Ports, Service, server};
pub use spread::LOCAL_KEY;

#[cfg(test)]
#[path = "double_test.rs"]
mod double;
#[cfg(test)]
mod probes_test;
#[cfg(test)]
mod push_test;
#[cfg(test)]
mod service_test;
