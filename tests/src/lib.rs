//! What whole-node tests and the demonstration share: certificates, a receiving SMTP server that
//! behaves as told, a sending client, and a node in a directory of its own.

pub mod certificates;
pub mod client;
pub mod dns;
pub mod node;
pub mod programs;
pub mod replicas;
pub mod rows;
pub mod sink;
pub mod transcript;
