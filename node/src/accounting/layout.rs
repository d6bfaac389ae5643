//! The accounting files as the group's log carries them: fixed by the collector node's
//! configuration, the same on every replica.

use super::columns;
use super::wire;
use crate::config::settings::{AcctFile, AcctTarget};

/// Describes configured files, columns spelled out. Of two sections with the same target the first
/// counts.
pub(crate) fn describe(files: &[AcctFile]) -> wire::Layout {
    let mut layout = wire::Layout { files: Vec::new() };
    for file in files.iter().map(describe_file) {
        let taken = layout.files.iter().any(|f| f.path == file.path && f.command == file.command);
        if !taken {
            layout.files.push(file);
        }
    }
    layout
}

fn describe_file(file: &AcctFile) -> wire::AcctFile {
    let (path, command) = match &file.target {
        AcctTarget::File(path) => (path.to_string_lossy().into_owned(), Vec::new()),
        AcctTarget::Pipe(command) => (String::new(), command.clone()),
    };
    let records = file.records.iter().map(|of_type| wire::Columns {
        r#type: of_type.kind.short().to_owned(),
        names: columns::resolve(of_type.kind, &of_type.fields),
    });
    let queue_filter = file
        .queue_filter
        .iter()
        .map(|p| wire::QueuePattern { negated: p.negated, pattern: p.pattern.clone() });
    let header_maps = file.header_maps.iter().map(|m| wire::HeaderMap {
        r#type: m.kind.short().to_owned(),
        header: m.header.clone(),
        field: m.field.clone(),
    });
    wire::AcctFile {
        path,
        command,
        records: records.collect(),
        move_to: file
            .move_to
            .as_ref()
            .map_or_else(String::new, |dir| dir.to_string_lossy().into_owned()),
        move_interval_s: file.move_interval.as_secs(),
        max_size_bytes: file.max_size_bytes,
        delete_after_s: file.delete_after.map(|d| d.as_secs()),
        iso_times: file.iso_times,
        user_string: file.user_string.clone(),
        world_readable: file.world_readable,
        queue_filter: queue_filter.collect(),
        header_maps: header_maps.collect(),
        write_timeout_ms: millis(file.write_timeout),
        retry_interval_ms: millis(file.retry_interval),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
