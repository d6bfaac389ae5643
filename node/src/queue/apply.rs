//! What the entries of a partition change.
//!
//! Pure: an entry and the rows before it give the rows after it, on every replica the same. Rows
//! that contradict each other are an error that stops the node; they are never mended silently.

mod operate;
mod partition;
mod report;
mod store;

pub(crate) use partition::PartitionMachine;

#[cfg(test)]
mod model_test;
#[cfg(test)]
mod table_test;
