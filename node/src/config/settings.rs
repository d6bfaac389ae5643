//! Effective settings: checked, typed and immutable. A reload makes a new [`Config`].
//!
//! Names follow the directives; units are in the types. What a directive means is said once, in
//! the table of directives, and not repeated here.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::address;
use super::network;
use super::position::Position;
use super::rules::Rules;
use crate::message::RecordType;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings of the server as a whole.
    pub server: Server,
    /// Where SMTP is accepted, in file order.
    pub listeners: Vec<SmtpListener>,
    /// `<smtp-user>` by name.
    pub users: HashMap<String, SmtpUser>,
    /// `<virtual-mta>` by name; [`crate::id::DEFAULT_VMTA`] is always present.
    pub vmtas: HashMap<String, VirtualMta>,
    /// `<virtual-mta-pool>` by name.
    pub pools: HashMap<String, VirtualMtaPool>,
    /// `<acct-file>`, in file order.
    pub acct_files: Vec<AcctFile>,
    /// The files that directives name, for checks that they exist.
    pub file_positions: Vec<FileReference>,
    /// The cipher lists that directives give, for checks that they select something.
    pub cipher_positions: Vec<CipherReference>,
    /// What [`Lookup`] answers from.
    pub(super) rules: Rules,
}

/// A file that a directive names. Configuration is checked without looking at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReference {
    /// As configured.
    pub path: PathBuf,
    /// Where it is named.
    pub position: Position,
    /// The directive that names it.
    pub directive: &'static str,
}

/// A cipher list that a directive gives. What it selects is not the configuration's to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CipherReference {
    /// As configured.
    pub list: String,
    /// Where it is given.
    pub position: Position,
    /// The directive that gives it.
    pub directive: &'static str,
}

/// Settings of the server as a whole.
#[derive(Clone, Debug)]
pub struct Server {
    /// First `host-name`, else the system's name: used in greetings and EHLO.
    pub host_name: String,
    /// All `host-name` values: local domains.
    pub local_names: Vec<String>,
    /// `postmaster`.
    pub postmaster: Vec<String>,
    /// `name-server`; empty means the system's resolver configuration.
    pub name_servers: Vec<SocketAddr>,
    /// `spool` or the first `<spool DIR>`: directory of the store.
    pub spool: PathBuf,
    /// `min-free-space` of the spool, in bytes; below it `452` is answered.
    pub min_free_space_bytes: u64,
    /// `log-file`; none logs to standard error.
    pub log_file: Option<PathBuf>,
    /// `log-rotate`: files kept.
    pub log_rotate: u32,
    /// `log-auto-rotation`: rotate at midnight.
    pub log_auto_rotation: bool,
    /// `log-file-world-readable`.
    pub log_world_readable: bool,
    /// `total-max-smtp-in`.
    pub total_max_smtp_in: u32,
    /// `total-max-smtp-out`.
    pub total_max_smtp_out: u32,
    /// `smtp-source-host` at global level: source addresses of the default virtual MTA.
    pub source_hosts: Vec<SourceHost>,
    /// `track-time-first-attempt`.
    pub track_time_first_attempt: bool,
    /// `custom-dsn-from-header`.
    pub dsn_from: Option<String>,
    /// `admin-socket` (Convoy's own): Unix socket of `mtactl`.
    pub admin_socket: PathBuf,
    /// `cluster-listener` (Convoy's own): where other nodes and operators elsewhere are heard.
    pub cluster_listener: Option<SocketAddr>,
    /// `cluster-address` (Convoy's own): how other nodes reach it, see [`Server::reached_at`].
    pub cluster_address: Option<String>,
    /// `health-listener` (Convoy's own): where probes and metrics are answered over HTTP.
    pub health_listener: Option<SocketAddr>,
    /// `queue-partitions` (Convoy's own): Raft groups that hold messages; fixed at first start.
    pub partitions: u32,
    /// `max-bytes-in-flight` (Convoy's own): message bytes received and not committed yet, over
    /// all connections; beyond it `452` is answered.
    pub max_bytes_in_flight: u64,
    /// `tls-broken-host-memory` (Convoy's own): how long a host whose handshake failed is not
    /// offered STARTTLS again under opportunistic TLS.
    pub tls_broken_host_memory: Duration,
}

impl Server {
    /// `HOST:PORT` under which other nodes reach the cluster listener, if there is one.
    #[must_use]
    pub fn reached_at(&self) -> Option<String> {
        let listener = self.cluster_listener?;
        let own = || address::of_listener(listener, &self.host_name);
        Some(self.cluster_address.clone().unwrap_or_else(own))
    }
}

