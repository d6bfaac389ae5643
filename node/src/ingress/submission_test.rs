use std::sync::Arc;

use super::*;
use crate::smtp::address::ReversePath;
use crate::smtp::command::{Command, MailFrom};
use crate::smtp::server::Greeting;

const CONFIG: &str = "host-name mta.example\n\
    <virtual-mta one>\n smtp-source-host 192.0.2.10 one.example\n</virtual-mta>\n\
    <virtual-mta two>\n smtp-source-host 192.0.2.20 two.example\n</virtual-mta>\n\
    <virtual-mta-pool both>\n virtual-mta one\n virtual-mta two\n</virtual-mta-pool>\n\
    <domain rolled.example>\n queue-to rollup.example\n</domain>\n\
    <acct-file r.csv>\n records r\n record-fields r *, header_Subject\n</acct-file>\n";

struct Case {
    config: Config,
    rounds: Rounds,
}

fn case(source: &str) -> Case {
    let text = format!("{CONFIG}<source 0/0>\n{source}\n</source>\n");
    let config = Config::from_text(&text).unwrap();
    Case { config, rounds: Rounds::default() }
}

fn mail(line: &str) -> MailFrom {
    match Command::parse(line.as_bytes()).unwrap() {
        Command::Mail(mail) => mail,
        other => panic!("{other:?}"),
    }
}

fn rcpt(address: &str) -> RcptTo {
    match Command::parse(format!("RCPT TO:<{address}>").as_bytes()).unwrap() {
        Command::Rcpt(rcpt) => rcpt,
        other => panic!("{other:?}"),
    }
}

impl Case {
    fn incoming(&self, recipients: &[&str], text: &str) -> Incoming {
        let client = IpAddr::from([198, 51, 100, 7]);
        let mut body = BytesMut::zeroed(HEADROOM_BYTES);
        body.extend_from_slice(text.as_bytes());
        Incoming {
            greeting: Greeting { name: "client.example".to_owned(), esmtp: true },
            settings: self.config.source(client, None, None),
            tls: None,
            user: None,
            mail: mail("MAIL FROM:<a@b.example> RET=FULL ENVID=env1"),
            recipients: recipients.iter().map(|address| rcpt(address)).collect(),
            body,
        }
    }

    fn compose(&self, incoming: Incoming) -> Result<Submission, Reply> {
        let reception = Reception {
            config: &self.config,
            rounds: &self.rounds,
            client: IpAddr::from([198, 51, 100, 7]),
            local: IpAddr::from([192, 0, 2, 20]),
            id: MessageId(1),
            at: Timestamp(1_700_000_000_000),
        };
        reception.compose(incoming)
    }

    fn accept(&self, recipients: &[&str], text: &str) -> Submission {
        self.compose(self.incoming(recipients, text)).unwrap()
    }

    /// The header section without trace field, and the body.
    fn rest(&self, text: &str) -> String {
        let body = self.accept(&["c@d.example"], text).body;
        String::from_utf8(body.to_vec()).unwrap()
    }
}

#[test]
fn the_trace_field_comes_first_and_the_text_stays() {
    let text = "Subject: hi\r\n\r\nline\r\n..dots\r\n";
    let submission = case("").accept(&["c@d.example"], text);
    let stored = String::from_utf8(submission.body.to_vec()).unwrap();
    assert!(stored.starts_with("Received: from client.example ([198.51.100.7])\r\n\t"), "{stored}");
    assert!(stored.contains("by mta.example (Convoy) with ESMTP id 00000000000000000000000001"));
    assert!(stored.contains("for <c@d.example>;"));
    assert!(stored.ends_with(text), "{stored}");
    assert_eq!(submission.envelope.size_bytes, submission.body.len() as u64);
}

