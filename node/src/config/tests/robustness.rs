//! Nothing that a file may contain makes the reader panic.

use proptest::prelude::*;

use super::*;

/// Lines that look like a configuration, whole and broken.
fn line() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = table::all().map(|row| row.name).collect();
    let tags: Vec<&'static str> = directive::Scope::ALL.iter().map(|scope| scope.tag()).collect();
    let values = [
        "",
        "yes",
        "\"\"",
        "\"a b",
        "0/0",
        "4d12h",
        "250/h",
        "$a.$b",
        "/x(/ y",
        "// z",
        "a,,b",
        "10/8:25 tls=yes",
        "d *, header_",
        "[10/8] 5",
        "/a",
        "\u{e4}\u{1f600}",
        "*",
        "<>",
    ];
    let argument =
        prop_oneof![prop::sample::select(values.to_vec()).prop_map(str::to_owned), "\\PC{0,12}"];
    prop_oneof![
        (prop::sample::select(names), argument.clone()).prop_map(|(n, a)| format!("{n} {a}")),
        (prop::sample::select(tags.clone()), argument.clone())
            .prop_map(|(t, a)| format!("<{t} {a}>")),
        prop::sample::select(tags).prop_map(|t| format!("</{t}>")),
        argument.prop_map(|a| format!("domain-macro a {a},")),
        Just("include config".to_owned()),
        "\\PC{0,30}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(lines in prop::collection::vec(line(), 0..40)) {
        let files = MemoryFiles::default().with("config", lines.join("\n"));
        let loaded = load(Path::new("config"), &files);
        for diagnostic in &loaded.diagnostics {
            let _ = diagnostic.to_string();
        }
        prop_assert_eq!(
            loaded.config.is_some(),
            !loaded.diagnostics.iter().any(Diagnostic::is_error)
        );
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = load(Path::new("c"), &MemoryFiles::default().with("c", bytes));
    }
}
