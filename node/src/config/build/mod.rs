//! From checked sections to the typed, effective settings.

mod acct_file;
mod domain;
mod listener;
mod server;
mod source;
mod user;
mod virtual_mta;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::bounce_categories::BounceCategories;
use super::checker::{Checked, Setting};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::directive::{Kind, Scope};
use super::domains::DomainTable;
use super::macros::Macros;
use super::merge::{Settings, View};
use super::network::{DomainPattern, parse_network};
use super::rules::{Levels, Relay, Rules, SourceTable};
use super::settings::{AcctFile, CipherReference, Config, FieldItem, FileReference};
use super::value::{self, Value};
use crate::message::RecordType;

pub(super) use domain::domain_settings;
pub(super) use source::source_settings;

/// Builds a configuration out of the top level's content. What cannot be built is left out and
/// reported.
pub(super) fn build(root: &Checked, host_name: String, diagnostics: &mut Diagnostics) -> Config {
    let macros = Macros::define(&root.macros, diagnostics);
    let global = Settings::new(root.settings.iter().cloned());
    let server = server::server(&global, root, host_name, diagnostics);
    let acct_files = acct_file::acct_files(root, diagnostics);
    let rules = Rules {
        domains: levels(root, &macros, diagnostics),
        sources: sources(&global, root),
        relay: relay(&global, &server.local_names, &macros, diagnostics),
        categories: categories(root),
        headers: headers(&acct_files),
    };
    Config {
        listeners: listener::listeners(root, diagnostics),
        users: user::users(root, diagnostics),
        vmtas: virtual_mta::virtual_mtas(root, &server, diagnostics),
        pools: virtual_mta::pools(root),
        acct_files,
        file_positions: file_positions(root),
        cipher_positions: cipher_positions(root),
        server,
        rules,
    }
}

/// The sections with this tag, in file order.
fn sections(of: &Checked, scope: Scope) -> impl Iterator<Item = &Checked> {
    of.sections.iter().filter(move |section| section.scope == scope)
}

/// The sections with this tag, those with the same name merged, in the order of their first.
fn merged(root: &Checked, scope: Scope) -> Vec<(&Checked, Settings)> {
    let mut all: Vec<(&Checked, Settings)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for section in sections(root, scope) {
        let place = *places.entry(section.name.as_str()).or_insert(all.len());
        if place == all.len() {
            all.push((section, Settings::default()));
        }
        all[place].1.extend(section.settings.iter().cloned());
    }
    all
}

fn levels(root: &Checked, macros: &Macros, diagnostics: &mut Diagnostics) -> Levels {
    let global = domain_table(std::iter::once(root), macros, diagnostics);
    let mut levels = Levels::new(global);
    for (vmta, parts) in by_name(root, Scope::VirtualMta) {
        let table = domain_table(parts.into_iter(), macros, diagnostics);
        if !table.is_empty() {
            levels.vmtas.insert(vmta.to_owned(), table);
        }
    }
    for (pool, parts) in by_name(root, Scope::VirtualMtaPool) {
        let members: Vec<_> = parts.iter().flat_map(|p| virtual_mta::members(p)).collect();
        let table = domain_table(parts.into_iter(), macros, diagnostics);
        if !table.is_empty() {
            levels.pools.insert(pool.to_owned(), table);
            let member = |m: &Setting| Some((m.text(0)?.to_owned(), pool.to_owned()));
            levels.pool_of.extend(members.into_iter().filter_map(member));
        }
    }
    levels
}

/// All sections of a name, in file order.
fn by_name(root: &Checked, scope: Scope) -> HashMap<&str, Vec<&Checked>> {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    for section in sections(root, scope) {
        names.entry(section.name.as_str()).or_default().push(section);
    }
    names
}

fn domain_table<'a>(
    levels: impl Iterator<Item = &'a Checked>,
    macros: &Macros,
    diagnostics: &mut Diagnostics,
) -> DomainTable {
    let mut table = DomainTable::default();
    for section in levels.flat_map(|level| sections(level, Scope::Domain)) {
        if let Some(patterns) = diagnostics.keep(macros.patterns(&section.argument)) {
            let explicit = !section.name.contains('$');
            let settings = Settings::new(section.settings.iter().cloned());
            table.add(patterns, explicit, settings);
        }
    }
    table
}

