use std::time::Duration;

use super::*;
use crate::accounting::layout;
use crate::clock::Timestamp;
use crate::config::settings::{
    AcctFile, AcctTarget, FieldItem, HeaderMap, QueuePattern, RecordColumns,
};

fn named(list: &str) -> Vec<FieldItem> {
    list.split(',')
        .map(|n| if n == "*" { FieldItem::Default } else { FieldItem::Named(n.to_owned()) })
        .collect()
}

/// A file with these columns per type.
fn acct_file(records: &[(&str, &str)]) -> AcctFile {
    let records = records.iter().map(|(kind, list)| RecordColumns {
        kind: RecordType::parse(kind).unwrap(),
        fields: named(list),
    });
    AcctFile {
        target: AcctTarget::File("acct.csv".into()),
        records: records.collect(),
        move_to: None,
        move_interval: Duration::from_secs(86_400),
        max_size_bytes: 250_000_000,
        delete_after: None,
        sync: false,
        iso_times: true,
        user_string: String::new(),
        world_readable: true,
        queue_filter: Vec::new(),
        header_maps: Vec::new(),
        write_timeout: Duration::from_secs(60),
        retry_interval: Duration::from_secs(300),
    }
}

fn format(file: AcctFile) -> Format {
    Format::new(&layout::describe(&[file]).files[0])
}

fn row(format: &Format, record: &Record) -> String {
    String::from_utf8(format.row(record, 0).expect("the file takes it")).unwrap()
}

/// The delivery printed in the guide.
fn delivery() -> Record {
    let at = Timestamp(1_549_662_845_000);
    Record {
        queued_at: Some(at),
        orig: "AA-D=1181.com@bounce.bar.com".into(),
        rcpt: "D@1181.com".into(),
        dsn_action: "relayed".into(),
        dsn_status: "2.0.0 (success)".into(),
        dsn_diag: "smtp;250 DATA ok".into(),
        dsn_mta: "foo.int.port25.com (10.1.2.3)".into(),
        src_type: "api".into(),
        src_mta: "foo.int.port25.com (127.0.0.1)".into(),
        dlv_type: "smtp".into(),
        dlv_source_ip: "10.1.2.3".into(),
        dlv_destination_ip: "10.1.2.3".into(),
        dlv_esmtp_available: "ENHANCEDSTATUSCODES,8BITMIME,SMTPUTF8".into(),
        dlv_size: Some(41_159),
        vmta: "vmta48".into(),
        job_id: "JoBID29546016861868".into(),
        queue: "1181.com/vmta48".into(),
        ..Record::new(RecordType::Delivery, at)
    }
}

#[test]
fn a_delivery_is_written_as_in_the_guide() {
    let format = format(acct_file(&[("d", "*"), ("b", "*")]));
    // The guide's row lacks the last column, which came later.
    let expected = "d,2019-02-08 21:54:05+0000,2019-02-08 21:54:05+0000,\
        AA-D=1181.com@bounce.bar.com,D@1181.com,,relayed,2.0.0 (success),smtp;250 DATA ok,\
        foo.int.port25.com (10.1.2.3),,api,foo.int.port25.com (127.0.0.1),smtp,10.1.2.3,10.1.2.3,\
        \"ENHANCEDSTATUSCODES,8BITMIME,SMTPUTF8\",41159,vmta48,JoBID29546016861868,,\
        1181.com/vmta48,\r\n";
    assert_eq!(row(&format, &delivery()), expected);
}

#[test]
fn a_queue_failure_is_written_as_in_the_guide() {
    let record = Record {
        dsn_status: "4.4.1 (no answer from host)".into(),
        dsn_mta: "mx.xn--bcher-kva.de (87.98.150.101)".into(),
        dlv_type: "smtp".into(),
        dlv_source_ip: "0.0.0.0".into(),
        dlv_destination_ip: "87.98.150.101".into(),
        vmta: "vmta29".into(),
        queue: "bücher.de/vmta29".into(),
        rcpt: "not a field of this type".into(),
        ..Record::new(RecordType::TransientQueue, Timestamp(1_549_662_819_000))
    };
    let expected = "tq,2019-02-08 21:53:39+0000,4.4.1 (no answer from host),,\
        mx.xn--bcher-kva.de (87.98.150.101),smtp,0.0.0.0,87.98.150.101,vmta29,bücher.de/vmta29\r\n";
    assert_eq!(row(&format(acct_file(&[("tq", "*")])), &record), expected);
}

#[test]
fn each_type_fills_its_own_columns_only() {
    let mut file = acct_file(&[
        ("d", "timeLogged,orig,rcpt,dlvSourceIp"),
        ("b", "timeLogged,orig,rcpt,bounceCat"),
    ]);
    file.iso_times = false;
    let format = format(file);
    assert_eq!(
        format.header(),
        b"type,timeLogged,orig,rcpt,dlvSourceIp,bounceCat\r\n",
        "the guide's header"
    );
    let record = |kind, at, rcpt: &str| Record {
        orig: "orig@port25.com".into(),
        rcpt: rcpt.into(),
        dlv_source_ip: "10.0.0.1".into(),
        bounce_cat: "policy-related".into(),
        ..Record::new(kind, Timestamp(at))
    };
    let d = record(RecordType::Delivery, 1_178_807_903_500, "user1@domain.com");
    assert_eq!(row(&format, &d), "d,1178807903,orig@port25.com,user1@domain.com,10.0.0.1,\r\n");
    let b = record(RecordType::Bounce, 1_178_807_915_000, "user3@domain.com");
    assert_eq!(
        row(&format, &b),
        "b,1178807915,orig@port25.com,user3@domain.com,,policy-related\r\n"
    );
    assert_eq!(format.row(&Record::new(RecordType::Receipt, Timestamp(0)), 0), None);
}

