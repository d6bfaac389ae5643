//! Lines, sections, included files, values, and the messages about them.

use super::*;
use crate::id::DEFAULT_VMTA;

#[test]
fn all_errors_of_a_file_are_listed_with_their_places() {
    let text = "use-startls yes\n<domain *>\n\tretry-after soon\n  max-smtp-out\n  \
                use-starttls maybe # no\n</domain>\n<domian x>\n  anything goes here\n</domian>\n\
                <source 0/0>\n  use-starttls yes\n  always-allow-relaying yes no\n</source>";
    check_said(&[(
        text,
        &[
            "1:1 error unknown directive `use-startls`",
            "3:14 error `soon` is not a time such as 4d12h or 300s",
            "4:3 error argument missing: max-smtp-out N is expected",
            "5:16 error `maybe` is not yes or no",
            "7:2 error unknown section <domian>",
            "11:3 error `use-starttls` cannot stand in <source>",
            "12:29 error unexpected `no`",
        ],
    )]);
}

#[test]
fn an_ellipsis_from_a_manual_is_passed_over_with_a_warning() {
    check_said(&[(
        "<domain *>\n ...\n\n use-starttls yes\n...\n</domain>",
        &[
            "2:2 warning `...` stands for what a printed text leaves out; ignored",
            "5:1 warning `...` stands for what a printed text leaves out; ignored",
        ],
    )]);
}

#[test]
fn errors_say_what_is_meant() {
    for (text, help) in [
        ("use-startls yes", "did you mean `use-starttls`?"),
        ("log-flie x", "did you mean `log-file`?"),
        ("<domian *>\n</domian>", "did you mean domain?"),
        ("<source 0/0>\n use-starttls yes\n</source>", "this directive belongs in <domain>"),
        ("log-file=x", "a blank separates name and value: log-file VALUE"),
        (
            "<source 0/0>\n<domain *>\n</domain>\n</source>",
            "it belongs at the top level or in <virtual-mta> or in <virtual-mta-pool>",
        ),
        ("log-rotate 8 x", "the syntax is: log-rotate N"),
        ("<domain *>\n</source>\n</domain>", "</domain> is expected"),
    ] {
        assert_eq!(first_help(text).as_deref(), Some(help), "{text}");
    }
    assert_eq!(first_help("frobnicate x"), None);
}

#[test]
fn sections_are_read_in_any_case_and_with_blanks() {
    let config = good("<DOMAIN  a.example >\n MAX-smtp-OUT 3\n</Domain b>\n");
    assert_eq!(config.queue("a.example", DEFAULT_VMTA).max_smtp_out, Some(3));
}

#[test]
fn sections_must_fit_and_close() {
    check_said(&[
        ("<domain *>\nretry-after 1m", &["1:2 error <domain> is never closed"]),
        ("</domain>", &["1:3 error </domain> closes nothing"]),
        (
            "<virtual-mta v>\n<domain *>\n</virtual-mta>",
            &["2:2 error <domain> is not closed before </virtual-mta>"],
        ),
        (
            "<domain>\nretry-after x\n</domain>",
            &["1:2 error argument missing: <domain DOMAIN> is expected"],
        ),
        ("<domain *> retry-after 1m", &["1:1 error a tag stands on a line of its own"]),
        ("<domain *", &["1:1 error the tag's closing > is missing"]),
        (
            "<domain a b>\n</domain>",
            &["1:9 error `a b` is not one of *, domain, *.domain, [*.]domain or [ip/mask]"],
        ),
        (
            "<dns x>\n</dns>",
            &[
                "1:2 warning `<dns>` is understood but not acted on yet",
                "1:6 error <dns> takes no name",
                "- warning 1 directive is understood but not acted on yet: <dns>",
            ],
        ),
        (
            "<virtual-mta v>\n<source 0/0>\nlog-data what\n</source>\n</virtual-mta>",
            &["2:2 error <source> cannot stand in <virtual-mta>"],
        ),
    ]);
}

#[test]
fn values_are_checked_by_their_kinds() {
    check_said(&[
        ("total-max-smtp-in -1", &["1:19 error `-1` is not a whole number from 0 to 4294967295"]),
        ("queue-partitions 65", &["1:18 error `65` is not a whole number from 1 to 64"]),
        ("max-bytes-in-flight 5x", &["1:21 error `5x` is not a size such as 250M or 10k"]),
        (
            "name-server nowhere",
            &["1:13 error `nowhere` is not an IP address, with a port or without"],
        ),
        (
            "relay-address /(/",
            &["1:15 error not a regular expression: \
            Parsing error at position 1: Opening parenthesis without closing parenthesis"],
        ),
        ("postmaster a@b@", &["1:12 error `a@b@` is not a mail address"]),
        ("host-name under score", &["1:17 error unexpected `score`"]),
        ("log-file \"open", &["1:10 error this quote is not closed on its line"]),
        ("smtp-listener 1.2.3.4:26 tls=perhaps", &["1:26 error `perhaps` is not yes or no"]),
        (
            "smtp-listener 1.2.3.4:26 colour=red",
            &["1:26 error `colour=red` is not one of source=VALUE, tls=VALUE, \
              proxy-protocol=VALUE"],
        ),
        (
            "<domain *>\n max-msg-rate 5/fortnight\n smtp-hosts a,,b\n</domain>",
            &[
                "2:15 error `5/fortnight` is not a rate such as 250/h or 1/20m",
                "3:13 error `` is not one of HOST, HOST:PORT, [IP], [IPv6:IP] or lookup-mx:DOMAIN",
            ],
        ),
        (
            "<domain *>\n type carrier-pigeon\n</domain>",
            &["2:7 error `carrier-pigeon` is not one of smtp, pipe, file, discard, http-delivery"],
        ),
    ]);
}

