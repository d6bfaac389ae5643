//! What whole-node tests and the demonstration share: certificates, a receiving SMTP server that
//! behaves as told, a sending client, and a node in a directory of its own.

pub mod certificates;
pub mod chaos;
pub mod client;
pub mod cluster;
pub mod disk;
pub mod dns;
pub mod history;
pub mod laws;
pub mod load;
pub mod network;
pub mod node;
pub mod parcel;
pub mod place;
pub mod programs;
pub mod proxy;
pub mod receiver;
pub mod replicas;
pub mod rows;
pub mod shim;
pub mod sink;
pub mod transcript;
pub mod trial;