#[test]
fn values_are_quoted_only_when_they_must_be() {
    let format = format(acct_file(&[("d", "dsnDiag,rcpt")]));
    let check = |diag: &str, expected: &str| {
        let record = Record {
            dsn_diag: diag.into(),
            rcpt: "a@b".into(),
            ..Record::new(RecordType::Delivery, Timestamp(0))
        };
        let line = row(&format, &record);
        assert_eq!(line, format!("d,{expected},a@b\r\n"));
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        assert_eq!(&reader.records().next().unwrap().unwrap()[1], diag);
    };
    check("", "");
    check("smtp;250 it's fine; #1", "smtp;250 it's fine; #1");
    check(" a b ", " a b ");
    check("a,b", "\"a,b\"");
    check("say \"hi\"", "\"say \"\"hi\"\"\"");
    check("two\r\nlines", "\"two\r\nlines\"");
    check("two\nlines", "\"two\nlines\"");
    check("bücher", "bücher");
}

#[test]
fn headers_and_own_fields_follow_the_configuration() {
    let mut file = acct_file(&[(
        "d",
        "header_subject,header_Subject,header_X-None,totalSecondsQueued,userString,\
         dlvTlsProtocol,rcvSourceIp,noSuchField",
    )]);
    file.user_string = "site 7, rack 2".into();
    let format = format(file);
    assert_eq!(
        String::from_utf8(format.header()).unwrap(),
        "type,header_subject,header_Subject,header_X-None,totalSecondsQueued,userString,\
         dlvTlsProtocol,rcvSourceIp,noSuchField\r\n"
    );
    let record = Record {
        queued_at: Some(Timestamp(1_000)),
        headers: vec![("subject".into(), "Hello".into())],
        dlv_tls_protocol: "TLSv1.2".into(),
        rcv_source_ip: "192.0.2.1".into(),
        ..Record::new(RecordType::Delivery, Timestamp(61_000))
    };
    assert_eq!(row(&format, &record), "d,Hello,Hello,,60,\"site 7, rack 2\",TLSv1.2,,\r\n");
}

#[test]
fn mapped_headers_replace_fields_in_order() {
    let maps = [("d", "X-Job-A", "jobId"), ("delivery", "X-Job-B", "JobID"), ("tq", "X", "vmta")];
    let mut file = acct_file(&[("d", "jobId"), ("b", "jobId"), ("tq", "vmta")]);
    file.header_maps = maps
        .map(|(kind, header, field)| HeaderMap {
            kind: RecordType::parse(kind).unwrap(),
            header: header.into(),
            field: field.into(),
        })
        .to_vec();
    let format = format(file);
    let check = |kind, headers: &[(&str, &str)], expected: &str| {
        let record = Record {
            job_id: "own".into(),
            vmta: "own".into(),
            headers: headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            ..Record::new(kind, Timestamp(0))
        };
        assert_eq!(row(&format, &record), expected);
    };
    use RecordType::{Bounce, Delivery, TransientQueue};
    check(Delivery, &[("X-Job-B", "b"), ("X-Job-A", "a")], "d,a,\r\n");
    check(Delivery, &[("x-job-b", "b"), ("X-Job-A", "")], "d,b,\r\n");
    check(Delivery, &[], "d,own,\r\n");
    check(Bounce, &[("X-Job-A", "a")], "b,own,\r\n");
    check(TransientQueue, &[("X", "x")], "tq,,own\r\n");
}

#[test]
fn filtered_queues_have_no_row() {
    let mut file = acct_file(&[("d", "rcpt"), ("r", "rcpt")]);
    file.queue_filter = vec![QueuePattern { negated: false, pattern: "*/vmta1".into() }];
    let format = format(file);
    let takes = |kind, queue: &str| {
        let record = Record { queue: queue.into(), ..Record::new(kind, Timestamp(0)) };
        format.row(&record, 0).is_some()
    };
    assert!(takes(RecordType::Delivery, "a.example/vmta1"));
    assert!(!takes(RecordType::Delivery, "a.example/vmta2"));
    assert!(takes(RecordType::Receipt, ""));
}

#[test]
fn json_lines_hold_strings_and_the_columns_of_their_type() {
    let mut file = acct_file(&[("d", "rcpt,dlvSize"), ("b", "rcpt,bounceCat")]);
    file.target = AcctTarget::File("acct.json".into());
    let format = format(file);
    assert_eq!(format.header(), b"");
    let record = Record {
        rcpt: "\"a b\"@c".into(),
        dlv_size: Some(7),
        ..Record::new(RecordType::Delivery, Timestamp(0))
    };
    assert_eq!(
        row(&format, &record),
        "{\"type\":\"d\",\"rcpt\":\"\\\"a b\\\"@c\",\"dlvSize\":\"7\"}\n"
    );
}