#[test]
fn values_of_every_kind_are_read() {
    use crate::config::value::{parse_bool, parse_rate, parse_size, parse_time};
    for (text, seconds) in [
        ("1w2d12h", 820_800),
        ("4d12h", 388_800),
        ("300s", 300),
        ("600", 600),
        ("0", 0),
        ("1H30M", 5_400),
    ] {
        assert_eq!(parse_time(text).map(|t| t.as_secs()), Ok(seconds), "{text}");
    }
    for text in ["", "m", "5x", "1h30", "-1", "1 h", "99999999999999999999s", "9999999999w"] {
        assert!(parse_time(text).is_err(), "{text}");
    }
    for (text, bytes) in [
        ("250M", 250 << 20),
        ("10k", 10_240),
        ("1g", 1 << 30),
        ("7", 7),
        ("2T", 2 << 40),
        ("3b", 3),
    ] {
        assert_eq!(parse_size(text), Ok(bytes), "{text}");
    }
    for text in ["", "M", "1kb", "1.5M", "99999999999999t"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
    for (text, rate) in [
        ("unlimited", None),
        ("0", None),
        ("0/h", None),
        ("250/h", Some((250, 3_600))),
        ("1/20m", Some((1, 1_200))),
        ("20/min", Some((20, 60))),
        ("500/day", Some((500, 86_400))),
        ("1/5s", Some((1, 5))),
    ] {
        let read = parse_rate(text).unwrap();
        assert_eq!(read.map(|r| (r.events, r.period.as_secs())), rate, "{text}");
    }
    for text in ["5", "5/", "/h", "5/0h", "5x/h", "5/hour", "-5/h"] {
        assert!(parse_rate(text).is_err(), "{text}");
    }
    assert_eq!(
        ["Yes", "no", "TRUE", "false"].map(|t| parse_bool(t).unwrap()),
        [true, false, true, false]
    );
}

#[test]
fn what_is_understood_but_idle_is_said_once_for_each_and_in_one_line() {
    check_said(&[(
        "run-as-root no\nhost-id 7\n<domain *>\n dkim-sign yes\n use-dane no\n</domain>\n\
         <domain b>\n dkim-sign yes\n</domain>",
        &[
            "1:1 warning `run-as-root` has no effect: the user under which the server runs is chosen \
         where it is started",
            "2:1 warning `host-id` is understood but not acted on yet",
            "4:2 warning `dkim-sign` is understood but not acted on yet",
            "- warning 2 directives are understood but not acted on yet: dkim-sign, host-id",
        ],
    )]);
}

#[test]
fn a_directive_given_twice_in_a_section_is_noticed() {
    check_said(&[
        (
            "log-rotate 1\nlog-rotate 2",
            &["2:1 warning `log-rotate` is given twice: this value counts"],
        ),
        (
            "<acct-file a>\n records d\n records b\n</acct-file>",
            &["3:2 error `records` may be given once only"],
        ),
        ("postmaster a@b.example\npostmaster c@d.example", &[]),
    ]);
    assert_eq!(good("log-rotate 1\nlog-rotate 2").server.log_rotate, 2);
}

#[test]
fn macros_are_checked() {
    check_said(&[
        ("domain-macro a b.example, $a", &["1:14 error macro `$a` contains itself"]),
        (
            "domain-macro a $b\ndomain-macro b $a",
            &["1:14 error macro `$a` contains itself", "2:14 error macro `$b` contains itself"],
        ),
        (
            "domain-macro yahoo y.example\n<domain $yaho>\n</domain>",
            &["2:9 error macro `$yaho` is not defined; did you mean `yahoo`?"],
        ),
        (
            "domain-macro a",
            &["1:1 error argument missing: domain-macro NAME DOMAIN, ... is expected"],
        ),
        (
            "domain-macro a-b c.example",
            &["1:14 error a macro's name has letters, digits and _ only"],
        ),
        (
            "domain-macro a b.example,,c.example",
            &["1:26 error domains separated by commas are expected"],
        ),
        (
            "domain-macro a b.example,\n<domain *>\n</domain>",
            &[
                "1:14 error the list ends with a comma: another name is expected",
                "1:26 error domains separated by commas are expected",
            ],
        ),
    ]);
}

#[test]
fn files_are_included_where_the_reference_allows() {
    let files = MemoryFiles::default()
        .with(
            "/etc/c/config",
            format!("include d/*.conf\n{QUIET}<domain *>\n include o\n</domain>"),
        )
        .with("/etc/c/d/1.conf", "include ../macros\n<domain $m>\n max-smtp-out 2\n</domain>")
        .with("/etc/c/d/2.conf", "<virtual-mta v>\n include ../inner\n</virtual-mta>")
        .with("/etc/c/d/2.txt", "this is not read")
        .with("/etc/c/macros", "domain-macro m a.example,\n b.example")
        .with("/etc/c/inner", "<domain a.example>\n max-smtp-out 5\n</domain>\n")
        .with("/etc/c/o", "max-smtp-out 3");
    let loaded = load(Path::new("/etc/c/config"), &files);
    assert!(loaded.diagnostics.is_empty(), "{}", printed(&loaded.diagnostics));
    let config = loaded.config.unwrap();
    for (domain, vmta, out) in
        [("b.example", "v", 2), ("a.example", "v", 5), ("a.example", "w", 2), ("c.example", "v", 3)]
    {
        assert_eq!(config.queue(domain, vmta).max_smtp_out, Some(out), "{domain}/{vmta}");
    }
}

#[test]
fn includes_that_cannot_work_are_errors() {
    check_said(&[
        ("include config", &["1:9 error config includes itself"]),
        ("include missing", &["1:9 error missing cannot be read: entity not found"]),
        ("include", &["1:1 error argument missing: include FILE is expected"]),
        (
            "include https://example.com/config",
            &["1:9 error a configuration cannot be included over the network"],
        ),
        (
            "<smtp-user u>\n password p\n include x\n</smtp-user>",
            &["3:2 error include cannot stand in <smtp-user>"],
        ),
        ("include none-*.conf", &["1:9 warning no file matches"]),
    ]);
    let files = MemoryFiles::default()
        .with("config", format!("include a\n{QUIET}"))
        .with("a", "include b\n<domain *>\n")
        .with("b", "include a\nlog-data \u{e4}\n");
    let list: Vec<_> = load(Path::new("config"), &files)
        .diagnostics
        .iter()
        .map(|d| format!("{} {}", d.position.as_ref().unwrap(), d.message))
        .collect();
    assert_eq!(
        list,
        [
            "a:2:2 <domain> is never closed",
            "b:1:9 a includes itself",
            "b:2:1 `log-data` cannot stand at the top level",
        ]
    );
}

#[test]
fn unreadable_files_are_errors() {
    let loaded = load(Path::new("/none"), &MemoryFiles::default());
    assert!(loaded.config.is_none());
    assert_eq!(
        loaded.diagnostics[0].to_string().lines().next(),
        Some("/none:1:1: error: cannot be read: entity not found")
    );
    assert_eq!(loaded.diagnostics.len(), 1, "what a file lacks that was not read is not known");
    let files = MemoryFiles::default().with("c", b"log-file x\npostmaster \xff@x\n".to_vec());
    let loaded = load(Path::new("c"), &files);
    assert!(loaded.diagnostics[0].to_string().starts_with("c:2:1: error: this line is not UTF-8"));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_read() {
    let config = good("\u{feff}log-rotate 3\r\nhost-name a.example\r\n");
    assert_eq!((config.server.log_rotate, config.server.host_name.as_str()), (3, "a.example"));
}

#[test]
fn bounce_category_patterns_replace_the_builtin_list() {
    let text = "<bounce-category-patterns >\n /spam\\x23/ spam-related\n /no \\/ way/ my-own\n \
                /(?-i)CASE/ upper\n // rest\n /never/ reached\n</bounce-category-patterns>";
    let config = good(text);
    for (diagnostic, category) in [
        ("5.7.1;smtp;550 SPAM#", "spam-related"),
        ("5.0.0;smtp;550 No / Way", "my-own"),
        ("5.0.0;smtp;550 case", "rest"),
        ("5.0.0;smtp;550 CASE", "upper"),
        ("never", "rest"),
    ] {
        assert_eq!(config.bounce_category(diagnostic), category, "{diagnostic}");
    }
    check_said(&[(
        "<bounce-category-patterns>\n /x/\n /(/ a\n /x/ a b\n</bounce-category-patterns>",
        &[
            "2:2 error argument missing: /REGEX/ CATEGORY is expected",
            "3:2 error not a regular expression: Parsing error at position 1: Opening parenthesis \
             without closing parenthesis",
            "4:8 error a category is one word",
        ],
    )]);
}

#[test]
fn a_password_with_blanks_is_not_repeated_in_the_error() {
    let list = load_text("smtp-server-tls-certificate /a.pem my hunter2\n");
    assert!(list.contains("stands in quotes") && !list.contains("hunter2"), "{list}");
}

fn load_text(text: &str) -> String {
    printed(&Config::from_text(text).expect_err("an error"))
}
