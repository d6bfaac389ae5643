//! Shorthands in which the rows are written: scopes and the usual arguments.

use crate::config::directive::{Arg, Kind, Scope};

/// Largest value of a count that is kept in 32 bits.
const COUNT_MAX: u64 = u32::MAX as u64;

pub(super) const GLOBAL: &[Scope] = &[Scope::Global];
pub(super) const LISTENER: &[Scope] = &[Scope::SmtpListener];
pub(super) const SOURCE: &[Scope] = &[Scope::Source];
pub(super) const SOURCE_GROUP: &[Scope] = &[Scope::SourceGroup];
pub(super) const USER: &[Scope] = &[Scope::SmtpUser];
pub(super) const DOMAIN: &[Scope] = &[Scope::Domain];
pub(super) const VMTA: &[Scope] = &[Scope::VirtualMta];
pub(super) const POOL: &[Scope] = &[Scope::VirtualMtaPool];
pub(super) const ACCT_FILE: &[Scope] = &[Scope::AcctFile];
pub(super) const SPOOL: &[Scope] = &[Scope::Spool];
pub(super) const PROCESSORS: &[Scope] = &[Scope::BounceProcessor, Scope::FeedbackLoopProcessor];
pub(super) const ADDRESS_LIST: &[Scope] = &[Scope::AddressList];
pub(super) const EMAIL_PATTERNS: &[Scope] = &[Scope::EmailPatterns];
pub(super) const PATTERN_LIST: &[Scope] = &[Scope::PatternList];
pub(super) const SMTP_PATTERN_LIST: &[Scope] = &[Scope::SmtpPatternList];
pub(super) const REWRITE_LIST: &[Scope] = &[Scope::RewriteList];
pub(super) const ROLLUP_LIST: &[Scope] = &[Scope::MxRollupList];
pub(super) const DNS: &[Scope] = &[Scope::Dns];
pub(super) const API: &[Scope] = &[Scope::TransmissionsApi];
pub(super) const API_LISTENER: &[Scope] = &[Scope::TransmissionsApiListener];
pub(super) const PROXY: &[Scope] = &[Scope::Proxy];
pub(super) const VAULT: &[Scope] = &[Scope::Vault];
pub(super) const SIGNALS: &[Scope] = &[Scope::Signals];
pub(super) const SIGNALS_FILTER: &[Scope] = &[Scope::SignalsFilter];
pub(super) const IMPRINTER: &[Scope] = &[Scope::GmImprinter];

/// `yes`, `no`, `true`, `false`.
pub(super) const BOOLEAN: &[Arg] = &[Arg::required("BOOLEAN", Kind::Bool)];
/// A count.
pub(super) const COUNT: &[Arg] = &[Arg::required("N", Kind::Integer { min: 0, max: COUNT_MAX })];
/// A count that may be unlimited.
pub(super) const LIMIT: &[Arg] =
    &[Arg::required("N", Kind::IntegerOrUnlimited { min: 0, max: COUNT_MAX })];
/// A TCP port; 0 switches a listener off.
pub(super) const PORT: &[Arg] = &[Arg::required("PORT", Kind::Integer { min: 0, max: 65_535 })];
pub(super) const TIME: &[Arg] = &[Arg::required("TIME", Kind::Time)];
pub(super) const TIME_OR_NEVER: &[Arg] = &[Arg::required("TIME", Kind::TimeOrNever)];
pub(super) const TIMES: &[Arg] = &[Arg::required("TIME[,TIME...]", Kind::TimeList)];
pub(super) const SIZE: &[Arg] = &[Arg::required("SIZE", Kind::Size)];
pub(super) const SIZE_LIMIT: &[Arg] = &[Arg::required("SIZE", Kind::SizeOrUnlimited)];
pub(super) const RATE: &[Arg] = &[Arg::required("RATE", Kind::Rate)];
pub(super) const DATA_RATE: &[Arg] = &[Arg::required("SIZE/PERIOD", Kind::DataRate)];
pub(super) const FILE: &[Arg] = &[Arg::required("FILE", Kind::Path)];
pub(super) const DIRECTORY: &[Arg] = &[Arg::required("DIRECTORY", Kind::Path)];
/// A PEM file and the password of the key in it.
pub(super) const CERTIFICATE: &[Arg] =
    &[Arg::required("FILE", Kind::Path), Arg::optional("PASSWORD", Kind::Word)];
