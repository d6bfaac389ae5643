//! Rules about the source text that the compiler does not know: which module may use which, how
//! long files and lines may be, and words that have no place here.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Which modules of `node/src` a module may name in `crate::…` paths, besides itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("id", &["clock"]),
    ("config", &["clock", "id", "message"]),
    ("smtp", &["clock", "id", "config"]),
    ("message", &["clock", "id", "smtp"]),
    ("dns", &["clock", "config"]),
    ("tls", &["clock", "config", "message", "dns"]),
    ("queue", &["clock", "id", "config", "smtp", "message"]),
    ("ingress", &["clock", "id", "config", "smtp", "message", "tls", "dns", "queue"]),
    ("delivery", &["clock", "id", "config", "smtp", "message", "tls", "dns", "queue"]),
    ("accounting", &["clock", "id", "config", "message", "queue"]),
    // Of delivery, only the trait of its limits.
    ("cluster", &["clock", "id", "config", "queue", "delivery"]),
    ("admin", &["clock", "id", "config", "smtp", "message", "dns", "queue"]),
];

/// May name every module: they wire the others together.
const WIRING: &[&str] = &["runtime", "main", "lib"];

/// Modules that do no I/O and read no clock.
const PURE: &[&str] = &["config", "smtp", "message"];

/// Files that are tables, or nothing but declarations, and may be longer than 500 lines.
const TABLES: &[&str] = &["node/src/config/directives/", "node/src/config/settings.rs"];

const LINE_MAX: usize = 100;
const FILE_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for part in ["proto", "node", "ctl", "tests"] {
        collect(&root().join(part), &mut found);
    }
    found.sort();
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The module of `node/src` that a file belongs to.
fn module_of(file: &str) -> Option<&str> {
    let rest = file.strip_prefix("node/src/")?;
    Some(rest.split(['/', '.']).next().unwrap_or(rest))
}

/// The lines before the inline tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .map(|line| line.split("//").next().unwrap_or(line))
}

/// Names that follow `crate::` in a line, `use crate::{a, b}` included.
fn crate_paths(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let before = line[..at].chars().last();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        let list = rest.strip_prefix('{').unwrap_or(rest);
        let end =
            if rest.starts_with('{') { list.find('}').unwrap_or(list.len()) } else { list.len() };
        for item in list[..end].split(',') {
            let name: String =
                item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.push(name);
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    names
}

#[test]
fn modules_use_only_the_layers_below_them() {
    let known: Vec<&str> = LAYERS.iter().map(|(m, _)| *m).chain(WIRING.iter().copied()).collect();
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(module) = module_of(&file) else { continue };
        assert!(known.contains(&module), "{file}: the module {module} has no place in the layers");
        let Some((_, allowed)) = LAYERS.iter().find(|(m, _)| *m == module) else { continue };
        for (n, line) in code(&text).enumerate() {
            for name in crate_paths(line) {
                let other = known.contains(&name.as_str()) && name != module;
                if other && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{file}:{}: {module} may not use {name}", n + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_layer_check_sees_forbidden_edges() {
    assert_eq!(crate_paths("use crate::delivery::Session;"), ["delivery"]);
    assert_eq!(crate_paths("use crate::{clock, queue::door};"), ["clock", "queue"]);
    assert_eq!(crate_paths("let x = crate::tls::name(suite);"), ["tls"]);
    assert!(crate_paths("use othercrate::queue;").is_empty());
}

#[test]
fn pure_modules_do_no_input_or_output() {
    let banned = ["tokio::", "std::fs", "std::net::Tcp", "Timestamp::now", "monotonic()", "actix"];
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let pure = module_of(&file).is_some_and(|module| PURE.contains(&module));
        // The one file that reads configuration from disk, behind a trait.
        let reads = file == "node/src/config/source.rs";
        if !pure || reads || file.ends_with("_test.rs") {
            continue;
        }
        for (n, line) in code(&text).enumerate() {
            if let Some(word) = banned.iter().find(|word| line.contains(**word)) {
                wrong.push(format!("{file}:{}: {word}", n + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lines_and_files_stay_readable() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        // Tests may show tables as they are printed.
        for (n, line) in code(&text).enumerate() {
            // A literal that cannot be broken may be longer.
            if line.chars().count() > LINE_MAX && !line.contains('"') {
                wrong.push(format!("{file}:{}: longer than {LINE_MAX} characters", n + 1));
            }
        }
        let lines = code(&text).count();
        let table = TABLES.iter().any(|prefix| file.starts_with(prefix));
        if lines > FILE_MAX && !table && !file.ends_with("_test.rs") && !file.contains("/tests/") {
            wrong.push(format!("{file}: {lines} lines without its tests"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_say_what_they_are() {
    let odd = ["util", "utils", "common", "misc", "helper", "helpers", "manager"];
    for (file, _) in sources() {
        let stem = Path::new(&file).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!odd.contains(&stem.as_str()), "{file}: a name that says nothing");
    }
}

#[test]
fn nothing_is_left_undone() {
    let marks = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];
    for (file, text) in sources() {
        for mark in marks {
            assert!(!text.contains(mark), "{file}: {mark}");
        }
    }
}

/// Crates that only generated code names.
const GENERATED: &[&str] = &["prost", "tonic-prost"];

/// Names in the sections of a `Cargo.toml` whose title ends in `dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let mut names = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.starts_with(|c: char| c.is_ascii_lowercase()) {
            names.push(line.split(['.', ' ', '=']).next().unwrap_or(line).to_owned());
        }
    }
    assert!(!names.is_empty(), "{manifest} names no dependency");
    names
}

/// Crates in the first column of the tables of docs/dependencies.md.
fn documented() -> Vec<String> {
    let text = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split(" |").next());
    cells.flat_map(|cell| cell.split("`, `")).map(|name| name.replace('`', "")).collect()
}

/// Is there a path that begins with `path`, and not with a longer name that ends in it?
fn has_path(text: &str, path: &str) -> bool {
    let longer = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    text.match_indices(path).any(|(at, _)| !text[..at].ends_with(longer))
}

#[test]
fn every_dependency_has_its_reason_and_every_reason_its_dependency() {
    let ours = |name: &String| !name.starts_with("convoy-");
    let have: Vec<String> = dependencies("Cargo.toml").into_iter().filter(ours).collect();
    let told = documented();
    let untold: Vec<_> = have.iter().filter(|name| !told.contains(name)).collect();
    assert!(untold.is_empty(), "not in docs/dependencies.md: {untold:?}");
    let gone: Vec<_> = told.iter().filter(|name| !have.contains(name)).collect();
    assert!(gone.is_empty(), "in docs/dependencies.md only: {gone:?}");
}

#[test]
fn every_dependency_is_used_by_a_member_that_names_it() {
    let sources = sources();
    let mut taken = Vec::new();
    let mut idle = Vec::new();
    for member in ["proto", "node", "ctl", "tests"] {
        let within = format!("{member}/");
        for name in dependencies(&format!("{member}/Cargo.toml")) {
            let library = if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
            let path = format!("{library}::");
            let mut own = sources.iter().filter(|(file, _)| file.starts_with(&within));
            if !GENERATED.contains(&name.as_str()) && !own.any(|(_, text)| has_path(text, &path)) {
                idle.push(format!("{member}: {name}"));
            }
            taken.push(name);
        }
    }
    assert!(idle.is_empty(), "named but not used: {idle:?}");
    let all = dependencies("Cargo.toml");
    let unwanted: Vec<_> = all.iter().filter(|name| !taken.contains(name)).collect();
    assert!(unwanted.is_empty(), "of the workspace but of no member: {unwanted:?}");
}
