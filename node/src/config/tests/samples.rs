//! Texts that must load exactly as printed, and whole configurations of the usual shapes.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::settings::{
    AcctTarget, AddDate, DeliveryType, FieldItem, FileFormat, HeaderMap, RouteTarget, UserMethod,
};
use crate::id::DEFAULT_VMTA;
use crate::message::RecordType;

fn named(fields: &[FieldItem]) -> Vec<&str> {
    let name = |f| match f {
        &FieldItem::Default => "*",
        FieldItem::Without(name) | FieldItem::Named(name) => name,
    };
    fields.iter().map(name).collect()
}

#[test]
fn opportunistic_encryption_for_all_domains() {
    let config = good("<domain *>\n    use-starttls yes\n    require-starttls no\n</domain>\n");
    let settings = config.queue("example.com", DEFAULT_VMTA);
    assert!(settings.use_starttls && !settings.require_starttls);
}

#[test]
fn accounting_fields_about_encryption() {
    let config = good(
        "<acct-file logacct.csv>\n    records d, b\n    \
         record-fields d *, dlvTlsProtocol, dlvTlsCipher\n    \
         record-fields b *, dlvTlsProtocol, dlvTlsCipher\n</acct-file>\n",
    );
    let file = &config.acct_files[0];
    assert_eq!(file.target, AcctTarget::File("logacct.csv".into()));
    assert_eq!(file.records.len(), 2);
    for (columns, kind) in file.records.iter().zip([RecordType::Delivery, RecordType::Bounce]) {
        assert_eq!(columns.kind, kind);
        assert_eq!(named(&columns.fields), ["*", "dlvTlsProtocol", "dlvTlsCipher"]);
    }
    assert!(config.wants_records(RecordType::Bounce));
    assert!(!config.wants_records(RecordType::Receipt));
}

#[test]
fn a_domain_that_wants_a_client_certificate() {
    let config = good(
        "<domain super-secure-server.com>\n    \
         smtp-client-certificate /path/to/certificate.pem password\n    use-starttls yes\n    \
         require-starttls yes\n</domain>\n",
    );
    let settings = config.queue("Super-Secure-Server.com", DEFAULT_VMTA);
    assert!(settings.use_starttls && settings.require_starttls);
    let certificate = settings.tls.certificate.clone().unwrap();
    assert_eq!(certificate.path, PathBuf::from("/path/to/certificate.pem"));
    assert_eq!(certificate.password.as_deref(), Some("password"));
    assert!(config.queue("other.com", DEFAULT_VMTA).tls.certificate.is_none());
    let file = &config.file_positions[0];
    assert_eq!(file.path, PathBuf::from("/path/to/certificate.pem"));
    assert_eq!(file.directive, "smtp-client-certificate");
    assert_eq!(file.position.to_string(), "config:2:29");
}

const SUBMISSION_OVER_TLS: &str = r#"#
smtp-listener 1.2.3.4:465 tls=yes
smtp-server-tls-certificate /etc/pmta/smtp-cert.pem "YourPasswordHere" smtp-server-tls-ciphers "HIGH:MEDIUM:!ADH:@STRENGTH"

<source 0/0>    # matches all
    allow-starttls yes
    require-starttls-before-auth yes
    allow-unencrypted-plain-auth no
</source>
#
"#;

#[test]
fn submission_over_tls_with_two_directives_on_a_line() {
    let config = good(SUBMISSION_OVER_TLS);
    let listener = &config.listeners[0];
    assert_eq!(listener.address.to_string(), "1.2.3.4:465");
    assert!(listener.immediate_tls);
    let tls = listener.tls.clone().unwrap();
    assert_eq!(tls.certificate.path, PathBuf::from("/etc/pmta/smtp-cert.pem"));
    assert_eq!(tls.certificate.password.as_deref(), Some("YourPasswordHere"));
    assert_eq!(tls.ciphers, "HIGH:MEDIUM:!ADH:@STRENGTH");
    let source = config.source("192.0.2.9".parse().unwrap(), None, None);
    assert!(source.allow_starttls && source.require_starttls_before_auth);
    assert!(!source.allow_unencrypted_plain_auth);

    let files = MemoryFiles::default().with("config", SUBMISSION_OVER_TLS);
    let loaded = load(Path::new("config"), &files);
    let expected = "3:72 warning `smtp-server-tls-ciphers` is read as a directive of its own";
    assert_eq!(line_of(&loaded.diagnostics[0]), expected);
    let shown = printed(&loaded.diagnostics);
    assert!(!shown.contains("YourPasswordHere"), "{shown}");
}

