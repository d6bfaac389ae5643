//! `HOST:PORT` under which a node is reached.

use std::net::{IpAddr, SocketAddr};

/// The text does not name a host and a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no HOST:PORT that other nodes can reach: write for instance mx1.example.com:2526"
)]
pub struct BadAddress(String);

/// Host and port. An address of all zeros is nobody's.
///
/// # Errors
/// When one of them is missing or cannot be one.
pub fn split(address: &str) -> Result<(&str, u16), BadAddress> {
    let bad = || BadAddress(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let port: u16 = port.parse().map_err(|_| bad())?;
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match inner.unwrap_or(host).parse::<IpAddr>() {
        Ok(ip) => !ip.is_unspecified() && (ip.is_ipv6() == inner.is_some()),
        Err(_) => inner.is_none() && is_name(host),
    };
    if good && port != 0 { Ok((host, port)) } else { Err(bad()) }
}

fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        (1..=63).contains(&label.len()) && label.chars().all(good)
    };
    host.len() <= 253 && host.trim_end_matches('.').split('.').all(label)
}

/// How others reach a listener: at its address, or, when it listens on all addresses, by the name
/// of the host.
#[must_use]
pub fn of_listener(listener: SocketAddr, host_name: &str) -> String {
    if listener.ip().is_unspecified() {
        format!("{host_name}:{}", listener.port())
    } else {
        listener.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, host) in [
            ("mx1.example.com:2526", Some("mx1.example.com")),
            ("192.0.2.1:2526", Some("192.0.2.1")),
            ("[2001:db8::1]:2526", Some("[2001:db8::1]")),
            ("convoy-0.convoy:2526", Some("convoy-0.convoy")),
            ("mx1.example.com", None),
            ("mx1.example.com:0", None),
            ("mx1.example.com:x", None),
            ("2001:db8::1:2526", None),
            ("0.0.0.0:2526", None),
            (":2526", None),
            ("a b:2526", None),
        ] {
            assert_eq!(split(text).ok().map(|(host, _)| host), host, "{text}");
        }
    }

    #[test]
    fn listeners_are_reached_at_their_address_or_by_name() {
        let of = |address: &str| of_listener(address.parse().unwrap(), "mx1.example.com");
        assert_eq!(of("192.0.2.1:2526"), "192.0.2.1:2526");
        assert_eq!(of("0.0.0.0:2526"), "mx1.example.com:2526");
        assert_eq!(of("[::]:2526"), "mx1.example.com:2526");
    }
}
