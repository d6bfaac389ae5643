use proptest::prelude::*;

use super::*;

fn check(text: &str, expected: Result<(&str, &str), AddressError>) {
    let got = Address::parse(text);
    let got = got.as_ref().map(|a| (a.local(), a.domain())).map_err(|e| *e);
    assert_eq!(got, expected, "{text:?}");
}

#[test]
fn reads_mailboxes() {
    check("a@example.com", Ok(("a", "example.com")));
    check("A.b+c=d@Example.COM", Ok(("A.b+c=d", "Example.COM")));
    check("a@localhost", Ok(("a", "localhost")));
    check("a@b_c.example", Ok(("a", "b_c.example")));
    check("\"a b\"@c.d", Ok(("\"a b\"", "c.d")));
    check("\"a@b\"@c.d", Ok(("\"a@b\"", "c.d")));
    check("\"a\\\"b>\"@c.d", Ok(("\"a\\\"b>\"", "c.d")));
    check("\"\"@c.d", Ok(("\"\"", "c.d")));
    check("a@[192.0.2.1]", Ok(("a", "[192.0.2.1]")));
    check("a@[IPv6:2001:db8::1]", Ok(("a", "[IPv6:2001:db8::1]")));
    check("Postmaster", Ok(("Postmaster", "")));
    check("grün@bücher.example", Ok(("grün", "bücher.example")));
}

#[test]
fn refuses_what_is_not_a_mailbox() {
    use AddressError::{BadDomain, BadLocal, DomainTooLong, EmptyLocal, NoDomain};
    check("", Err(EmptyLocal));
    check("@b.c", Err(EmptyLocal));
    check("user", Err(NoDomain));
    check("a@", Err(BadDomain));
    check("a..b@c.d", Err(BadLocal));
    check(".a@c.d", Err(BadLocal));
    check("a b@c.d", Err(BadLocal));
    check("a\rb@c.d", Err(BadLocal));
    check("a\nb@c.d", Err(BadLocal));
    check("a\0b@c.d", Err(BadLocal));
    check("\"a\r\nb\"@c.d", Err(BadLocal));
    check("\"a\u{85}b\"@c.d", Err(BadLocal));
    check("\"a@c.d", Err(BadLocal));
    check("\"a\\\"@c.d", Err(BadLocal));
    check("\"a\"b@c.d", Err(BadLocal));
    check("a\"b\"@c.d", Err(BadLocal));
    check("a@b@c.d", Err(BadDomain));
    check("a@c..d", Err(BadDomain));
    check("a@c.d.", Err(BadDomain));
    check("a@-c.d", Err(BadDomain));
    check("a@c-.d", Err(BadDomain));
    check("a@c d", Err(BadDomain));
    check("a@c\r\n", Err(BadDomain));
    check("a@[300.1.1.1]", Err(BadDomain));
    check("a@[192.0.2.1", Err(BadDomain));
    check("a@[IPv6:1:2]", Err(BadDomain));
    check("a@[x400:abc]", Err(BadDomain));
    check("a@b\u{85}ü.c", Err(BadDomain));
    check(&format!("a@{}.d", "c".repeat(64)), Err(DomainTooLong));
}

#[test]
fn a_path_may_have_256_octets_however_they_are_divided() {
    let verp = "bounces+12345678-0123456789abcdef-someone=customer.example.com_2026-11-23_x";
    assert!(verp.len() > 64);
    check(&format!("{verp}@c.d"), Ok((verp, "c.d")));
    // Two brackets, an `@` and a domain of three leave 250 octets for the local part.
    let local = "l".repeat(250);
    check(&format!("{local}@c.d"), Ok((&local, "c.d")));
    check(&format!("{local}l@c.d"), Err(AddressError::PathTooLong));
    // Two brackets, a local part and an `@` leave 252 octets for the domain.
    let domain =
        format!("{}.{}.{}.{}", "c".repeat(63), "c".repeat(63), "c".repeat(63), "c".repeat(60));
    assert_eq!(domain.len(), 252);
    check(&format!("a@{domain}"), Ok(("a", &domain)));
    check(&format!("ab@{domain}"), Err(AddressError::PathTooLong));
}

