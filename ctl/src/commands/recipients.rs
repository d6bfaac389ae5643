//! `list` and `delete`. Neither keeps the whole answer in memory.

use std::io::{self, IsTerminal, Write};

use convoy_proto::admin::list_item::Item;
use convoy_proto::admin::{
    DeleteRequest, Filter as Conditions, ListAction, ListDone, ListRequest, ListRow,
};
use serde_json::{Value, json};

use super::{Done, cut_short};
use crate::cli::{Delete, Filter, List};
use crate::client::Client;
use crate::format::{kbytes, time, time_zoned};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

/// Rows that share the widths of one table.
const ROWS_PER_TABLE: usize = 1000;

fn conditions(filter: Filter, unknown: bool) -> Conditions {
    let age_ms = filter.older_than.map_or(0, |age| age.as_millis());
    Conditions {
        queue: filter.queue.unwrap_or_default(),
        orig: filter.orig.unwrap_or_default(),
        rcpt: filter.rcpt.unwrap_or_default(),
        job_id: filter.jobid.unwrap_or_default(),
        env_id: filter.envid.unwrap_or_default(),
        older_than_ms: u64::try_from(age_ms).unwrap_or(u64::MAX),
        unknown,
    }
}

const fn action(options: &List) -> ListAction {
    match (options.pause, options.resume, options.schedule) {
        (true, _, _) => ListAction::Hold,
        (false, true, _) => ListAction::Release,
        (false, false, true) => ListAction::ScheduleNow,
        (false, false, false) => ListAction::Show,
    }
}

pub(super) async fn list(mut client: Client, output: &Output, options: List) -> Done {
    let action = action(&options);
    let request = ListRequest {
        max_items: options.maxitems,
        action: action.into(),
        filter: Some(conditions(options.filter, options.unknown)),
    };
    let mut items = client.list(request).await?.into_inner();
    let mut rows = Rows { waiting: Vec::new(), printed: 0, unknown: options.unknown };
    loop {
        match items.message().await?.and_then(|item| item.item) {
            Some(Item::Row(row)) => rows.add(row, output)?,
            Some(Item::Done(done)) if action == ListAction::Show => return rows.end(&done, output),
            Some(Item::Done(done)) => {
                return missing::told(output, changed(action, &done), &done.missing);
            }
            Some(Item::Examined(_)) => {}
            None => return Err(cut_short()),
        }
    }
}

/// Rows on their way out.
struct Rows {
    waiting: Vec<ListRow>,
    printed: u64,
    /// The table says which attempts are not known.
    unknown: bool,
}

impl Rows {
    fn add(&mut self, row: ListRow, output: &Output) -> io::Result<()> {
        if output.is_json() {
            let opening = if self.printed == 0 { OPENING } else { "," };
            self.printed += 1;
            return output.raw(&format!("{opening}{}", data(&row)));
        }
        self.waiting.push(row);
        if self.waiting.len() < ROWS_PER_TABLE { Ok(()) } else { self.print(output) }
    }

    fn print(&mut self, output: &Output) -> io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        output.raw(&if self.unknown { unknown_text(&rows) } else { text(&rows) })
    }

    fn end(mut self, done: &ListDone, output: &Output) -> Done {
        if output.is_json() {
            let opening = if self.printed == 0 { OPENING } else { "" };
            return Ok(output.raw(&format!("{opening}{}", closing(done)))?);
        }
        if done.recipients == 0 || !self.waiting.is_empty() {
            self.print(output)?;
        }
        Ok(output.raw(&footer(done))?)
    }
}

/// The beginning of the JSON form, up to the first row.
const OPENING: &str = r#"{"data":{"recipient":["#;

/// Its end, behind the last row.
fn closing(done: &ListDone) -> String {
    let rest = json!({"shown": done.recipients, "more": done.more,
                      "missing": missing::data(&done.missing)});
    // The object goes on: its opening brace is far above.
    format!("],{},\"status\":\"success\"}}\n", rest.to_string().trim_start_matches('{'))
}

fn footer(done: &ListDone) -> String {
    let more = if done.more { "; there are more, see --maxitems" } else { "" };
    let gone = missing::text(&done.missing);
    format!("{} recipient(s) shown{more}.\n{gone}", done.recipients)
}

fn changed(action: ListAction, done: &ListDone) -> Answer {
    let what = match action {
        ListAction::Unspecified | ListAction::Show => "shown",
        ListAction::Hold => "paused",
        ListAction::Release => "resumed",
        ListAction::ScheduleNow => "scheduled",
    };
    let more = if done.more { "; there are more, see --maxitems" } else { "" };
    Answer {
        text: String::new(),
        data: json!({"recipients": done.recipients, "more": done.more,
                     "missing": missing::data(&done.missing)}),
        message: format!("{} recipient(s) {what}{more}.", done.recipients),
    }
}

fn text(rows: &[ListRow]) -> String {
    let mut table = Table::new(&[
        ("message", Align::Left),
        ("rcpt", Align::Left),
        ("orig", Align::Left),
        ("queue", Align::Left),
        ("kbytes", Align::Right),
        ("tries", Align::Right),
        ("st", Align::Left),
        ("next", Align::Left),
        ("job-id", Align::Left),
        ("last error", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.message.clone(),
            row.rcpt.clone(),
            row.orig.clone(),
            row.queue.clone(),
            kbytes(row.bytes),
            row.attempts.to_string(),
            if row.held { "P".to_owned() } else { String::new() },
            time(row.due_ms),
            row.job_id.clone(),
            row.last_error.clone(),
        ]);
    }
    table.text()
}

