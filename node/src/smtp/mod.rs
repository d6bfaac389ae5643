//! SMTP server and client as state machines without I/O.
//!
//! A machine takes bytes and the time and gives actions; drivers in `ingress` and `delivery` own
//! the sockets. Nothing here knows tokio, TLS libraries or files.

pub mod address;
pub mod client;
pub mod command;
pub mod parameter;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod xtext;
