//! One message on its way to one server: MAIL, RCPT and DATA or BDAT, and who was accepted.

use std::collections::VecDeque;
use std::fmt::Write as _;

use bytes::Bytes;

use super::answer::Answer;
use super::body::BodyWriter;
use super::extension::Extensions;
use super::failure::{Failure, Lack, Phase, Verdict};
use super::profile::Profile;
use crate::smtp::address::{Address, ReversePath};
use crate::smtp::parameter::{BodyType, Notify, Ret};
use crate::smtp::xtext;

/// A message to send, with those of its recipients that go in this transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// `MAIL FROM`.
    pub sender: ReversePath,
    /// `RCPT TO`; at least one.
    pub recipients: Vec<Rcpt>,
    /// The message with CRLF line ends, not dot-stuffed.
    pub body: Bytes,
    /// As the sender declared it.
    pub body_type: BodyType,
    /// The sender asked for SMTPUTF8.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
}

/// One recipient of a transaction.
#[derive(Clone, Debug)]
pub struct Rcpt {
    /// The forward path.
    pub address: Address,
    /// `NOTIFY=`.
    pub notify: Notify,
    /// `ORCPT=`, decoded, address type included.
    pub orcpt: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// The end of a message that no recipient was accepted for.
    EmptyEnd,
}

impl Step {
    const fn phase(self) -> Phase {
        match self {
            Self::Reset => Phase::Reset,
            Self::Mail => Phase::Mail,
            Self::Rcpt(_) => Phase::Rcpt,
            Self::Data => Phase::Data,
            Self::EmptyEnd => Phase::End,
        }
    }
}

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// More answers are to come.
    Wait,
    /// Send the next commands.
    Send,
    /// Send the message.
    Body,
    /// Send the end of a message that has no recipients.
    EmptyEnd,
    /// The transaction is over.
    Done {
        /// The server still has a transaction open.
        needs_reset: bool,
    },
    /// The session cannot go on.
    Failed(Failure),
}

/// Where a recipient stands.
#[derive(Debug)]
enum Standing {
    Open,
    /// RCPT was accepted.
    Taken,
    Decided(Verdict),
}

/// A transaction that is going on.
#[derive(Debug)]
pub(super) struct Course {
    transaction: Transaction,
    standings: Vec<Standing>,
    mail: String,
    dsn: bool,
    by_bdat: bool,
    pipelined: bool,
    unsent: VecDeque<Step>,
    awaited: VecDeque<Step>,
    mail_refusal: Option<Answer>,
}

impl Course {
    /// Decides what can be decided without sending, and the order of the rest.
    pub(super) fn plan(
        transaction: Transaction,
        extensions: &Extensions,
        profile: &Profile,
        needs_reset: bool,
    ) -> Self {
        let standings: Vec<_> = (0..transaction.recipients.len())
            .map(|i| match lack(&transaction, i, extensions, profile) {
                Some(lack) => Standing::Decided(Verdict::Lacks(lack)),
                None => Standing::Open,
            })
            .collect();
        let by_bdat = extensions.chunking && !profile.ignore_chunking;
        let open = (0..standings.len()).filter(|i| matches!(standings[*i], Standing::Open));
        let mut unsent: VecDeque<_> = open.map(Step::Rcpt).collect();
        if !unsent.is_empty() {
            unsent.push_front(Step::Mail);
            if needs_reset {
                unsent.push_front(Step::Reset);
            }
            if !by_bdat {
                unsent.push_back(Step::Data);
            }
        }
        let dsn = extensions.dsn && !profile.ignore_dsn;
        Self {
            mail: mail_command(&transaction, extensions, profile, dsn),
            dsn,
            by_bdat,
            pipelined: extensions.pipelining && !profile.ignore_pipelining,
            standings,
            unsent,
            awaited: VecDeque::new(),
            mail_refusal: None,
            transaction,
        }
    }

    /// Nothing has to be sent at all.
    pub(super) fn is_decided(&self) -> bool {
        self.unsent.is_empty() && self.awaited.is_empty()
    }

    /// The commands that may go out now, in one group (RFC 2920).
    pub(super) fn commands(&mut self) -> Vec<String> {
        let count = if self.pipelined { self.unsent.len() } else { self.unsent.len().min(1) };
        let group: Vec<_> = self.unsent.drain(..count).collect();
        let lines = group.iter().map(|step| self.command(*step)).collect();
        self.awaited.extend(group);
        lines
    }

