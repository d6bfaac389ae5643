//! SASL mechanisms that servers and clients of mail use: PLAIN (RFC 4616), LOGIN, CRAM-MD5
//! (RFC 2195), EXTERNAL (RFC 4422 appendix A).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use zeroize::Zeroizing;

/// What a client gave to prove who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// By PLAIN or LOGIN.
    Password {
        /// Name of the user.
        user: String,
        /// As typed.
        password: Zeroizing<String>,
    },
    /// By CRAM-MD5.
    CramMd5 {
        /// Name of the user.
        user: String,
        /// What the server sent, decoded.
        challenge: String,
        /// 32 hexadecimal digits.
        digest: String,
    },
}

impl Credentials {
    /// Name of the user that it claims to be.
    #[must_use]
    pub fn user(&self) -> &str {
        match self {
            Self::Password { user, .. } | Self::CramMd5 { user, .. } => user,
        }
    }

    /// Do they prove knowledge of `password`?
    #[must_use]
    pub fn prove(&self, password: &str) -> bool {
        match self {
            Self::Password { password: given, .. } => {
                same_bytes(given.as_bytes(), password.as_bytes())
            }
            Self::CramMd5 { challenge, digest, .. } => {
                let expected = cram_md5_digest(password, challenge);
                same_bytes(digest.to_ascii_lowercase().as_bytes(), expected.as_bytes())
            }
        }
    }
}

/// Never prints what is secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.user()).finish()
    }
}

/// Comparison whose time does not tell where the texts differ.
fn same_bytes(one: &[u8], other: &[u8]) -> bool {
    let mut differ = usize::from(one.len() != other.len());
    for (i, byte) in one.iter().enumerate() {
        let against = other.get(i).copied().unwrap_or(0);
        differ |= usize::from(std::hint::black_box(byte ^ against));
    }
    differ == 0
}

/// The digest that answers a CRAM-MD5 challenge, in lower-case hexadecimal.
#[must_use]
pub fn cram_md5_digest(password: &str, challenge: &str) -> String {
    let mut mac =
        Hmac::<Md5>::new_from_slice(password.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(challenge.as_bytes());
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

/// Base64 as SASL over SMTP wants it.
#[must_use]
pub fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// Reads a base64 response; `=` alone is an empty initial response (RFC 4954 4).
#[must_use]
pub fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text == "=" {
        return Some(Zeroizing::new(Vec::new()));
    }
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// Reads the message of PLAIN: `authorization NUL user NUL password`. Acting for somebody else is
/// not supported, so the first part is empty or the user itself.
#[must_use]
pub fn read_plain(message: &[u8]) -> Option<Credentials> {
    let mut parts = message.split(|b| *b == 0);
    let authorization = text(parts.next()?)?;
    let user = text(parts.next()?)?;
    let password = Zeroizing::new(text(parts.next()?)?);
    let valid = parts.next().is_none()
        && !user.is_empty()
        && (authorization.is_empty() || authorization == user);
    valid.then_some(Credentials::Password { user, password })
}

/// Reads the answer to a CRAM-MD5 challenge: `user SP digest`.
#[must_use]
pub fn read_cram_md5(message: &[u8], challenge: String) -> Option<Credentials> {
    let message = text(message)?;
    let (user, digest) = message.rsplit_once(' ')?;
    let valid = !user.is_empty() && digest.len() == 32;
    valid.then(|| Credentials::CramMd5 {
        user: user.to_owned(),
        challenge,
        digest: digest.to_owned(),
    })
}

/// UTF-8 without control characters.
#[must_use]
pub fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain() {
        fn check(message: &[u8], expected: Option<&str>) {
            let got = read_plain(message);
            assert_eq!(got.as_ref().map(Credentials::user), expected, "{message:?}");
        }
        check(b"\0tim\0tanstaaftanstaaf", Some("tim"));
        check(b"tim\0tim\0x", Some("tim"));
        check(b"Ursel\0Kurt\0xipj3plmq", None);
        check(b"\0\0x", None);
        check(b"\0tim", None);
        check(b"\0tim\0a\0b", None);
        check(b"\0tim\0a\r\n", None);
        check(b"", None);
    }

    #[test]
    fn a_password_must_match_wholly() {
        let given = read_plain(b"\0tim\0secret").unwrap();
        assert!(given.prove("secret"));
        assert!(!given.prove("secre"));
        assert!(!given.prove("secrets"));
        assert!(!given.prove(""));
    }

    #[test]
    fn cram_md5_follows_the_rfc() {
        // RFC 2195 2.
        let challenge = "<1896.697170952@postoffice.reston.mci.net>";
        let answer = b"tim b913a602c7eda7a495b4e6e7334d3890";
        let given = read_cram_md5(answer, challenge.to_owned()).unwrap();
        assert!(given.prove("tanstaaftanstaaf"));
        assert!(!given.prove("tanstaaf"));
        assert!(read_cram_md5(b"tim", challenge.to_owned()).is_none());
    }

    #[test]
    fn what_is_printed_holds_no_secret() {
        let printed = format!("{:?}", read_plain(b"\0tim\0secret").unwrap());
        assert!(printed.contains("tim") && !printed.contains("secret"));
    }

    #[test]
    fn base64_is_strict() {
        assert_eq!(decode("=").as_deref().map(Vec::as_slice), Some(&b""[..]));
        assert_eq!(decode("AHRpbQ==").as_deref().map(Vec::as_slice), Some(&b"\0tim"[..]));
        assert!(decode("AHRpbQ").is_none());
        assert!(decode("A H").is_none());
    }
}
