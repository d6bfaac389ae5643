//! Mail addresses as SMTP paths carry them (RFC 5321 4.1.2, RFC 6531).

use std::fmt;

/// A mailbox: local part and domain.
///
/// Values are checked when they are made, so an address never holds CR, LF, NUL or a control
/// character and its text form always reads back to the same value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    local: String,
    domain: String,
}

impl Address {
    /// Local part as written, quotes included.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// Domain as written, or an address literal with its brackets; empty for `<postmaster>`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        if !self.domain.is_empty() {
            write!(f, "@{}", self.domain)?;
        }
        Ok(())
    }
}

/// `MAIL FROM`: an address, or nothing for notices that must not be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`.
    Null,
    /// `<address>`.
    Address(Address),
}

/// The address without angle brackets; empty for the null path.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}
