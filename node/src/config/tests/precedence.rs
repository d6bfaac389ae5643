//! Which value wins.

use super::*;
use crate::id::DEFAULT_VMTA;

/// `max-smtp-out` that a domain gets, for each case.
fn check_out(text: &str, cases: &[(&str, &str, u32)]) {
    let config = good(text);
    for (domain, vmta, expected) in cases {
        let out = config.queue(domain, vmta).max_smtp_out;
        assert_eq!(out, Some(*expected), "{domain}/{vmta}");
    }
}

/// A section that sets `max-smtp-out`.
fn section(domain: &str, out: u32) -> String {
    format!("<domain {domain}>\n max-smtp-out {out}\n</domain>\n")
}

#[test]
fn the_most_specific_domain_wins_in_any_order_of_the_file() {
    let mut sections = [
        section("*", 1),
        section("*.com", 2),
        section("[*.]com", 3),
        section("*.example.com", 4),
        section("[*.]example.com", 5),
        section("mail.example.com", 6),
        section("*.deep.example.org", 7),
        section("[10/8]", 8),
        section("[10.1/16]", 9),
    ];
    let cases = [
        ("other.net", DEFAULT_VMTA, 1),
        ("other.com", DEFAULT_VMTA, 3),
        ("example.com", DEFAULT_VMTA, 5),
        ("www.example.com", DEFAULT_VMTA, 5),
        ("MAIL.example.com", DEFAULT_VMTA, 6),
        ("mail.example.com.", DEFAULT_VMTA, 6),
        ("a.mail.example.com", DEFAULT_VMTA, 5),
        ("deep.example.org", DEFAULT_VMTA, 1),
        ("x.deep.example.org", DEFAULT_VMTA, 7),
        ("notexample.com", DEFAULT_VMTA, 3),
        ("[10.2.3.4]", DEFAULT_VMTA, 8),
        ("[10.1.3.4]", DEFAULT_VMTA, 9),
        ("[192.0.2.1]", DEFAULT_VMTA, 1),
    ];
    check_out(&sections.concat(), &cases);
    sections.reverse();
    check_out(&sections.concat(), &cases);
}

#[test]
fn sections_are_merged_value_by_value() {
    let config = good(
        "<domain *>\n retry-after 1m\n bounce-after 1d\n use-starttls no\n</domain>\n\
         <domain *.com>\n bounce-after 2d\n smtp-hosts relay.example\n</domain>\n\
         <domain a.com>\n use-starttls yes\n smtp-hosts \"\"\n</domain>\n",
    );
    let settings = config.queue("a.com", DEFAULT_VMTA);
    assert_eq!(settings.retry_after[0].as_secs(), 60);
    assert_eq!(settings.bounce_after.as_secs(), 2 * 86_400);
    assert!(settings.use_starttls);
    assert!(settings.smtp_hosts.is_empty(), "an empty string clears what was inherited");
    assert_eq!(config.queue("b.com", DEFAULT_VMTA).smtp_hosts.len(), 1);
}

#[test]
fn a_repeated_section_is_merged_and_the_later_value_wins() {
    let text = "<domain *>\n max-smtp-out 1\n retry-after 7m\n</domain>\n\
                <domain *>\n max-smtp-out 2\n</domain>\n";
    check_out(text, &[("a.com", DEFAULT_VMTA, 2)]);
    assert_eq!(good(text).queue("a.com", DEFAULT_VMTA).retry_after[0].as_secs(), 420);
}

#[test]
fn a_virtual_mta_comes_before_its_pool_and_that_before_the_top_level() {
    let text = format!(
        "{}{}<virtual-mta v>\n{}</virtual-mta>\n<virtual-mta w>\n</virtual-mta>\n\
         <virtual-mta-pool p>\n virtual-mta v\n virtual-mta w\n{}{}</virtual-mta-pool>\n",
        section("*", 1),
        section("exact.example", 2),
        section("own.example", 3),
        section("own.example", 4),
        section("*.pool.example", 5),
    );
    check_out(
        &text,
        &[
            ("a.example", DEFAULT_VMTA, 1),
            ("exact.example", "v", 2),
            ("own.example", "v", 3),
            ("own.example", "w", 4),
            ("own.example", DEFAULT_VMTA, 1),
            ("x.pool.example", "v", 5),
            ("x.pool.example", DEFAULT_VMTA, 1),
        ],
    );
    // A level is looked through completely: its `*` comes before an exact domain above it.
    let text = format!(
        "{}<virtual-mta v>\n{}</virtual-mta>\n",
        section("exact.example", 2),
        section("*", 9)
    );
    check_out(&text, &[("exact.example", "v", 9), ("exact.example", DEFAULT_VMTA, 2)]);
}

#[test]
fn a_domain_written_out_comes_before_one_of_a_macro() {
    let text = format!(
        "domain-macro big yahoo.example, aol.example\n{}{}",
        section("aol.example", 1),
        section("$big", 2)
    );
    check_out(&text, &[("aol.example", DEFAULT_VMTA, 1), ("yahoo.example", DEFAULT_VMTA, 2)]);
}

