//! The table is data: these tests are what keeps it sound.

use std::collections::{HashMap, HashSet};

use super::{SECTIONS, TABLES};
use crate::config::Config;
use crate::config::directive::{Applies, Directive, Home, Kind, Scope, Support};

/// `scope name` of every directive of the reference and of Convoy, one a line.
const KNOWN: &str = include_str!("known.txt");

/// Versions for which there is evidence.
const VERSIONS: &[&str] = &["3.0", "4.5", "5.0", "5.0r5", "5.0r8", "convoy 0.1"];

fn rows() -> impl Iterator<Item = &'static Directive> {
    TABLES.iter().copied().flatten()
}

fn row(scope: Scope, name: &str) -> Option<&'static Directive> {
    rows().find(|r| r.name == name && r.scopes.contains(&scope))
}

fn scope_name(scope: Scope) -> &'static str {
    if scope == Scope::Global { "global" } else { scope.tag() }
}

/// Is this one paragraph of prose that ends as a sentence does?
fn is_paragraph(text: &str) -> bool {
    text.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
        && text.ends_with('.')
        && !text.contains(['\n', '\t'])
        && !text.contains("  ")
        && text.len() >= 20
}

#[test]
fn a_name_stands_once_in_a_scope() {
    let mut seen = HashSet::new();
    for row in rows() {
        assert!(!row.scopes.is_empty(), "{} stands nowhere", row.name);
        for scope in row.scopes {
            assert!(seen.insert((*scope, row.name)), "{scope:?} {} stands twice", row.name);
        }
    }
}

#[test]
fn names_are_lower_case_words() {
    for row in rows() {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        assert!(row.name.chars().all(good), "{}", row.name);
    }
}

#[test]
fn every_directive_of_the_reference_has_a_row() {
    // A section that stands in another one is a row of the reference as well.
    let sections: HashSet<&str> = SECTIONS.iter().map(|s| s.scope.tag()).collect();
    let have: HashSet<(&str, &str)> =
        rows().flat_map(|r| r.scopes.iter().map(|s| (scope_name(*s), r.name))).collect();
    let mut known = HashSet::new();
    for line in KNOWN.lines() {
        let (scope, name) = line.split_once(' ').expect("scope and name");
        assert!(known.insert((scope, name)), "{line} is listed twice");
        assert!(have.contains(&(scope, name)) || sections.contains(name), "{line} has no row");
    }
    let more: Vec<_> = have.difference(&known).collect();
    assert!(more.is_empty(), "not in the list of known directives: {more:?}");
}

#[test]
fn every_row_is_documented() {
    for row in rows() {
        assert!(is_paragraph(row.doc), "{}: {:?}", row.name, row.doc);
        assert!(VERSIONS.contains(&row.since), "{}: since {:?}", row.name, row.since);
    }
    for section in SECTIONS {
        assert!(is_paragraph(section.doc), "{:?}: {:?}", section.scope, section.doc);
        assert!(VERSIONS.contains(&section.since), "{:?}", section.scope);
    }
}

#[test]
fn texts_of_one_name_differ_where_the_meaning_does() {
    let mut docs: HashMap<&str, &str> = HashMap::new();
    for row in rows().filter(|r| r.scopes.iter().any(|s| *s != Scope::TransmissionsApi)) {
        if let Some(other) = docs.insert(row.doc, row.name) {
            assert!(other == row.name, "{other} and {} share a text", row.name);
        }
    }
}

#[test]
fn reasons_of_moot_rows_are_clauses() {
    let reasons = rows().filter_map(|r| match r.support {
        Support::Moot(why) => Some((r.name, why)),
        Support::Active | Support::Inert | Support::Alias(_) => None,
    });
    for (name, why) in reasons {
        assert!(!why.is_empty() && !why.ends_with('.') && !why.contains('\n'), "{name}: {why}");
        assert!(why.starts_with(char::is_lowercase), "{name}: {why}");
    }
}

