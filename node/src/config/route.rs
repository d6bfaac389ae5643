//! `smtp-hosts`: hosts to use in place of those of the DNS.

use super::network::{literal_address, parse_host};
use super::settings::{RouteHost, RouteTarget};

/// Reads `a,b;c`: semicolons between levels of preference, commas between equals.
pub(super) fn parse_smtp_hosts(text: &str) -> Result<Vec<Vec<RouteHost>>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(';')
        .map(|level| level.split(',').map(|h| parse_host_entry(h.trim())).collect())
        .collect()
}

/// `host`, `host:port`, `[ip]`, `[IPv6:...]:port`, `1.2.3.4`, `lookup-mx:domain`.
fn parse_host_entry(text: &str) -> Result<RouteHost, String> {
    let wrong = || {
        let forms = "HOST, HOST:PORT, [IP], [IPv6:IP] or lookup-mx:DOMAIN";
        format!("`{text}` is not one of {forms}")
    };
    let (mx, rest) = match text.get(..10) {
        Some(prefix) if prefix.eq_ignore_ascii_case("lookup-mx:") => (true, &text[10..]),
        Some(_) | None => (false, text),
    };
    let (name, port) = split_port(rest).ok_or_else(wrong)?;
    if mx {
        let name = parse_host(name).map_err(|_| wrong())?;
        return Ok(RouteHost { target: RouteTarget::Mx(name), port });
    }
    let address = literal_address(name).or_else(|| name.parse().ok());
    let address = address.or_else(|| name.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    let target = match address {
        Some(address) => RouteTarget::Address(address),
        None => RouteTarget::Host(parse_host(name).map_err(|_| wrong())?),
    };
    Ok(RouteHost { target, port })
}

/// The name and the port behind it. Colons between brackets belong to the name.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text[bracket..].rsplit_once(':') {
        Some((_, port)) => {
            let name = &text[..text.len() - port.len() - 1];
            port.parse().ok().filter(|p| *p > 0).map(|port| (name, Some(port)))
        }
        None if bracket > 0 && bracket < text.len() => None,
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_levels_and_ports() {
        let host = |name: &str, port| RouteHost { target: RouteTarget::Host(name.into()), port };
        let ip =
            |ip: &str, port| RouteHost { target: RouteTarget::Address(ip.parse().unwrap()), port };
        let mx = RouteHost { target: RouteTarget::Mx("d.example".into()), port: None };
        for (text, expected) in [
            ("", vec![]),
            ("A.example", vec![vec![host("a.example", None)]]),
            (
                "a.example:26,b.example ; c",
                vec![
                    vec![host("a.example", Some(26)), host("b.example", None)],
                    vec![host("c", None)],
                ],
            ),
            ("[1.2.3.4]:2525,1.2.3.5", vec![vec![ip("1.2.3.4", Some(2525)), ip("1.2.3.5", None)]]),
            ("[IPv6:::1]:26,[::1]", vec![vec![ip("::1", Some(26)), ip("::1", None)]]),
            ("lookup-mx:d.example", vec![vec![mx]]),
        ] {
            assert_eq!(parse_smtp_hosts(text), Ok(expected), "{text}");
        }
        for text in [",", "a,", "a:x", "a:0", "a b", "[1.2.3.4]x", "lookup-mx:", ";"] {
            assert!(parse_smtp_hosts(text).is_err(), "{text}");
        }
    }
}
