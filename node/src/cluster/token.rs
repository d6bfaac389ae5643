//! Join tokens: a secret that the cluster knows by its hash, and the fingerprint of the authority
//! that the new node is to trust.
//!
//! `cj1-` and, in URL-safe base64, 16 bytes secret, 32 bytes fingerprint, 8 bytes expiry (for a
//! better message) and a checksum, so that a token that was cut short is told from a wrong one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;

const PREFIX: &str = "cj1-";
const SECRET: usize = 16;
const FINGERPRINT: usize = 32;
const BYTES: usize = SECRET + FINGERPRINT + 8 + 4;

/// A join token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// What lets one node in.
    pub secret: [u8; SECRET],
    /// SHA-256 of the authority's certificate.
    pub fingerprint: [u8; FINGERPRINT],
    /// Not good any more from then on.
    pub expires_at: Timestamp,
}

/// Never prints the secret.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl JoinToken {
    /// A new one.
    #[must_use]
    pub fn generate(fingerprint: [u8; FINGERPRINT], expires_at: Timestamp) -> Self {
        Self { secret: rand::random(), fingerprint, expires_at }
    }

    /// How the cluster knows it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }

    /// As it is given to an operator.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&self.expires_at.0.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// How the cluster knows a secret.
#[must_use]
pub fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// How the cluster knows again who asked with a secret: nobody else has the key.
#[must_use]
pub fn claim(secret: &[u8], public_key: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(secret).chain_update(public_key).finalize().into()
}

/// The text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It begins differently.
    #[error(
        "this is no join token: one begins with {PREFIX} and comes from `mtactl cluster token`"
    )]
    Other,
    /// Part of it is missing or changed.
    #[error("the join token is damaged: copy all of it again")]
    Damaged,
}

impl FromStr for JoinToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(BadToken::Other)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| BadToken::Damaged)?;
        let (told, sum) = bytes.split_last_chunk::<4>().ok_or(BadToken::Damaged)?;
        if told.len() + sum.len() != BYTES || crc32fast::hash(told).to_be_bytes() != *sum {
            return Err(BadToken::Damaged);
        }
        let (secret, rest) = told.split_first_chunk().ok_or(BadToken::Damaged)?;
        let (fingerprint, rest) = rest.split_first_chunk().ok_or(BadToken::Damaged)?;
        let expires_at = rest.try_into().map_err(|_| BadToken::Damaged)?;
        Ok(Self {
            secret: *secret,
            fingerprint: *fingerprint,
            expires_at: Timestamp(u64::from_be_bytes(expires_at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_and_damage_is_seen() {
        let token = JoinToken::generate([7; 32], Timestamp(1_800_000_000_000));
        let text = token.text();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
        assert_eq!("".parse::<JoinToken>(), Err(BadToken::Other));
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>(), Err(BadToken::Damaged));
        let mut changed = text.into_bytes();
        changed[20] = if changed[20] == b'a' { b'b' } else { b'a' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(changed.parse::<JoinToken>(), Err(BadToken::Damaged));
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = JoinToken::generate([7; 32], Timestamp(5));
        assert_eq!(format!("{token:?}"), "JoinToken { expires_at: Timestamp(5), .. }");
    }
}