/// One `smtp-listener`.
#[derive(Clone, Debug)]
pub struct SmtpListener {
    /// Address and port; an address of all zeros listens on all addresses of its family.
    pub address: SocketAddr,
    /// `source=NAME` or `source NAME`.
    pub source: Option<String>,
    /// `tls=yes` or `immediate-tls yes`.
    pub immediate_tls: bool,
    /// TLS of this listener: its own directives over the global ones. None without a certificate.
    pub tls: Option<ServerTls>,
    /// `proxy-protocol`: connections come from these proxies only, and each begins with a header
    /// that names the client. None where clients connect themselves.
    pub proxies: Option<TrustedProxies>,
}

/// `proxy-trusted-source`: networks of proxies that are believed when they name a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub(super) Vec<IpNet>);

impl TrustedProxies {
    /// Is this the address of one?
    #[must_use]
    pub fn hold(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network::holds(network, address))
    }
}

/// Certificate, versions and ciphers offered to clients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// `smtp-server-tls-certificate` or `tls-certificate`.
    pub certificate: CertificateFile,
    /// `smtp-server-tls-ca-file` or `tls-ca-file`: verify client certificates against these.
    pub ca_file: Option<PathBuf>,
    /// Which versions may be negotiated.
    pub versions: TlsVersions,
    /// OpenSSL cipher string for TLS 1.2.
    pub ciphers: String,
    /// OpenSSL names of TLS 1.3 suites, colon separated; none means all.
    pub ciphersuites: Option<String>,
}

/// A PEM file with certificate chain and private key, and the key's password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CertificateFile {
    /// The file.
    pub path: PathBuf,
    /// Decrypts the private key.
    pub password: Option<String>,
}

/// Never prints the password.
impl std::fmt::Debug for CertificateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The versions of TLS that Convoy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsVersions {
    /// TLS 1.2.
    pub v1_2: bool,
    /// TLS 1.3.
    pub v1_3: bool,
}

/// `<smtp-user>`.
#[derive(Clone, Debug)]
pub struct SmtpUser {
    /// Name as configured.
    pub name: String,
    /// How it proves itself.
    pub method: UserMethod,
    /// `source NAME`.
    pub source: Option<String>,
}

/// `authentication-method` with what it needs.
#[derive(Clone)]
pub enum UserMethod {
    /// `password`.
    Password(String),
    /// `certificate`: the client must present exactly this one.
    Certificate(PathBuf),
}

/// Never prints the password.
impl std::fmt::Debug for UserMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Password(_) => f.write_str("Password"),
            Self::Certificate(path) => f.debug_tuple("Certificate").field(path).finish(),
        }
    }
}

/// An outbound address and the name that goes with it in EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceHost {
    /// Local address to bind.
    pub address: IpAddr,
    /// EHLO name; none means the virtual MTA's or the server's host name.
    pub host_name: Option<String>,
}

/// `<virtual-mta>`.
#[derive(Clone, Debug)]
pub struct VirtualMta {
    /// Name as configured.
    pub name: String,
    /// `smtp-source-host`, used in turn.
    pub source_hosts: Vec<SourceHost>,
    /// `host-name`.
    pub host_name: Option<String>,
    /// `max-smtp-out` over all queues of this virtual MTA: its own, else that of its pool.
    pub max_smtp_out: Option<u32>,
    /// `max-smtp-msg-rate` over all queues of this virtual MTA: its own, else that of its pool.
    pub max_smtp_msg_rate: Option<Rate>,
}

/// `<virtual-mta-pool>`.
#[derive(Clone, Debug)]
pub struct VirtualMtaPool {
    /// Name as configured.
    pub name: String,
    /// Members in file order, used in turn; a repeated member has that weight.
    pub members: Vec<String>,
}

