//! Start order, supervision, stop order, reload, logging: wires all other modules.

pub mod log;