#[test]
fn macros_combine_nest_and_go_on_in_the_next_line() {
    let text = format!(
        "domain-macro isp yahoo,\n   # a comment between\n   ymail, # and one behind\n\n \
         rocketmail\ndomain-macro tld com, co.uk\ndomain-macro all $isp.$tld, *.$isp.test\n{}\
         relay-domain $all\n",
        section("$all", 7)
    );
    check_out(
        &text,
        &[
            ("yahoo.com", DEFAULT_VMTA, 7),
            ("rocketmail.co.uk", DEFAULT_VMTA, 7),
            ("x.ymail.test", DEFAULT_VMTA, 7),
            ("ymail.test", DEFAULT_VMTA, 20),
            ("yahoo.org", DEFAULT_VMTA, 20),
        ],
    );
    assert!(good(&text).relay_allowed("x", "ymail.co.uk"));
}

#[test]
fn sources_are_merged_from_wide_to_narrow_and_named_ones_come_first() {
    let config = good(
        "<source 10.1.0/24>\n max-message-size 3M\n</source>\n\
         <source 0/0>\n max-message-size 1M\n log-commands yes\n smtp-service no\n</source>\n\
         <source 10/8>\n max-message-size 2M\n smtp-service yes\n</source>\n\
         <source {auth}>\n require-auth yes\n</source>\n\
         <source inside>\n max-message-size 9M\n</source>\n\
         <source mine>\n max-message-size 8M\n</source>\n\
         <smtp-user u>\n password p\n</smtp-user>\n\
         <smtp-user own>\n password p\n source mine\n</smtp-user>\n",
    );
    let user = |name: &str| Some(&config.users[name]);
    for (client, listener, user, megabytes, service, name) in [
        ("192.0.2.1", None, None, 1, false, "0.0.0.0/0"),
        ("::1", None, None, 1, false, "0.0.0.0/0"),
        ("10.9.0.1", None, None, 2, true, "10.0.0.0/8"),
        ("10.1.0.1", None, None, 3, true, "10.1.0.0/24"),
        ("::ffff:10.1.0.1", None, None, 3, true, "10.1.0.0/24"),
        ("10.1.0.1", Some("inside"), None, 9, true, "inside"),
        ("192.0.2.1", Some("inside"), user("own"), 8, false, "mine"),
        ("10.1.0.1", None, user("u"), 3, true, "{auth}"),
    ] {
        let source = config.source(client.parse().unwrap(), listener, user);
        assert_eq!(source.max_message_size_bytes, Some(megabytes << 20), "{client} {listener:?}");
        assert_eq!(source.smtp_service, service, "{client}");
        assert_eq!(source.name, name);
        assert!(source.log_commands);
        let auth_source = user.is_some_and(|u| u.source.is_none());
        assert_eq!(source.require_auth, auth_source, "{{auth}} is for users without a source");
    }
    let networks: Vec<_> = config.source_networks().iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/24"]);
}

#[test]
fn queue_to_names_the_queue() {
    let config = good(
        "<domain *.yahoo.example>\n queue-to Yahoo.rollup\n</domain>\n\
         <virtual-mta v>\n <domain b.yahoo.example>\n  queue-to \"\"\n </domain>\n</virtual-mta>\n",
    );
    for (domain, vmta, expected) in [
        ("A.yahoo.example", DEFAULT_VMTA, "yahoo.rollup"),
        ("b.yahoo.example", DEFAULT_VMTA, "yahoo.rollup"),
        ("B.yahoo.example", "v", "b.yahoo.example"),
        ("bücher.example", "v", "xn--bcher-kva.example"),
        ("other.example", "v", "other.example"),
    ] {
        assert_eq!(config.queue_domain(domain, vmta), expected);
    }
}

#[test]
fn relaying_is_for_local_names_listed_domains_and_addresses() {
    let config = good(
        "host-name mx.example\nrelay-domain *.sub.example\nrelay-address Boss@other.example\n\
         relay-address /^team-\\d+@x\\.example$/\n",
    );
    for (address, expected) in [
        ("any@mx.example", true),
        ("any@a.sub.example", true),
        ("any@sub.example", false),
        ("boss@OTHER.example", true),
        ("clerk@other.example", false),
        ("Team-7@x.example", true),
        ("team-x@x.example", false),
    ] {
        let (local, domain) = address.split_once('@').unwrap();
        assert_eq!(config.relay_allowed(local, domain), expected, "{address}");
    }
}

#[test]
fn effective_settings_are_listed_with_their_places() {
    let config = good(
        "<domain *>\n retry-after 1m,5m\n auth-password secret\n use-starttls TRUE\n</domain>\n\
         <virtual-mta v>\n <domain a.example>\n  max-msg-per-hour 9\n  smtp-hosts \"\"\n \
         </domain>\n</virtual-mta>\n",
    );
    let shown = config.show_settings("a.example", "v");
    assert!(shown.is_sorted_by(|a, b| a.0 < b.0), "sorted, and every name once");
    for (name, value, position) in [
        ("retry-after", "1m,5m", Some("config:2:2")),
        ("auth-password", "********", Some("config:3:2")),
        ("auth-username", "\"\"", None),
        ("use-starttls", "yes", Some("config:4:2")),
        ("max-msg-rate", "9/h", Some("config:8:3")),
        ("smtp-hosts", "\"\"", Some("config:9:3")),
        ("max-smtp-out", "20", None),
        ("require-starttls", "no", None),
    ] {
        let found = shown.iter().find(|(n, _, _)| n == name).expect(name);
        let place = found.2.as_ref().map(ToString::to_string);
        assert_eq!((found.1.as_str(), place.as_deref()), (value, position), "{name}");
    }
    let old = ["route", "include", "max-msg-per-hour", "421-means-mx-unavailable"];
    assert!(!shown.iter().any(|(name, _, _)| old.contains(&name.as_str())));
}
