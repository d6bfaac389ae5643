use proptest::prelude::*;

use super::*;

fn code(line: &str) -> Result<Command, u16> {
    Command::parse(line.as_bytes()).map_err(|e| e.reply().code())
}

#[test]
fn reads_the_simple_commands() {
    fn check(line: &str, expected: Result<Command, u16>) {
        assert_eq!(code(line), expected, "{line:?}");
    }
    check("EHLO mail.example", Ok(Command::Ehlo("mail.example".to_owned())));
    check("helo [192.0.2.1]  ", Ok(Command::Helo("[192.0.2.1]".to_owned())));
    check("EHLO", Err(501));
    check("EHLO a b", Err(501));
    check("EHLO ü", Err(501));
    check(&format!("EHLO {}", "a".repeat(256)), Err(501));
    check("DATA", Ok(Command::Data));
    check("data ", Ok(Command::Data));
    check("DATA now", Err(501));
    check("STARTTLS", Ok(Command::StartTls));
    check("STARTTLS x", Err(501));
    check("RSET", Ok(Command::Rset));
    check("QUIT now", Err(501));
    check("NOOP whatever", Ok(Command::Noop));
    check("BDAT 10", Ok(Command::Bdat { size_bytes: 10, last: false }));
    check("BDAT 0 last", Ok(Command::Bdat { size_bytes: 0, last: true }));
    check("BDAT", Err(501));
    check("BDAT -1", Err(501));
    check("BDAT +1", Err(501));
    check("BDAT 1 FIRST", Err(501));
    check("BDAT 1 LAST x", Err(501));
    check("BDAT 99999999999999999999", Err(501));
    check(
        "AUTH plain =",
        Ok(Command::Auth { mechanism: "PLAIN".into(), initial: Some("=".into()) }),
    );
    check("AUTH LOGIN", Ok(Command::Auth { mechanism: "LOGIN".into(), initial: None }));
    check("AUTH", Err(501));
    check("AUTH PLAIN a b", Err(501));
    check("", Err(500));
    check("XYZZY", Err(500));
    check("GET / HTTP/1.1", Err(554));
    check("NOOP a\rb", Err(500));
    check("NOOP a\0b", Err(500));
    check("NOOP\tb", Err(500));
}

#[test]
fn reads_mail_with_parameters() {
    let command = code(
        "MAIL FROM:<a@b.c> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By AUTH=a+40b.c",
    );
    let expected = MailFrom {
        path: ReversePath::parse("a@b.c").unwrap(),
        size_bytes: Some(1000),
        body: BodyType::EightBitMime,
        smtputf8: true,
        ret: Some(Ret::Headers),
        envid: Some("x+y".to_owned()),
    };
    assert_eq!(command, Ok(Command::Mail(expected)));
}

#[test]
fn refuses_bad_mail_commands() {
    fn check(arguments: &str, expected: u16) {
        assert_eq!(code(&format!("MAIL {arguments}")).err(), Some(expected), "{arguments:?}");
    }
    check("", 501);
    check("FROM", 501);
    check("FROM:", 501);
    check("FROM:a@b.c", 501);
    check("TO:<a@b.c>", 501);
    check("FROM:<a@b.c>SIZE=1", 501);
    check("FROM:<a@b.c", 501);
    check("FROM:<a@>", 501);
    check("FROM:<a@b.c> SIZE=1 SIZE=1", 501);
    check("FROM:<a@b.c> SIZE=x", 501);
    check("FROM:<a@b.c> SIZE=", 501);
    check("FROM:<a@b.c> SIZE", 501);
    check("FROM:<a@b.c> SIZE=123456789012345678901", 501);
    check("FROM:<a@b.c> BODY=BINARYMIME", 501);
    check("FROM:<a@b.c> SMTPUTF8=yes", 501);
    check("FROM:<a@b.c> RET=ALL", 501);
    check("FROM:<a@b.c> ENVID=a=b", 501);
    check(&format!("FROM:<a@b.c> ENVID={}", "x".repeat(101)), 501);
    check("FROM:<a@b.c> AUTH=nobody", 501);
    check("FROM:<a@b.c> NOTIFY=NEVER", 555);
    check("FROM:<a@b.c> VERP", 555);
}

#[test]
fn reads_recipients() {
    let command = code("RCPT TO: <a@b.c> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@b.c");
    let expected = RcptTo {
        address: Address::parse("a@b.c").unwrap(),
        notify: Notify::On { success: true, failure: false, delay: true },
        orcpt: Some("rfc822;x+y@b.c".to_owned()),
    };
    assert_eq!(command, Ok(Command::Rcpt(expected)));

    fn check(arguments: &str, expected: u16) {
        assert_eq!(code(&format!("RCPT {arguments}")).err(), Some(expected), "{arguments:?}");
    }
    check("TO:<>", 501);
    check("TO:<user>", 501);
    check("TO:<a@b.c> NOTIFY=NEVER,SUCCESS", 501);
    check("TO:<a@b.c> NOTIFY=NEVER NOTIFY=NEVER", 501);
    check("TO:<a@b.c> ORCPT=a@b.c", 501);
    check("TO:<a@b.c> ORCPT=;a@b.c", 501);
    check("TO:<a@b.c> ORCPT=rfc822;a+0Db", 501);
    check(&format!("TO:<a@b.c> ORCPT=rfc822;{}", "x".repeat(500)), 501);
    check("TO:<a@b.c> SIZE=1", 555);
}

#[test]
fn longer_lines_are_for_those_who_need_them() {
    assert_eq!(max_line_bytes(b"NOOP"), 512);
    assert_eq!(max_line_bytes(b"x"), 512);
    assert_eq!(max_line_bytes(b"mail FROM:<>"), 2048);
    assert_eq!(max_line_bytes(b"Rcpt"), 2048);
    assert_eq!(max_line_bytes(b"AUTH PLAIN"), 12_288);
}

proptest! {
    #[test]
    fn any_line_is_read_or_refused(line in any::<Vec<u8>>()) {
        let _ = Command::parse(&line);
    }

    #[test]
    fn near_misses_are_read_or_refused(
        verb in "(MAIL FROM:|RCPT TO:|BDAT |AUTH |EHLO )",
        rest in "[<>@a.\"\\\\ =;,+0-9A-Z\u{e4}-]{0,40}",
    ) {
        let _ = Command::parse(format!("{verb}{rest}").as_bytes());
    }
}
