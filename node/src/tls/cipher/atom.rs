//! The words of OpenSSL's cipher language, seen from the six TLS 1.2 suites of [`name::TLS12`].

use crate::tls::name;

/// Strength classes of OpenSSL; a suite can be in two.
const HIGH: u8 = 1;
const FIPS: u8 = 2;
const MEDIUM: u8 = 4;
const LOW: u8 = 8;
/// All strength classes: words that name one exclude each other.
pub(super) const STRENGTH_MASK: u8 = HIGH | FIPS | MEDIUM | LOW;

/// What a word is true of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    /// Bit n stands for the suite in row n of [`name::TLS12`].
    pub(super) suites: u8,
    /// Classes that the word names; zero when it names none.
    pub(super) strength: u8,
}

const ALL: u8 = 0b11_1111;
const ECDSA: u8 = 0b01_0101;
const RSA: u8 = 0b10_1010;
const AES256: u8 = 0b00_0011;
const CHACHA20: u8 = 0b00_1100;
const AES128: u8 = 0b11_0000;
const AES: u8 = AES128 | AES256;

/// Words that are true of some of the six suites.
const SELECTING: [(&str, Atom); 22] = [
    of("ALL", ALL),
    of("kEECDH", ALL),
    of("kECDHE", ALL),
    of("ECDH", ALL),
    of("EECDH", ALL),
    of("ECDHE", ALL),
    of("TLSv1.2", ALL),
    of("aRSA", RSA),
    of("aECDSA", ECDSA),
    of("ECDSA", ECDSA),
    of("AES", AES),
    of("AESGCM", AES),
    of("AES128", AES128),
    of("AES256", AES256),
    of("CHACHA20", CHACHA20),
    class("HIGH", HIGH),
    class("FIPS", FIPS),
    class("MEDIUM", MEDIUM),
    class("LOW", LOW),
    // Words for suites that no version of OpenSSL has by default any more.
    of("RC4", 0),
    of("3DES", 0),
    of("EXPORT", 0),
];

const fn of(word: &'static str, suites: u8) -> (&'static str, Atom) {
    (word, Atom { suites, strength: 0 })
}

const fn class(word: &'static str, strength: u8) -> (&'static str, Atom) {
    (word, Atom { suites: ALL, strength })
}

/// Classes of the suite in a row of [`name::TLS12`].
pub(super) const fn strength_of(index: usize) -> u8 {
    if AES & (1 << index) != 0 { HIGH | FIPS } else { HIGH }
}

/// What OpenSSL makes of a word, or none when it does not know it.
pub(super) fn find(word: &str) -> Option<Atom> {
    if let Some((_, atom)) = SELECTING.iter().find(|(name, _)| *name == word) {
        return Some(*atom);
    }
    if let Some(index) = name::TLS12.iter().position(|s| s.name == word || s.iana == word) {
        return Some(Atom { suites: 1 << index, strength: strength_of(index) });
    }
    OTHERS.contains(&word).then_some(Atom { suites: 0, strength: 0 })
}

/// Every word that means something.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let selecting = SELECTING.iter().map(|(name, _)| *name);
    selecting.chain(name::TLS12.iter().map(|row| row.name)).chain(OTHERS.iter().copied())
}

