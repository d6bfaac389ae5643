use std::time::Duration;

use super::*;
use crate::clock::monotonic;
use crate::config::settings::Credentials;
use crate::smtp::address::{Address, ReversePath};
use crate::smtp::parameter::{BodyType, Notify, Ret};

fn profile() -> Profile {
    Profile {
        helo: "mta.example".to_owned(),
        credentials: None,
        login_in_clear: false,
        ignore_eight_bit: false,
        ignore_chunking: false,
        ignore_pipelining: false,
        ignore_dsn: false,
        greeting_timeout: Duration::from_secs(300),
        send_timeout: Duration::from_secs(180),
        end_timeout: Duration::from_secs(600),
        keeps_dialogue: true,
    }
}

fn rcpt(address: &str) -> Rcpt {
    let address = Address::parse(address).unwrap();
    Rcpt { address, notify: Notify::Unspecified, orcpt: None }
}

fn transaction(recipients: &[&str], body: &str) -> Transaction {
    Transaction {
        sender: ReversePath::parse("a@client.example").unwrap(),
        recipients: recipients.iter().map(|to| rcpt(to)).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        body_type: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    }
}

/// A client and a script: what the server says, what must be sent, what must be told.
struct Talk {
    client: Client,
    now: Instant,
}

impl Talk {
    fn new(profile: Profile) -> Self {
        let now = monotonic();
        Self { client: Client::new(profile, now), now }
    }

    /// Greeted, and EHLO answered with these extensions.
    fn hello(profile: Profile, extensions: &str) -> Self {
        let mut talk = Self::new(profile);
        talk.server("220 mx.example ESMTP").sends("EHLO mta.example\r\n");
        let mut lines = vec!["mx.example"];
        lines.extend(extensions.split_whitespace());
        talk.multi_line(250, &lines).tells(&[Event::Hello]);
        talk
    }

    /// Ready for a message.
    fn ready(profile: Profile, extensions: &str) -> Self {
        let mut talk = Self::hello(profile, extensions);
        talk.client.proceed(talk.now);
        talk.tells(&[Event::Ready]);
        talk
    }

    fn multi_line(&mut self, code: u16, lines: &[&str]) -> &mut Self {
        for (i, line) in lines.iter().enumerate() {
            let separator = if i + 1 == lines.len() { ' ' } else { '-' };
            self.server(&format!("{code}{separator}{}", line.replace('_', " ")));
        }
        self
    }

    fn server(&mut self, line: &str) -> &mut Self {
        self.raw(&format!("{line}\r\n"))
    }

    fn raw(&mut self, text: &str) -> &mut Self {
        self.client.receive(self.now, text.as_bytes());
        self
    }

    fn sends(&mut self, expected: &str) -> &mut Self {
        let mut sent = Vec::new();
        while let Some(bytes) = self.client.transmit(self.now) {
            sent.extend_from_slice(&bytes);
        }
        assert_eq!(String::from_utf8_lossy(&sent), expected);
        self
    }

    /// Sends what there is, whatever it is; gives its size.
    fn take(&mut self) -> usize {
        std::iter::from_fn(|| self.client.transmit(self.now)).map(|bytes| bytes.len()).sum()
    }

    fn tells(&mut self, expected: &[Event]) -> &mut Self {
        let events: Vec<_> = std::iter::from_fn(|| self.client.poll()).collect();
        assert_eq!(events, expected);
        self
    }

    /// Can still say QUIT, and does.
    fn leaves(&mut self) -> &mut Self {
        self.client.quit(self.now);
        self.sends("QUIT\r\n").server("221 bye").tells(&[Event::Closed])
    }

    fn send(&mut self, transaction: Transaction) -> &mut Self {
        self.client.send(self.now, transaction);
        self
    }

    fn finishes(&mut self, expected: &str) -> &mut Self {
        self.sends("").tells(&[Event::Finishing]);
        self.client.finish(self.now);
        self.sends(expected)
    }
}

fn answer(text: &str) -> Answer {
    AnswerReader::default().read(&mut format!("{text}\r\n").as_bytes()).unwrap().unwrap()
}

