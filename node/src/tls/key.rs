//! Certificate files: chain and private key in one PEM file, in any order.
//!
//! Keys may be PKCS#1, SEC1 or PKCS#8, in clear or encrypted in PKCS#8 or the older way of
//! RFC 1421. A decrypted key lives only inside the signing key; passwords and keys are never
//! printed.

mod legacy;
mod refusal;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use pem::Pem;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use zeroize::Zeroizing;

use super::{TlsError, certificate, read};
use crate::config::settings::CertificateFile;

/// Why a certificate file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The framing of PEM is broken.
    #[error("not a PEM file: {0}")]
    NotPem(String),
    /// There is no `BEGIN CERTIFICATE`.
    #[error("no certificate in this file")]
    NoCertificate,
    /// There is no private key.
    #[error("no private key in this file")]
    NoKey,
    /// There is more than one.
    #[error("more than one private key in this file")]
    SeveralKeys,
    /// The key is encrypted, and no password is configured.
    #[error("the private key is encrypted: a password is needed")]
    PasswordNeeded,
    /// Decryption gives nonsense.
    #[error("wrong password or damaged private key")]
    WrongPassword,
    /// An encryption that is too old, or unknown.
    #[error(
        "the private key is encrypted with {0}, which is not supported; \
         convert it with: openssl pkcs8 -topk8 -in OLD -out NEW"
    )]
    UnsupportedEncryption(String),
    /// An RSA key below 2048 bits.
    #[error("the RSA key has {0} bits; at least 2048 are needed")]
    TooSmall(usize),
    /// A kind of key that cannot be used for TLS here.
    #[error("{0} keys are not supported; use RSA, P-256, P-384, P-521 or Ed25519")]
    UnsupportedKind(String),
    /// The key cannot be parsed.
    #[error("damaged private key")]
    DamagedKey,
    /// A certificate cannot be parsed.
    #[error("damaged certificate")]
    DamagedCertificate,
    /// No certificate of the file has the public key that belongs to the private key.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// A certificate file ready for use.
#[derive(Debug)]
pub struct Loaded {
    /// Chain, the leaf first, and signing key.
    pub certified: Arc<CertifiedKey>,
    /// What the operator should know, each a phrase that names no file.
    pub warnings: Vec<String>,
}

/// Reads a certificate file.
///
/// # Errors
/// Names the file and the cause.
pub fn load(file: &CertificateFile) -> Result<Loaded, TlsError> {
    let content = read(&file.path)?;
    let failed = |fault| TlsError::Key { path: file.path.clone(), fault };
    let mut loaded = parse(&content, file.password.as_deref()).map_err(failed)?;
    loaded.warnings.extend(mode_warning(&file.path));
    Ok(loaded)
}

/// A private key is nobody's business beyond owner and group.
fn mode_warning(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let advice = "the private key can be read by others";
    (mode & !0o640 != 0)
        .then(|| format!("{advice}: its mode is {mode:04o}, should be 0640 or less"))
}

fn parse(content: &[u8], password: Option<&str>) -> Result<Loaded, KeyFault> {
    let blocks = pem::parse_many(content).map_err(|e| KeyFault::NotPem(e.to_string()))?;
    let (mut chain, mut keys) = (Vec::new(), Vec::new());
    for block in blocks {
        match block.tag() {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                chain.push(CertificateDer::from(block.into_contents()));
            }
            tag if tag.ends_with("PRIVATE KEY") => keys.push(block),
            // Parameters, requests and the like stand beside keys and are not needed.
            _ => {}
        }
    }
    let key = keys.pop().ok_or(KeyFault::NoKey)?;
    if !keys.is_empty() {
        return Err(KeyFault::SeveralKeys);
    }
    if chain.is_empty() {
        return Err(KeyFault::NoCertificate);
    }
    let key = signing_key(private_key(key, password)?)?;
    certify(chain, key)
}

/// Puts the certificate of the key first and the others in order behind it.
fn certify(
    mut chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<Loaded, KeyFault> {
    let before = chain.clone();
    let public = key.public_key();
    let mut leaf = None;
    for (index, der) in chain.iter().enumerate() {
        let parsed = certificate::parse(der).ok_or(KeyFault::DamagedCertificate)?;
        if public.as_ref().is_none_or(|public| parsed.public_key().raw == public.as_ref()) {
            leaf = leaf.or(Some(index));
        }
    }
    let leaf = chain.remove(leaf.ok_or(KeyFault::Mismatch)?);
    chain.insert(0, leaf);
    let chain = certificate::in_order(chain);
    let mut warnings = Vec::new();
    if chain != before {
        warnings.push("the certificates are not in order; sent in the right one".to_owned());
    }
    Ok(Loaded { certified: Arc::new(CertifiedKey::new(chain, key)), warnings })
}

/// Takes the key out of its block, decrypting it when needed.
fn private_key(block: Pem, password: Option<&str>) -> Result<PrivateKeyDer<'static>, KeyFault> {
    let tag = block.tag().to_owned();
    let der = match block.headers().get("Proc-Type") {
        Some(kind) if kind.contains("ENCRYPTED") => {
            let info = block.headers().get("DEK-Info").ok_or(KeyFault::DamagedKey)?.to_owned();
            let password = password.ok_or(KeyFault::PasswordNeeded)?;
            legacy::decrypt(&info, &Zeroizing::new(block.into_contents()), password.as_bytes())?
        }
        Some(_) | None => Zeroizing::new(block.into_contents()),
    };
    let plain = || der.to_vec();
    match tag.as_str() {
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(plain()).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(plain()).into()),
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(plain()).into()),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or(KeyFault::PasswordNeeded)?;
            Ok(PrivatePkcs8KeyDer::from(decrypt_pkcs8(&der, password)?).into())
        }
        other => Err(KeyFault::UnsupportedKind(other.trim_end_matches(" PRIVATE KEY").to_owned())),
    }
}

fn decrypt_pkcs8(der: &[u8], password: &str) -> Result<Vec<u8>, KeyFault> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| refusal::unsupported_encryption(der))?;
    let plain = info.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)
        | pkcs8::Error::Asn1(_) => KeyFault::WrongPassword,
        _ => refusal::unsupported_encryption(der),
    })?;
    // A wrong password passes the padding once in 256 times: what comes out must be a key.
    PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(|_| KeyFault::WrongPassword)?;
    Ok(plain.as_bytes().to_vec())
}

/// rustls wipes the bytes that it is given here. When it refuses a key it does not say why.
fn signing_key(key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, KeyFault> {
    let key = Zeroizing::new(key);
    aws_lc_rs::sign::any_supported_type(&key).map_err(|_| refusal::of(&key))
}

#[cfg(test)]
#[path = "key_test.rs"]
mod tests;
