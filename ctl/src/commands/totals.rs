//! `show domains`, `show topdomains`, `show vmtas` and `show jobs`: queues added up.

use convoy_proto::admin::{
    DomainRow, DomainsRequest, JobRow, JobsRequest, ListEnd, VmtaRow, VmtasRequest, domain_item,
    job_item, vmta_item,
};
use serde_json::{Value, json};

use super::{Done, cut_short, sort};
use crate::cli::{Domains, Sort, Sorted};
use crate::client::Client;
use crate::format::{kb, kbytes};
use crate::missing;
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

pub(super) async fn domains(
    mut client: Client,
    output: &Output,
    options: Domains,
    otherwise: Option<Sort>,
) -> Done {
    use domain_item::Item;
    let request = DomainsRequest {
        pattern: options.pattern.unwrap_or_default(),
        vmta: options.vmta.unwrap_or_default(),
        connected: options.connected,
        errors: options.errors,
        sort: sort(options.sorted.sort, otherwise).into(),
        max_items: options.sorted.maxitems,
    };
    let mut items = client.domains(request).await?.into_inner();
    let mut rows = Vec::new();
    loop {
        match items.message().await?.and_then(|item| item.item) {
            Some(Item::Row(row)) => rows.push(row),
            Some(Item::End(end)) => return Ok(output.answer(&render_domains(&rows, &end))?),
            None => return Err(cut_short()),
        }
    }
}

fn render_domains(rows: &[DomainRow], end: &ListEnd) -> Answer {
    let mut table = Table::new(&[
        ("domain", Align::Left),
        ("#rcpt", Align::Right),
        ("kbytes", Align::Right),
        ("conn", Align::Right),
        ("last error", Align::Left),
    ]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.recipients.to_string(),
            kbytes(row.bytes),
            row.connections.to_string(),
            row.last_error.clone(),
        ]);
    }
    let data = |row: &DomainRow| {
        json!({"name": row.name, "rcp": row.recipients, "kb": kb(row.bytes),
               "conn": row.connections, "lastError": row.last_error})
    };
    let footer = format!("{} of {} domains shown.\n", end.shown, end.total);
    Answer::data(
        table.text() + &footer + &missing::text(&end.missing),
        list("domain", rows.iter().map(data).collect(), end),
    )
}

/// Rows under PowerMTA's key, and how many there are.
fn list(key: &str, rows: Vec<Value>, end: &ListEnd) -> Value {
    json!({key: rows, "shown": end.shown, "total": end.total,
           "missing": missing::data(&end.missing)})
}

pub(super) async fn vmtas(mut client: Client, output: &Output, options: Sorted) -> Done {
    use vmta_item::Item;
    let request =
        VmtasRequest { sort: sort(options.sort, None).into(), max_items: options.maxitems };
    let mut items = client.vmtas(request).await?.into_inner();
    let mut rows = Vec::new();
    loop {
        match items.message().await?.and_then(|item| item.item) {
            Some(Item::Row(row)) => rows.push(row),
            Some(Item::End(end)) => return Ok(output.answer(&render_vmtas(&rows, &end))?),
            None => return Err(cut_short()),
        }
    }
}

fn render_vmtas(rows: &[VmtaRow], end: &ListEnd) -> Answer {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("domains", Align::Right),
        ("#rcpt", Align::Right),
        ("% total", Align::Right),
        ("kbytes", Align::Right),
        ("conn", Align::Right),
    ]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.domains.to_string(),
            row.recipients.to_string(),
            share(row),
            kbytes(row.bytes),
            row.connections.to_string(),
        ]);
    }
    let data = |row: &VmtaRow| {
        json!({"name": row.name, "dom": row.domains, "rcp": row.recipients,
               "kb": kb(row.bytes), "conn": row.connections})
    };
    let footer = format!("{} of {} virtual MTAs.\n", end.shown, end.total);
    Answer::data(
        table.text() + &footer + &missing::text(&end.missing),
        list("vmta", rows.iter().map(data).collect(), end),
    )
}