fn accepted(text: &str) -> Verdict {
    Verdict::Accepted(answer(text))
}

fn refused(phase: Phase, text: &str) -> Verdict {
    Verdict::Refused { phase, answer: answer(text) }
}

#[test]
fn a_message_goes_one_command_at_a_time_without_pipelining() {
    let mut talk = Talk::ready(profile(), "");
    talk.send(transaction(&["b@x.example"], "S: 1\r\n\r\n.dot\r\n"));
    talk.sends("MAIL FROM:<a@client.example>\r\n");
    talk.server("250 ok").sends("RCPT TO:<b@x.example>\r\n");
    talk.server("250 ok").sends("DATA\r\n");
    talk.server("354 go").finishes("S: 1\r\n\r\n..dot\r\n.\r\n");
    talk.server("250 2.0.0 queued as 1");
    talk.tells(&[Event::Done(vec![accepted("250 2.0.0 queued as 1")]), Event::Ready]);
    talk.client.quit(talk.now);
    talk.sends("QUIT\r\n").server("221 bye").tells(&[Event::Closed]);
}

#[test]
fn a_group_is_one_write_and_each_recipient_has_its_own_result() {
    let mut talk = Talk::ready(profile(), "PIPELINING SIZE_1000");
    talk.send(transaction(&["b@x.example", "c@x.example", "d@x.example"], "hello\r\n"));
    talk.sends(
        "MAIL FROM:<a@client.example> SIZE=7\r\nRCPT TO:<b@x.example>\r\n\
         RCPT TO:<c@x.example>\r\nRCPT TO:<d@x.example>\r\nDATA\r\n",
    );
    talk.raw("250 ok\r\n250 ok\r\n550 5.1.1 unknown\r\n");
    talk.raw("452 4.2.2 full\r\n354 go\r\n").finishes("hello\r\n.\r\n");
    talk.server("250 ok");
    let verdicts = vec![
        accepted("250 ok"),
        refused(Phase::Rcpt, "550 5.1.1 unknown"),
        refused(Phase::Rcpt, "452 4.2.2 full"),
    ];
    talk.tells(&[Event::Done(verdicts), Event::Ready]);
}

#[test]
fn nobody_accepted_but_data_is_ends_an_empty_message() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example"], "hello\r\n"));
    talk.sends("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
    talk.raw("250 ok\r\n550 no\r\n354 go\r\n").sends(".\r\n").server("554 no recipients");
    let no = Event::Done(vec![refused(Phase::Rcpt, "550 no")]);
    talk.tells(&[no, Event::Ready]);
}

#[test]
fn a_refused_sender_refuses_all_and_needs_no_reset() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example", "c@x.example"], "hello\r\n"));
    talk.raw("550 5.7.1 no\r\n503 order\r\n503 order\r\n503 order\r\n");
    let no = refused(Phase::Mail, "550 5.7.1 no");
    talk.tells(&[Event::Done(vec![no.clone(), no]), Event::Ready]);
    talk.take();
    talk.send(transaction(&["d@x.example"], "hello\r\n"));
    talk.sends("MAIL FROM:<a@client.example>\r\nRCPT TO:<d@x.example>\r\nDATA\r\n");
}

#[test]
fn a_transaction_that_is_left_open_is_reset_before_the_next() {
    let mut talk = Talk::ready(profile(), "");
    talk.send(transaction(&["b@x.example"], "hello\r\n")).sends("MAIL FROM:<a@client.example>\r\n");
    talk.server("250 ok").sends("RCPT TO:<b@x.example>\r\n").server("550 no");
    talk.tells(&[Event::Done(vec![refused(Phase::Rcpt, "550 no")]), Event::Ready]);
    talk.send(transaction(&["c@x.example"], "hello\r\n")).sends("RSET\r\n");
    talk.server("250 ok").sends("MAIL FROM:<a@client.example>\r\n");
}

