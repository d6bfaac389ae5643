//! Why a key is refused. The cryptographic library says "failed to parse" to all of it.

use pkcs8::PrivateKeyInfoRef;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef, UintRef};
use pkcs8::der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls_pki_types::PrivateKeyDer;

use super::KeyFault;

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";

/// Kinds that exist and are not supported, by the identifier of their algorithm or curve.
const KINDS: [(&str, &str); 9] = [
    ("1.2.840.113549.1.1.10", "RSA-PSS-only"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "brainpoolP512r1"),
];

/// Encryption schemes of PKCS#8 that are not supported.
const SCHEMES: [(&str, &str); 9] = [
    ("1.2.840.113549.1.5.3", "PBE-MD5-DES"),
    ("1.2.840.113549.1.5.6", "PBE-MD5-RC2-64"),
    ("1.2.840.113549.1.5.10", "PBE-SHA1-DES"),
    ("1.2.840.113549.1.5.11", "PBE-SHA1-RC2-64"),
    ("1.2.840.113549.1.12.1.1", "PBE-SHA1-RC4-128"),
    ("1.2.840.113549.1.12.1.3", "PBE-SHA1-3DES"),
    ("1.2.840.113549.1.12.1.4", "PBE-SHA1-2DES"),
    ("1.2.840.113549.1.12.1.5", "PBE-SHA1-RC2-128"),
    ("1.2.840.113549.1.12.1.6", "PBE-SHA1-RC2-40"),
];

/// The fault of a key that the library refused.
pub(super) fn of(key: &PrivateKeyDer<'_>) -> KeyFault {
    match key {
        PrivateKeyDer::Pkcs1(der) => rsa(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(der) => curve_inside(der.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(der) => {
            PrivateKeyInfoRef::try_from(der.secret_pkcs8_der()).map_or(KeyFault::DamagedKey, pkcs8)
        }
        // The type may grow; a form that is unknown here is unknown to the library as well.
        _ => KeyFault::DamagedKey,
    }
}

fn pkcs8(info: PrivateKeyInfoRef<'_>) -> KeyFault {
    let algorithm = info.algorithm.oid.to_string();
    match algorithm.as_str() {
        RSA => rsa(info.private_key.as_bytes()),
        EC => info
            .algorithm
            .parameters
            .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok())
            .map_or(KeyFault::DamagedKey, |curve| kind(&curve.to_string())),
        other => kind(other),
    }
}

fn kind(identifier: &str) -> KeyFault {
    if let Some((_, name)) = KINDS.iter().find(|(known, _)| *known == identifier) {
        return KeyFault::UnsupportedKind((*name).to_owned());
    }
    const SUPPORTED: [&str; 4] =
        ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35", "1.3.101.112"];
    if SUPPORTED.contains(&identifier) {
        return KeyFault::DamagedKey;
    }
    KeyFault::UnsupportedKind(identifier.to_owned())
}

/// `RSAPrivateKey` of RFC 8017 A.1.2: version, modulus, ...
fn rsa(der: &[u8]) -> KeyFault {
    match modulus_bits(der) {
        Some(bits) if bits < 2048 => KeyFault::TooSmall(bits),
        Some(_) | None => KeyFault::DamagedKey,
    }
}

fn modulus_bits(der: &[u8]) -> Option<usize> {
    let sequence = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let _version: UintRef<'_> = reader.decode().ok()?;
    let modulus: UintRef<'_> = reader.decode().ok()?;
    let bytes = modulus.as_bytes();
    let unused = bytes.first()?.leading_zeros() as usize;
    Some(bytes.len() * 8 - unused)
}

/// SEC1 keys carry the curve behind the secret; its identifier is looked for as bytes.
fn curve_inside(der: &[u8]) -> KeyFault {
    let holds = |identifier: &str| {
        ObjectIdentifier::new(identifier)
            .is_ok_and(|oid| der.windows(oid.as_bytes().len()).any(|w| w == oid.as_bytes()))
    };
    KINDS
        .iter()
        .find(|(identifier, _)| holds(identifier))
        .map_or(KeyFault::DamagedKey, |(_, name)| KeyFault::UnsupportedKind((*name).to_owned()))
}

/// The fault of an `EncryptedPrivateKeyInfo` that the library cannot decrypt.
pub(super) fn unsupported_encryption(der: &[u8]) -> KeyFault {
    let Some(identifier) = scheme(der) else {
        return KeyFault::DamagedKey;
    };
    let known = SCHEMES.iter().find(|(known, _)| *known == identifier);
    let name = known.map_or_else(|| format!("scheme {identifier}"), |(_, n)| (*n).to_owned());
    KeyFault::UnsupportedEncryption(name)
}

fn scheme(der: &[u8]) -> Option<String> {
    let sequence = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let algorithm: AlgorithmIdentifierRef<'_> = reader.decode().ok()?;
    let _body: &OctetStringRef = reader.decode().ok()?;
    Some(algorithm.oid.to_string())
}

/// Is this exactly one DER sequence, from the first byte to the last?
pub(super) fn is_one_sequence(bytes: &[u8]) -> bool {
    AnyRef::from_der(bytes).is_ok_and(|any| any.tag() == Tag::Sequence)
}