/// An OpenSSL list of ciphers or suites.
pub(super) const CIPHERS: &[Arg] = &[Arg::required("CIPHERS", Kind::Word)];
/// Bits of Diffie-Hellman parameters.
pub(super) const DH_BITS: &[Arg] =
    &[Arg::required("BITS", Kind::Choice(&["1024", "2048", "4096"]))];
pub(super) const NAME: &[Arg] = &[Arg::required("NAME", Kind::Name)];
pub(super) const HOST: &[Arg] = &[Arg::required("HOST", Kind::Host)];
pub(super) const ADDRESS: &[Arg] = &[Arg::required("ADDRESS", Kind::Address)];
pub(super) const EMAIL: &[Arg] = &[Arg::required("EMAIL", Kind::Email)];
pub(super) const PATTERN: &[Arg] = &[Arg::required("DOMAIN", Kind::DomainPattern)];
/// One word; `""` clears an inherited value.
pub(super) const WORD: &[Arg] = &[Arg::required("STRING", Kind::Word)];
/// The rest of the line; `""` clears an inherited value.
pub(super) const TEXT: &[Arg] = &[Arg::required("STRING", Kind::Rest)];
/// Items separated by commas; `""` clears an inherited value.
pub(super) const LIST: &[Arg] = &[Arg::required("LIST", Kind::List)];
/// A network of local addresses, then what is limited.
pub(super) const NETWORK_LIMIT: &[Arg] = &[
    Arg::required("CIDR", Kind::Network),
    Arg::required("N", Kind::IntegerOrUnlimited { min: 0, max: COUNT_MAX }),
];
pub(super) const NETWORK_RATE: &[Arg] =
    &[Arg::required("CIDR", Kind::Network), Arg::required("RATE", Kind::Rate)];
pub(super) const NETWORK_DATA_RATE: &[Arg] =
    &[Arg::required("CIDR", Kind::Network), Arg::required("SIZE/PERIOD", Kind::DataRate)];
/// One or more local addresses and the name that goes with them.
pub(super) const SOURCE_HOST: &[Arg] =
    &[Arg::required("ADDRESS", Kind::Network), Arg::optional("HOST", Kind::Host)];
/// `SELECTOR,DOMAIN,FILE`.
pub(super) const DOMAIN_KEY: &[Arg] = &[Arg::required("SELECTOR,DOMAIN,FILE", Kind::Special)];
/// A file, wildcards included, or a URL.
pub(super) const INCLUDED: &[Arg] = &[Arg::required("FILE", Kind::Path)];
/// How mail addresses are hidden.
pub(super) const PRIVACY: &[Arg] = &[Arg::required("POLICY", Kind::Special)];
/// Version of the proxy protocol.
pub(super) const PROXY_VERSION: &[Arg] = &[Arg::required("VERSION", Kind::Choice(&["1", "2"]))];
pub(super) const CANON: &[Arg] = &[Arg::required("METHOD", Kind::Choice(&["simple", "relaxed"]))];
/// An obsolete value that nobody looks at.
pub(super) const IGNORED: &[Arg] = &[Arg::optional("VALUE", Kind::Rest)];

/// The TLS 1.3 suites of this server, by OpenSSL's names and in its order.
pub(super) const SUITES: &str =
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";
/// The cipher string of all scopes.
pub(super) const STRONG_CIPHERS: &str = "HIGH:!ADH:@STRENGTH";
/// Why a switch for an old version of TLS is moot.
pub(super) const OLD_TLS: &str = "only TLS 1.2 and TLS 1.3 are ever spoken";
/// Why the length of Diffie-Hellman parameters is moot.
pub(super) const NO_DHE: &str = "keys are agreed over elliptic curves only, so there are no \
     Diffie-Hellman parameters whose length could be chosen";
/// Why what belongs to Goodmail is moot.
pub(super) const GOODMAIL: &str = "the service behind Goodmail tokens no longer exists";