#[test]
fn a_refused_message_refuses_all_that_were_taken() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example", "c@x.example"], "hello\r\n"));
    talk.raw("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n");
    talk.take();
    talk.finishes("hello\r\n.\r\n").server("554 5.7.1 spam");
    let verdicts =
        vec![refused(Phase::End, "554 5.7.1 spam"), refused(Phase::Rcpt, "550 5.1.1 no")];
    talk.tells(&[Event::Done(verdicts), Event::Ready]);
}

#[test]
fn data_refused_is_the_result_of_all_that_were_taken() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example"], "hello\r\n"));
    talk.raw("250 ok\r\n250 ok\r\n451 4.3.0 later\r\n");
    let later = refused(Phase::Data, "451 4.3.0 later");
    talk.tells(&[Event::Done(vec![later]), Event::Ready]);
}

#[test]
fn bdat_sends_the_message_as_it_is() {
    let mut talk = Talk::ready(profile(), "PIPELINING CHUNKING 8BITMIME");
    talk.send(transaction(&["b@x.example"], ".d\u{fc}\r\n"));
    talk.sends("MAIL FROM:<a@client.example> BODY=8BITMIME\r\nRCPT TO:<b@x.example>\r\n");
    talk.raw("250 ok\r\n250 ok\r\n").sends("BDAT 6 LAST\r\n").tells(&[Event::Finishing]);
    talk.client.finish(talk.now);
    talk.sends(".d\u{fc}\r\n").server("250 ok");
    talk.tells(&[Event::Done(vec![accepted("250 ok")]), Event::Ready]);
}

#[test]
fn a_large_message_comes_in_slices_and_its_end_waits() {
    let mut talk = Talk::ready(profile(), "");
    let body = "0123456\r\n".repeat(20_000);
    talk.send(transaction(&["b@x.example"], &body));
    talk.raw("250 ok\r\n").take();
    talk.take();
    talk.raw("250 ok\r\n").take();
    talk.raw("354 go\r\n");
    let mut sent = 0;
    while let Some(slice) = talk.client.transmit(talk.now) {
        sent += slice.len();
    }
    assert!(sent > 100_000 && sent < body.len());
    talk.finishes(&format!("{}.\r\n", &body[sent..]));
}

#[test]
fn what_the_server_lacks_bounces_without_a_word() {
    fn check(extensions: &str, to: &str, body: &str, smtputf8: bool, expected: Option<Lack>) {
        let mut talk = Talk::ready(profile(), extensions);
        talk.send(Transaction { smtputf8, ..transaction(&[to], body) });
        match expected {
            Some(lack) => {
                let done = Event::Done(vec![Verdict::Lacks(lack)]);
                talk.sends("").tells(&[done, Event::Ready]);
            }
            None => assert!(talk.tells(&[]).take() > 0),
        }
    }
    let to = "b@x.example";
    check("", to, "plain\r\n", false, None);
    check("", to, "gr\u{fc}n\r\n", false, Some(Lack::EightBit));
    check("8BITMIME", to, "gr\u{fc}n\r\n", false, None);
    check("8BITMIME", "gr\u{fc}n@x.example", "x\r\n", true, Some(Lack::SmtpUtf8));
    check("8BITMIME SMTPUTF8", "gr\u{fc}n@x.example", "x\r\n", true, None);
    check("8BITMIME", to, "S: gr\u{fc}n\r\n\r\n", true, Some(Lack::SmtpUtf8));
    check("8BITMIME", to, "S: x\r\n\r\ngr\u{fc}n", true, None);
    check("SIZE_5", to, "123456", false, Some(Lack::Size { limit_bytes: 5 }));
    check("SIZE_6", to, "123456", false, None);
    check("SIZE_0", to, "123456", false, None);
    check("SIZE", to, "123456", false, None);
}

#[test]
fn one_recipient_that_needs_utf8_does_not_stop_the_others() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["gr\u{fc}n@x.example", "b@x.example"], "x\r\n"));
    talk.sends("MAIL FROM:<a@client.example>\r\nRCPT TO:<b@x.example>\r\nDATA\r\n");
    talk.raw("250 ok\r\n250 ok\r\n354 go\r\n").finishes("x\r\n.\r\n").server("250 ok");
    let verdicts = vec![Verdict::Lacks(Lack::SmtpUtf8), accepted("250 ok")];
    talk.tells(&[Event::Done(verdicts), Event::Ready]);
}

