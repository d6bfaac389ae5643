//! SMTP client as a state machine (RFC 5321, 2920, 3030, 3207, 3461, 4954, 6152, 6531).
//!
//! The caller owns the connection: it gives [`Client::receive`] what comes, sends what
//! [`Client::transmit`] gives, acts on [`Client::poll`], and calls [`Client::expire`] when
//! [`Client::deadline`] has passed. It decides about TLS after [`Event::Hello`] and allows the end
//! of each message after [`Event::Finishing`].
//!
//! Refuses to speak on after a byte too many before the TLS handshake, after anything that is not
//! an SMTP reply, and after 421.

mod answer;
mod body;
mod event;
mod extension;
mod failure;
mod login;
mod profile;
mod transaction;

use std::collections::VecDeque;

use bytes::Bytes;

pub use answer::{Answer, AnswerError};
pub use event::{Event, Line};
pub use extension::Extensions;
pub use failure::{Failure, Lack, Phase, Verdict};
pub use profile::Profile;
pub use transaction::{Rcpt, Transaction};

use answer::AnswerReader;
use body::BodyWriter;
use login::{Login, Progress};
use transaction::{Course, Next};

use crate::clock::Instant;

/// Lines of dialogue that are kept until the caller takes them.
const DIALOGUE_MAX: usize = 2000;

#[derive(Debug)]
enum State {
    Greeting,
    Hello {
        by_helo: bool,
    },
    /// EHLO is answered and the caller decides about TLS.
    Choosing,
    StartTls,
    Handshake,
    Login(Login),
    Ready,
    Envelope(Box<Course>),
    Body(Box<Course>, BodyWriter),
    /// The caller decides whether the message may end.
    Finishing(Box<Course>, BodyWriter),
    /// Everything is handed out.
    End(Box<Course>),
    /// The server will not have us; only QUIT is left to say.
    Refused,
    Quit,
    Gone,
}

/// One session with one server.
#[derive(Debug)]
pub struct Client {
    profile: Profile,
    state: State,
    in_tls: bool,
    extensions: Extensions,
    needs_reset: bool,
    reader: AnswerReader,
    out: VecDeque<Bytes>,
    events: VecDeque<Event>,
    dialogue: VecDeque<Line>,
    deadline: Option<Instant>,
}

impl Client {
    /// A session on a connection that was just made: the server speaks first.
    #[must_use]
    pub fn new(profile: Profile, now: Instant) -> Self {
        let deadline = Some(now + profile.timeout(Phase::Greeting));
        Self {
            profile,
            state: State::Greeting,
            in_tls: false,
            extensions: Extensions::default(),
            needs_reset: false,
            reader: AnswerReader::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            dialogue: VecDeque::new(),
            deadline,
        }
    }

    /// What the server offers, by its last answer to EHLO.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// When [`Self::expire`] is to be called, if nothing happens before.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The next thing for the caller to know.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next line of the dialogue, if the profile keeps it.
    pub fn take_line(&mut self) -> Option<Line> {
        self.dialogue.pop_front()
    }

    /// The next bytes to send. Parts of a message come one by one, so that the caller's buffer
    /// stays small.
    pub fn transmit(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(bytes) = self.out.pop_front() {
            return Some(bytes);
        }
        let State::Body(_, writer) = &mut self.state else { return None };
        if !writer.is_at_end() {
            self.deadline = Some(now + self.profile.timeout(Phase::Body));
            return writer.next();
        }
        if let State::Body(course, writer) = std::mem::replace(&mut self.state, State::Gone) {
            self.state = State::Finishing(course, writer);
            self.events.push_back(Event::Finishing);
        }
        None
    }

    /// All that [`Self::transmit`] gave is on its way: the wait for the answer begins now.
    pub fn transmitted(&mut self, now: Instant) {
        if self.deadline.is_some() {
            self.wait(now);
        }
    }

    /// Bytes came.
    pub fn receive(&mut self, now: Instant, mut input: &[u8]) {
        while !input.is_empty() && !matches!(self.state, State::Gone) {
            match self.reader.read(&mut input) {
                Ok(Some(answer)) => self.answered(now, answer, !input.is_empty()),
                Ok(None) => return,
                Err(cause) => self.fail(Failure::Garbled { phase: self.phase(), cause }),
            }
        }
    }

    /// The connection ended; `cause` is what the system says, empty for an orderly end.
    pub fn connection_closed(&mut self, cause: &str) {
        let phase = self.phase();
        self.over(Failure::Closed { phase, cause: cause.to_owned() });
    }