#[test]
fn a_server_that_files_its_mail() {
    let config = good(include_str!("../fixtures/sink.conf"));
    let settings = config.queue("anything.example", DEFAULT_VMTA);
    let destination = "/var/spool/mail/inbound".to_owned();
    let file = DeliveryType::File { format: FileFormat::NewfilePlain, destination };
    assert_eq!(settings.delivery_type, file);
    assert_eq!(settings.retry_after, [Duration::from_secs(60)]);
    assert!(config.relay_allowed("x", "a.sink.example.net"));
    assert!(config.relay_allowed("x", "SINK.example.net"));
    assert!(!config.relay_allowed("x", "example.net"));
    let source = config.source("::1".parse().unwrap(), None, None);
    assert!(source.always_allow_relaying && source.allow_starttls);
    assert_eq!(source.add_date_header, AddDate::Yes);
    assert_eq!(source.name, "::1/128");
    assert!(!config.source("10.0.0.1".parse().unwrap(), None, None).always_allow_relaying);
    assert_eq!(config.server.total_max_smtp_in, 400);
    assert_eq!(config.server.spool, PathBuf::from("/var/spool/mta"));
    assert_eq!(config.acct_files[0].max_size_bytes, 50 << 20);
    assert_eq!(config.acct_files[0].delete_after, Some(Duration::from_secs(8 * 86_400)));
}

#[test]
fn values_that_are_comments_are_missing_arguments() {
    let files = MemoryFiles::default().with("config", include_str!("../fixtures/submission.conf"));
    let loaded = load(Path::new("config"), &files);
    assert!(loaded.config.is_none());
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.is_error()).map(line_of).collect();
    assert_eq!(
        errors,
        [
            "28:5 error argument missing: password STRING is expected",
            "44:5 error argument missing: api-key STRING is expected",
        ]
    );
}

#[test]
fn users_pools_and_pipes() {
    let text = include_str!("../fixtures/submission.conf").replace("## YOUR", "\"YOUR");
    let text = text.replace(" HERE ##", " HERE\"");
    let config = good(&text);
    let user = &config.users["injection"];
    let UserMethod::Password(password) = &user.method else { panic!("{user:?}") };
    assert_eq!(password, "YOUR PASSWORD HERE");
    assert!(!format!("{config:?}").contains("YOUR"), "passwords are not printed");
    let source = config.source("192.0.2.1".parse().unwrap(), None, Some(user));
    assert!(source.always_allow_relaying && source.allow_starttls && source.process_x_job);
    assert_eq!(source.default_virtual_mta.as_deref(), Some("default"));
    assert_eq!(source.name, "{auth}");
    let rate = source.max_auth_failure_rate.unwrap();
    assert_eq!((rate.events, rate.period), (1, Duration::from_secs(60)));
    assert_eq!(config.pools["default"].members, ["mta1"]);
    assert_eq!(config.queue("a.example", "mta1").max_smtp_out, Some(20));
    let host = &config.vmtas["mta1"].source_hosts[0];
    assert_eq!(host.address.to_string(), "172.16.25.101");
    assert_eq!(host.host_name.as_deref(), Some("send.example.net"));
    let AcctTarget::Pipe(words) = &config.acct_files[0].target else { panic!("a pipe") };
    assert_eq!(words, &["/usr/local/bin/etl", "--logfile", "etl.log"]);
    let headers = ["x-message-id", "x-subaccount-id"];
    assert_eq!(config.accounting_headers(RecordType::Delivery), headers);
}