#[test]
fn dsn_parameters_are_passed_on_when_offered() {
    let wanted = || {
        let mut wanted = transaction(&["b@x.example", "c@x.example"], "x\r\n");
        wanted.ret = Some(Ret::Headers);
        wanted.envid = Some("id+1".to_owned());
        wanted.recipients[0].notify = Notify::On { success: true, failure: true, delay: false };
        wanted.recipients[0].orcpt = Some("rfc822;B=b@x.example".to_owned());
        wanted.recipients[1].notify = Notify::Never;
        wanted
    };
    let mut talk = Talk::ready(profile(), "PIPELINING DSN");
    talk.send(wanted()).sends(
        "MAIL FROM:<a@client.example> RET=HDRS ENVID=id+2B1\r\n\
         RCPT TO:<b@x.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+3Db@x.example\r\n\
         RCPT TO:<c@x.example> NOTIFY=NEVER\r\nDATA\r\n",
    );
    let plain = "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@x.example>\r\n\
                 RCPT TO:<c@x.example>\r\nDATA\r\n";
    Talk::ready(profile(), "PIPELINING").send(wanted()).sends(plain);
    let ignoring = Profile { ignore_dsn: true, ..profile() };
    Talk::ready(ignoring, "PIPELINING DSN").send(wanted()).sends(plain);
}

#[test]
fn ehlo_refused_is_helo() {
    let mut talk = Talk::new(profile());
    talk.multi_line(220, &["mx", "welcome"]).sends("EHLO mta.example\r\n");
    talk.server("502 what?").sends("HELO mta.example\r\n");
    talk.server("250 mx").tells(&[Event::Hello]);
    assert_eq!(*talk.client.extensions(), Extensions::default());
}

#[test]
fn tls_starts_afresh() {
    let mut talk = Talk::hello(profile(), "STARTTLS PIPELINING CHUNKING");
    talk.client.start_tls(talk.now);
    talk.sends("STARTTLS\r\n").server("220 go").tells(&[Event::StartTls]);
    assert_eq!(talk.client.deadline(), None);
    talk.client.tls_started(talk.now);
    talk.sends("EHLO mta.example\r\n").server("250 mx").tells(&[Event::Hello]);
    assert_eq!(*talk.client.extensions(), Extensions::default());
    talk.client.start_tls(talk.now);
    talk.sends("");
}

#[test]
fn a_byte_between_the_answer_to_starttls_and_the_handshake_ends_the_session() {
    for injected in ["250 fake\r\n", "2", "\r"] {
        let mut talk = Talk::hello(profile(), "STARTTLS");
        talk.client.start_tls(talk.now);
        talk.sends("STARTTLS\r\n").raw(&format!("220 go\r\n{injected}"));
        talk.tells(&[Event::Failed(Failure::Injected)]).sends("");
    }
}

#[test]
fn starttls_refused_leaves_the_session_as_it_was() {
    let mut talk = Talk::hello(profile(), "STARTTLS PIPELINING");
    talk.client.start_tls(talk.now);
    talk.sends("STARTTLS\r\n").server("454 4.7.0 not now");
    talk.tells(&[Event::TlsRefused(answer("454 4.7.0 not now"))]);
    talk.client.proceed(talk.now);
    talk.tells(&[Event::Ready]);
    assert!(talk.client.extensions().pipelining);
}

