//! The table of directives, split by scope, and the sections in which they stand.
//!
//! A row says what the parser accepts, what the checks demand, what the manual prints and whether
//! Convoy acts on it. `since` is the earliest version for which there is evidence: a guide, a
//! sample of that version, or a working configuration.
//!
//! One section has no rows: each line of `<bounce-category-patterns>` is `/REGEX/ CATEGORY`,
//! without a keyword, which the parser reads by itself.

mod acct_file;
mod api;
mod convoy;
mod domain_dkim;
mod domain_limits;
mod domain_logging;
mod domain_retry;
mod domain_routing;
mod domain_tls;
mod domain_types;
mod dummy_smtp;
mod http;
mod listener;
mod lists;
mod logging;
mod processors;
mod proxy;
mod sections;
mod server;
mod server_tls;
mod signals;
mod source_access;
mod source_checks;
mod source_message;
mod spool;
mod terms;
mod users;
mod virtual_mta;

#[cfg(test)]
mod tests;

use super::directive::Directive;

pub use sections::SECTIONS;

/// All rows, scope by scope in the order of the manual.
pub const TABLES: &[&[Directive]] = &[
    server::IDENTITY,
    server::RELAY,
    server::LIMITS,
    server::MOOT,
    listener::GLOBAL_LINES,
    listener::PROXIES,
    listener::SECTION,
    server_tls::TABLE,
    source_access::TABLE,
    source_access::LOGGING,
    source_message::TABLE,
    source_checks::TABLE,
    users::USER_LINES,
    users::GROUP_LINES,
    spool::GLOBAL_LINES,
    spool::SECTION,
    logging::TABLE,
    convoy::TABLE,
    virtual_mta::MEMBERS,
    virtual_mta::POOL_LINES,
    proxy::TABLE,
    proxy::VAULT_LINES,
    domain_routing::ROUTE,
    domain_routing::TIMEOUTS,
    domain_routing::PROTOCOL,
    domain_tls::TABLE,
    domain_limits::TABLE,
    domain_retry::TABLE,
    domain_retry::BACKOFF,
    domain_dkim::FIRST,
    domain_dkim::SECOND,
    domain_types::TABLE,
    domain_logging::TABLE,
    acct_file::TABLE,
    acct_file::WEBHOOK,
    processors::TABLE,
    processors::PATTERNS,
    lists::TABLE,
    http::TABLE,
    api::TABLE,
    api::LISTENERS,
    dummy_smtp::TABLE,
    signals::TABLE,
    signals::GOODMAIL_LINES,
];