#[test]
fn reads_paths() {
    fn check(text: &str, expected: Result<&str, AddressError>) {
        let got = ReversePath::parse(text).map(|p| p.to_string());
        assert_eq!(got.as_deref().map_err(|e| *e), expected, "{text:?}");
    }
    check("<>", Ok(""));
    check("", Ok(""));
    check("<a@b.c>", Ok("a@b.c"));
    check("<@x.y,@z:a@b.c>", Ok("a@b.c"));
    check("<@[IPv6:::1]:a@b.c>", Ok("a@b.c"));
    check("<@x.y a@b.c>", Err(AddressError::BadPath));
    check("<@x y:a@b.c>", Err(AddressError::BadPath));
    check("<x.y:a@b.c>", Err(AddressError::BadLocal));
    check("<a@b.c", Err(AddressError::BadPath));
    check("<<a@b.c>>", Err(AddressError::BadLocal));
    check("<postmaster>", Ok("postmaster"));
}

#[test]
fn finds_the_end_of_a_path() {
    assert_eq!(split_path("<a@b> SIZE=1"), Some(("<a@b>", " SIZE=1")));
    assert_eq!(split_path("<\"a>\\\">b\"@c>x"), Some(("<\"a>\\\">b\"@c>", "x")));
    assert_eq!(split_path("<\"a>@b>"), None);
    assert_eq!(split_path("a@b"), None);
    assert_eq!(split_path(""), None);
}

#[test]
fn routing_sees_one_form_of_a_domain() {
    fn check(domain: &str, expected: &str) {
        assert_eq!(Address::parse(&format!("a@{domain}")).unwrap().domain_key(), expected);
    }
    check("Example.COM", "example.com");
    check("BÜCHER.example", "xn--bcher-kva.example");
    check("xn--bcher-kva.example", "xn--bcher-kva.example");
    check("[192.0.2.1]", "[192.0.2.1]");
    check("[IPv6:2001:DB8:0::1]", "[ipv6:2001:db8::1]");
    assert_eq!(Address::parse("postmaster").unwrap().domain_key(), "");
}

/// Dot-atoms and quoted strings, written as a regular expression.
const LOCAL: &str = concat!(
    r"([a-z0-9!#$%&'*+/=?^_`{|}~-]{1,8}(\.[a-zäß]{1,8}){0,3}",
    r#"|"([ !#-\[\]-~]|\\[ -~]){0,20}")"#,
);

proptest! {
    #[test]
    fn what_is_read_is_written_back(text in "\\PC{0,40}@?\\PC{0,40}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn mailboxes_read_back(
        local in LOCAL,
        domain in r"([a-z0-9]{1,10}(\.[a-z][a-z0-9]{0,10}){0,4}|\[192\.0\.2\.[1-9]\])",
    ) {
        let address = Address::parse(&format!("{local}@{domain}")).unwrap();
        prop_assert_eq!(Address::parse(&address.to_string()), Ok(address.clone()));
        let path = format!("<{address}>");
        prop_assert_eq!(split_path(&path), Some((path.as_str(), "")));
        prop_assert_eq!(ReversePath::parse(&path), Ok(ReversePath::Address(address)));
    }

    #[test]
    fn no_control_character_gets_in(text in any::<String>(), at in 0..40usize, c in 0u8..32) {
        let mut text: Vec<char> = text.chars().take(40).collect();
        text.insert(at.min(text.len()), char::from(c));
        let text: String = text.into_iter().collect();
        for address in [format!("{text}@example.com"), format!("\"{text}\"@example.com")] {
            prop_assert!(Address::parse(&address).is_err());
        }
    }
}
