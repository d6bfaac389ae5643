//! Mail addresses as SMTP paths carry them (RFC 5321 4.1.2, RFC 6531).
//!
//! Owns what an address may look like. Refuses control characters, unbalanced quotes, empty labels
//! and paths over 256 octets (RFC 5321 4.5.3.1.3), so that an address can be written into a command
//! line, a header or a row without further thought. The 64 octets of a local part are not held
//! against anybody: return paths that encode the recipient exceed them every day.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Octets of a domain (RFC 5321 4.5.3.1.2).
const MAX_DOMAIN_BYTES: usize = 255;
/// Octets of a path with its brackets (RFC 5321 4.5.3.1.3).
const MAX_PATH_BYTES: usize = 256;
/// Octets of one label of a domain name (RFC 1035 2.3.4).
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is nothing before the `@`, or nothing at all.
    #[error("empty local part")]
    EmptyLocal,
    /// The local part is neither a dot-atom nor a quoted string.
    #[error("bad local part")]
    BadLocal,
    /// A bare name that is not `postmaster`.
    #[error("domain missing")]
    NoDomain,
    /// The domain is over 255 octets, or a label over 63.
    #[error("domain too long")]
    DomainTooLong,
    /// The domain is neither a host name nor an address literal.
    #[error("bad domain")]
    BadDomain,
    /// Brackets or source route are malformed.
    #[error("bad path")]
    BadPath,
    /// The path is over 256 octets.
    #[error("path too long")]
    PathTooLong,
}

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
    /// Reads `local@domain` without brackets, or `postmaster` alone (RFC 5321 4.5.1).
    ///
    /// UTF-8 is taken in both parts; ask [`Self::is_ascii`] where `SMTPUTF8` was not given.
    ///
    /// # Errors
    ///
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() + "<>".len() > MAX_PATH_BYTES {
            return Err(AddressError::PathTooLong);
        }
        let at = local_end(text)?;
        let (local, rest) = text.split_at(at);
        check_local(local)?;
        match rest.strip_prefix('@') {
            Some(domain) => {
                check_domain(domain)?;
                Ok(Self { local: local.to_owned(), domain: domain.to_owned() })
            }
            None if !rest.is_empty() => Err(AddressError::BadLocal),
            None if local.eq_ignore_ascii_case("postmaster") => {
                Ok(Self { local: local.to_owned(), domain: String::new() })
            }
            None => Err(AddressError::NoDomain),
        }
    }

    /// Reads a forward path with its brackets; a source route is checked and dropped, as RFC 5321
    /// appendix C asks.
    ///
    /// # Errors
    ///
    /// As for [`Self::parse`], and for bad brackets or a bad route.
    pub fn parse_path(text: &str) -> Result<Self, AddressError> {
        let inner = text
            .strip_prefix('<')
            .and_then(|t| t.strip_suffix('>'))
            .ok_or(AddressError::BadPath)?;
        Self::parse(without_route(inner)?)
    }

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

    /// The domain in the one form that routing and queues use: A-labels in lower case (RFC 5890),
    /// literals in their canonical text; empty for `<postmaster>`.
    #[must_use]
    pub fn domain_key(&self) -> String {
        domain_key(&self.domain)
    }

    /// The address of a literal domain, `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        parse_literal(&self.domain)
    }

    /// True when the address can travel without `SMTPUTF8`.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
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

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
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

impl ReversePath {
    /// Reads a reverse path with brackets (`<>`, `<a@b>`, `<@route:a@b>`), or the text form that
    /// this type prints: an address, or nothing for the null path.
    ///
    /// # Errors
    ///
    /// As for [`Address::parse_path`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        match text {
            "" | "<>" => Ok(Self::Null),
            path if path.starts_with('<') => Address::parse_path(path).map(Self::Address),
            plain => Address::parse(plain).map(Self::Address),
        }
    }

    /// The address, if there is one.
    #[must_use]
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }

    /// True when the path can travel without `SMTPUTF8`.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.address().is_none_or(Address::is_ascii)
    }
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

/// Splits a path with its brackets off the front of command arguments; brackets inside a quoted
/// local part do not end it. None when there is no complete path.
#[must_use]
pub fn split_path(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('<') {
        return None;
    }
    let mut quoted = false;
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(text.split_at(i + 1)),
            _ => {}
        }
    }
    None
}

