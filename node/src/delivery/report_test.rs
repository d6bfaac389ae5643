use super::*;
use crate::config::DomainSettings;
use crate::delivery::fixture::{GROUP, Message};
use crate::delivery::record::Path;
use crate::id::Locator;
use crate::message::Status;
use crate::queue::model::Stored;

const HOUR_S: u64 = 3600;

struct Case {
    config: Config,
    settings: DomainSettings,
    stored: Stored,
    path: Path,
    now: Timestamp,
}

impl Case {
    fn new(text: &str, message: Message<'_>) -> Self {
        let text =
            format!("<domain *>\n{text}\n</domain>\n<acct-file a.csv>\n records d\n</acct-file>");
        let config = Config::from_text(&text).unwrap();
        let settings = config.queue("x.example", DEFAULT_VMTA).as_ref().clone();
        let now = Timestamp(1_000_000_000_000);
        let stored = message.stored(Locator { group: GROUP, index: 1, slot: 0 }, now);
        Self { config, settings, stored, path: Path::default(), now }
    }

    fn reports(&self, outcomes: &[Outcome]) -> Vec<Report> {
        let attempt = Attempt {
            config: &self.config,
            settings: &self.settings,
            stored: &self.stored,
            body: b"Subject: x\r\n\r\nbody\r\n",
            path: &self.path,
            now: self.now,
        };
        let tried = outcomes.iter().zip(&self.stored.waiting);
        let tried = tried.map(|(outcome, waiting)| Tried {
            waiting,
            outcome: outcome.clone(),
            counts: true,
        });
        reports(&attempt, tried.collect(), 0.0)
    }

    fn notices(&self, outcomes: &[Outcome]) -> usize {
        self.reports(outcomes).iter().filter(|report| report.notice.is_some()).count()
    }
}

fn outcome(class: Class) -> Outcome {
    classify::own(class, Status(4, 0, 0), "because")
}

#[test]
fn notices_go_to_those_who_want_them() {
    let on = |success, failure, delay| Notify::On { success, failure, delay };
    let check = |notify, class, expected| {
        let case = Case::new("", Message { notify, ..Message::default() });
        assert_eq!(case.notices(&[outcome(class)]), expected, "{notify:?} {class:?}");
    };
    check(Notify::Unspecified, Class::Bounced, 1);
    check(Notify::Unspecified, Class::Delivered, 0);
    check(Notify::Unspecified, Class::Deferred, 0);
    check(Notify::Never, Class::Bounced, 0);
    check(on(true, false, false), Class::Bounced, 0);
    check(on(true, false, false), Class::Delivered, 1);
    check(on(false, true, false), Class::Bounced, 1);
}

#[test]
fn nobody_is_told_about_mail_from_nobody() {
    let case = Case::new("", Message { from: "", ..Message::default() });
    assert_eq!(case.notices(&[outcome(Class::Bounced)]), 0);
    let mut case = Case::new("", Message::default());
    case.stored.envelope.suppress_dsn = true;
    assert_eq!(case.notices(&[outcome(Class::Bounced)]), 0);
}

#[test]
fn a_server_that_passes_requests_on_reports_for_itself() {
    let notify = Notify::On { success: true, failure: true, delay: false };
    let mut case = Case::new("", Message { notify, ..Message::default() });
    case.path.passes_dsn = true;
    assert_eq!(case.notices(&[outcome(Class::Delivered)]), 0);
    assert_eq!(case.notices(&[outcome(Class::Bounced)]), 1);
}

#[test]
fn a_delay_is_told_once_per_interval() {
    let notify = Notify::On { success: false, failure: true, delay: true };
    let told = |age_s| {
        let message = Message { notify, age_s, ..Message::default() };
        Case::new("retry-after 1h", message).notices(&[outcome(Class::Deferred)])
    };
    let told: Vec<_> = (0..9).map(|hour| told(hour * HOUR_S)).collect();
    assert_eq!(told, [0, 0, 0, 1, 0, 0, 0, 1, 0]);
}

#[test]
fn an_attempt_that_was_the_last_bounces_with_its_reason() {
    let message = Message { age_s: 2 * HOUR_S, ..Message::default() };
    let case = Case::new("bounce-after 1h", message);
    let reports = case.reports(&[outcome(Class::Deferred)]);
    let result = &reports[0].results[0];
    assert_eq!((result.outcome.class, result.outcome.status), (Class::Bounced, Status(5, 4, 7)));
    assert_eq!(result.outcome.reason, "because");
    assert!(reports[0].notice.is_some());
}

#[test]
fn results_with_the_same_notice_share_a_report() {
    let to = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
    let case = Case::new("", Message { to: &to, ..Message::default() });
    let classes = [Class::Delivered, Class::Bounced, Class::Deferred, Class::Bounced];
    let reports = case.reports(&classes.map(outcome));
    let shape: Vec<_> = reports
        .iter()
        .map(|report| {
            let numbers: Vec<_> = report.results.iter().map(|r| r.recipient).collect();
            (numbers, report.notice.is_some())
        })
        .collect();
    assert_eq!(shape, [(vec![0, 2], false), (vec![1, 3], true)]);
    let rows = reports.iter().flat_map(|r| &r.results).filter(|r| r.record.is_some()).count();
    assert_eq!(rows, 1, "only deliveries are wanted");
}