/// Effective `<source>` settings of one client.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Name of the named source that applied, or the most specific network, for logs.
    pub name: String,
    pub always_allow_relaying: bool,
    pub smtp_service: bool,
    pub allow_starttls: bool,
    pub require_starttls_before_auth: bool,
    pub allow_unencrypted_plain_auth: bool,
    pub allow_auth: bool,
    pub require_auth: bool,
    pub max_auth_failure_rate: Option<Rate>,
    pub default_virtual_mta: Option<String>,
    pub process_x_virtual_mta: bool,
    pub retain_x_virtual_mta: bool,
    pub allow_empty_x_virtual_mta: bool,
    pub reject_invalid_virtual_mta: bool,
    pub process_x_job: bool,
    pub retain_x_job: bool,
    pub jobid_header: Option<String>,
    pub process_x_envid: bool,
    pub add_received_header: bool,
    pub hide_message_source: bool,
    pub remove_headers: Vec<String>,
    pub add_date_header: AddDate,
    pub add_message_id_header: bool,
    /// None is unlimited.
    pub max_message_size_bytes: Option<u64>,
    pub max_message_hops: u32,
    /// None is unlimited.
    pub max_rcpt_per_message: Option<u32>,
    pub too_many_rcpts_fails_message: bool,
    pub allow_chunking: bool,
    pub allow_smtputf8: bool,
    pub smtp_data_timeout: Duration,
    pub smtp_command_timeout: Duration,
    pub disconnect_on_transient_error: bool,
    pub suppress_local_dsn: bool,
    pub dsn_return_default: DsnReturn,
    pub log_connections: bool,
    pub log_commands: bool,
    pub log_data: bool,
    pub log_tls: bool,
}

/// `add-date-header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddDate {
    No,
    /// When it is missing.
    Yes,
    /// Replace the one that is there.
    Override,
}

/// `dsn-return-default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsnReturn {
    Headers,
    Full,
    /// Convoy decides: headers.
    System,
}

/// N events per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub events: u64,
    pub period: Duration,
}

/// Limits for each local address of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerSource<T>(pub(super) Vec<(IpNet, Option<T>)>);

impl<T: Copy> PerSource<T> {
    /// The limit of a local address: the most specific network counts. None is unlimited.
    #[must_use]
    pub fn of(&self, source: IpAddr) -> Option<T> {
        let fitting = self.0.iter().filter(|(network, _)| network::holds(network, source));
        fitting.max_by_key(|(network, _)| network.prefix_len()).and_then(|(_, limit)| *limit)
    }

    /// True when no network is named.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All limits.
    pub fn values(&self) -> impl Iterator<Item = T> + '_ {
        self.0.iter().filter_map(|(_, limit)| *limit)
    }
}

/// Effective `<domain>` settings of one queue (`domain/vmta`).
#[derive(Clone, Debug)]
pub struct DomainSettings {
    pub delivery_type: DeliveryType,
    pub use_starttls: bool,
    pub require_starttls: bool,
    pub tls: ClientTls,
    pub auth: Option<Credentials>,
    pub use_unencrypted_plain_auth: bool,
    /// `smtp-hosts` or `route`: levels of preference, each with hosts of equal preference.
    pub smtp_hosts: Vec<Vec<RouteHost>>,
    pub default_smtp_port: u16,
    /// None is unlimited.
    pub max_smtp_out: Option<u32>,
    /// None is unlimited.
    pub max_msg_per_connection: Option<u32>,
    pub max_rcpt_per_transaction: u32,
    /// None is unlimited.
    pub max_errors_per_connection: Option<u32>,
    pub max_msg_rate: Option<Rate>,
    pub max_connect_rate: Option<Rate>,
    /// And `max-smtp-out-per-source-ip`.
    pub source_ip_max_smtp_out: PerSource<u32>,
    pub source_ip_max_connect_rate: PerSource<Rate>,
    pub source_ip_max_msg_rate: PerSource<Rate>,
    /// At least one; the last repeats.
    pub retry_after: Vec<Duration>,
    pub retry_recipients_after: Duration,
    pub retry_after_dns_error: Duration,
    pub bounce_after: Duration,
    pub bounce_upon_no_mx: BounceUponNoMx,
    pub bounce_upon_5xx_greeting: bool,
    pub bounce_upon_transfer_failure: bool,
    pub smtp_421_means_mx_unavailable: bool,
    pub smtp_553_means_invalid_mailbox: bool,
    pub assume_delivery_upon_data_termination_timeout: bool,
    pub connect_timeout: Duration,
    pub smtp_greeting_timeout: Duration,
    pub data_send_timeout: Duration,
    pub smtp_data_termination_timeout: Duration,
    pub connection_idle_timeout: Duration,
    pub ignore_8bitmime: bool,
    pub ignore_chunking: bool,
    pub ignore_pipelining: bool,
    pub ignore_dsn: bool,
    pub disable_acct_records: Vec<RecordType>,
    pub log_connections: bool,
    pub log_commands: bool,
    pub log_data: bool,
    pub log_resolution: bool,
    pub log_transfer_failures: bool,
    pub log_tls: bool,
}