#[test]
fn login_needs_tls_or_leave() {
    let credentials = Some(Credentials { username: "u".to_owned(), password: "geheim".to_owned() });
    let with = || Profile { credentials: credentials.clone(), ..profile() };
    let mut talk = Talk::hello(with(), "AUTH_PLAIN");
    talk.client.proceed(talk.now);
    talk.tells(&[Event::Failed(Failure::NoMechanism { needs_tls: true })]).leaves();

    let mut talk = Talk::hello(Profile { login_in_clear: true, ..with() }, "AUTH_PLAIN");
    talk.client.proceed(talk.now);
    talk.sends("AUTH PLAIN AHUAZ2VoZWlt\r\n").server("235 ok").tells(&[Event::Ready]);
    let lines: Vec<_> = std::iter::from_fn(|| talk.client.take_line()).collect();
    assert!(lines.contains(&Line::Sent("AUTH PLAIN ****".to_owned())), "{lines:?}");

    let mut talk = Talk::hello(with(), "STARTTLS");
    talk.client.start_tls(talk.now);
    talk.sends("STARTTLS\r\n").server("220 go").tells(&[Event::StartTls]);
    talk.client.tls_started(talk.now);
    talk.sends("EHLO mta.example\r\n").raw("250-mx\r\n250 AUTH LOGIN\r\n").tells(&[Event::Hello]);
    talk.client.proceed(talk.now);
    talk.sends("AUTH LOGIN\r\n").server("334 VXNlcm5hbWU6").sends("dQ==\r\n");
    talk.server("334 UGFzc3dvcmQ6").sends("Z2VoZWlt\r\n").server("535 5.7.8 no");
    talk.tells(&[Event::Failed(Failure::Login(answer("535 5.7.8 no")))]).leaves();
    let lines: Vec<_> = std::iter::from_fn(|| talk.client.take_line()).collect();
    assert!(!format!("{lines:?}").contains("Z2VoZWlt"), "{lines:?}");
}

#[test]
fn a_refused_session_ends_in_good_order() {
    let mut talk = Talk::new(profile());
    let refusal = answer("554 5.7.1 not you");
    talk.server("554 5.7.1 not you").tells(&[Event::Failed(Failure::Greeting(refusal))]).leaves();

    let mut talk = Talk::new(profile());
    talk.server("220 mx").sends("EHLO mta.example\r\n").server("502 no");
    talk.sends("HELO mta.example\r\n").server("550 no");
    talk.tells(&[Event::Failed(Failure::Hello(answer("550 no")))]).leaves();
}

#[test]
fn code_421_ends_the_session_wherever_it_comes() {
    let closing = |phase| Failure::ServiceClosed { phase, answer: answer("421 4.3.2 bye") };
    let failed = |phase| Event::Failed(closing(phase));
    Talk::new(profile()).server("421 4.3.2 bye").tells(&[failed(Phase::Greeting)]);

    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.server("421 4.3.2 bye").tells(&[failed(Phase::Idle)]);

    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example", "c@x.example"], "x\r\n"));
    talk.raw("250 ok\r\n550 no\r\n421 4.3.2 bye\r\n");
    let verdicts = vec![refused(Phase::Rcpt, "550 no"), Verdict::Broken(closing(Phase::Rcpt))];
    talk.tells(&[Event::Done(verdicts), failed(Phase::Rcpt)]).sends("");
}

#[test]
fn a_lost_connection_leaves_what_was_decided() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example", "c@x.example"], "x\r\n"));
    talk.raw("250 ok\r\n550 no\r\n250 ok\r\n354 go\r\n");
    talk.client.connection_closed("connection reset");
    let failure = Failure::Closed { phase: Phase::Body, cause: "connection reset".to_owned() };
    let verdicts = vec![refused(Phase::Rcpt, "550 no"), Verdict::Broken(failure.clone())];
    talk.tells(&[Event::Done(verdicts), Event::Failed(failure)]);
}

#[test]
fn an_answer_before_the_end_of_the_message_refuses_it_and_ends_the_session() {
    let mut talk = Talk::ready(profile(), "PIPELINING");
    talk.send(transaction(&["b@x.example"], "x\r\n"));
    talk.raw("250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 too big\r\n");
    let failure = Failure::Unexpected { phase: Phase::Body, answer: answer("552 5.3.4 too big") };
    let verdicts = vec![refused(Phase::End, "552 5.3.4 too big")];
    talk.tells(&[Event::Done(verdicts), Event::Failed(failure)]);
}