#[test]
fn accounting_files_of_all_kinds() {
    let config = good(include_str!("../fixtures/accounting.conf"));
    assert_eq!(config.acct_files.len(), 4);
    let fbl = &config.acct_files[1];
    assert_eq!(fbl.records[0].kind, RecordType::FeedbackLoop);
    assert!(fbl.sync);
    let map = HeaderMap {
        kind: RecordType::FeedbackLoop,
        header: "X-Original-Recipient".to_owned(),
        field: "rcpt".to_owned(),
    };
    assert_eq!(fbl.header_maps, [map]);
    let kinds: Vec<_> = config.acct_files[2].records.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [RecordType::Bounce, RecordType::RemoteBounce]);
    let receipts = &config.acct_files[3];
    assert_eq!(named(&receipts.records[0].fields), ["*", "header_x-hash"]);
    assert_eq!(named(&receipts.records[1].fields), ["*"]);
    assert_eq!(config.accounting_headers(RecordType::Receipt), ["x-hash", "X-Real-Sender"]);
    assert_eq!(config.accounting_headers(RecordType::Bounce), ["x-id", "x-hash"]);
    let piped = config.queue("unsub.example.com", DEFAULT_VMTA);
    assert_eq!(piped.delivery_type, DeliveryType::Unavailable("pipe".to_owned()));
}

#[test]
fn proxies_and_a_virtual_mta_in_two_places() {
    let config = good(include_str!("../fixtures/proxy.conf"));
    assert_eq!(config.vmtas["prox01"].source_hosts.len(), 1);
    assert!(config.vmtas.contains_key(DEFAULT_VMTA));
}