/// `type` with what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryType {
    Smtp,
    Discard {
        /// `discard-as-bounce`.
        as_bounce: bool,
    },
    File {
        /// `file-format`.
        format: FileFormat,
        /// `file-destination`, `$` macros not yet expanded.
        destination: String,
    },
    /// A type that is understood and that Convoy does not have (`pipe`, `http-delivery`): nothing
    /// is sent, the mail waits until `bounce-after`.
    Unavailable(String),
}

/// `file-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A new file per message, the message as it is.
    NewfilePlain,
    /// A new file per message with `x-sender:` and `x-receiver:` lines first.
    NewfilePickup,
    /// Appended to one mbox file.
    AppendMbox,
}

/// TLS towards other servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// `smtp-client-certificate`.
    pub certificate: Option<CertificateFile>,
    /// `smtp-tls-ca-file`: verify chain and name against these roots.
    pub ca_file: Option<PathBuf>,
    /// Which versions may be negotiated.
    pub versions: TlsVersions,
    /// OpenSSL cipher string for TLS 1.2.
    pub ciphers: String,
    /// OpenSSL names of TLS 1.3 suites; none means all.
    pub ciphersuites: Option<String>,
}

/// `auth-username` and `auth-password`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// Never prints the password.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A host in `smtp-hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteHost {
    pub target: RouteTarget,
    /// None means `default-smtp-port`.
    pub port: Option<u16>,
}

/// What a host in `smtp-hosts` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// An address literal.
    Address(IpAddr),
    /// A name with address records.
    Host(String),
    /// `lookup-mx:DOMAIN`.
    Mx(String),
}

/// `bounce-upon-no-mx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BounceUponNoMx {
    Never,
    Always,
    /// Once the message has been queued for this long.
    After(Duration),
}

/// One `<acct-file>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcctFile {
    pub target: AcctTarget,
    /// Columns per type, in the order of `records`.
    pub records: Vec<RecordColumns>,
    pub move_to: Option<PathBuf>,
    pub move_interval: Duration,
    pub max_size_bytes: u64,
    /// None keeps files for ever.
    pub delete_after: Option<Duration>,
    pub sync: bool,
    pub iso_times: bool,
    pub user_string: String,
    pub world_readable: bool,
    /// Ordered queue patterns; empty passes all.
    pub queue_filter: Vec<QueuePattern>,
    /// `map-header-to-field`, in file order.
    pub header_maps: Vec<HeaderMap>,
    pub write_timeout: Duration,
    pub retry_interval: Duration,
}

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcctTarget {
    File(PathBuf),
    /// Program and arguments.
    Pipe(Vec<String>),
}

/// The field list of one record type as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordColumns {
    pub kind: RecordType,
    pub fields: Vec<FieldItem>,
}

/// One item of `record-fields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldItem {
    /// `*`.
    Default,
    /// `!name`.
    Without(String),
    /// `name`, `header_X` included.
    Named(String),
}

/// `[!]domain/vmta` with `*` wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePattern {
    pub negated: bool,
    pub pattern: String,
}

/// `map-header-to-field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMap {
    pub kind: RecordType,
    /// Header name without `header_`.
    pub header: String,
    pub field: String,
}

/// A matching rule of `relay-domain` and of `<source>` networks lives beside its table; these are
/// the questions that the rest of the node asks.
pub trait Lookup {
    /// Settings for a client: merged networks from `0/0` to the most specific, then the named
    /// source if any (`listener_source`, or the user's, `{auth}` for a user without one).
    fn source(
        &self,
        client: IpAddr,
        listener_source: Option<&str>,
        user: Option<&SmtpUser>,
    ) -> Arc<SourceSettings>;

    /// Settings of the queue `domain/vmta` (the virtual MTA's own level, its pool's, the global).
    fn queue(&self, domain: &str, vmta: &str) -> Arc<DomainSettings>;

    /// The queue's domain for a recipient domain: `queue-to` or the domain itself, lower case.
    fn queue_domain(&self, domain: &str, vmta: &str) -> String;

    /// May anyone relay to this recipient (`relay-domain`, `relay-address`, local names)?
    fn relay_allowed(&self, local: &str, domain: &str) -> bool;

    /// The first bounce category whose pattern matches `status;diagnostic`.
    fn bounce_category(&self, text: &str) -> &str;

    /// The networks that `<source>` names, for `mtactl`.
    fn source_networks(&self) -> Vec<IpNet>;

    /// Headers that accounting files need for records of this type, without `header_`.
    fn accounting_headers(&self, kind: RecordType) -> &[String];

    /// Does any accounting file want records of this type?
    fn wants_records(&self, kind: RecordType) -> bool;
}
