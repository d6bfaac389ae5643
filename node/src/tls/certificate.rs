//! What logs and checks need to know of a certificate, without judging it.

use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::x509::X509Name;

use crate::clock::Timestamp;

/// Reads a certificate; none when it is not one.
pub(super) fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    x509_parser::parse_x509_certificate(der.as_ref()).ok().map(|(_, certificate)| certificate)
}

/// The line for the log: `Cert: /C=US/CN=mx.example; issuer=/C=US/CN=Authority; verified=no`.
#[must_use]
pub fn log_line(der: &CertificateDer<'_>, verified: bool) -> String {
    let verified = if verified { "yes" } else { "no" };
    let (subject, issuer) = parse(der).map_or_else(
        || ("(unreadable)".to_owned(), "(unreadable)".to_owned()),
        |c| (one_line(c.subject()), one_line(c.issuer())),
    );
    format!("Cert: {subject}; issuer={issuer}; verified={verified}")
}

/// A distinguished name as `openssl x509 -nameopt compat` writes it: `/C=US/O=Example/CN=mx`.
/// Control characters, which the peer chooses, become `?`.
pub(super) fn one_line(name: &X509Name<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let mut line = String::new();
    for attribute in name.iter_attributes() {
        let known = x509_parser::objects::oid2sn(attribute.attr_type(), registry);
        let key = known.map_or_else(|_| attribute.attr_type().to_id_string(), short_key);
        let value = String::from_utf8_lossy(attribute.as_slice());
        line.push('/');
        line.push_str(&key);
        line.push('=');
        line.extend(value.chars().map(|c| if c.is_control() { '?' } else { c }));
    }
    line
}

/// The registry's short names of the usual attributes are long ones.
fn short_key(name: &str) -> String {
    let short = match name {
        "commonName" => "CN",
        "countryName" => "C",
        "organizationName" => "O",
        "organizationalUnit" | "organizationalUnitName" => "OU",
        "stateOrProvinceName" => "ST",
        "localityName" => "L",
        other => other,
    };
    short.to_owned()
}

/// Host names and addresses in the subjectAltName extension.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension.value.general_names.iter().filter_map(name_text).collect()
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}")),
        GeneralName::IPAddress(bytes) => {
            <[u8; 16]>::try_from(*bytes).ok().map(|b| std::net::Ipv6Addr::from(b).to_string())
        }
        // Names of people, directories and other worlds say nothing about a host.
        _ => None,
    }
}

/// The last common name of the subject.
pub(super) fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let last = certificate.subject().iter_common_name().last()?;
    last.as_str().ok().map(ToOwned::to_owned)
}

/// First and last second of validity, in seconds since the epoch.
pub(super) fn dates(der: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let parsed = parse(der)?;
    let validity = parsed.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// When the first of these certificates expires; one that expired before 1970 counts as then.
#[must_use]
pub fn expiry(certificates: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let ends = certificates.iter().filter_map(dates).map(|(_, until)| until);
    let first = u64::try_from(ends.min()?).unwrap_or(0);
    Some(Timestamp(first.saturating_mul(1000)))
}

pub(super) fn is_in_date(der: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    dates(der).is_some_and(|(from, until)| from <= now && now <= until)
}

/// Would a client that verifies names take this certificate for `host`?
pub(super) fn covers(der: &CertificateDer<'_>, host: &str) -> bool {
    let name = ServerName::try_from(host).ok();
    let parsed = ParsedCertificate::try_from(der).ok();
    name.zip(parsed).is_some_and(|(name, parsed)| verify_server_name(&parsed, &name).is_ok())
}

/// Puts a chain into the order of RFC 5246 7.4.2: each certificate is followed by its issuer's.
/// The first is taken as the leaf; what does not belong to its chain comes last.
pub(super) fn in_order(chain: Vec<CertificateDer<'static>>) -> Vec<CertificateDer<'static>> {
    let mut rest = chain;
    let mut ordered = Vec::with_capacity(rest.len());
    let mut next = (!rest.is_empty()).then_some(0);
    while let Some(at) = next {
        let current = rest.remove(at);
        next = rest.iter().position(|candidate| issued(candidate, &current));
        ordered.push(current);
    }
    ordered.append(&mut rest);
    ordered
}

/// Does the issuer's name in `certificate` fit the subject of `issuer`?
pub(super) fn issued(issuer: &CertificateDer<'_>, certificate: &CertificateDer<'_>) -> bool {
    match (parse(issuer), parse(certificate)) {
        (Some(issuer), Some(subject)) => issuer.subject().as_raw() == subject.issuer().as_raw(),
        _ => false,
    }
}