    fn command(&self, step: Step) -> String {
        match step {
            Step::Reset => "RSET".to_owned(),
            Step::Mail => self.mail.clone(),
            Step::Rcpt(i) => rcpt_command(&self.transaction.recipients[i], self.dsn),
            Step::Data | Step::EmptyEnd => "DATA".to_owned(),
        }
    }

    /// What the next answer is for.
    pub(super) fn phase(&self) -> Phase {
        self.awaited.front().map_or(Phase::End, |step| step.phase())
    }

    pub(super) fn answered(&mut self, answer: Answer) -> Next {
        let Some(step) = self.awaited.pop_front() else {
            return Next::Failed(Failure::Unexpected { phase: Phase::Idle, answer });
        };
        let good = if step == Step::Data { answer.code == 354 } else { answer.is_positive() };
        let refused = answer.is_transient() || answer.is_permanent();
        let makes_sense = good || (refused && step != Step::Reset);
        if !makes_sense {
            return Next::Failed(Failure::Unexpected { phase: step.phase(), answer });
        }
        match step {
            Step::Reset => {}
            Step::Mail => self.mail_refusal = refused.then_some(answer),
            Step::Rcpt(i) => self.rcpt_answered(i, refused, answer),
            Step::Data if good => return self.data_accepted(),
            Step::Data => self
                .decide_taken(|| Verdict::Refused { phase: Phase::Data, answer: answer.clone() }),
            Step::EmptyEnd => return Next::Done { needs_reset: false },
        }
        self.next()
    }

    fn rcpt_answered(&mut self, i: usize, refused: bool, answer: Answer) {
        // After a refused MAIL, what is said about recipients that were sent in the same group is
        // only about the order of commands.
        if self.mail_refusal.is_some() {
            return;
        }
        self.standings[i] = if refused {
            Standing::Decided(Verdict::Refused { phase: Phase::Rcpt, answer })
        } else {
            Standing::Taken
        };
    }

    fn data_accepted(&mut self) -> Next {
        if self.anyone_taken() {
            return Next::Body;
        }
        // RFC 2920 3.1: the server waits for a message although nobody is to receive it.
        self.awaited.push_back(Step::EmptyEnd);
        Next::EmptyEnd
    }

    fn next(&self) -> Next {
        if !self.awaited.is_empty() {
            return Next::Wait;
        }
        if self.mail_refusal.is_some() {
            return Next::Done { needs_reset: false };
        }
        let rcpt_to_come = self.unsent.iter().any(|s| matches!(s, Step::Mail | Step::Rcpt(_)));
        match (rcpt_to_come, self.anyone_taken(), self.unsent.is_empty()) {
            (true, _, _) | (false, true, false) => Next::Send,
            (false, false, _) => Next::Done { needs_reset: true },
            (false, true, true) => Next::Body,
        }
    }

    fn anyone_taken(&self) -> bool {
        self.standings.iter().any(|s| matches!(s, Standing::Taken))
    }

    fn decide_taken(&mut self, verdict: impl Fn() -> Verdict) {
        for standing in &mut self.standings {
            if matches!(standing, Standing::Taken) {
                *standing = Standing::Decided(verdict());
            }
        }
    }

    /// What goes before the message, and the message.
    pub(super) fn body(&self) -> (Option<String>, Option<Bytes>, BodyWriter) {
        let body = self.transaction.body.clone();
        if self.by_bdat {
            (Some(format!("BDAT {} LAST", body.len())), None, BodyWriter::plain(body))
        } else {
            let (first, writer) = BodyWriter::dotted(body);
            (None, first, writer)
        }
    }

    /// True when the message ends by its size and not by a dot.
    pub(super) const fn is_by_bdat(&self) -> bool {
        self.by_bdat
    }

    /// The answer to the message itself decides for all that were accepted.
    pub(super) fn ended(mut self, answer: &Answer) -> Vec<Verdict> {
        self.decide_taken(|| {
            let answer = answer.clone();
            if answer.is_positive() {
                Verdict::Accepted(answer)
            } else {
                Verdict::Refused { phase: Phase::End, answer }
            }
        });
        self.verdicts()
    }