/// Attempts whose result is not known, and what comes of them.
fn unknown_text(rows: &[ListRow]) -> String {
    let mut table = Table::new(&[
        ("message", Align::Left),
        ("rcpt", Align::Left),
        ("node", Align::Left),
        ("term", Align::Right),
        ("when", Align::Left),
        ("next", Align::Left),
        ("waits", Align::Left),
    ]);
    for row in rows {
        let unknown = row.unknown.unwrap_or_default();
        table.row([
            row.message.clone(),
            row.rcpt.clone(),
            format!("n{}", unknown.node),
            unknown.term.to_string(),
            time(unknown.at_ms),
            time(row.due_ms),
            row.next.clone(),
        ]);
    }
    table.text()
}

fn data(row: &ListRow) -> Value {
    let unknown = row.unknown.map(|unknown| {
        json!({"node": unknown.node, "term": unknown.term, "time": time_zoned(unknown.at_ms)})
    });
    json!({
        "message": row.message,
        "rcpt": row.rcpt,
        "orig": row.orig,
        "queue": row.queue,
        "jobId": row.job_id,
        "envId": row.env_id,
        "received": time_zoned(row.received_ms),
        "nextAttempt": time_zoned(row.due_ms),
        "bytes": row.bytes,
        "attempts": row.attempts,
        "paused": row.held,
        "lastError": row.last_error,
        "unknown": unknown,
        "waitingFor": row.next,
    })
}

pub(super) async fn delete(mut client: Client, output: &Output, options: Delete) -> Done {
    let request = DeleteRequest {
        filter: Some(conditions(options.filter, false)),
        no_accounting: options.no_accounting,
    };
    let mut items = client.delete(request).await?.into_inner();
    let watched = io::stderr().is_terminal();
    while let Some(progress) = items.message().await? {
        if watched {
            let end = if progress.finished { "\n" } else { "" };
            let _closed = write!(
                io::stderr(),
                "\r{} message(s) examined, {} recipient(s) deleted{end}",
                progress.examined,
                progress.deleted
            );
        }
        if progress.finished {
            let answer = Answer {
                text: String::new(),
                data: json!({"recipients": progress.deleted,
                             "missing": missing::data(&progress.missing)}),
                message: format!("{} recipient(s) deleted.", progress.deleted),
            };
            return missing::told(output, answer, &progress.missing);
        }
    }
    Err(cut_short())
}

#[cfg(test)]
mod tests {
    use convoy_proto::admin::{Missing, UnknownAttempt};

    use super::*;

    fn row() -> ListRow {
        ListRow {
            message: "01K4".into(),
            orig: "s@example.com".into(),
            rcpt: "a@yahoo.com".into(),
            queue: "yahoo.com/{default}".into(),
            job_id: "spring".into(),
            bytes: 1024,
            attempts: 2,
            held: true,
            last_error: "421 busy".into(),
            ..ListRow::default()
        }
    }

    #[test]
    fn recipients_are_a_table() {
        let expected = "\
message  rcpt         orig           queue                kbytes  tries  st  next  job-id  last error
01K4     a@yahoo.com  s@example.com  yahoo.com/{default}     1.0      2  P         spring  421 busy
";
        assert_eq!(text(&[row()]), expected);
        let done = |more| ListDone { recipients: 1, more, missing: vec![] };
        assert_eq!(footer(&done(false)), "1 recipient(s) shown.\n");
        assert_eq!(footer(&done(true)), "1 recipient(s) shown; there are more, see --maxitems.\n");
    }

    #[test]
    fn unknown_attempts_are_told_with_their_sender() {
        let unknown = Some(UnknownAttempt { node: 2, term: 7, at_ms: 0 });
        let next = "for its next attempt".to_owned();
        let row = ListRow { unknown, next, ..row() };
        let expected = "\
message  rcpt         node  term  when  next  waits
01K4     a@yahoo.com  n2       7              for its next attempt
";
        assert_eq!(unknown_text(std::slice::from_ref(&row)), expected);
        assert_eq!(data(&row)["unknown"]["node"], 2);
    }

    #[test]
    fn the_pieces_of_the_json_form_are_one_object() {
        for rows in [vec![], vec![row()], vec![row(), row()]] {
            let items: Vec<String> = rows.iter().map(|row| data(row).to_string()).collect();
            let gone = Missing { node: 3, reason: "\"gone\"".into() };
            let done = ListDone { recipients: rows.len() as u64, more: false, missing: vec![gone] };
            let whole = format!("{OPENING}{}{}", items.join(","), closing(&done));
            let json: Value = serde_json::from_str(&whole).unwrap();
            assert_eq!(json["data"]["recipient"].as_array().unwrap().len(), rows.len());
            assert_eq!(json["data"]["shown"], rows.len());
            assert_eq!(json["data"]["missing"][0]["reason"], "\"gone\"");
            assert_eq!(json["status"], "success");
        }
    }

    #[test]
    fn what_was_done_is_said() {
        let done = ListDone { recipients: 5, more: true, missing: vec![] };
        let answer = changed(ListAction::Hold, &done);
        assert_eq!(answer.message, "5 recipient(s) paused; there are more, see --maxitems.");
    }
}
