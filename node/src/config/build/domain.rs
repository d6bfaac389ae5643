//! `<domain>` settings of one queue.

use ipnet::{IpNet, Ipv4Net};

use super::View;
use super::listener::{certificate, suites};
use crate::config::route::parse_smtp_hosts;
use crate::config::settings::{
    BounceUponNoMx, ClientTls, Credentials, DeliveryType, DomainSettings, FileFormat, PerSource,
    Rate, TlsVersions,
};
use crate::config::value::Value;
use crate::message::RecordType;

/// Recipients per transaction when the configuration says unlimited.
const MAX_RCPT_PER_TRANSACTION: u32 = 100_000;

/// Reads everything that delivery asks for out of the layers of one queue.
pub(in crate::config) fn domain_settings(view: &View<'_>) -> DomainSettings {
    let port = view.number("default-smtp-port");
    DomainSettings {
        delivery_type: delivery_type(view),
        use_starttls: view.flag("use-starttls"),
        require_starttls: view.flag("require-starttls"),
        tls: client_tls(view),
        auth: credentials(view),
        use_unencrypted_plain_auth: view.flag("use-unencrypted-plain-auth"),
        smtp_hosts: view
            .text("smtp-hosts")
            .and_then(|hosts| parse_smtp_hosts(&hosts).ok())
            .unwrap_or_default(),
        default_smtp_port: u16::try_from(port).unwrap_or(25),
        max_smtp_out: view.limit("max-smtp-out"),
        max_msg_per_connection: view.limit("max-msg-per-connection"),
        max_rcpt_per_transaction: view
            .limit("max-rcpt-per-transaction")
            .unwrap_or(MAX_RCPT_PER_TRANSACTION),
        max_errors_per_connection: view.limit("max-errors-per-connection"),
        max_msg_rate: view.rate("max-msg-rate"),
        max_connect_rate: view.rate("max-connect-rate"),
        source_ip_max_smtp_out: per_source_connections(view),
        source_ip_max_connect_rate: PerSource(
            view.per_source("source-ip-max-connect-rate", rate_of),
        ),
        source_ip_max_msg_rate: PerSource(view.per_source("source-ip-max-msg-rate", rate_of)),
        retry_after: view.times("retry-after"),
        retry_recipients_after: view.time("retry-recipients-after"),
        retry_after_dns_error: view.time("retry-after-dns-error"),
        bounce_after: view.time("bounce-after"),
        bounce_upon_no_mx: bounce_upon_no_mx(view),
        bounce_upon_5xx_greeting: view.flag("bounce-upon-5xx-greeting"),
        bounce_upon_transfer_failure: view.flag("bounce-upon-transfer-failure"),
        smtp_421_means_mx_unavailable: view.flag("smtp-421-means-mx-unavailable"),
        smtp_553_means_invalid_mailbox: view.flag("smtp-553-means-invalid-mailbox"),
        assume_delivery_upon_data_termination_timeout: view
            .flag("assume-delivery-upon-data-termination-timeout"),
        connect_timeout: view.time("connect-timeout"),
        smtp_greeting_timeout: view.time("smtp-greeting-timeout"),
        data_send_timeout: view.time("data-send-timeout"),
        smtp_data_termination_timeout: view.time("smtp-data-termination-timeout"),
        connection_idle_timeout: view.time("connection-idle-timeout"),
        ignore_8bitmime: view.flag("ignore-8bitmime"),
        ignore_chunking: view.flag("ignore-chunking"),
        ignore_pipelining: view.flag("ignore-pipelining"),
        ignore_dsn: view.flag("ignore-dsn"),
        disable_acct_records: disabled_records(view),
        log_connections: view.flag("log-connections"),
        log_commands: view.flag("log-commands"),
        log_data: view.flag("log-data"),
        log_resolution: view.flag("log-resolution"),
        log_transfer_failures: view.flag("log-transfer-failures"),
        log_tls: view.flag("log-tls"),
    }
}

fn delivery_type(view: &View<'_>) -> DeliveryType {
    let kind = view.text("type").unwrap_or_else(|| "smtp".to_owned());
    match (kind.as_str(), view.text("file-destination")) {
        ("smtp", _) => DeliveryType::Smtp,
        ("discard", _) => DeliveryType::Discard { as_bounce: view.flag("discard-as-bounce") },
        ("file", Some(destination)) => {
            DeliveryType::File { format: file_format(view), destination }
        }
        _ => DeliveryType::Unavailable(kind),
    }
}

fn file_format(view: &View<'_>) -> FileFormat {
    match view.text("file-format").as_deref() {
        Some("newfile-pickup") => FileFormat::NewfilePickup,
        Some("append-mbox") => FileFormat::AppendMbox,
        Some(_) | None => FileFormat::NewfilePlain,
    }
}

fn client_tls(view: &View<'_>) -> ClientTls {
    ClientTls {
        certificate: view.last("smtp-client-certificate").and_then(certificate),
        ca_file: view.path("smtp-tls-ca-file"),
        versions: TlsVersions {
            v1_2: view.flag("smtp-tls-allow-tlsv1.2"),
            v1_3: view.flag("smtp-tls-allow-tlsv1.3"),
        },
        ciphers: view.text("smtp-tls-ciphers").unwrap_or_default(),
        ciphersuites: suites(view, "smtp-tls-tlsv1.3-ciphersuites"),
    }
}

fn credentials(view: &View<'_>) -> Option<Credentials> {
    let username = view.text("auth-username");
    let password = view.text("auth-password");
    if username.is_none() && password.is_none() {
        return None;
    }
    let [username, password] = [username, password].map(Option::unwrap_or_default);
    Some(Credentials { username, password })
}

fn bounce_upon_no_mx(view: &View<'_>) -> BounceUponNoMx {
    match view.value("bounce-upon-no-mx") {
        Some(Value::Bool(true)) => BounceUponNoMx::Always,
        Some(Value::Time(time)) => BounceUponNoMx::After(*time),
        _ => BounceUponNoMx::Never,
    }
}

fn disabled_records(view: &View<'_>) -> Vec<RecordType> {
    match view.value("disable-acct-records") {
        Some(Value::Records(types)) => types.clone(),
        _ => Vec::new(),
    }
}

/// The old form holds for every address that no line of the new one names.
fn per_source_connections(view: &View<'_>) -> PerSource<u32> {
    let count = |value: &Value| match value {
        Value::Integer(n) if *n > 0 => Some(u32::try_from(*n).unwrap_or(u32::MAX)),
        _ => None,
    };
    let mut limits = view.per_source("source-ip-max-smtp-out", count);
    if let Some(limit) = view.limit("max-smtp-out-per-source-ip") {
        limits.insert(0, (IpNet::V4(Ipv4Net::default()), Some(limit)));
    }
    PerSource(limits)
}

const fn rate_of(value: &Value) -> Option<Rate> {
    match value {
        Value::Rate(rate) => *rate,
        _ => None,
    }
}