#[test]
fn the_envelope_holds_what_the_client_gave() {
    let submission = case("").accept(&["c@D.example", "e@rolled.example"], "Subject: x\r\n\r\n");
    let envelope = submission.envelope;
    assert_eq!(envelope.sender, ReversePath::parse("<a@b.example>").unwrap());
    assert_eq!((envelope.ret, envelope.envid.as_deref()), (Some(Ret::Full), Some("env1")));
    let queues: Vec<String> = envelope.recipients.iter().map(|r| r.queue.to_string()).collect();
    assert_eq!(queues, ["d.example/{default}", "rollup.example/{default}"]);
    let Origin::Smtp { helo, client, .. } = envelope.origin else { panic!("not SMTP") };
    assert_eq!((helo.as_str(), client.to_string().as_str()), ("client.example", "198.51.100.7"));
}

#[test]
fn a_row_is_made_for_each_recipient_with_the_headers_asked_for() {
    let submission = case("").accept(&["c@d.example", "e@f.example"], "Subject: sale\r\n\r\n");
    let rows: Vec<(&str, &[(String, String)])> =
        submission.records.iter().map(|r| (r.rcpt.as_str(), r.headers.as_slice())).collect();
    let subject = [("Subject".to_owned(), "sale".to_owned())];
    assert_eq!(rows, [("c@d.example", &subject[..]), ("e@f.example", &subject[..])]);
}

#[test]
fn control_headers_work_and_do_not_travel_on() {
    let text = "X-Job: spring\r\nX-Envid: e2\r\nX-Virtual-MTA: one\r\nSecret: s\r\n t\r\n\
                Subject: x\r\n\r\nbody\r\n";
    let on = "process-x-job yes\nprocess-x-envid yes\nprocess-x-virtual-mta yes\n\
              remove-header Secret\nadd-received-header no";
    let case_on = case(on);
    let submission = case_on.accept(&["c@d.example"], text);
    assert_eq!(submission.body, "Subject: x\r\n\r\nbody\r\n");
    let envelope = submission.envelope;
    assert_eq!(envelope.job.as_deref(), Some("spring"));
    assert_eq!(envelope.envid.as_deref(), Some("e2"));
    assert_eq!(envelope.recipients[0].queue.to_string(), "d.example/one");

    let off = case("add-received-header no").accept(&["c@d.example"], text);
    assert_eq!(off.body, text);
    assert_eq!((off.envelope.job, off.envelope.envid.as_deref()), (None, Some("env1")));
    assert_eq!(off.envelope.recipients[0].queue.vmta, "{default}");

    let retained = case(&format!("{on}\nretain-x-job yes\nretain-x-virtual-mta yes"));
    let stored = retained.rest(text);
    assert_eq!(stored, "X-Job: spring\r\nX-Virtual-MTA: one\r\nSubject: x\r\n\r\nbody\r\n");
}

#[test]
fn another_header_can_name_the_job() {
    let case = case("jobid-header X-Campaign\nadd-received-header no");
    let submission = case.accept(&["c@d.example"], "X-Campaign: c1\r\nA: b\r\n\r\n");
    assert_eq!(submission.envelope.job.as_deref(), Some("c1"));
    assert_eq!(submission.body, "A: b\r\n\r\n");
}

#[test]
fn pools_are_drawn_in_turn_for_each_recipient() {
    let case = case("default-virtual-mta both");
    let submission = case.accept(&["a@d.example", "b@d.example", "c@d.example"], "A: b\r\n\r\n");
    let envelope = submission.envelope;
    let vmtas: Vec<&str> = envelope.recipients.iter().map(|r| r.queue.vmta.as_str()).collect();
    assert_eq!(vmtas, ["one", "two", "one"]);
    assert_eq!(envelope.vmta_pool.as_deref(), Some("both"));
    let next = case.accept(&["a@d.example"], "A: b\r\n\r\n");
    assert_eq!(next.envelope.recipients[0].queue.vmta, "two");
}