#[test]
fn a_configuration_can_be_shared_between_threads() {
    fn shareable(_: &(impl Send + Sync + 'static)) {}
    shareable(&good(""));
}

#[test]
fn the_server_has_defaults() {
    let config = good("");
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:25");
    let server = &config.server;
    assert_eq!(server.host_name, "localhost");
    assert_eq!((server.total_max_smtp_in, server.total_max_smtp_out), (100, 1200));
    assert_eq!((server.log_rotate, server.log_auto_rotation), (8, true));
    assert_eq!((server.partitions, server.max_bytes_in_flight), (8, 256 << 20));
    assert_eq!(server.tls_broken_host_memory, Duration::from_secs(3_600));
    assert!(server.name_servers.is_empty() && server.log_file.is_none());
    let q = config.queue("example.com", DEFAULT_VMTA);
    assert_eq!((q.max_smtp_out, q.max_msg_per_connection), (Some(20), None));
    assert_eq!((q.max_rcpt_per_transaction, q.default_smtp_port), (1000, 25));
    assert_eq!(q.retry_after, [Duration::from_secs(600)]);
    assert_eq!(q.bounce_after, Duration::from_secs(4 * 86_400 + 12 * 3_600));
    assert_eq!(q.smtp_greeting_timeout, Duration::from_secs(300));
    assert_eq!(q.smtp_data_termination_timeout, Duration::from_secs(600));
    assert_eq!((q.connect_timeout, q.data_send_timeout), (minutes(2), minutes(3)));
    assert!(q.use_starttls && !q.require_starttls && q.bounce_upon_5xx_greeting);
    assert!(q.tls.versions.v1_2 && q.tls.versions.v1_3 && q.tls.ciphersuites.is_none());
    assert_eq!(q.tls.ciphers, "HIGH:!ADH:@STRENGTH");
    assert_eq!(q.max_errors_per_connection, None);
    let s = config.source("127.0.0.1".parse().unwrap(), None, None);
    assert!(s.smtp_service && s.allow_auth && s.allow_chunking && s.add_received_header);
    assert!(!s.always_allow_relaying && !s.allow_starttls && !s.require_auth);
    assert_eq!((s.max_message_size_bytes, s.max_message_hops), (None, 100));
    assert_eq!((s.smtp_command_timeout, s.smtp_data_timeout), (minutes(10), minutes(10)));
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[test]
fn listeners_have_tls_of_their_own() {
    let config = good(
        "smtp-server-tls-certificate /g.pem\nsmtp-server-tls-allow-tlsv1.2 no\n\
         smtp-listener [::1]:25 source=inside\n<source inside>\n</source>\n\
         <smtp-listener 0/0:465>\n immediate-tls yes\n tls-certificate /l.pem \"a b\"\n \
         tls-allow-tlsv1.2 yes\n source inside\n</smtp-listener>\n",
    );
    let [first, second] = config.listeners.as_slice() else { panic!("two listeners") };
    assert_eq!(first.address.to_string(), "[::1]:25");
    assert_eq!(first.source.as_deref(), Some("inside"));
    let tls = first.tls.as_ref().unwrap();
    assert_eq!((tls.certificate.path.to_str(), tls.versions.v1_2), (Some("/g.pem"), false));
    assert_eq!(second.address.to_string(), "0.0.0.0:465");
    assert!(second.immediate_tls && second.source.is_some());
    let tls = second.tls.as_ref().unwrap();
    assert_eq!((tls.certificate.path.to_str(), tls.versions.v1_2), (Some("/l.pem"), true));
    assert_eq!(tls.certificate.password.as_deref(), Some("a b"));
}

#[test]
fn listeners_have_proxies_of_their_own() {
    let config = good(
        "proxy-trusted-source 10.0.0.0/24\nproxy-trusted-source 2001:db8::/64\n\
         smtp-listener 127.0.0.1:25\nsmtp-listener 127.0.0.1:26 proxy-protocol=yes\n\
         <smtp-listener 127.0.0.1:27>\n proxy-protocol yes\n proxy-trusted-source 10.1/16\n\
         </smtp-listener>\n<smtp-listener 127.0.0.1:28>\n proxy-protocol yes\n</smtp-listener>\n",
    );
    for (listener, address, trusted) in [
        (0, "10.0.0.1", None),
        (1, "10.0.0.1", Some(true)),
        (1, "::ffff:10.0.0.1", Some(true)),
        (1, "2001:db8::1", Some(true)),
        (1, "10.1.0.1", Some(false)),
        (2, "10.1.0.1", Some(true)),
        (2, "10.0.0.1", Some(false)),
        (3, "10.0.0.1", Some(true)),
    ] {
        let proxies = config.listeners[listener].proxies.as_ref();
        let holds = proxies.map(|proxies| proxies.hold(address.parse().unwrap()));
        assert_eq!(holds, trusted, "{listener} {address}");
    }
}

#[test]
fn health_is_told_where_it_is_configured() {
    let at = |text: &str| good(text).server.health_listener.map(|address| address.to_string());
    assert_eq!(at(""), None);
    assert_eq!(at("health-listener [::1]:9000").as_deref(), Some("[::1]:9000"));
    assert_eq!(at("health-listener 10.0.0.1").as_deref(), Some("10.0.0.1:8080"));
}

#[test]
fn routes_names_and_addresses() {
    let config = good(
        "name-server 10.0.0.1\nname-server 127.0.0.1:5353\nsmtp-source-host 10.0.0.8/30\n\
         <virtual-mta a>\n host-name a.example\n max-smtp-out 7\n</virtual-mta>\n\
         <domain d.example>\n route [127.0.0.1]:2525\n default-smtp-port 26\n \
         max-msg-per-hour 250\n auth-username u\n auth-password p w\n</domain>\n",
    );
    let servers: Vec<_> = config.server.name_servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.1:53", "127.0.0.1:5353"]);
    let a = &config.vmtas["a"];
    let hosts: Vec<_> = a.source_hosts.iter().map(|h| h.address.to_string()).collect();
    assert_eq!(hosts, ["10.0.0.9", "10.0.0.10"], "a network names its host addresses");
    assert_eq!((a.host_name.as_deref(), a.max_smtp_out), (Some("a.example"), Some(7)));
    let d = config.queue("d.example", "a");
    assert_eq!(d.smtp_hosts[0][0].target, RouteTarget::Address("127.0.0.1".parse().unwrap()));
    assert_eq!((d.smtp_hosts[0][0].port, d.default_smtp_port), (Some(2525), 26));
    assert_eq!(d.max_msg_rate.map(|r| (r.events, r.period)), Some((250, minutes(60))));
    assert_eq!(d.auth.as_ref().map(|c| c.password.as_str()), Some("p w"));
}
