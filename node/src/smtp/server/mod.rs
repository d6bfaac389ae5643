//! The SMTP server as a state machine.
