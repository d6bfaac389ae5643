//! Addresses as the language writes them: abbreviated networks, listeners, domain patterns.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// The port of a listener that names none.
const SMTP_PORT: u16 = 25;

/// Reads an address or a network, abbreviated forms included: `10/8`, `0/0`, `10.1.0/24`, `::1`.
pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let wrong = || format!("`{text}` is not an address or network such as 10.1.0/24");
    let Some((address, prefix)) = text.split_once('/') else {
        let address: IpAddr = text.parse().map_err(|_| wrong())?;
        return Ok(IpNet::from(address));
    };
    let address = if address.contains(':') {
        IpAddr::V6(address.parse::<Ipv6Addr>().map_err(|_| wrong())?)
    } else {
        IpAddr::V4(parse_short_ipv4(address).ok_or_else(wrong)?)
    };
    let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
    IpNet::new(address, prefix).map(|net| net.trunc()).map_err(|_| wrong())
}

/// `10`, `10.1`, `10.1.0` or all four numbers; missing ones are 0.
fn parse_short_ipv4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    for (octet, part) in octets.iter_mut().zip(parts) {
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *octet = part.parse().ok()?;
    }
    Some(Ipv4Addr::from(octets))
}

/// Does the network hold this address? `0/0` holds every address of both families.
#[must_use]
pub(super) fn holds(network: &IpNet, address: IpAddr) -> bool {
    let everything = network.prefix_len() == 0 && network.addr().is_ipv4();
    everything || network.contains(&address.to_canonical())
}

/// Reads where to listen: `1.2.3.4:25`, `0/0:25` (all of IPv4), `[::1]:25`, `[::]:25` or
/// `::/0:25` (all of IPv6). Without a port it is 25.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("`{text}` is not ADDRESS:PORT, 0/0:PORT or [IPV6]:PORT");
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, SMTP_PORT));
    }
    let (network, port) = match text.rsplit_once('/') {
        Some((address, tail)) => match tail.split_once(':') {
            Some((prefix, port)) => {
                (format!("{address}/{prefix}"), port.parse().map_err(|_| wrong())?)
            }
            None => (text.to_owned(), SMTP_PORT),
        },
        None => return Err(wrong()),
    };
    let network = parse_network(&network).map_err(|_| wrong())?;
    let whole = network.prefix_len() == 0;
    if whole || network.prefix_len() == network.max_prefix_len() {
        return Ok(SocketAddr::new(network.addr(), port));
    }
    Err("of networks, only 0/0 and ::/0 can be listened on: name one address".to_owned())
}

/// Lower case, and in the form of the DNS if it has other than ASCII letters.
#[must_use]
pub(super) fn domain_to_ascii(domain: &str) -> Option<String> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if domain.is_ascii() {
        return Some(domain.to_ascii_lowercase());
    }
    idna::domain_to_ascii(domain).ok()
}

/// Can this stand as a host or domain name? Names in braces (`{sparkpost}`) and rollup names can.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a host or domain name");
    let name = domain_to_ascii(text).ok_or_else(wrong)?;
    let inner = name.strip_prefix('{').and_then(|n| n.strip_suffix('}')).unwrap_or(&name);
    let label = |l: &str| {
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !l.is_empty() && l.len() <= 63 && l.bytes().all(letter)
    };
    if name.len() <= 253 && inner.split('.').all(label) { Ok(name) } else { Err(wrong()) }
}

/// Which domains a section or `relay-domain` is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DomainPattern {
    /// `*`.
    Any,
    /// `*.base`: sub-domains only.
    Below(String),
    /// `[*.]base`: the domain and its sub-domains.
    Within(String),
    /// `domain`.
    Exact(String),
    /// `[ip/mask]`: address literals.
    Literal(IpNet),
}

impl DomainPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(base) = text.strip_prefix("*.") {
            return parse_host(base).map(Self::Below);
        }
        if let Some(base) = text.strip_prefix("[*.]") {
            return parse_host(base).map(Self::Within);
        }
        if let Some(literal) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            let prefix = literal.get(..5).filter(|p| p.eq_ignore_ascii_case("IPv6:"));
            return parse_network(&literal[prefix.map_or(0, str::len)..]).map(Self::Literal);
        }
        let help = "*, domain, *.domain, [*.]domain or [ip/mask]";
        parse_host(text).map(Self::Exact).map_err(|_| format!("`{text}` is not one of {help}"))
    }
}

/// The address of a domain literal: `[1.2.3.4]`, `[IPv6:::1]`.
#[must_use]
pub(super) fn literal_address(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    let v6 = inner.get(..5).is_some_and(|p| p.eq_ignore_ascii_case("IPv6:"));
    if v6 { inner[5..].parse().ok().map(IpAddr::V6) } else { inner.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_may_be_abbreviated() {
        for (text, expected) in [
            ("0/0", "0.0.0.0/0"),
            ("10/8", "10.0.0.0/8"),
            ("173.194/16", "173.194.0.0/16"),
            ("10.1.0/24", "10.1.0.0/24"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::1", "::1/128"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_network(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "10", "10/33", "10.1.2.3.4/8", "256/8", "a/8", "+1/8", "1/x", "::1/129"] {
            assert!(parse_network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn listeners_name_an_address_or_a_whole_family() {
        for (text, expected) in [
            ("1.2.3.4:465", "1.2.3.4:465"),
            ("0/0:25", "0.0.0.0:25"),
            ("0.0.0.0/0:2525", "0.0.0.0:2525"),
            ("127.0.0.1", "127.0.0.1:25"),
            ("127.0.0.1/32:26", "127.0.0.1:26"),
            ("[::]:25", "[::]:25"),
            ("[::1]:26", "[::1]:26"),
            ("[::1]", "[::1]:25"),
            ("::/0:25", "[::]:25"),
            ("0/0", "0.0.0.0:25"),
        ] {
            assert_eq!(parse_listen(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "25", "host:25", "10/8:25", "1.2.3.4:x", "0/0:70000"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn domain_patterns_are_read() {
        use DomainPattern::{Any, Below, Exact, Literal, Within};
        for (text, expected) in [
            ("*", Any),
            ("*.COM", Below("com".into())),
            ("[*.]Example.com", Within("example.com".into())),
            ("example.com.", Exact("example.com".into())),
            ("bücher.example", Exact("xn--bcher-kva.example".into())),
            ("{sparkpost}", Exact("{sparkpost}".into())),
            ("yahoo.rollup", Exact("yahoo.rollup".into())),
            ("[10/8]", Literal("10.0.0.0/8".parse().unwrap())),
            ("[IPv6:::1]", Literal("::1/128".parse().unwrap())),
        ] {
            assert_eq!(DomainPattern::parse(text), Ok(expected), "{text}");
        }
        for text in ["", "a b", "a..b", "*example.com", "ex*mple.com", "[*.]", "[x]", "$a"] {
            assert!(DomainPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_zero_network_of_ipv4_holds_both_families() {
        let all = parse_network("0/0").unwrap();
        assert!(holds(&all, "::1".parse().unwrap()));
        let six = parse_network("::/0").unwrap();
        assert!(holds(&six, "::1".parse().unwrap()));
        assert!(!holds(&six, "10.0.0.1".parse().unwrap()));
        let ten = parse_network("10/8").unwrap();
        assert!(holds(&ten, "::ffff:10.1.1.1".parse().unwrap()));
        assert!(!holds(&ten, "11.1.1.1".parse().unwrap()));
    }
}