/// The known name that looks most like `word`, when one looks like it at all. Case is the usual
/// mistake: the language distinguishes it.
pub(super) fn nearest(
    word: &str,
    known: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// Suite B profiles at the head of a string replace the string (RFC 6460).
pub(super) fn suite_b(text: &str) -> Option<&'static str> {
    const PROFILES: [(&str, &str); 4] = [
        ("SUITEB128ONLY", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("SUITEB128C2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("SUITEB128", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"),
        ("SUITEB192", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ];
    PROFILES.iter().find(|(profile, _)| text.starts_with(profile)).map(|(_, list)| *list)
}

/// TLS 1.3 suites that OpenSSL has and rustls has not.
pub(super) const TLS13_UNAVAILABLE: [&str; 2] =
    ["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

/// Words that OpenSSL knows and that are true of none of the six suites. `RSA`, `SHA256` and
/// `SHA384` are here because they name the key exchange and the MAC: these suites have neither.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "COMPLEMENTOFALL", "COMPLEMENTOFDEFAULT", "kRSA", "kEDH", "kDHE", "DH", "kPSK", "kRSAPSK",
    "kECDHEPSK", "kDHEPSK", "kSRP", "kGOST", "kGOST18", "aDSS", "DSS", "aNULL", "aPSK", "aGOST01",
    "aGOST12", "aGOST", "aSRP", "EDH", "DHE", "NULL", "eNULL", "RSA", "ADH", "AECDH", "PSK", "SRP",
    "RC2", "IDEA", "SEED", "DES", "GOST89", "AESCCM", "AESCCM8", "CAMELLIA", "CAMELLIA128",
    "CAMELLIA256", "ARIA", "ARIAGCM", "ARIA128", "ARIA256", "CBC", "MD5", "SHA", "SHA1", "SHA256",
    "SHA384", "GOST94", "GOST89MAC", "GOST12", "SSLv2", "SSLv3", "TLSv1", "TLSv1.0", "EXP",
    "RC4-SHA", "RC4-MD5", "DES-CBC3-SHA", "DES-CBC-SHA", "ECDHE-RSA-RC4-SHA",
    "ECDHE-RSA-DES-CBC3-SHA", "EDH-RSA-DES-CBC3-SHA", "EDH-DSS-DES-CBC3-SHA",
    "DHE-RSA-DES-CBC3-SHA", "DHE-DSS-DES-CBC3-SHA", "IDEA-CBC-SHA", "SEED-SHA",
    "DHE-RSA-SEED-SHA", "DHE-DSS-SEED-SHA", "ADH-SEED-SHA",
    "DHE-DSS-AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES256-CCM8", "ECDHE-ECDSA-AES256-CCM", "DHE-RSA-AES256-CCM8",
    "DHE-RSA-AES256-CCM", "ECDHE-ECDSA-ARIA256-GCM-SHA384", "ECDHE-ARIA256-GCM-SHA384",
    "DHE-DSS-ARIA256-GCM-SHA384", "DHE-RSA-ARIA256-GCM-SHA384", "ADH-AES256-GCM-SHA384",
    "DHE-DSS-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8",
    "ECDHE-ECDSA-AES128-CCM", "DHE-RSA-AES128-CCM8", "DHE-RSA-AES128-CCM",
    "ECDHE-ECDSA-ARIA128-GCM-SHA256", "ECDHE-ARIA128-GCM-SHA256", "DHE-DSS-ARIA128-GCM-SHA256",
    "DHE-RSA-ARIA128-GCM-SHA256", "ADH-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES256-SHA256", "DHE-DSS-AES256-SHA256",
    "ECDHE-ECDSA-CAMELLIA256-SHA384", "ECDHE-RSA-CAMELLIA256-SHA384", "DHE-RSA-CAMELLIA256-SHA256",
    "DHE-DSS-CAMELLIA256-SHA256", "ADH-AES256-SHA256", "ADH-CAMELLIA256-SHA256",
    "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-SHA256",
    "DHE-DSS-AES128-SHA256", "ECDHE-ECDSA-CAMELLIA128-SHA256", "ECDHE-RSA-CAMELLIA128-SHA256",
    "DHE-RSA-CAMELLIA128-SHA256", "DHE-DSS-CAMELLIA128-SHA256", "ADH-AES128-SHA256",
    "ADH-CAMELLIA128-SHA256", "ECDHE-ECDSA-AES256-SHA", "ECDHE-RSA-AES256-SHA",
    "DHE-RSA-AES256-SHA", "DHE-DSS-AES256-SHA", "DHE-RSA-CAMELLIA256-SHA",
    "DHE-DSS-CAMELLIA256-SHA", "AECDH-AES256-SHA", "ADH-AES256-SHA", "ADH-CAMELLIA256-SHA",
    "ECDHE-ECDSA-AES128-SHA", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES128-SHA", "DHE-DSS-AES128-SHA",
    "DHE-RSA-CAMELLIA128-SHA", "DHE-DSS-CAMELLIA128-SHA", "AECDH-AES128-SHA", "ADH-AES128-SHA",
    "ADH-CAMELLIA128-SHA", "RSA-PSK-AES256-GCM-SHA384", "DHE-PSK-AES256-GCM-SHA384",
    "RSA-PSK-CHACHA20-POLY1305", "DHE-PSK-CHACHA20-POLY1305", "ECDHE-PSK-CHACHA20-POLY1305",
    "DHE-PSK-AES256-CCM8", "DHE-PSK-AES256-CCM", "RSA-PSK-ARIA256-GCM-SHA384",
    "DHE-PSK-ARIA256-GCM-SHA384", "AES256-GCM-SHA384", "AES256-CCM8", "AES256-CCM",
    "ARIA256-GCM-SHA384", "PSK-AES256-GCM-SHA384", "PSK-CHACHA20-POLY1305", "PSK-AES256-CCM8",
    "PSK-AES256-CCM", "PSK-ARIA256-GCM-SHA384", "RSA-PSK-AES128-GCM-SHA256",
    "DHE-PSK-AES128-GCM-SHA256", "DHE-PSK-AES128-CCM8", "DHE-PSK-AES128-CCM",
    "RSA-PSK-ARIA128-GCM-SHA256", "DHE-PSK-ARIA128-GCM-SHA256", "AES128-GCM-SHA256", "AES128-CCM8",
    "AES128-CCM", "ARIA128-GCM-SHA256", "PSK-AES128-GCM-SHA256", "PSK-AES128-CCM8",
    "PSK-AES128-CCM", "PSK-ARIA128-GCM-SHA256", "AES256-SHA256", "CAMELLIA256-SHA256",
    "AES128-SHA256", "CAMELLIA128-SHA256", "ECDHE-PSK-AES256-CBC-SHA384",
    "ECDHE-PSK-AES256-CBC-SHA", "SRP-DSS-AES-256-CBC-SHA", "SRP-RSA-AES-256-CBC-SHA",
    "SRP-AES-256-CBC-SHA", "RSA-PSK-AES256-CBC-SHA384", "DHE-PSK-AES256-CBC-SHA384",
    "RSA-PSK-AES256-CBC-SHA", "DHE-PSK-AES256-CBC-SHA", "ECDHE-PSK-CAMELLIA256-SHA384",
    "RSA-PSK-CAMELLIA256-SHA384", "DHE-PSK-CAMELLIA256-SHA384", "AES256-SHA", "CAMELLIA256-SHA",
    "PSK-AES256-CBC-SHA384", "PSK-AES256-CBC-SHA", "PSK-CAMELLIA256-SHA384",
    "ECDHE-PSK-AES128-CBC-SHA256", "ECDHE-PSK-AES128-CBC-SHA", "SRP-DSS-AES-128-CBC-SHA",
    "SRP-RSA-AES-128-CBC-SHA", "SRP-AES-128-CBC-SHA", "RSA-PSK-AES128-CBC-SHA256",
    "DHE-PSK-AES128-CBC-SHA256", "RSA-PSK-AES128-CBC-SHA", "DHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-CAMELLIA128-SHA256", "RSA-PSK-CAMELLIA128-SHA256", "DHE-PSK-CAMELLIA128-SHA256",
    "AES128-SHA", "CAMELLIA128-SHA", "PSK-AES128-CBC-SHA256", "PSK-AES128-CBC-SHA",
    "PSK-CAMELLIA128-SHA256", "ECDHE-ECDSA-NULL-SHA", "ECDHE-RSA-NULL-SHA", "AECDH-NULL-SHA",
    "NULL-SHA256", "ECDHE-PSK-NULL-SHA384", "ECDHE-PSK-NULL-SHA256", "ECDHE-PSK-NULL-SHA",
    "RSA-PSK-NULL-SHA384", "RSA-PSK-NULL-SHA256", "DHE-PSK-NULL-SHA384", "DHE-PSK-NULL-SHA256",
    "RSA-PSK-NULL-SHA", "DHE-PSK-NULL-SHA", "NULL-SHA", "NULL-MD5", "PSK-NULL-SHA384",
    "PSK-NULL-SHA256", "PSK-NULL-SHA",
];
