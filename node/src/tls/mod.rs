//! TLS of both directions over rustls: keys, cipher names, verifiers, acceptor and connector.
//!
//! Owns everything between a directive that names a file or a cipher and a finished handshake.
//! Refuses to widen what the configuration narrowed: a cipher string that selects nothing, a file
//! that cannot be read or a version list that is empty is an error, never a default.

pub mod acceptor;
pub mod certificate;
pub mod check;
pub mod cipher;
pub mod connector;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod interop_test;
pub mod key;
pub mod name;
pub mod policy;
mod provider;
pub mod roots;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};

pub use key::KeyFault;

/// Why TLS settings cannot be used. Every text names the file or the directive's value.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate file holds no usable certificate and key.
    #[error("{}: {fault}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// A file of authorities holds none.
    #[error("{}: {fault}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: roots::RootsFault,
    },
    /// A list of ciphers selects nothing or cannot be read.
    #[error(transparent)]
    Cipher(#[from] cipher::CipherError),
    /// Every version of TLS is switched off.
    #[error("no version of TLS is allowed: TLS 1.2 and TLS 1.3 are both switched off")]
    NoVersions,
    /// Verification is demanded, and no authorities are named.
    #[error("verification needs a file of authorities (smtp-tls-ca-file)")]
    NoRoots,
    /// rustls refused the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Setup(error.to_string())
    }
}

/// Certificate and authority files beyond this size are refused.
const FILE_MAX_BYTES: u64 = 8 << 20;

/// Reads a whole file, up to [`FILE_MAX_BYTES`]. The content may be a private key.
fn read(path: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    use std::io::Read as _;
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > FILE_MAX_BYTES {
        return Err(failed(io::Error::other("file is too large for certificates")));
    }
    // The whole capacity at once, so that no copy of a key is left behind by growing.
    let capacity = usize::try_from(size).unwrap_or_default() + 1;
    let mut content = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
    file.take(FILE_MAX_BYTES).read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}
