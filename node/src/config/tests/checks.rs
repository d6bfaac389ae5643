//! Checks of the configuration as a whole, and of the table against the code that reads it.

use std::collections::BTreeSet;

use super::*;
use crate::config::builtin_categories::BUILTIN;
use crate::config::directive::{Scope, Support};
use crate::config::{manual, table};

#[test]
fn names_must_exist() {
    check_said(&[
        (
            "<virtual-mta-pool p>\n virtual-mta mta2\n</virtual-mta-pool>\n<virtual-mta mta1>\n\
          </virtual-mta>",
            &["2:14 error virtual MTA `mta2` does not exist"],
        ),
        (
            "<source 0/0>\n default-virtual-mta x\n</source>",
            &["2:22 error virtual MTA or pool `x` does not exist"],
        ),
        ("<source 0/0>\n default-virtual-mta by-smtp-source-ip\n</source>", &[]),
        ("<source 0/0>\n default-virtual-mta {default}\n</source>", &[]),
        (
            "<smtp-user u>\n password p\n source x\n</smtp-user>",
            &["3:9 error source `x` does not exist"],
        ),
        ("smtp-listener 127.0.0.1:26 source=x", &["1:35 error source `x` does not exist"]),
    ]);
    let near =
        "<virtual-mta mta1>\n</virtual-mta>\n<source 0/0>\n default-virtual-mta mta\n</source>";
    assert_eq!(first_help(near).as_deref(), Some("did you mean `mta1`?"));
}

#[test]
fn pools_and_virtual_mtas_do_not_clash() {
    check_said(&[
        (
            "<virtual-mta a>\n</virtual-mta>\n<virtual-mta-pool a>\n virtual-mta a\n\
          </virtual-mta-pool>",
            &["3:19 error `a` is the name of a virtual MTA, too"],
        ),
        ("<virtual-mta-pool p>\n</virtual-mta-pool>", &["1:19 error this pool has no members"]),
        (
            "<virtual-mta a>\n</virtual-mta>\n<virtual-mta-pool p>\n virtual-mta a\n<domain *>\n\
          </domain>\n</virtual-mta-pool>\n<virtual-mta-pool q>\n virtual-mta a\n<domain *>\n\
          </domain>\n</virtual-mta-pool>",
            &["9:14 error `a` has settings from pool `p` already"],
        ),
        (
            "<virtual-mta a>\n</virtual-mta>\n<virtual-mta-pool p>\n virtual-mta a\n virtual-mta a\n\
          <domain *>\n</domain>\n</virtual-mta-pool>\n<virtual-mta-pool q>\n virtual-mta a\n\
          </virtual-mta-pool>",
            &[],
        ),
    ]);
}

#[test]
fn a_pattern_list_stands_above_its_source() {
    let list = "<pattern-list l>\n</pattern-list>\n";
    let source = "<source 0/0>\n pattern-list l\n</source>\n";
    let errors = |text: String| -> Vec<String> {
        said(&text).into_iter().filter(|line| line.contains("error")).collect()
    };
    assert_eq!(errors(format!("{list}{source}")), Vec::<String>::new());
    assert_eq!(
        errors(format!("{source}{list}")),
        ["2:15 error <pattern-list l> stands below this source",]
    );
    assert_eq!(errors(source.to_owned()), ["2:15 error pattern-list `l` does not exist"]);
}

#[test]
fn listeners_are_checked() {
    check_said(&[
        ("smtp-listener 127.0.0.1:465 tls=yes", &["1:15 error TLS at once needs a certificate"]),
        (
            "smtp-listener 127.0.0.1:26\nsmtp-listener 127.0.0.1:26",
            &["2:15 error 127.0.0.1:26 is given twice"],
        ),
        ("smtp-listener 127.0.0.1:0\nsmtp-listener 127.0.0.1:0", &[]),
        (
            "smtp-listener 10/8:25",
            &["1:15 error of networks, only 0/0 and ::/0 can be listened on: name one address"],
        ),
        (
            "<source 0/0>\n allow-starttls yes\n</source>",
            &["2:2 warning allow-starttls has no effect without a certificate"],
        ),
        (
            "smtp-server-tls-certificate /x\nsmtp-server-tls-allow-tlsv1.2 no\n\
          smtp-server-tls-allow-tlsv1.3 no",
            &["- error no version of TLS is left for 127.0.0.1:25"],
        ),
        (
            "smtp-listener 0/0:26\n<source 0/0>\n always-allow-relaying yes\n</source>",
            &["- warning anyone who can connect may send to any domain: this is an open relay"],
        ),
        (
            "smtp-listener 0/0:26\n<source 0/0>\n always-allow-relaying yes\n require-auth yes\n\
          </source>",
            &[],
        ),
    ]);
}