/// Per cent of all recipients, with one decimal.
fn share(row: &VmtaRow) -> String {
    let per_mille = u128::from(row.recipients) * 1000 / u128::from(row.all_recipients.max(1));
    format!("{}.{}", per_mille / 10, per_mille % 10)
}

pub(super) async fn jobs(mut client: Client, output: &Output, options: Sorted) -> Done {
    use job_item::Item;
    let request =
        JobsRequest { sort: sort(options.sort, None).into(), max_items: options.maxitems };
    let mut items = client.jobs(request).await?.into_inner();
    let mut rows = Vec::new();
    loop {
        match items.message().await?.and_then(|item| item.item) {
            Some(Item::Row(row)) => rows.push(row),
            Some(Item::End(end)) => return Ok(output.answer(&render_jobs(&rows, &end))?),
            None => return Err(cut_short()),
        }
    }
}

fn render_jobs(rows: &[JobRow], end: &ListEnd) -> Answer {
    let mut table = Table::new(&[
        ("job-id", Align::Left),
        ("#rcpt", Align::Right),
        ("kbytes", Align::Right),
        ("st", Align::Left),
    ]);
    for row in rows {
        let paused = if row.paused { "P" } else { "" };
        table.row([
            row.id.clone(),
            row.recipients.to_string(),
            kbytes(row.bytes),
            paused.to_owned(),
        ]);
    }
    let data = |row: &JobRow| json!({"id": row.id, "rcp": row.recipients, "kb": kb(row.bytes), "paused": row.paused});
    let footer = if end.shown == end.total {
        format!("Total of {} job(s).\n", end.total)
    } else {
        format!("{} of {} job(s) shown.\n", end.shown, end.total)
    };
    Answer::data(
        table.text() + &footer + &missing::text(&end.missing),
        list("job", rows.iter().map(data).collect(), end),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{human, machine};

    fn check(answer: &Answer, text: &str, key: &str) {
        assert_eq!(human(answer), text);
        let json: Value = serde_json::from_str(&machine(answer)).unwrap();
        assert!(json["data"][key][0]["rcp"].is_u64(), "{json}");
    }

    #[test]
    fn domains_are_a_table() {
        let row = DomainRow {
            name: "yahoo.com".into(),
            recipients: 3,
            bytes: 2048,
            connections: 1,
            last_error: "timeout".into(),
            last_error_ms: 1,
        };
        let expected = "\
domain     #rcpt  kbytes  conn  last error
yahoo.com      3     2.0     1  timeout
1 of 30 domains shown.
";
        check(
            &render_domains(&[row], &ListEnd { shown: 1, total: 30, missing: vec![] }),
            expected,
            "domain",
        );
    }

    #[test]
    fn virtual_mtas_are_a_table_with_shares() {
        let row = |name: &str, recipients| VmtaRow {
            name: name.into(),
            domains: 2,
            recipients,
            bytes: 1024,
            connections: 0,
            all_recipients: 3,
        };
        let expected = "\
name       domains  #rcpt  % total  kbytes  conn
customer1        2      1     33.3     1.0     0
{default}        2      2     66.6     1.0     0
2 of 2 virtual MTAs.
";
        let rows = [row("customer1", 1), row("{default}", 2)];
        check(
            &render_vmtas(&rows, &ListEnd { shown: 2, total: 2, missing: vec![] }),
            expected,
            "vmta",
        );
    }

    #[test]
    fn jobs_are_a_table_and_a_sum() {
        let row = JobRow { id: "spring".into(), recipients: 7, bytes: 512, paused: true };
        let expected = "\
job-id  #rcpt  kbytes  st
spring      7     0.5  P
Total of 1 job(s).
";
        check(
            &render_jobs(&[row], &ListEnd { shown: 1, total: 1, missing: vec![] }),
            expected,
            "job",
        );
    }
}
