use super::*;
use crate::config::{Config, Lookup};
use crate::smtp::client::{AnswerError, Verdict};
use crate::smtp::reply::Enhanced;

fn settings(text: &str) -> DomainSettings {
    let config = Config::from_text(&format!("<domain *>\n{text}\n</domain>\n")).unwrap();
    config.queue("x.example", "{default}").as_ref().clone()
}

fn answer(code: u16, enhanced: Option<(u8, u16, u16)>) -> Answer {
    let lines = vec!["text".to_owned()];
    Answer { code, enhanced: enhanced.map(|(c, s, d)| Enhanced(c, s, d)), lines }
}

fn refused(phase: Phase, code: u16, enhanced: Option<(u8, u16, u16)>) -> Verdict {
    Verdict::Refused { phase, answer: answer(code, enhanced) }
}

fn closed(phase: Phase) -> Failure {
    Failure::Closed { phase, cause: String::new() }
}

#[test]
fn verdicts_become_outcomes() {
    fn check(text: &str, verdict: &Verdict, class: Class, status: (u8, u16, u16)) {
        let outcome = recipient(verdict, "mx (192.0.2.1)", &settings(text));
        let expected = (class, Status(status.0, status.1, status.2));
        assert_eq!((outcome.class, outcome.status), expected, "{verdict:?}");
        assert_eq!(outcome.mta, "mx (192.0.2.1)");
        assert!(!outcome.diagnostic().is_empty(), "{verdict:?}");
    }
    let (good, bad, later) = (Class::Delivered, Class::Bounced, Class::Deferred);
    check("", &Verdict::Accepted(answer(250, None)), good, (2, 0, 0));
    check("", &Verdict::Accepted(answer(250, Some((2, 6, 0)))), good, (2, 6, 0));
    check("", &refused(Phase::Rcpt, 550, Some((5, 1, 1))), bad, (5, 1, 1));
    check("", &refused(Phase::Rcpt, 550, None), bad, (5, 0, 0));
    check("", &refused(Phase::Rcpt, 450, None), later, (4, 0, 0));
    check("", &refused(Phase::End, 452, Some((4, 2, 2))), later, (4, 2, 2));
    check("", &refused(Phase::Rcpt, 553, None), bad, (5, 1, 1));
    check("", &refused(Phase::Mail, 553, None), bad, (5, 0, 0));
    check("", &refused(Phase::Rcpt, 553, Some((5, 7, 1))), bad, (5, 7, 1));
    check("smtp-553-means-invalid-mailbox no", &refused(Phase::Rcpt, 553, None), bad, (5, 0, 0));
    check("", &Verdict::Lacks(Lack::EightBit), bad, (5, 6, 3));
    check("", &Verdict::Lacks(Lack::SmtpUtf8), bad, (5, 6, 7));
    check("", &Verdict::Lacks(Lack::Size { limit_bytes: 1 }), bad, (5, 3, 4));
    let gone = Failure::ServiceClosed { phase: Phase::Rcpt, answer: answer(421, None) };
    check("", &Verdict::Broken(gone), later, (4, 3, 2));
    check("", &Verdict::Broken(closed(Phase::Body)), later, (4, 4, 2));
    let transfer = "bounce-upon-transfer-failure yes";
    check(transfer, &Verdict::Broken(closed(Phase::Body)), bad, (5, 4, 2));
    check(transfer, &Verdict::Broken(closed(Phase::Rcpt)), later, (4, 4, 2));
    let silent = Verdict::Broken(Failure::TimedOut(Phase::End));
    check("", &silent, later, (4, 4, 2));
    check("assume-delivery-upon-data-termination-timeout yes", &silent, good, (2, 0, 0));
    let cause = AnswerError::TooLong;
    let garbled = Failure::Garbled { phase: Phase::Rcpt, cause };
    check("", &Verdict::Broken(garbled), later, (4, 5, 0));
}

#[test]
fn failures_of_sessions_hold_the_queue() {
    fn check(text: &str, failure: &Failure, bounces: bool, status: (u8, u16, u16)) {
        let result = session(failure, "mx (192.0.2.1)", &settings(text));
        let expected = Status(status.0, status.1, status.2);
        assert_eq!(result.outcome().status, expected, "{failure:?}");
        assert_eq!(matches!(result, QueueFailure::Bounce { .. }), bounces, "{failure:?}");
    }
    let greeting = |code, enhanced| Failure::Greeting(answer(code, enhanced));
    check("", &greeting(554, None), true, (5, 0, 0));
    check("", &greeting(554, Some((5, 7, 1))), true, (5, 7, 1));
    check("bounce-upon-5xx-greeting no", &greeting(554, Some((5, 7, 1))), false, (4, 7, 1));
    check("", &greeting(450, None), false, (4, 3, 2));
    check("", &Failure::Hello(answer(550, Some((5, 7, 1)))), false, (4, 7, 1));
    check("", &Failure::Login(answer(535, Some((5, 7, 8)))), false, (4, 7, 8));
    check("", &Failure::Login(answer(535, None)), false, (4, 7, 0));
    check("", &Failure::TimedOut(Phase::Greeting), false, (4, 4, 1));
    check("", &closed(Phase::Greeting), false, (4, 4, 2));
    check("", &Failure::Injected, false, (4, 7, 5));
}

#[test]
fn routes_that_lead_nowhere() {
    let check = |text: &str, error: &RouteError, expected: (u8, u16, u16), bounces: Option<u64>| {
        let result = route(error, &settings(text));
        let status = Status(expected.0, expected.1, expected.2);
        assert_eq!(result.outcome().status, status, "{error:?}");
        let after = match &result {
            QueueFailure::Bounce { after, .. } => Some(after.as_secs()),
            QueueFailure::Retry(_) | QueueFailure::RetryDns(_) => None,
        };
        assert_eq!(after, bounces, "{error:?}");
        let waiting = result.while_waiting();
        let temporary = Status(4, expected.1, expected.2);
        assert_eq!((waiting.class, waiting.status), (Class::Deferred, temporary), "{error:?}");
    };
    check("", &RouteError::NoSuchDomain, (5, 1, 2), Some(0));
    check("", &RouteError::NullMx, (5, 1, 10), Some(0));
    check("", &RouteError::Loop, (5, 4, 6), Some(0));
    check("", &RouteError::NoMx, (4, 4, 4), None);
    check("bounce-upon-no-mx yes", &RouteError::NoMx, (5, 4, 4), Some(0));
    check("bounce-upon-no-mx 1h", &RouteError::NoMx, (5, 4, 4), Some(3600));
    let temporary = RouteError::Temporary("SERVFAIL".to_owned());
    check("", &temporary, (4, 4, 3), None);
    assert!(matches!(route(&temporary, &settings("")), QueueFailure::RetryDns(_)));
}

#[test]
fn an_expired_message_keeps_its_last_reason() {
    let last = recipient(&refused(Phase::Rcpt, 452, Some((4, 2, 2))), "mx", &settings(""));
    let outcome = expired(Some(&last));
    assert_eq!((outcome.class, outcome.status), (Class::Bounced, Status(5, 4, 7)));
    assert_eq!(outcome.diagnostic(), "smtp;452 text");
    assert_eq!(expired(None).diagnostic(), "X-Convoy;message expired");
}