/// The exception is `max-msg-per-hour N`, which the checker reads as `max-msg-rate N/h`.
#[test]
fn an_alias_leads_to_an_active_row_with_the_same_arguments() {
    for row in rows() {
        let Support::Alias(target) = row.support else { continue };
        for scope in row.scopes {
            let to = self::row(*scope, target).expect("the target stands in the same scope");
            assert_eq!(to.support, Support::Active, "{} leads to {target}", row.name);
            if row.name != "max-msg-per-hour" {
                assert_eq!(format!("{:?}", to.args), format!("{:?}", row.args), "{}", row.name);
                assert_eq!(to.default, row.default, "{}", row.name);
            }
            assert_eq!(to.repeats, row.repeats, "{}", row.name);
        }
    }
}

#[test]
fn optional_and_line_long_arguments_come_last() {
    for row in rows() {
        let Some((last, before)) = row.args.split_last() else { continue };
        for arg in before {
            assert!(!arg.optional || last.optional, "{}", row.name);
            let whole_line = matches!(
                arg.kind,
                Kind::Rest | Kind::List | Kind::Special | Kind::TimeList | Kind::Options(_)
            );
            assert!(!whole_line, "{}: {} swallows the line", row.name, arg.label);
        }
    }
}

#[test]
fn words_of_choices_are_lower_case() {
    for arg in rows().flat_map(|r| r.args) {
        let (Kind::Choice(words) | Kind::Options(words)) = arg.kind else { continue };
        assert!(!words.is_empty());
        assert!(words.iter().all(|w| *w == w.to_lowercase()), "{words:?}");
    }
}

#[test]
fn examples_have_the_arguments_that_the_row_asks_for() {
    for row in rows() {
        let mut words = row.example.split_ascii_whitespace();
        assert_eq!(words.next(), Some(row.name), "{}", row.example);
        let given = words.count();
        let needed = row.args.iter().filter(|a| !a.optional).count();
        assert!(given >= needed, "{} wants {needed} arguments", row.example);
        assert!(!row.example.contains(['#', '\n']), "{}", row.example);
    }
}

#[test]
fn every_section_is_described_once() {
    let mut seen = HashSet::new();
    for section in SECTIONS {
        assert!(seen.insert(section.scope), "{:?} stands twice", section.scope);
        let tag = format!("<{}", section.scope.tag());
        assert!(section.example.starts_with(&tag) && section.example.ends_with('>'));
        assert!(!matches!(section.support, Support::Alias(_)));
    }
    for scope in rows().flat_map(|r| r.scopes).filter(|s| **s != Scope::Global) {
        assert!(seen.contains(scope), "{scope:?} has rows and no description");
    }
}

#[test]
fn only_what_needs_a_restart_says_so() {
    let restart: Vec<_> =
        rows().filter(|r| r.applies == Applies::Restart).map(|r| r.name).collect();
    let expected = [
        "spool",
        "admin-socket",
        "health-listener",
        "queue-partitions",
        "http-mgmt-port",
        "run-as-root",
    ];
    assert_eq!(
        restart.iter().collect::<HashSet<_>>(),
        expected.iter().collect::<HashSet<_>>(),
        "{restart:?}"
    );
}

/// Directives of the top level with a file or address of which every node has its own copy.
const SHARED_ALTHOUGH: &[&str] = &[
    "dsn-failed-body-template-from",
    "http-access",
    "http-mgmt-source",
    "include-headers-from",
    "no-http-mgmt-source",
    "ip-connection-limit",
    "smtp-proxy-source-host",
];

#[test]
fn what_names_a_place_on_a_machine_says_where_it_stands_in_a_cluster() {
    let on_a_machine = |row: &&Directive| {
        let place = |kind| {
            use Kind::{Address, Endpoint, Listen, Network, Path, Reach, Socket};
            matches!(kind, Path | Address | Endpoint | Listen | Network | Socket | Reach)
        };
        row.args.iter().any(|arg| place(arg.kind)) || row.name.ends_with("-port")
    };
    let top = rows().filter(|row| row.scopes.contains(&Scope::Global));
    let undecided: Vec<_> = top
        .filter(on_a_machine)
        .filter(|row| row.home == Home::Shared && !SHARED_ALTHOUGH.contains(&row.name))
        .map(|row| row.name)
        .collect();
    assert!(
        undecided.is_empty(),
        "say .node_local() or .overridable(), or list it above: {undecided:?}"
    );
}

