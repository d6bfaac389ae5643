//! Private keys encrypted the way of RFC 1421, as OpenSSL wrote them before PKCS#8:
//! `DEK-Info: CIPHER,IV` above a CBC-encrypted body.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use md5::{Digest as _, Md5};
use zeroize::Zeroizing;

use super::{KeyFault, refusal};

/// Decrypts `body`. `info` is the value of `DEK-Info`.
pub(super) fn decrypt(
    info: &str,
    body: &[u8],
    password: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    let (cipher, iv) = info.split_once(',').ok_or(KeyFault::DamagedKey)?;
    let iv = hex(iv.trim()).ok_or(KeyFault::DamagedKey)?;
    let salt = iv.get(..8).ok_or(KeyFault::DamagedKey)?;
    let key = |length| derive(password, salt, length);
    let plain = match cipher.trim() {
        "DES-CBC" => open::<cbc::Decryptor<des::Des>>(&key(8), &iv, body),
        "DES-EDE3-CBC" => open::<cbc::Decryptor<des::TdesEde3>>(&key(24), &iv, body),
        "AES-128-CBC" => open::<cbc::Decryptor<aes::Aes128>>(&key(16), &iv, body),
        "AES-192-CBC" => open::<cbc::Decryptor<aes::Aes192>>(&key(24), &iv, body),
        "AES-256-CBC" => open::<cbc::Decryptor<aes::Aes256>>(&key(32), &iv, body),
        other => return Err(KeyFault::UnsupportedEncryption(other.to_owned())),
    };
    // Padding alone accepts one wrong password in 244; a whole DER sequence besides, none.
    plain.filter(|plain| refusal::is_one_sequence(plain)).ok_or(KeyFault::WrongPassword)
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: each digest covers the one before it, the
/// password and the salt.
fn derive(password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    while key.len() < length {
        let mut digest = Md5::new();
        digest.update(&key[key.len().saturating_sub(16)..]);
        digest.update(password);
        digest.update(salt);
        key.extend_from_slice(&digest.finalize());
    }
    key.truncate(length);
    key
}

fn open<M: KeyIvInit + BlockModeDecrypt>(
    key: &[u8],
    iv: &[u8],
    body: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let mode = M::new_from_slices(key, iv).ok()?;
    let mut buffer = Zeroizing::new(body.to_vec());
    let length = mode.decrypt_padded::<Pkcs7>(&mut buffer).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