#[test]
fn listeners_for_proxies_trust_somebody_and_not_everybody() {
    let nobody = "error proxy-protocol trusts nobody: no client could connect";
    let everybody = "warning every client is trusted to name any address as its own";
    let line = "smtp-listener 127.0.0.1:26 proxy-protocol=yes";
    let section = "<smtp-listener 127.0.0.1:26>\n proxy-protocol yes\n</smtp-listener>";
    check_said(&[
        (line, &[&format!("1:15 {nobody}")]),
        (section, &[&format!("1:16 {nobody}")]),
        (&format!("{line}\nproxy-trusted-source 10/8"), &[]),
        (&format!("{section}\nproxy-trusted-source 10/8"), &[]),
        (&format!("{line}\nproxy-trusted-source 0/0"), &[&format!("1:15 {everybody}")]),
        ("smtp-listener 127.0.0.1:26 proxy-protocol=no", &[]),
        ("smtp-listener 127.0.0.1:26 proxy-protocol=2", &["1:28 error `2` is not yes or no"]),
    ]);
}

#[test]
fn a_configuration_without_log_and_listener_is_warned_about() {
    let files = MemoryFiles::default().with("c", "");
    let loaded = load(Path::new("c"), &files);
    let lines: Vec<_> = loaded.diagnostics.iter().map(line_of).collect();
    assert_eq!(
        lines,
        [
            "- warning no smtp-listener: mail is accepted on 127.0.0.1:25 only",
            "- warning no log-file: the log goes to standard error",
        ]
    );
}

#[test]
fn users_can_log_in() {
    check_said(&[
        ("<smtp-user u>\n</smtp-user>", &["1:12 error this user has no password"]),
        (
            "<smtp-user u>\n authentication-method certificate\n</smtp-user>",
            &["1:12 error authentication-method certificate needs tls-certificate FILE"],
        ),
        (
            "<smtp-user u>\n authentication-method system\n</smtp-user>",
            &["1:12 error authentication by accounts of the system is not available"],
        ),
    ]);
}

#[test]
fn accounting_fields_must_exist() {
    check_said(&[
        (
            "<acct-file a>\n records d,tq\n record-fields d *, dlvTlsProtokol, !jobid\n \
          record-fields tq rcpt\n record-fields b *\n max-size 10k\n</acct-file>",
            &[
                "3:21 error unknown field `dlvTlsProtokol`",
                "4:19 warning records of type tq have no field rcpt",
                "5:16 warning `records` does not name b: these fields have no rows",
                "6:11 error max-size is at least 1M",
            ],
        ),
        (
            "<acct-file a>\n map-header-to-field d header_X-A recpt\n \
          map-header-to-field d X-A rcpt\n map-header-to-field tq header_X rcpt\n \
          map-header-to-field d header_X-A rcpt\n</acct-file>",
            &[
                "2:35 error unknown field `recpt`",
                "3:24 error a header is expected",
                "4:22 error records of type tq have no message and thus no headers",
            ],
        ),
        ("<acct-file |>\n</acct-file>", &["1:12 error a command is expected behind |"]),
        (
            "<acct-file a>\n records d, z\n</acct-file>",
            &["2:10 error `z` is not a record type: d, b, t, tq, r, rb, rs, f"],
        ),
    ]);
    let misspelt = "<acct-file a>\n record-fields d dlvTlsProtokol\n</acct-file>";
    assert_eq!(first_help(misspelt).as_deref(), Some("did you mean `dlvTlsProtocol`?"));
}

#[test]
fn domain_settings_need_each_other() {
    check_said(&[
        (
            "<domain *>\n use-starttls no\n require-starttls yes\n</domain>",
            &["3:2 warning require-starttls has no effect while use-starttls is no"],
        ),
        ("<domain *>\n type file\n</domain>", &["2:7 error type file needs file-destination"]),
        (
            "<domain *>\n connection-idle-timeout 11m\n</domain>",
            &["2:26 error connection-idle-timeout is at most 10m"],
        ),
    ]);
}

#[test]
fn the_builtin_categories_cover_all_names() {
    let expected: BTreeSet<_> = [
        "bad-configuration",
        "bad-connection",
        "bad-domain",
        "bad-mailbox",
        "content-related",
        "inactive-mailbox",
        "invalid-sender",
        "message-expired",
        "no-answer-from-host",
        "other",
        "policy-related",
        "protocol-errors",
        "quota-issues",
        "relaying-issues",
        "routing-errors",
        "spam-related",
        "virus-related",
    ]
    .into();
    let have: BTreeSet<_> = BUILTIN.iter().map(|(_, category)| *category).collect();
    assert_eq!(have, expected);
}

