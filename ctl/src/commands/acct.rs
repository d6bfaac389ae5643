//! `acct status` and `rotate acct`.

use convoy_proto::admin::{AcctFile, AcctStatusReply, AcctStatusRequest, RotateAcctRequest};
use serde_json::json;

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
    let reply = client.acct_status(AcctStatusRequest {}).await?.into_inner();
    Ok(output.answer(&render(&reply))?)
}

fn render(reply: &AcctStatusReply) -> Answer {
    let collector = match (reply.collector, reply.here) {
        (0, _) => "no node writes accounting files now: rows wait".to_owned(),
        (_, true) => "this node writes the accounting files".to_owned(),
        (node, false) => format!("node n{node} writes the accounting files"),
    };
    let mut table = Table::new(&[
        ("acct-file", Align::Left),
        ("rows", Align::Right),
        ("kbytes", Align::Right),
        ("last row", Align::Left),
        ("current", Align::Left),
        ("last error", Align::Left),
    ]);
    for file in &reply.files {
        table.row([
            file.target.clone(),
            file.rows.to_string(),
            kbytes(file.bytes),
            time(file.last_written_ms),
            file.current.clone(),
            file.last_error.clone(),
        ]);
    }
    let files = |f: &AcctFile| {
        json!({"target": f.target, "current": f.current, "rows": f.rows, "bytes": f.bytes,
               "lastRow": time_zoned(f.last_written_ms), "lastError": f.last_error})
    };
    Answer::data(
        format!("{}{collector}; {} row(s) waiting.\n", table.text(), reply.waiting_rows),
        json!({
            "collector": reply.collector,
            "here": reply.here,
            "waitingRows": reply.waiting_rows,
            "file": reply.files.iter().map(files).collect::<Vec<_>>(),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::human;

    #[test]
    fn files_are_a_table_and_the_backlog_is_said() {
        let file = AcctFile {
            target: "acct.csv".into(),
            current: "acct-2026-11-23-0000.csv".into(),
            rows: 7,
            bytes: 2048,
            ..AcctFile::default()
        };
        let reply =
            AcctStatusReply { collector: 2, here: false, waiting_rows: 3, files: vec![file] };
        let expected = "\
acct-file  rows  kbytes  last row  current                   last error
acct.csv      7     2.0            acct-2026-11-23-0000.csv
node n2 writes the accounting files; 3 row(s) waiting.
";
        assert_eq!(human(&render(&reply)), expected);
    }
}
