//! Start order, supervision, stop order, reload, logging: wires all other modules.
