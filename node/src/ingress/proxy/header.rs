//! The header of the PROXY protocol, versions 1 and 2 of HAProxy's specification: bytes in, both
//! ends of the proxied connection out.
//!
//! Owns the bytes of one header until it is whole. Refuses whatever a proxy must not send, takes
//! none of the bytes behind the header, and does no I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, CRLF included.
const MAX_LINE_BYTES: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;
/// The longest block of addresses and extensions behind the fixed part that is passed over.
/// Extensions hold names and certificates' subjects; more than this is nothing a proxy sends.
const MAX_BLOCK_BYTES: usize = 4096;

/// For whom a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// For the proxy itself, or for a client that it cannot name: what the socket says holds.
    Unnamed,
    /// For this client.
    Named {
        /// The client.
        source: SocketAddr,
        /// What the client connected to.
        destination: SocketAddr,
    },
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::ingress) enum Fault {
    /// Another protocol is spoken.
    #[error("it does not begin with a PROXY header")]
    NotAHeader,
    /// It has no end within the bound.
    #[error("its PROXY header is too long")]
    TooLong,
    /// It begins as a header does and goes on as none.
    #[error("its PROXY header is malformed: {0}")]
    Malformed(&'static str),
}

/// What a piece of the stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// The whole piece belongs to the header, which is longer.
    More,
    /// The header ended with the first `taken` bytes of the piece.
    Whole { taken: usize, header: Header },
}

/// Collects a header that comes in pieces.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes the next piece of the stream, up to the end of the header.
    ///
    /// # Errors
    ///
    /// When this cannot become a header any more; nothing more is to be fed then.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<Fed, Fault> {
        for (before, byte) in piece.iter().enumerate() {
            self.bytes.push(*byte);
            if let Some(header) = look(&self.bytes)? {
                return Ok(Fed::Whole { taken: before + 1, header });
            }
        }
        Ok(Fed::More)
    }
}

/// The header, if it ends with the last of these bytes.
fn look(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let agrees = |start: &[u8]| bytes.iter().zip(start).all(|(one, other)| one == other);
    if agrees(LINE_START) {
        line(bytes)
    } else if agrees(SIGNATURE) {
        block(bytes)
    } else {
        Err(Fault::NotAHeader)
    }
}

/// Version 1: one line of text.
fn line(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    if bytes.last() != Some(&b'\n') {
        let full = bytes.len() >= MAX_LINE_BYTES;
        return if full { Err(Fault::TooLong) } else { Ok(None) };
    }
    let text = bytes.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(LINE_START));
    let text = text.and_then(|line| std::str::from_utf8(line).ok());
    let text = text.ok_or(Fault::Malformed("it is not a line of text"))?;
    let (family, rest) = text.split_once(' ').unwrap_or((text, ""));
    match family {
        "TCP4" => named::<Ipv4Addr>(rest).map(Some),
        "TCP6" => named::<Ipv6Addr>(rest).map(Some),
        // Whatever follows is to be ignored.
        "UNKNOWN" => Ok(Some(Header::Unnamed)),
        _ => Err(Fault::Malformed("it names neither TCP4 nor TCP6 nor UNKNOWN")),
    }
}

/// Both addresses, then both ports.
fn named<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<Header, Fault> {
    let mut words = text.split(' ');
    let mut next = || words.next().ok_or(Fault::Malformed("something is missing"));
    let (source, destination, source_port, destination_port) = (next()?, next()?, next()?, next()?);
    if next().is_ok() {
        return Err(Fault::Malformed("something follows the ports"));
    }
    let end = |address: &str, digits: &str| {
        let address = address.parse::<A>().map_err(|_| Fault::Malformed("an address is wrong"))?;
        Ok(SocketAddr::new(address.into(), port(digits)?))
    };
    Ok(Header::Named {
        source: end(source, source_port)?,
        destination: end(destination, destination_port)?,
    })
}

fn port(digits: &str) -> Result<u16, Fault> {
    let only_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| only_digits);
    port.ok_or(Fault::Malformed("a port is wrong"))
}

/// Version 2: a fixed part, then a block of the length that it names.
fn block(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some((fixed, block)) = bytes.split_first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., version_and_command, family, high, low] = *fixed;
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::Malformed("its version or its command is unknown")),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BLOCK_BYTES {
        return Err(Fault::TooLong);
    }
    if block.len() < length {
        return Ok(None);
    }
    if local {
        // The family is of no meaning then.
        return Ok(Some(Header::Unnamed));
    }
    match family {
        // Unspecified, or a client on a Unix socket of the proxy.
        0x00 | 0x31 => Ok(Some(Header::Unnamed)),
        0x11 => addresses::<4>(block).map(Some),
        0x21 => addresses::<16>(block).map(Some),
        _ => Err(Fault::Malformed("its address family is not TCP over IPv4 or IPv6")),
    }
}

/// Both addresses of `N` bytes each, then both ports; extensions follow.
fn addresses<const N: usize>(block: &[u8]) -> Result<Header, Fault>
where
    IpAddr: From<[u8; N]>,
{
    let short = Fault::Malformed("its addresses are cut off");
    let (source, rest) = block.split_first_chunk::<N>().ok_or(short)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(short)?;
    let ([a, b, c, d], _) = rest.split_first_chunk::<4>().ok_or(short)?;
    let end =
        |address: &[u8; N], port| SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(port));
    Ok(Header::Named { source: end(source, [*a, *b]), destination: end(destination, [*c, *d]) })
}

#[cfg(test)]
#[path = "header_test.rs"]
mod tests;