#[test]
fn what_is_needed_before_the_store_opens_is_node_local() {
    let early = [
        "admin-socket",
        "log-auto-rotation",
        "log-file",
        "log-file-world-readable",
        "log-rotate",
        "queue-partitions",
        "spool",
        "spool-min-free-space",
    ];
    for name in early {
        assert_eq!(row(Scope::Global, name).map(|row| row.home), Some(Home::NodeLocal), "{name}");
    }
    assert_eq!(Scope::Spool.home(), Home::NodeLocal);
}

/// What the examples name: sources, virtual MTAs, lists.
const NAMED: &str = "
    host-name mail.example.com
    smtp-server-tls-certificate /etc/convoy/mail.pem
    proxy-trusted-source 10.0.0.0/24
    domain-macro isp yahoo.example
    <source customers>
    </source>
    <source-group customers>
    </source-group>
    <virtual-mta news>
    </virtual-mta>
    <virtual-mta news-1>
    </virtual-mta>
    <virtual-mta news-new>
    </virtual-mta>
    <virtual-mta other>
    </virtual-mta>
    <virtual-mta-pool default-pool>
        virtual-mta news
    </virtual-mta-pool>
    <virtual-mta-pool last-resort>
        virtual-mta other
    </virtual-mta-pool>
    <address-list unsubscribed>
    </address-list>
    <address-list complained>
    </address-list>
    <pattern-list by-sender>
    </pattern-list>
    <smtp-pattern-list backoff>
    </smtp-pattern-list>
    <rewrite-list brand>
    </rewrite-list>
    <proxy egress-1>
    </proxy>
    <proxy egress-2>
    </proxy>
";

/// A configuration in which `line` stands in a section of `scope`.
fn configuration(scope: Scope, line: &str) -> String {
    let tag = |scope: Scope| {
        let section = SECTIONS.iter().find(|s| s.scope == scope).expect("every section has a row");
        section.example
    };
    let inner = match scope {
        Scope::Global => return format!("{NAMED}\n{line}\n"),
        // Without a password there is no user.
        Scope::SmtpUser if !line.starts_with("password") => format!("password s3cret\n{line}"),
        // A pool has members.
        Scope::VirtualMtaPool => format!("virtual-mta other\n{line}"),
        _ => line.to_owned(),
    };
    let outer = Scope::ALL.into_iter().find(|outer| scope.allowed_in(*outer)).expect("a parent");
    let within = format!("{}\n{inner}\n</{}>", tag(scope), scope.tag());
    match outer {
        Scope::Global => format!("{NAMED}\n{within}\n"),
        outer => format!("{NAMED}\n{}\n{within}\n</{}>\n", tag(outer), outer.tag()),
    }
}

/// Reads `line` in a section of `scope`; what is wrong with it otherwise.
fn read(scope: Scope, line: &str) -> Result<Config, String> {
    Config::from_text(&configuration(scope, line)).map_err(|diagnostics| {
        let errors = diagnostics.iter().filter(|d| d.is_error()).map(ToString::to_string);
        format!("{line}\n{}", errors.collect::<Vec<_>>().join("\n"))
    })
}

#[test]
fn every_example_is_read_in_its_sections() {
    let mut wrong = Vec::new();
    for row in rows().filter(|r| r.name != "include") {
        wrong.extend(row.scopes.iter().filter_map(|scope| read(*scope, row.example).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_default_can_be_written() {
    let mut wrong = Vec::new();
    for row in rows().filter(|r| !r.default.is_empty()) {
        let line = format!("{} {}", row.name, row.default);
        wrong.extend(row.scopes.iter().filter_map(|scope| read(*scope, &line).err()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
