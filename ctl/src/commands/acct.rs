//! `acct status` and `rotate acct`.

use convoy_proto::admin::{
    AcctFile, AcctReplica, AcctStatusReply, AcctStatusRequest, RotateAcctRequest,
};
use serde_json::{Value, json};

use super::Done;
use crate::client::Client;
use crate::format::{kbytes, time, time_zoned};
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(super) async fn rotate(mut client: Client, output: &Output, file: Option<String>) -> Done {
    let request = RotateAcctRequest { file: file.unwrap_or_default() };
    let rotated = client.rotate_acct(request).await?.into_inner().rotated;
    let said = match rotated {
        0 => "No accounting file to rotate.".to_owned(),
        1 => "Accounting file rotated.".to_owned(),
        n => format!("{n} accounting files rotated."),
    };
    Ok(output.answer(&Answer {
        text: String::new(),
        data: json!({"rotated": rotated}),
        message: said,
    })?)
}

pub(super) async fn status(mut client: Client, output: &Output) -> Done {
    let reply = client.acct_status(AcctStatusRequest::default()).await?.into_inner();
    Ok(output.answer(&render(&reply))?)
}

fn render(reply: &AcctStatusReply) -> Answer {
    let collector = match (reply.collector, reply.here) {
        (0, _) => "no node collects rows now: they wait".to_owned(),
        (_, true) => "this node collects rows".to_owned(),
        (node, false) => format!("node n{node} collects rows"),
    };
    let text = format!(
        "{}\n{}{collector}; {} row(s) waiting.\n",
        replicas(&reply.replicas).text(),
        files(&reply.replicas).text(),
        reply.waiting_rows
    );
    let data = json!({
        "collector": reply.collector,
        "here": reply.here,
        "waitingRows": reply.waiting_rows,
        "file": reply.files.iter().map(file_data).collect::<Vec<_>>(),
        "replica": reply.replicas.iter().map(replica_data).collect::<Vec<_>>(),
    });
    Answer::data(text, data)
}

fn replicas(replicas: &[AcctReplica]) -> Table {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("role", Align::Left),
        ("applied", Align::Right),
        ("lag", Align::Right),
        ("waiting", Align::Right),
        ("last entry", Align::Left),
        ("error", Align::Left),
    ]);
    for replica in replicas {
        let role = match (replica.collector, replica.keeps) {
            (true, _) => "collector",
            (false, true) => "replica",
            (false, false) => "-",
        };
        table.row([
            format!("n{}", replica.node),
            role.to_owned(),
            replica.applied.to_string(),
            replica.lag_entries.map_or_else(|| "-".to_owned(), |lag| lag.to_string()),
            replica.waiting_rows.to_string(),
            time(replica.applied_ms),
            replica.error.clone(),
        ]);
    }
    table
}

fn files(replicas: &[AcctReplica]) -> Table {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("acct-file", Align::Left),
        ("rows", Align::Right),
        ("kbytes", Align::Right),
        ("last row", Align::Left),
        ("current", Align::Left),
        ("directory", Align::Left),
    ]);
    for replica in replicas.iter().filter(|replica| replica.keeps) {
        for file in &replica.files {
            let name = file.current.rsplit('/').next().unwrap_or_default();
            table.row([
                format!("n{}", replica.node),
                file.target.clone(),
                file.rows.to_string(),
                kbytes(file.bytes),
                time(file.last_written_ms),
                name.to_owned(),
                file.directory.clone(),
            ]);
        }
    }
    table
}

fn file_data(f: &AcctFile) -> Value {
    json!({"target": f.target, "directory": f.directory, "current": f.current, "rows": f.rows,
           "bytes": f.bytes, "lastRow": time_zoned(f.last_written_ms), "lastError": f.last_error})
}

fn replica_data(r: &AcctReplica) -> Value {
    json!({"node": r.node, "collector": r.collector, "keeps": r.keeps, "applied": r.applied,
           "lag": r.lag_entries, "lastEntry": time_zoned(r.applied_ms),
           "waitingRows": r.waiting_rows, "error": r.error,
           "file": r.files.iter().map(file_data).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::human;

    #[test]
    fn replicas_and_files_are_tables_and_the_backlog_is_said() {
        let file = AcctFile {
            target: "acct.csv".into(),
            directory: "/var/log/convoy".into(),
            current: "/var/log/convoy/acct-2026-11-23-0000.csv".into(),
            rows: 7,
            bytes: 2048,
            ..AcctFile::default()
        };
        let leader = AcctReplica {
            node: 2,
            collector: true,
            keeps: true,
            applied: 90,
            lag_entries: Some(0),
            files: vec![file],
            waiting_rows: 3,
            ..AcctReplica::default()
        };
        let other = AcctReplica {
            node: 1,
            keeps: true,
            applied: 88,
            lag_entries: Some(2),
            error: "disk full".into(),
            ..AcctReplica::default()
        };
        let reply = AcctStatusReply {
            collector: 2,
            waiting_rows: 3,
            replicas: vec![other, leader, AcctReplica { node: 4, ..AcctReplica::default() }],
            ..AcctStatusReply::default()
        };
        let expected = "\
node  role       applied  lag  waiting  last entry  error
n1    replica         88    2        0              disk full
n2    collector       90    0        3
n4    -                0    -        0

node  acct-file  rows  kbytes  last row  current                   directory
n2    acct.csv      7     2.0            acct-2026-11-23-0000.csv  /var/log/convoy
node n2 collects rows; 3 row(s) waiting.
";
        assert_eq!(human(&render(&reply)), expected);
    }
}