#[test]
fn usual_replies_fall_into_the_right_category() {
    let config = good("");
    for (text, category) in [
        ("5.1.1;smtp;550 5.1.1 <x@y>: Recipient address rejected: User unknown", "bad-mailbox"),
        (
            "5.1.1;smtp;550-5.1.1 The email account that you tried to reach does not exist",
            "bad-mailbox",
        ),
        ("5.5.0;smtp;550 Requested action not taken: mailbox unavailable", "bad-mailbox"),
        ("5.0.0;smtp;550 no such user here", "bad-mailbox"),
        ("5.2.2;smtp;552 5.2.2 The email account is over quota", "quota-issues"),
        ("4.2.2;smtp;452 mailbox full", "quota-issues"),
        ("5.2.1;smtp;550 5.2.1 The user's account is disabled", "inactive-mailbox"),
        ("5.7.1;smtp;554 5.7.1 Message rejected as spam by content filtering", "spam-related"),
        (
            "5.7.1;smtp;554 Service unavailable; client host [1.2.3.4] blocked using zen.spamhaus.org",
            "spam-related",
        ),
        ("5.7.1;smtp;550 5.7.1 virus detected", "virus-related"),
        ("5.7.1;smtp;550 5.7.1 Relaying denied", "relaying-issues"),
        ("5.7.1;smtp;554 5.7.1 <x@y>: Relay access denied", "relaying-issues"),
        ("5.7.26;smtp;550 5.7.26 This mail is unauthenticated", "policy-related"),
        ("5.7.1;smtp;550 5.7.1 Access denied by policy", "policy-related"),
        ("5.1.8;smtp;553 5.1.8 Domain of sender address does not exist", "invalid-sender"),
        ("5.1.2;smtp;unable to route: no mail hosts for domain", "bad-domain"),
        ("5.1.2;dns;no such domain", "bad-domain"),
        ("5.4.6;smtp;routing loop detected", "routing-errors"),
        ("4.4.1;smtp;no answer from host", "no-answer-from-host"),
        ("4.4.1;system;ETIMEDOUT connecting to mx.example", "no-answer-from-host"),
        ("4.4.2;system;connection reset by peer", "bad-connection"),
        ("4.4.7;smtp;message expired", "message-expired"),
        ("5.5.2;smtp;500 syntax error", "protocol-errors"),
        ("5.3.4;smtp;552 message size exceeds fixed maximum", "content-related"),
        ("5.3.5;smtp;specified VirtualMTA does not exist", "bad-configuration"),
        ("5.0.0;smtp;554 go away", "other"),
        ("", "other"),
    ] {
        assert_eq!(config.bounce_category(text), category, "{text}");
    }
}

#[test]
fn every_default_and_example_of_the_table_is_accepted() {
    for row in table::all() {
        let fields = row.name == "record-fields";
        for scope in row.scopes {
            let defaults = table::default(*scope, row.name);
            let of_another = row.args.len() > 1;
            let ok = row.default.is_empty() || fields || of_another || !defaults.is_empty();
            assert!(ok, "{}: default {:?}", row.name, row.default);
        }
        if ["include", "domain-macro"].contains(&row.name) {
            continue;
        }
        let keyword = position::Text::detached("example", row.example);
        let (word, rest) = lexer::split_word(&keyword);
        let taken = value::take_arguments(row.args, &word, &rest, &|_| false);
        let taken = taken.unwrap_or_else(|e| panic!("{}: {}", row.example, e.message));
        assert!(taken.rest.is_empty(), "{}: {:?}", row.example, taken.rest);
    }
}

#[test]
fn every_active_directive_of_queues_and_sources_has_a_known_default_or_none() {
    for row in table::all().filter(|row| row.support == Support::Active) {
        let asked = row.scopes.iter().any(|s| matches!(s, Scope::Domain | Scope::Source));
        let switch = row.args.first().is_some_and(|arg| arg.label == "BOOLEAN");
        if asked && switch {
            assert!(!row.default.is_empty(), "{} has no default", row.name);
        }
    }
}

#[test]
fn the_manual_has_every_directive_and_no_stray_request() {
    let page = manual::manual();
    for row in table::all() {
        let name = row.name.replace('-', "\\-");
        assert!(page.contains(&format!(".B {name}")), "{}", row.name);
    }
    // Lists of ciphers cannot be stretched to a margin, so lines are not.
    assert!(page.contains("\n.ad l\n"), "troff warns of lines that it cannot adjust");
    let requests =
        [".TH", ".ad", ".SH", ".TP", ".B", ".BR", ".br", ".PP", ".nf", ".fi", ".RS", ".RE"];
    for line in page.lines().filter(|line| line.starts_with('.')) {
        let request = line.split(' ').next().unwrap();
        assert!(requests.contains(&request), "{line}");
    }
}

#[test]
fn directives_and_sections_are_described() {
    let text = manual::describe("Use-STARTTLS").unwrap();
    assert!(text.starts_with("use-starttls BOOLEAN\n    (in <domain>)\n"), "{text}");
    assert!(text.contains("Default: yes.") && text.contains("Example: use-starttls yes"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    assert!(manual::describe("<domain>").unwrap().contains("retry-after"));
    let error = manual::describe("use-startls").unwrap_err();
    assert_eq!(error, "there is no directive `use-startls`: did you mean `use-starttls`?");
}