    /// Acts on a deadline that has passed.
    pub fn expire(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.over(Failure::TimedOut(self.phase()));
        }
    }

    fn over(&mut self, failure: Failure) {
        match self.state {
            State::Gone => {}
            State::Quit => {
                self.state = State::Gone;
                self.deadline = None;
                self.events.push_back(Event::Closed);
            }
            _ => self.fail(failure),
        }
    }

    /// After [`Event::Hello`]: asks for TLS.
    pub fn start_tls(&mut self, now: Instant) {
        if matches!(self.state, State::Choosing) && self.extensions.starttls && !self.in_tls {
            self.state = State::StartTls;
            self.command(now, "STARTTLS");
        }
    }

    /// The handshake is done. All that was said before it is forgotten (RFC 3207 4.2).
    pub fn tls_started(&mut self, now: Instant) {
        if matches!(self.state, State::Handshake) {
            self.in_tls = true;
            self.extensions = Extensions::default();
            self.reader = AnswerReader::default();
            self.hello(now);
        }
    }

    /// After [`Event::Hello`]: goes on as the connection is, to AUTH if it is configured.
    pub fn proceed(&mut self, now: Instant) {
        if !matches!(self.state, State::Choosing) {
            return;
        }
        let Some(credentials) = self.profile.credentials.clone() else {
            return self.ready();
        };
        let allows_clear = self.in_tls || self.profile.login_in_clear;
        match Login::start(credentials, &self.extensions.auth, allows_clear) {
            Ok((login, line)) => {
                self.state = State::Login(login);
                self.secret(now, &line);
            }
            Err(failure) => self.refused(failure),
        }
    }

    /// After [`Event::Ready`]: sends a message.
    pub fn send(&mut self, now: Instant, transaction: Transaction) {
        if !matches!(self.state, State::Ready) {
            return;
        }
        let course = Course::plan(transaction, &self.extensions, &self.profile, self.needs_reset);
        if course.is_decided() {
            self.events.push_back(Event::Done(course.verdicts()));
            return self.ready();
        }
        self.needs_reset = false;
        self.send_commands(now, Box::new(course));
    }

    /// After [`Event::Finishing`]: the message may end.
    pub fn finish(&mut self, now: Instant) {
        let State::Finishing(course, mut writer) = std::mem::replace(&mut self.state, State::Gone)
        else {
            return self.fail(Failure::TimedOut(Phase::Body));
        };
        while let Some(slice) = writer.next() {
            self.out.push_back(slice);
        }
        if !course.is_by_bdat() {
            self.out.push_back(writer.terminator());
        }
        self.note(|| Line::Sent("(end of message)".to_owned()));
        self.state = State::End(course);
        self.wait(now);
    }

    /// Can the session still end in good order?
    #[must_use]
    pub const fn may_quit(&self) -> bool {
        matches!(self.state, State::Ready | State::Choosing | State::Refused)
    }

    /// After [`Event::Ready`], or a failure that leaves the connection in order: ends the session.
    pub fn quit(&mut self, now: Instant) {
        if self.may_quit() {
            self.state = State::Quit;
            self.command(now, "QUIT");
        }
    }

    fn answered(&mut self, now: Instant, answer: Answer, more_input: bool) {
        for (i, line) in answer.lines.iter().enumerate() {
            let separator = if i + 1 == answer.lines.len() { ' ' } else { '-' };
            self.note(|| Line::Received(format!("{}{separator}{line}", answer.code)));
        }
        if answer.closes_service() && !matches!(self.state, State::Quit) {
            let phase = self.phase();
            return self.fail(Failure::ServiceClosed { phase, answer });
        }
        match std::mem::replace(&mut self.state, State::Gone) {
            State::Greeting if answer.code == 220 => self.hello(now),
            State::Greeting => self.refused(Failure::Greeting(answer)),
            State::Hello { by_helo } => self.hello_answered(now, by_helo, &answer),
            State::StartTls => self.start_tls_answered(answer, more_input),
            State::Login(login) => self.login_answered(now, login, &answer),
            State::Envelope(course) => self.envelope_answered(now, course, answer),
            State::Body(course, _) | State::Finishing(course, _) => {
                self.answered_early(*course, answer);
            }
            State::End(course) => {
                self.deadline = None;
                self.events.push_back(Event::Done(course.ended(&answer)));
                self.ready();
            }
            State::Quit => {
                self.deadline = None;
                self.events.push_back(Event::Closed);
            }
            State::Choosing | State::Handshake | State::Ready | State::Refused | State::Gone => {
                self.fail(Failure::Unexpected { phase: Phase::Idle, answer });
            }
        }
    }

    fn hello(&mut self, now: Instant) {
        self.state = State::Hello { by_helo: false };
        let line = format!("EHLO {}", self.profile.helo);
        self.command(now, &line);
    }

    fn hello_answered(&mut self, now: Instant, by_helo: bool, answer: &Answer) {
        if answer.is_positive() {
            self.extensions =
                if by_helo { Extensions::default() } else { Extensions::read(answer) };
            self.state = State::Choosing;
            self.deadline = None;
            self.events.push_back(Event::Hello);
        } else if answer.is_permanent() && !by_helo {
            self.state = State::Hello { by_helo: true };
            let line = format!("HELO {}", self.profile.helo);
            self.command(now, &line);
        } else {
            self.refused(Failure::Hello(answer.clone()));
        }
    }

    fn start_tls_answered(&mut self, answer: Answer, more_input: bool) {
        self.deadline = None;
        match answer.code {
            220 if more_input => self.fail(Failure::Injected),
            220 => {
                self.state = State::Handshake;
                self.events.push_back(Event::StartTls);
            }
            400..600 => {
                self.state = State::Choosing;
                self.events.push_back(Event::TlsRefused(answer));
            }
            _ => self.fail(Failure::Unexpected { phase: Phase::StartTls, answer }),
        }
    }

    fn login_answered(&mut self, now: Instant, mut login: Login, answer: &Answer) {
        match login.answered(answer) {
            Progress::Send(line) => {
                self.state = State::Login(login);
                self.secret(now, &line);
            }
            Progress::Done => self.ready(),
            Progress::Failed(failure) if answer.code >= 400 => self.refused(failure),
            Progress::Failed(failure) => self.fail(failure),
        }
    }

    fn envelope_answered(&mut self, now: Instant, mut course: Box<Course>, answer: Answer) {
        match course.answered(answer) {
            Next::Wait => {
                self.state = State::Envelope(course);
                self.wait(now);
            }
            Next::Send => self.send_commands(now, course),
            Next::Body => self.start_body(now, course),
            Next::EmptyEnd => {
                self.state = State::Envelope(course);
                self.command(now, ".");
            }
            Next::Done { needs_reset } => {
                self.needs_reset = needs_reset;
                self.events.push_back(Event::Done(course.verdicts()));
                self.ready();
            }
            Next::Failed(failure) => {
                self.state = State::Envelope(course);
                self.fail(failure);
            }
        }
    }

    fn start_body(&mut self, now: Instant, course: Box<Course>) {
        let (command, first, writer) = course.body();
        self.state = State::Body(course, writer);
        if let Some(command) = command {
            self.command(now, &command);
        }
        self.out.extend(first);
        self.wait(now);
    }

    /// A server that answers before the message has ended refuses it; nobody knows where the two
    /// sides stand after that.
    fn answered_early(&mut self, course: Course, answer: Answer) {
        let failure = Failure::Unexpected { phase: Phase::Body, answer: answer.clone() };
        let verdicts = if answer.is_transient() || answer.is_permanent() {
            course.ended(&answer)
        } else {
            course.broken(&failure)
        };
        self.events.push_back(Event::Done(verdicts));
        self.fail(failure);
    }

    fn ready(&mut self) {
        self.state = State::Ready;
        self.deadline = None;
        self.events.push_back(Event::Ready);
    }

    fn send_commands(&mut self, now: Instant, mut course: Box<Course>) {
        let lines = course.commands();
        self.state = State::Envelope(course);
        let mut group = String::new();
        for line in &lines {
            debug_assert!(!line.contains(['\r', '\n']), "addresses are checked when they are made");
            group.push_str(line);
            group.push_str("\r\n");
        }
        for line in lines {
            self.note(|| Line::Sent(line));
        }
        self.out.push_back(Bytes::from(group));
        self.wait(now);
    }

    fn command(&mut self, now: Instant, line: &str) {
        self.note(|| Line::Sent(line.to_owned()));
        self.out.push_back(Bytes::from(format!("{line}\r\n")));
        self.wait(now);
    }

    /// A line of AUTH: only its first words are shown.
    fn secret(&mut self, now: Instant, line: &str) {
        self.note(|| {
            let shown: Vec<_> = line.split(' ').take(2).collect();
            match shown.first() {
                Some(&"AUTH") => Line::Sent(format!("{} ****", shown.join(" "))),
                Some(_) | None => Line::Sent("****".to_owned()),
            }
        });
        self.out.push_back(Bytes::from(format!("{line}\r\n")));
        self.wait(now);
    }

    fn fail(&mut self, failure: Failure) {
        let state = std::mem::replace(&mut self.state, State::Gone);
        if let State::Envelope(course)
        | State::Body(course, _)
        | State::Finishing(course, _)
        | State::End(course) = state
        {
            self.events.push_back(Event::Done(course.broken(&failure)));
        }
        self.out.clear();
        self.deadline = None;
        self.events.push_back(Event::Failed(failure));
    }

    /// The connection is in order, and the session is over all the same.
    fn refused(&mut self, failure: Failure) {
        self.fail(failure);
        self.state = State::Refused;
    }

    fn wait(&mut self, now: Instant) {
        self.deadline = Some(now + self.profile.timeout(self.phase()));
    }

    fn note(&mut self, line: impl FnOnce() -> Line) {
        if self.profile.keeps_dialogue && self.dialogue.len() < DIALOGUE_MAX {
            self.dialogue.push_back(line());
        }
    }

    fn phase(&self) -> Phase {
        match &self.state {
            State::Greeting => Phase::Greeting,
            State::Hello { .. } => Phase::Hello,
            State::StartTls | State::Handshake => Phase::StartTls,
            State::Login(_) => Phase::Login,
            State::Choosing | State::Ready | State::Refused | State::Gone => Phase::Idle,
            State::Envelope(course) => course.phase(),
            State::Body(..) | State::Finishing(..) => Phase::Body,
            State::End(_) => Phase::End,
            State::Quit => Phase::Quit,
        }
    }
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
