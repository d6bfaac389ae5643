//! `<acct-file>`.

use std::time::Duration;

use super::{Checked, Diagnostics, Scope, Setting, Settings, View, merged, view};
use crate::config::diagnostic::{Diagnostic, did_you_mean};
use crate::config::lexer;
use crate::config::position::Text;
use crate::config::record_fields::{self, FieldName};
use crate::config::settings::{
    AcctFile, AcctTarget, FieldItem, HeaderMap, QueuePattern, RecordColumns,
};
use crate::config::value::Value;
use crate::message::RecordType;

/// Smaller files are not rotated for their size.
const MIN_MAX_SIZE_BYTES: u64 = 1 << 20;

/// All accounting files, in file order.
pub(super) fn acct_files(root: &Checked, diagnostics: &mut Diagnostics) -> Vec<AcctFile> {
    let mut files = Vec::new();
    for (section, settings) in merged(root, Scope::AcctFile) {
        let Some(target) = diagnostics.keep(target(section)) else { continue };
        let own = view(Scope::AcctFile, &settings);
        files.push(AcctFile {
            target,
            records: columns(&settings, &own, diagnostics),
            move_to: own.path("move-to"),
            move_interval: own.time_or_never("move-interval").unwrap_or(DAY),
            max_size_bytes: max_size(&own, diagnostics),
            delete_after: own.time_or_never("delete-after"),
            sync: own.flag("sync"),
            iso_times: own.flag("iso-times"),
            user_string: own.text("user-string").unwrap_or_default(),
            world_readable: own.flag("world-readable"),
            queue_filter: queue_filter(&own),
            header_maps: header_maps(&settings, diagnostics),
            write_timeout: own.time("write-timeout"),
            retry_interval: own.time("retry-interval"),
        });
    }
    files
}

const DAY: Duration = Duration::from_secs(86_400);

/// A file, or after `|` a program and its arguments.
fn target(section: &Checked) -> Result<AcctTarget, Diagnostic> {
    let at = &section.argument;
    let Some(command) = section.name.strip_prefix('|') else {
        return Ok(AcctTarget::File(section.name.clone().into()));
    };
    let mut words = Vec::new();
    let mut rest = Text::detached("command", command);
    loop {
        match lexer::take_token(&rest) {
            Ok(Some((token, after))) => {
                words.push(token.value);
                rest = after;
            }
            Ok(None) if words.is_empty() => {
                return Err(Diagnostic::error(at, "a command is expected behind |"));
            }
            Ok(None) => return Ok(AcctTarget::Pipe(words)),
            Err(error) => return Err(Diagnostic::error(at, error.to_string())),
        }
    }
}

fn max_size(own: &View<'_>, diagnostics: &mut Diagnostics) -> u64 {
    let size = own.size_bytes("max-size").unwrap_or(u64::MAX);
    let webhook = own.text("http-webhook-url").is_some();
    if let Some(setting) = own.last("max-size")
        && size < MIN_MAX_SIZE_BYTES
        && !webhook
    {
        diagnostics.error(setting.at(0), "max-size is at least 1M");
    }
    size
}

