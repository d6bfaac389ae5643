use std::process::Command;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// Suites abbreviated: E or R for the certificate, then the cipher.
fn short(suites: &[Suite]) -> String {
    let word = |s: &Suite| {
        let cert = if s.name.contains("ECDSA") { "E" } else { "R" };
        let cipher = ["AES256", "AES128", "CHACHA"].iter().find(|c| s.name.contains(*c)).unwrap();
        format!("{cert}-{cipher}")
    };
    suites.iter().map(word).collect::<Vec<_>>().join(" ")
}

const BUILT_IN: &str = "E-AES256 R-AES256 E-CHACHA R-CHACHA E-AES128 R-AES128";

#[test]
fn strings_select_and_order_as_openssl_does() {
    let check = |text: &str, expected: &str| {
        assert_eq!(short(&select(text).expect(text).suites), expected, "{text}");
    };
    check("HIGH:!ADH:@STRENGTH", BUILT_IN);
    check("HIGH:MEDIUM:!ADH:@STRENGTH", BUILT_IN);
    check("DEFAULT", BUILT_IN);
    check("DEFAULT:!AES128", "E-AES256 R-AES256 E-CHACHA R-CHACHA");
    check("ALL:-AES256:AES256", "E-CHACHA R-CHACHA E-AES128 R-AES128 E-AES256 R-AES256");
    check("ALL:+aRSA", "E-AES256 E-CHACHA E-AES128 R-AES256 R-CHACHA R-AES128");
    check("AES128:AES256:@STRENGTH", "E-AES256 R-AES256 E-AES128 R-AES128");
    check("AES128 AES256", "E-AES128 R-AES128 E-AES256 R-AES256");
    check("aRSA+AESGCM,CHACHA20", "R-AES256 R-AES128 E-CHACHA R-CHACHA");
    check("!aECDSA:ALL:aECDSA", "R-AES256 R-CHACHA R-AES128");
    check("AES128!aRSA", "E-AES128");
    check("AES128@STRENGTH!aRSA", "E-AES128 R-AES128");
    check("ECDHE-RSA-AES128-GCM-SHA256", "R-AES128");
    check("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "R-AES128");
    check("FIPS", "E-AES256 R-AES256 E-AES128 R-AES128");
    check("HIGH+FIPS:CHACHA20", "E-CHACHA R-CHACHA");
    check("CHACHA20:@SECLEVEL=2", "E-CHACHA R-CHACHA");
    check("SUITEB128", "E-AES128 E-AES256");
    check("SUITEB192:anything", "E-AES256");
}

#[test]
fn strings_without_effect_are_explained() {
    let check = |text: &str, expected: &[&str]| {
        let notes = select(text).expect(text).notes;
        assert_eq!(notes.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{text}");
    };
    check("HIGH:!ADH:@STRENGTH", &[]);
    check("HIGH:!MEDIUM:-RC4:!SSLv3", &[]);
    check("HIGH:MEDIUM", &["MEDIUM cannot be honoured: this server has no such cipher; ignored"]);
    check(
        "HIGH:kRSA+AES",
        &["kRSA+AES cannot be honoured: this server has no such cipher; ignored"],
    );
    check("HIGH:high", &["unknown cipher high, did you mean HIGH?; ignored"]);
    check("HIGH:!zzzz", &["unknown cipher zzzz; ignored"]);
    check(
        "ECDHE-RSA-AES256-GCM-SHA385:HIGH",
        &["unknown cipher ECDHE-RSA-AES256-GCM-SHA385, did you mean \
           ECDHE-RSA-AES256-GCM-SHA384?; ignored"],
    );
}

#[test]
fn strings_that_select_nothing_or_are_malformed_are_refused() {
    let check = |text: &str, expected: &str| {
        let message = select(text).expect_err(text).to_string();
        assert!(message.contains(expected), "{text}: {message}");
    };
    for text in ["", "RC4-SHA:AES256-SHA", "HIGH:!ALL", "SHA384", "high"] {
        check(text, "selects nothing that this server has; it has ECDHE-ECDSA-AES256-GCM-SHA384:");
    }
    check("HIGH:@FOO", "\"@FOO\" is not");
    check("HIGH:@SECLEVEL=6", "\"@SECLEVEL=6\" is not");
    check("HIGH:!", "\"!\" is not");
    check("HIGH:AES+", "\"AES+\" is not");
    check("HIGH/AES", "\"/AES\" is not");
}

#[test]
fn tls13_lists_select_in_their_order() {
    let check = |text: Option<&str>, expected: &str, notes: usize| {
        let selection = select_tls13(text).expect("usable");
        assert_eq!(selection.list(), expected);
        assert_eq!(selection.notes.len(), notes, "{:?}", selection.notes);
    };
    check(None, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", 0);
    check(
        Some("TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"),
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384",
        0,
    );
    check(Some("TLS_AES_128_CCM_SHA256:TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256", 1);
    check(Some("TLS_AES_128_GCM_SHA257:TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256", 1);
    assert!(select_tls13(Some("TLS_AES_128_CCM_SHA256")).is_err());
    assert!(select_tls13(Some("")).is_err());
}

/// The reference: the part of OpenSSL's answer that rustls has, none when it refuses the string.
fn openssl(text: &str) -> Option<Vec<Suite>> {
    let output = Command::new("openssl")
        .args(["ciphers", "--", text])
        .output()
        .expect("this test needs the program openssl");
    let list = String::from_utf8(output.stdout).unwrap();
    let ours = |name: &str| name::TLS12.iter().find(|row| row.name == name);
    output.status.success().then(|| list.trim().split(':').filter_map(ours).collect())
}

fn random_string(rng: &mut StdRng, words: &[&str]) -> String {
    let count = rng.random_range(1..8);
    let token = |rng: &mut StdRng| {
        let sign = *["", "", "", "", "!", "-", "-", "+"].choose(rng).unwrap();
        let parts = [1, 1, 1, 2, 3].choose(rng).unwrap();
        let atoms: Vec<_> = (0..*parts).map(|_| *words.choose(rng).unwrap()).collect();
        match rng.random_range(0..12) {
            0 => "@STRENGTH".to_owned(),
            1 => format!("@SECLEVEL={}", rng.random_range(0..7)),
            _ => format!("{sign}{}", atoms.join("+")),
        }
    };
    let start = if rng.random_range(0..3) == 0 { "ALL:" } else { "" };
    let tokens: Vec<_> = (0..count).map(|_| token(rng)).collect();
    format!("{start}{}", tokens.join([":", ":", " ", ",", ";"].choose(rng).unwrap()))
}

/// Words that select something are drawn as often as all the others together.
fn vocabulary() -> Vec<&'static str> {
    let selecting = ["HIGH", "FIPS", "AES", "AES128", "AES256", "CHACHA20", "aRSA", "aECDSA"];
    let ours: Vec<_> = name::TLS12.iter().map(|row| row.name).chain(selecting).collect();
    let known = atom::names().filter(|word| {
        // A quirk of OpenSSL's own: this one is a mask bit of its own inside an intersection.
        *word != "COMPLEMENTOFDEFAULT"
    });
    let mut words: Vec<_> = known.chain(["DEFAULT", "nonsense", "high"]).collect();
    let times = words.len() / ours.len();
    words.extend(ours.repeat(times));
    words
}

#[test]
fn random_strings_select_as_the_openssl_program_does() {
    let words = vocabulary();
    let check = |seed: u64| {
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..500 {
            let text = random_string(&mut rng, &words);
            let ours = select(&text).map(|selection| selection.suites).unwrap_or_default();
            let reference = openssl(&text).unwrap_or_default();
            assert_eq!(short(&ours), short(&reference), "{text:?}, seed {seed}");
        }
    };
    std::thread::scope(|scope| {
        for seed in 1..=4 {
            scope.spawn(move || check(seed));
        }
    });
}