#[test]
fn every_wait_has_an_end() {
    let mut talk = Talk::new(profile());
    let wait = |talk: &Talk| talk.client.deadline().unwrap() - talk.now;
    assert_eq!(wait(&talk), Duration::from_secs(300));
    talk.server("220 mx").sends("EHLO mta.example\r\n").server("250 PIPELINING");
    talk.tells(&[Event::Hello]);
    talk.client.proceed(talk.now);
    talk.tells(&[Event::Ready]);
    assert_eq!(talk.client.deadline(), None, "how long to stay idle is the caller's choice");
    talk.send(transaction(&["b@x.example"], "x\r\n"));
    assert_eq!(wait(&talk), Duration::from_secs(300));
    talk.raw("250 ok\r\n").take();
    talk.take();
    talk.raw("250 ok\r\n").take();
    assert_eq!(wait(&talk), Duration::from_secs(120));
    talk.server("354 go");
    assert_eq!(wait(&talk), Duration::from_secs(180));
    talk.finishes("x\r\n.\r\n");
    assert_eq!(wait(&talk), Duration::from_secs(600));
    talk.client.expire(talk.now + Duration::from_secs(599));
    talk.tells(&[]);
    talk.client.expire(talk.now + Duration::from_secs(600));
    let failure = Failure::TimedOut(Phase::End);
    let verdicts = vec![Verdict::Broken(failure.clone())];
    talk.tells(&[Event::Done(verdicts), Event::Failed(failure)]);
}

#[test]
fn a_flood_and_nonsense_end_the_session() {
    let mut talk = Talk::new(profile());
    talk.raw(&"220-x\r\n".repeat(200));
    let garbled = Failure::Garbled { phase: Phase::Greeting, cause: AnswerError::TooLong };
    talk.tells(&[Event::Failed(garbled)]);

    let mut talk = Talk::ready(profile(), "");
    talk.send(transaction(&["b@x.example"], "x\r\n")).raw("HTTP/1.1 400 Bad Request\r\n");
    let cause = AnswerError::NotAReply("HTTP/1.1 400 Bad Request".to_owned());
    let failure = Failure::Garbled { phase: Phase::Mail, cause };
    let verdicts = vec![Verdict::Broken(failure.clone())];
    talk.tells(&[Event::Done(verdicts), Event::Failed(failure)]);

    let mut talk = Talk::ready(profile(), "");
    talk.send(transaction(&["b@x.example"], "x\r\n")).server("354 go");
    let failure = Failure::Unexpected { phase: Phase::Mail, answer: answer("354 go") };
    let verdicts = vec![Verdict::Broken(failure.clone())];
    talk.tells(&[Event::Done(verdicts), Event::Failed(failure)]);
}

#[test]
fn a_transcript_cut_at_every_byte_ends_the_same() {
    let server =
        "220 mx\r\n|250-mx\r\n250 PIPELINING\r\n|250 ok\r\n250 ok\r\n354 go\r\n|250 ok\r\n";
    let run = |pieces: &[&str]| {
        let mut talk = Talk::new(profile());
        let mut sent = Vec::new();
        for piece in pieces {
            talk.client.receive(talk.now, piece.as_bytes());
            loop {
                while let Some(bytes) = talk.client.transmit(talk.now) {
                    sent.extend_from_slice(&bytes);
                }
                match talk.client.poll() {
                    Some(Event::Hello) => talk.client.proceed(talk.now),
                    Some(Event::Ready) => {
                        talk.client.send(talk.now, transaction(&["b@x.example"], "x\r\n"));
                    }
                    Some(Event::Finishing) => talk.client.finish(talk.now),
                    Some(Event::Done(_)) => return sent,
                    Some(event) => panic!("{event:?}"),
                    None => break,
                }
            }
        }
        panic!("the transcript ended early")
    };
    let whole = run(&server.split('|').collect::<Vec<_>>());
    let text = server.replace('|', "");
    let bytes: Vec<_> = (0..text.len()).map(|i| &text[i..=i]).collect();
    assert_eq!(run(&bytes), whole);
}