/// A source whose name begins like an address is about a network.
fn sources(global: &Settings, root: &Checked) -> SourceTable {
    let always = global.all("always-allow-relaying").iter().cloned();
    let mut table = SourceTable { base: Settings::new(always), ..SourceTable::default() };
    for section in sections(root, Scope::Source) {
        let settings = section.settings.clone();
        let name = section.name.as_str();
        match parse_network(name) {
            Ok(network) => table.add_network(network, settings),
            Err(_) => table.named.entry(name.to_owned()).or_default().extend(settings),
        }
    }
    table
}

fn relay(
    global: &Settings,
    local_names: &[String],
    macros: &Macros,
    diagnostics: &mut Diagnostics,
) -> Relay {
    let mut relay = Relay::default();
    relay.domains.extend(local_names.iter().cloned().map(DomainPattern::Exact));
    for setting in global.all("relay-domain") {
        if setting.value(0).is_some() {
            let patterns = diagnostics.keep(macros.patterns(setting.at(0)));
            relay.domains.extend(patterns.unwrap_or_default());
        }
    }
    for setting in global.all("relay-address") {
        let Some(text) = setting.text(0) else { continue };
        if !setting.at(0).as_str().starts_with('/') {
            relay.addresses.push(text.to_lowercase());
            continue;
        }
        let wrong = |message| Diagnostic::error(setting.at(0), message);
        relay.patterns.extend(diagnostics.keep(value::compile(text).map_err(wrong)));
    }
    relay
}

/// The list of the configuration takes the place of the built-in one.
fn categories(root: &Checked) -> Arc<BounceCategories> {
    let mut given = sections(root, Scope::BounceCategoryPatterns).peekable();
    if given.peek().is_none() {
        return BounceCategories::builtin();
    }
    Arc::new(BounceCategories::new(given.flat_map(|s| s.categories.iter().cloned()).collect()))
}

/// Headers that records must carry: those named as columns and those mapped to fields.
fn headers(files: &[AcctFile]) -> HashMap<RecordType, Vec<String>> {
    let mut headers: HashMap<RecordType, Vec<String>> = HashMap::new();
    let mut add = |kind, name: &str| {
        let list = headers.entry(kind).or_default();
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    };
    for file in files {
        for columns in &file.records {
            for field in &columns.fields {
                if let FieldItem::Named(name) = field
                    && let Some(header) = name.strip_prefix("header_")
                {
                    add(columns.kind, header);
                }
            }
        }
        for map in &file.header_maps {
            if file.records.iter().any(|columns| columns.kind == map.kind) {
                add(map.kind, &map.header);
            }
        }
    }
    headers
}

/// Every file that a directive names, in file order.
fn file_positions(section: &Checked) -> Vec<FileReference> {
    let mut files = Vec::new();
    for setting in &section.settings {
        for (index, arg) in setting.row.args.iter().enumerate() {
            if arg.kind != Kind::Path {
                continue;
            }
            if let Some(Value::Text(path)) = setting.value(index) {
                let position = setting.at(index).position();
                let directive = setting.row.name;
                files.push(FileReference { path: PathBuf::from(path), position, directive });
            }
        }
    }
    files.extend(section.sections.iter().flat_map(file_positions));
    files
}

/// Every cipher list that a directive gives, in file order.
fn cipher_positions(section: &Checked) -> Vec<CipherReference> {
    let gives_ciphers = |name: &str| name.ends_with("ciphers") || name.ends_with("ciphersuites");
    let mut lists = Vec::new();
    for setting in section.settings.iter().filter(|setting| gives_ciphers(setting.row.name)) {
        let list = setting.text(0).unwrap_or_default().to_owned();
        let (position, directive) = (setting.at(0).position(), setting.row.name);
        lists.push(CipherReference { list, position, directive });
    }
    lists.extend(section.sections.iter().flat_map(cipher_positions));
    lists
}

/// A view of one section alone.
fn view(scope: Scope, settings: &Settings) -> View<'_> {
    View::new(scope, vec![settings])
}