#[test]
fn the_choice_of_virtual_mta_follows_its_precedence() {
    fn check(source: &str, text: &str, expected: Result<&str, u16>) {
        let case = case(source);
        let got = case.compose(case.incoming(&["c@d.example"], text));
        let got = got.map(|s| s.envelope.recipients[0].queue.vmta.clone()).map_err(|r| r.code());
        assert_eq!(got, expected.map(str::to_owned), "{source} {text:?}");
    }
    let on = "process-x-virtual-mta yes\ndefault-virtual-mta two";
    check(on, "X-Virtual-MTA: one\r\n\r\n", Ok("one"));
    check(on, "X-Virtual-MTA: ONE\r\n\r\n", Ok("one"));
    check(on, "A: b\r\n\r\n", Ok("two"));
    check(on, "X-Virtual-MTA: nobody\r\n\r\n", Err(550));
    check(on, "X-Virtual-MTA:\r\n\r\n", Err(550));
    check(
        &format!("{on}\nallow-empty-x-virtual-mta yes"),
        "X-Virtual-MTA:\r\n\r\n",
        Ok("{default}"),
    );
    let lax = format!("{on}\nreject-invalid-virtual-mta no");
    check(&lax, "X-Virtual-MTA: nobody\r\n\r\n", Ok("{default}"));
    check("default-virtual-mta by-smtp-source-ip", "A: b\r\n\r\n", Ok("two"));
    check("", "A: b\r\n\r\n", Ok("{default}"));
}

#[test]
fn date_and_message_id_are_added_as_configured() {
    let base = "add-received-header no\n";
    let add = case(&format!("{base}add-date-header yes\nadd-message-id-header yes"));
    let stored = add.rest("A: b\r\n\r\n");
    assert!(stored.starts_with("Message-Id: <00000000000000000000000001@mta.example>\r\nDate: "));
    assert!(stored.ends_with("\r\nA: b\r\n\r\n"));
    let present = "Date: then\r\nMessage-ID: <x@y>\r\n\r\n";
    assert_eq!(add.rest(present), present);
    let stored = case(&format!("{base}add-date-header override")).rest(present);
    assert!(!stored.contains("then") && stored.starts_with("Date: "), "{stored}");
}

#[test]
fn a_message_without_header_section_gets_one() {
    let stored = case("").rest("no header here\r\n");
    assert!(stored.ends_with("\r\n\r\nno header here\r\n"), "{stored}");
    let untouched = case("add-received-header no").rest("no header here\r\n");
    assert_eq!(untouched, "no header here\r\n");
    assert!(case("").rest("").ends_with("\r\n\r\n"));
}

#[test]
fn loops_end() {
    let case = case("max-message-hops 2");
    let text = |n| format!("{}\r\n", "Received: x\r\n".repeat(n));
    assert!(case.compose(case.incoming(&["c@d.example"], &text(2))).is_ok());
    let refused = case.compose(case.incoming(&["c@d.example"], &text(3))).unwrap_err();
    assert_eq!(refused.code(), 554);
}

#[test]
fn the_source_can_be_hidden() {
    let stored = case("hide-message-source yes").rest("A: b\r\n\r\n");
    assert!(!stored.contains("198.51.100.7") && !stored.contains("client.example"), "{stored}");
}

#[test]
fn postmaster_alone_is_the_local_one() {
    let submission = case("").accept(&["postmaster"], "A: b\r\n\r\n");
    let recipient = &submission.envelope.recipients[0];
    assert_eq!(recipient.address.to_string(), "postmaster@mta.example");
    assert_eq!(recipient.queue.domain, "mta.example");
}

#[test]
fn a_section_longer_than_the_headroom_is_still_put_in_front() {
    let text = format!("A: b\r\n\r\n{}\r\n", "x".repeat(100));
    let mut body = BytesMut::zeroed(HEADROOM_BYTES);
    body.extend_from_slice(text.as_bytes());
    let section = vec![b'h'; HEADROOM_BYTES + 100];
    let stored = prefixed(body, HEADROOM_BYTES + 8, &section);
    assert_eq!(stored.len(), section.len() + 102);
    assert!(stored.starts_with(b"hhh") && stored.ends_with(b"xxx\r\n"));
}

#[test]
fn settings_are_those_of_the_transaction() {
    let case = case("");
    let mut incoming = case.incoming(&["c@d.example"], "A: b\r\n\r\n");
    let mut settings = (*incoming.settings).clone();
    settings.suppress_local_dsn = true;
    incoming.settings = Arc::new(settings);
    assert!(case.compose(incoming).unwrap().envelope.suppress_dsn);
}