    /// The verdicts of a transaction that the server ended by refusing.
    pub(super) fn verdicts(self) -> Vec<Verdict> {
        let refusal = self.mail_refusal;
        let broken = Failure::Closed { phase: Phase::Rcpt, cause: "undecided".to_owned() };
        let decide = |standing| match (standing, &refusal) {
            (Standing::Decided(verdict), _) => verdict,
            (Standing::Open | Standing::Taken, Some(answer)) => {
                Verdict::Refused { phase: Phase::Mail, answer: answer.clone() }
            }
            (Standing::Open | Standing::Taken, None) => Verdict::Broken(broken.clone()),
        };
        self.standings.into_iter().map(decide).collect()
    }

    /// The verdicts when the session fails in the middle.
    pub(super) fn broken(mut self, failure: &Failure) -> Vec<Verdict> {
        if self.mail_refusal.is_none() {
            for standing in &mut self.standings {
                if !matches!(standing, Standing::Decided(_)) {
                    *standing = Standing::Decided(Verdict::Broken(failure.clone()));
                }
            }
        }
        self.verdicts()
    }
}

/// What the server lacks for this recipient.
fn lack(
    transaction: &Transaction,
    number: usize,
    extensions: &Extensions,
    profile: &Profile,
) -> Option<Lack> {
    let size_bytes = transaction.body.len() as u64;
    if let Some(limit_bytes) = extensions.size.filter(|limit| *limit > 0 && size_bytes > *limit) {
        return Some(Lack::Size { limit_bytes });
    }
    let ascii = transaction.sender.is_ascii()
        && transaction.recipients[number].address.is_ascii()
        && !(transaction.smtputf8 && has_8bit_header(&transaction.body));
    if !ascii && !extensions.smtputf8 {
        return Some(Lack::SmtpUtf8);
    }
    let seven_bit_only = !extensions.eight_bit && !profile.ignore_eight_bit;
    (seven_bit_only && !transaction.body.is_ascii()).then_some(Lack::EightBit)
}

fn has_8bit_header(body: &[u8]) -> bool {
    let end = memchr::memmem::find(body, b"\r\n\r\n").unwrap_or(body.len());
    !body[..end].is_ascii()
}

fn mail_command(
    transaction: &Transaction,
    extensions: &Extensions,
    profile: &Profile,
    dsn: bool,
) -> String {
    let mut line = format!("MAIL FROM:<{}>", transaction.sender);
    if extensions.size.is_some() {
        put(&mut line, format_args!(" SIZE={}", transaction.body.len()));
    }
    let eight_bit = extensions.eight_bit && !profile.ignore_eight_bit;
    let declared = match transaction.body_type {
        BodyType::EightBitMime => true,
        BodyType::SevenBit => !transaction.body.is_ascii(),
    };
    if eight_bit && declared {
        line.push_str(" BODY=8BITMIME");
    }
    let wanted = transaction.smtputf8
        || !transaction.sender.is_ascii()
        || transaction.recipients.iter().any(|rcpt| !rcpt.address.is_ascii());
    if extensions.smtputf8 && wanted {
        line.push_str(" SMTPUTF8");
    }
    match transaction.ret.filter(|_| dsn) {
        Some(Ret::Full) => line.push_str(" RET=FULL"),
        Some(Ret::Headers) => line.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = transaction.envid.as_deref().filter(|id| dsn && !id.is_empty()) {
        put(&mut line, format_args!(" ENVID={}", xtext::encode(envid)));
    }
    line
}

fn rcpt_command(rcpt: &Rcpt, dsn: bool) -> String {
    let mut line = format!("RCPT TO:<{}>", rcpt.address);
    if !dsn {
        return line;
    }
    match rcpt.notify {
        Notify::Unspecified => {}
        Notify::Never => line.push_str(" NOTIFY=NEVER"),
        Notify::On { success, failure, delay } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<_> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            put(&mut line, format_args!(" NOTIFY={}", words.join(",")));
        }
    }
    if let Some((kind, address)) = rcpt.orcpt.as_deref().and_then(|orcpt| orcpt.split_once(';')) {
        put(&mut line, format_args!(" ORCPT={kind};{}", xtext::encode(address)));
    }
    line
}

fn put(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("writing to a string cannot fail");
}
