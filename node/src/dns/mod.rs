//! Name resolution: the trait that delivery uses, its hickory implementation, and the order of
//! mail exchangers (RFC 5321 5.1, RFC 7505).

pub mod hickory;
pub mod route;

use std::net::IpAddr;

use futures_util::future::BoxFuture;

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The exchanger, lower case, without the final dot; empty for a null MX (RFC 7505).
    pub host: String,
}

/// Why a look-up gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    #[error("no such domain")]
    NoSuchDomain,
    /// The name exists, without records of this type.
    #[error("no records")]
    NoRecords,
    /// Server failure, refusal, time-out: try again later.
    #[error("{0}")]
    Temporary(String),
}

/// A resolver.
pub trait Resolve: Send + Sync + 'static {
    /// MX records of `domain`, in no particular order. CNAMEs are followed.
    fn mx(&self, domain: String) -> BoxFuture<'_, Result<Vec<Mx>, DnsError>>;

    /// Addresses of `host`, IPv6 and IPv4. CNAMEs are followed.
    fn addresses(&self, host: String) -> BoxFuture<'_, Result<Vec<IpAddr>, DnsError>>;

    /// Names that reverse resolution gives for `address`.
    fn names(&self, address: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>>;

    /// Forgets what is cached.
    fn clear_cache(&self);
}