/// The record types and their columns: `*` for a type without `record-fields`.
fn columns(
    settings: &Settings,
    own: &View<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<RecordColumns> {
    let default = [RecordType::Delivery, RecordType::Bounce];
    let kinds: &[RecordType] = match own.value("records") {
        Some(Value::Records(kinds)) => kinds,
        _ => &default,
    };
    let mut columns: Vec<RecordColumns> = Vec::new();
    for kind in kinds {
        if !columns.iter().any(|c| c.kind == *kind) {
            columns.push(RecordColumns { kind: *kind, fields: vec![FieldItem::Default] });
        }
    }
    for setting in settings.all("record-fields") {
        let Some((kind, items)) = record_fields(setting) else {
            diagnostics.error(setting.at(0), "TYPE FIELD, ... is expected");
            continue;
        };
        let fields = field_items(setting, kind, &items, diagnostics);
        match columns.iter_mut().find(|c| c.kind == kind) {
            Some(of_kind) => of_kind.fields = fields,
            None => {
                let message =
                    format!("`records` does not name {}: these fields have no rows", kind.short());
                diagnostics.warning(setting.at(0), message);
            }
        }
    }
    columns
}

fn record_fields(setting: &Setting) -> Option<(RecordType, Vec<String>)> {
    match (setting.value(0)?, setting.value(1)) {
        (Value::Fields(kind, items), None) => Some((*kind, items.clone())),
        (Value::Records(kinds), Some(Value::List(items))) => Some((*kinds.first()?, items.clone())),
        (Value::Text(kind), Some(Value::List(items))) => {
            Some((RecordType::parse(kind)?, items.clone()))
        }
        _ => None,
    }
}

fn field_items(
    setting: &Setting,
    kind: RecordType,
    items: &[String],
    diagnostics: &mut Diagnostics,
) -> Vec<FieldItem> {
    let mut fields = Vec::new();
    for item in items {
        if item == "*" {
            fields.push(FieldItem::Default);
            continue;
        }
        let (name, negated) = match item.strip_prefix('!') {
            Some(name) => (name.trim(), true),
            None => (item.as_str(), false),
        };
        let at = setting.item(name);
        let known = match record_fields::find(kind, name) {
            FieldName::Known(known) => known,
            FieldName::Foreign(known) => {
                let message = format!("records of type {} have no field {known}", kind.short());
                diagnostics.warning(&at, message);
                known.to_owned()
            }
            FieldName::Unknown => {
                let help = did_you_mean(name, record_fields::names(kind));
                let error = Diagnostic::error(&at, format!("unknown field `{name}`"));
                diagnostics.push(error.with_optional_help(help));
                continue;
            }
        };
        fields.push(if negated { FieldItem::Without(known) } else { FieldItem::Named(known) });
    }
    fields
}

fn queue_filter(own: &View<'_>) -> Vec<QueuePattern> {
    let list = match own.value("queue-filter") {
        Some(Value::List(list)) => list.clone(),
        Some(Value::Text(text)) => text.split(',').map(|i| i.trim().to_owned()).collect(),
        _ => Vec::new(),
    };
    let pattern = |item: &String| match item.strip_prefix('!') {
        Some(pattern) => QueuePattern { negated: true, pattern: pattern.trim().to_owned() },
        None => QueuePattern { negated: false, pattern: item.clone() },
    };
    list.iter().map(pattern).collect()
}

/// `map-header-to-field TYPE header_X FIELD`.
fn header_maps(settings: &Settings, diagnostics: &mut Diagnostics) -> Vec<HeaderMap> {
    let maps = settings.all("map-header-to-field").iter().map(header_map);
    maps.filter_map(|map| diagnostics.keep(map)).collect()
}

fn header_map(setting: &Setting) -> Result<HeaderMap, Diagnostic> {
    let wrong = |message: &str| Diagnostic::error(setting.at(0), message);
    let words: Vec<&str> = setting.words().collect();
    let &[kind, header, field] = words.as_slice() else {
        return Err(wrong("TYPE header_NAME FIELD is expected"));
    };
    let kind = RecordType::parse(kind).ok_or_else(|| wrong("this is not a record type"))?;
    if kind == RecordType::TransientQueue {
        return Err(wrong("records of type tq have no message and thus no headers"));
    }
    let prefix = header.get(..7).filter(|p| p.eq_ignore_ascii_case("header_"));
    let Some(header) = prefix.and_then(|p| header.get(p.len()..)).filter(|h| !h.is_empty()) else {
        let help = "write header_X-Name for the header X-Name";
        return Err(
            Diagnostic::error(&setting.item(header), "a header is expected").with_help(help)
        );
    };
    match record_fields::find(kind, field) {
        FieldName::Known(field) => Ok(HeaderMap { kind, header: header.to_owned(), field }),
        FieldName::Foreign(_) | FieldName::Unknown => {
            let help = did_you_mean(field, record_fields::names(kind));
            let error = Diagnostic::error(&setting.item(field), format!("unknown field `{field}`"));
            Err(error.with_optional_help(help))
        }
    }
}
