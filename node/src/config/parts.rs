//! One configuration out of two: what all nodes of a cluster share, and what a node's own file
//! says about its machine. [`Home`] says which directive stands where.

use super::checker::{self, Checked};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::directive::{Home, Scope};
use super::parser::{Item, Section, Statement};
use super::position::Text;
use super::table;

/// Checks both parts and makes one tree of them. `version` is that of the shared part, if it has
/// one already.
pub(super) fn join(
    node: Vec<Item>,
    shared: Vec<Item>,
    version: Option<u64>,
    diagnostics: &mut Diagnostics,
) -> Checked {
    let node = node_part(node, &mut |what, at| diagnostics.push(taken(what, at, version)));
    let [mut node, mut shared] = checker::check_all([node, shared], diagnostics);
    for at in drop_shared(&mut node) {
        diagnostics.push(taken(&format!("`{}`", at.as_str()), &at, version));
    }
    refuse_node_local(&shared, diagnostics);
    shared.settings.retain(|setting| {
        let name = setting.row.name;
        let overridden = node.settings.iter().any(|own| own.row.name == name);
        !(setting.row.home == Home::Overridable && overridden)
    });
    shared.settings.append(&mut node.settings);
    shared.sections.append(&mut node.sections);
    shared.macros.append(&mut node.macros);
    shared.broken.extend(node.broken);
    shared
}

/// Checks what is node-local of a file and passes over all the rest of it.
pub(super) fn alone(node: Vec<Item>, diagnostics: &mut Diagnostics) -> Checked {
    let mut root = checker::check(node_part(node, &mut |_, _| ()), diagnostics);
    drop_shared(&mut root);
    root
}

fn taken(what: &str, at: &Text, version: Option<u64>) -> Diagnostic {
    let version = version.map(|v| format!(", version {v}")).unwrap_or_default();
    let message = format!("{what} is taken from the cluster's configuration{version}");
    Diagnostic::warning(at, message).with_help("remove it here")
}

/// Takes out of a node's own file what nodes share, and tells of each.
fn node_part(items: Vec<Item>, dropped: &mut dyn FnMut(&str, &Text)) -> Vec<Item> {
    let mut kept = Vec::new();
    for item in items {
        match item {
            Item::Statement(statement) if is_shared(&statement) => {
                dropped(&format!("`{}`", statement.keyword.as_str()), &statement.keyword);
            }
            Item::Statement(_) => kept.push(item),
            Item::Section(section) => {
                let all = section.body.len();
                let (name, tag) = (named(&section), section.tag.clone());
                let whole = section.scope.home() == Home::NodeLocal;
                let left = local_sections(section);
                let nothing_lost = left.as_ref().is_some_and(|left| left.body.len() == all);
                if !whole && !nothing_lost {
                    dropped(&name, &tag);
                }
                kept.extend(left.map(Item::Section));
            }
        }
    }
    kept
}

fn is_shared(statement: &Statement) -> bool {
    let row = table::row(statement.keyword.as_str(), Scope::Global);
    row.is_some_and(|row| row.home == Home::Shared)
}

/// A section, or of a shared one the node-local sections in it, if there are any.
fn local_sections(section: Section) -> Option<Section> {
    if section.scope.home() == Home::NodeLocal {
        return Some(section);
    }
    let inner = section.body.into_iter().filter_map(|item| match item {
        Item::Section(inner) => local_sections(inner).map(Item::Section),
        Item::Statement(_) => None,
    });
    let body: Vec<Item> = inner.collect();
    (!body.is_empty()).then_some(Section { body, ..section })
}

/// `<domain *>` as it is written.
fn named(section: &Section) -> String {
    match section.argument.as_str() {
        "" => format!("<{}>", section.tag.as_str()),
        argument => format!("<{} {argument}>", section.tag.as_str()),
    }
}

/// What stands behind another directive on its line is seen only when values have been read.
fn drop_shared(node: &mut Checked) -> Vec<Text> {
    let mut dropped = Vec::new();
    node.settings.retain(|setting| {
        let shared = setting.row.home == Home::Shared;
        if shared {
            dropped.push(setting.keyword.clone());
        }
        !shared
    });
    dropped
}

/// What is about one machine cannot hold for all.
fn refuse_node_local(shared: &Checked, diagnostics: &mut Diagnostics) {
    for setting in &shared.settings {
        if setting.row.home_in(shared.scope) == Home::NodeLocal {
            let what = format!("`{}`", setting.keyword.as_str());
            diagnostics.push(not_shared(&what, &setting.keyword));
        }
    }
    for section in &shared.sections {
        if section.scope.home() == Home::NodeLocal {
            let what = format!("<{}>", section.scope.tag());
            diagnostics.push(not_shared(&what, &section.argument));
        } else {
            refuse_node_local(section, diagnostics);
        }
    }
}

fn not_shared(what: &str, at: &Text) -> Diagnostic {
    let message = format!("{what} is node-local: it stands in the file of each node");
    let help = "move it to the file that each mtad is started with; \
                mtad --split-config FILE --out DIR splits a whole file";
    Diagnostic::error(at, message).with_help(help)
}