/// A domain as routing compares it: A-labels in lower case, literals in canonical text.
#[must_use]
pub fn domain_key(domain: &str) -> String {
    match parse_literal(domain) {
        Some(IpAddr::V4(v4)) => format!("[{v4}]"),
        Some(IpAddr::V6(v6)) => format!("[ipv6:{v6}]"),
        None => to_a_labels(domain).unwrap_or_else(|| domain.to_ascii_lowercase()),
    }
}

/// Checks a host name or address literal, as in `EHLO` and after `@`.
///
/// Underscores are taken: they are in use, and nothing breaks by them.
///
/// # Errors
///
/// Says whether it is too long or malformed.
pub fn check_domain(domain: &str) -> Result<(), AddressError> {
    if domain.len() > MAX_DOMAIN_BYTES {
        return Err(AddressError::DomainTooLong);
    }
    if domain.starts_with('[') {
        return parse_literal(domain).map(|_| ()).ok_or(AddressError::BadDomain);
    }
    if domain.is_ascii() {
        return check_labels(domain);
    }
    if domain.chars().any(char::is_control) {
        return Err(AddressError::BadDomain);
    }
    let ascii = to_a_labels(domain).ok_or(AddressError::BadDomain)?;
    if ascii.len() > MAX_DOMAIN_BYTES {
        return Err(AddressError::DomainTooLong);
    }
    check_labels(&ascii)
}

fn check_labels(domain: &str) -> Result<(), AddressError> {
    for label in domain.split('.') {
        if label.len() > MAX_LABEL_BYTES {
            return Err(AddressError::DomainTooLong);
        }
        let well_formed = !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-');
        if !well_formed {
            return Err(AddressError::BadDomain);
        }
    }
    Ok(())
}

/// None when IDNA does not know what to do with it.
fn to_a_labels(domain: &str) -> Option<String> {
    if domain.is_ascii() {
        return Some(domain.to_ascii_lowercase());
    }
    idna::domain_to_ascii(domain).ok().filter(|ascii| !ascii.is_empty())
}

/// Reads `[192.0.2.1]` and `[IPv6:2001:db8::1]`. General literals of other kinds are refused:
/// there is no way to route them.
fn parse_literal(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
            inner[5..].parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// Where the local part ends: at the `@`, or at the end of the text.
fn local_end(text: &str) -> Result<usize, AddressError> {
    if !text.starts_with('"') {
        return Ok(text.find('@').unwrap_or(text.len()));
    }
    let mut escaped = false;
    for (i, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(i + 1),
            _ => {}
        }
    }
    Err(AddressError::BadLocal)
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::EmptyLocal);
    }
    let well_formed = match local.strip_prefix('"') {
        // `local_end` has found the closing quote and balanced the escapes.
        Some(rest) => rest.strip_suffix('"').is_some_and(|inner| inner.chars().all(is_quotable)),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    };
    if well_formed { Ok(()) } else { Err(AddressError::BadLocal) }
}

/// `qtextSMTP`, `quoted-pairSMTP` (RFC 5321 4.1.2) and UTF-8 (RFC 6531 3.3).
fn is_quotable(c: char) -> bool {
    matches!(c, ' '..='~') || is_utf8_text(c)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c)
}

fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

/// What follows `@one,@two:` in a path (RFC 5321 4.1.2 `A-d-l`).
fn without_route(path: &str) -> Result<&str, AddressError> {
    if !path.starts_with('@') {
        return Ok(path);
    }
    if path.len() + "<>".len() > MAX_PATH_BYTES {
        return Err(AddressError::PathTooLong);
    }
    let colon = route_end(path).ok_or(AddressError::BadPath)?;
    for hop in path[..colon].split(',') {
        let domain = hop.strip_prefix('@').ok_or(AddressError::BadPath)?;
        check_domain(domain).map_err(|_| AddressError::BadPath)?;
    }
    Ok(&path[colon + 1..])
}

/// The colon that ends a route; those inside IPv6 literals do not.
fn route_end(path: &str) -> Option<usize> {
    let mut in_literal = false;
    for (i, byte) in path.bytes().enumerate() {
        match byte {
            b'[' => in_literal = true,
            b']' => in_literal = false,
            b':' if !in_literal => return Some(i),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
#[path = "address_test.rs"]
mod tests;
