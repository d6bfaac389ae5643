//! Documents name files: every one of them exists.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Texts between backticks that are paths of source files or of directories of modules.
fn named_files(text: &str) -> Vec<&str> {
    let file = |word: &&str| {
        let path = !word.contains([' ', '<', '*']) && word.contains('/');
        let known = [".rs", ".proto", ".md", ".toml"].iter().any(|end| word.ends_with(end));
        path && (known || word.ends_with('/'))
    };
    text.split('`').skip(1).step_by(2).filter(file).collect()
}

/// Paths of the architecture's table are below `node/src` unless they begin elsewhere.
fn exists(path: &str) -> bool {
    [root(), root().join("node/src")].iter().any(|base| base.join(path).exists())
}

#[test]
fn the_architecture_names_files_that_exist() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let on_disk = ["store/", "accounting/"];
    let named = named_files(&text);
    assert!(named.len() > 80, "only {} files were found in the text", named.len());
    let missing: Vec<_> =
        named.into_iter().filter(|path| !exists(path) && !on_disk.contains(path)).collect();
    assert!(missing.is_empty(), "these do not exist: {missing:?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs/cluster.md",
        "docs/dependencies.md",
        "docs/upgrade.md",
    ] {
        let path = root().join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                let there = path.parent().unwrap().join(target).exists();
                assert!(there, "{document} links to {target}, which does not exist");
            }
        }
    }
}

#[test]
fn paths_are_told_from_other_words() {
    let text = "see `queue/door.rs` and `a b/c.rs`, `<x/y.rs>`, `mtad`, `queue/raft/`";
    assert_eq!(named_files(text), ["queue/door.rs", "queue/raft/"]);
}
