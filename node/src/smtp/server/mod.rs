//! The SMTP server as a state machine (RFC 5321, and the extensions that `EHLO` offers).
//!
//! Owns the order of a session: what may come when, what is answered, when it ends. Takes bytes
//! and the time, gives [`Action`]s; owns no socket, no clock, no file. Memory is bounded by the
//! message being received and a few fixed sizes.
//!
//! The driver's part:
//!
//! 1. [`Server::greet`], unless the client has spoken first: then [`Server::receive`] refuses it.
//! 2. Take all of [`Server::poll`]; answer `StartTls`, `Authenticate` and `Submit` by the method
//!    of the same subject.
//! 3. Give what was read to [`Server::receive`], again and again until it takes nothing; then
//!    send what is there and read more, up to [`Server::deadline`].

mod action;
mod answer;
mod auth;
mod commands;
mod limits;
mod state;
mod text;
mod transfer;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;

pub use self::action::{
    Action, AuthResult, Conditions, Greeting, Identity, Incoming, LogLine, Policy, SubmitResult,
    Tls,
};
use self::state::{Dialogue, Login, Session, State};
pub use self::text::HEADROOM_BYTES;
use self::text::{Body, Fault, Line};
use super::command::{self, Command, CommandError};
use super::reply::Reply;
use crate::clock::Instant;
use crate::config::settings::SourceSettings;

/// Smallest buffer from which a driver can feed the machine: the longest line fits.
pub const MIN_BUFFER_BYTES: usize = command::MAX_AUTH_LINE_BYTES;

/// What a session starts from.
#[derive(Clone)]
pub struct Setup {
    /// Name of this host in banner and `EHLO`.
    pub host_name: String,
    /// Settings of the client before it authenticates.
    pub settings: Arc<SourceSettings>,
    /// Relay rules.
    pub policy: Arc<dyn Policy>,
    /// No message may be longer, whatever the settings say.
    pub max_body_bytes: u64,
    /// A certificate is loaded, so that `STARTTLS` can be offered.
    pub has_certificate: bool,
    /// Unpredictable; goes into CRAM-MD5 challenges.
    pub challenge_seed: u64,
}

/// One session.
pub struct Server {
    setup: Setup,
    session: Session,
    state: State,
    conditions: Conditions,
    /// Replies not taken yet.
    unsent: BytesMut,
    log: VecDeque<LogLine>,
    /// What comes after the replies.
    next: Option<Action>,
    draining: bool,
}

impl Server {
    /// A session that has not greeted yet.
    #[must_use]
    pub fn new(now: Instant, setup: Setup) -> Self {
        Self {
            setup,
            session: Session::new(now, None),
            state: State::Silent,
            conditions: Conditions::default(),
            unsent: BytesMut::new(),
            log: VecDeque::new(),
            next: None,
            draining: false,
        }
    }

    /// Sends the banner, or the refusal of a source without `smtp-service`.
    pub fn greet(&mut self, now: Instant) {
        let host = &self.setup.host_name;
        if !self.setup.settings.smtp_service {
            let text = format!("{host} does not accept mail from you");
            return self.close_with(Reply::plain(521, text));
        }
        let version = env!("CARGO_PKG_VERSION");
        let text = format!("{host} (Convoy v{version}) ESMTP service ready");
        self.send(&Reply::plain(220, text));
        self.await_command(now, Dialogue::Ungreeted);
    }

    /// Refuses the session instead of the banner.
    pub fn refuse(&mut self, reply: Reply) {
        self.close_with(reply);
    }

    /// Takes input from the front: one command, or a piece of a message. Gives the number of
    /// octets taken; zero means that more input is needed, or that actions have to be taken and
    /// answered first.
    pub fn receive(&mut self, now: Instant, input: &[u8]) -> usize {
        if input.is_empty() || self.unsent.len() >= limits::MAX_UNSENT_BYTES {
            return 0;
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Silent => {
                self.close_with(Reply::new(554, 5, 1, "client spoke before the greeting"));
                input.len()
            }
            State::Command(dialogue) => self.receive_command(now, dialogue, input),
            State::SkippingLine { dialogue, skipped_bytes } => {
                self.skip_line(now, dialogue, skipped_bytes, input)
            }
            State::Sasl(greeting, exchange) => self.receive_sasl(now, greeting, exchange, input),
            State::Data { transaction, reader, transfer } => {
                self.receive_data(now, transaction, reader, transfer, input)
            }
            State::Chunk { target, left_bytes, transfer } => {
                self.receive_chunk(now, target, left_bytes, transfer, input)
            }
            waiting @ (State::AwaitTls | State::AwaitAuth(_) | State::AwaitSubmit(_)) => {
                self.state = waiting;
                0
            }
            State::Closed => input.len(),
        }
    }

    /// The next thing to do; `None` when there is nothing but to read.
    pub fn poll(&mut self) -> Option<Action> {
        if let Some(line) = self.log.pop_front() {
            return Some(Action::Log(line));
        }
        if !self.unsent.is_empty() {
            return Some(Action::Send(self.unsent.split().freeze()));
        }
        self.next.take()
    }

    /// When [`Self::timed_out`] is to be called; `None` while the driver is at work.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let settings = self.settings();
        match &self.state {
            State::Command(_) | State::SkippingLine { .. } | State::Sasl(..) => {
                let command = self.session.waiting_since + settings.smtp_command_timeout;
                Some(command.min(self.session.mail_since + limits::MAX_IDLE_SESSION))
            }
            State::Data { transfer, .. } | State::Chunk { transfer, .. } => {
                Some(transfer.deadline(settings.smtp_data_timeout))
            }
            State::Silent
            | State::AwaitTls
            | State::AwaitAuth(_)
            | State::AwaitSubmit(_)
            | State::Closed => None,
        }
    }

    /// Ends the session because of its deadline.
    pub fn timed_out(&mut self) {
        self.close_with(Reply::new(421, 4, 2, "timeout"));
    }

    /// Ends the session as soon as no transaction is open: the node stops.
    pub fn drain(&mut self) {
        self.draining = true;
        let idle = matches!(
            self.state,
            State::Silent | State::Command(Dialogue::Ungreeted | Dialogue::Idle(_))
        );
        if idle {
            self.close_stopping();
        }
    }

    /// Tells what holds from the next command on.
    pub const fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The handshake is done. Everything known before it is forgotten (RFC 3207 4.2).
    pub fn tls_started(&mut self, now: Instant, tls: Tls) {
        self.session = Session::new(now, Some(tls));
        self.await_command(now, Dialogue::Ungreeted);
    }

    /// The session is encrypted from the start (`immediate-tls`). To be called before
    /// [`Self::greet`].
    pub fn tls_from_start(&mut self, now: Instant, tls: Tls) {
        self.session = Session::new(now, Some(tls));
    }

    /// Takes the result of [`Action::Submit`].
    pub fn submitted(&mut self, now: Instant, result: SubmitResult) {
        let State::AwaitSubmit(greeting) = std::mem::replace(&mut self.state, State::Closed) else {
            return self.close_with(Reply::new(421, 3, 0, "internal error"));
        };
        match result {
            SubmitResult::Accepted(id) => {
                self.session.mail_since = now;
                self.session.tally.mail_received();
                self.send(&Reply::new(250, 6, 0, format!("message received as {id}")));
            }
            SubmitResult::Refused(reply) => self.send(&reply),
        }
        self.await_command(now, Dialogue::Idle(greeting));
    }

    /// Bytes of message text in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.state.body().map_or(0, Body::held_bytes)
    }

    /// Lets go of the message being received; it will be refused with `452` at its end.
    pub fn shed(&mut self) {
        if let Some(body) = self.state.body_mut() {
            body.drop_for(Fault::NoRoom);
        }
    }

    /// The settings that hold for the client as it is known now.
    #[must_use]
    pub fn settings(&self) -> &Arc<SourceSettings> {
        match &self.session.login {
            Login::Anonymous => &self.setup.settings,
            Login::Certificate(identity) | Login::Auth(identity) => &identity.settings,
        }
    }

    fn receive_command(&mut self, now: Instant, dialogue: Dialogue, input: &[u8]) -> usize {
        // A TLS hello, a proxy header, anything that no verb starts with: no need for its end.
        if !input[0].is_ascii_alphabetic() && !matches!(input[0], b'\r' | b'\n') {
            self.close_with(CommandError::NotSmtp.reply());
            return input.len();
        }
        match text::first_line(input, command::max_line_bytes(input)) {
            Line::Partial => {
                self.state = State::Command(dialogue);
                0
            }
            Line::BareLf => {
                self.close_with(Reply::new(500, 5, 2, "lines must end with CR LF"));
                input.len()
            }
            Line::TooLong(octets) => {
                self.fault(Reply::new(500, 5, 6, "line too long"));
                if !self.is_closing() {
                    self.state = State::SkippingLine { dialogue, skipped_bytes: octets };
                }
                octets
            }
            Line::Whole(line, octets) => {
                self.log_received(line);
                let more_follows = octets < input.len();
                match Command::parse(line) {
                    Ok(command) => self.obey(now, dialogue, command, more_follows),
                    Err(error) => self.reject(now, dialogue, &error),
                }
                octets
            }
        }
    }

    /// Answers a line that is no command.
    fn reject(&mut self, now: Instant, dialogue: Dialogue, error: &CommandError) {
        match error {
            // What follows cannot be told from commands.
            CommandError::NotSmtp | CommandError::BadChunk => self.close_with(error.reply()),
            CommandError::Recipient(_) => {
                self.refuse_recipient(error.reply());
                self.await_command(now, dialogue);
            }
            CommandError::InvalidCharacters
            | CommandError::Unknown
            | CommandError::Usage(_)
            | CommandError::Sender(_)
            | CommandError::UnknownParameter
            | CommandError::BadParameter(_) => {
                self.fault(error.reply());
                self.await_command(now, dialogue);
            }
        }
    }

    fn skip_line(
        &mut self,
        now: Instant,
        dialogue: Dialogue,
        skipped_bytes: usize,
        input: &[u8],
    ) -> usize {
        if let Some(end) = memchr::memchr(b'\n', input) {
            self.await_command(now, dialogue);
            return end + 1;
        }
        let skipped_bytes = skipped_bytes + input.len();
        if skipped_bytes > limits::MAX_SKIPPED_BYTES {
            self.close_with(Reply::new(421, 7, 0, "line too long"));
        } else {
            self.state = State::SkippingLine { dialogue, skipped_bytes };
        }
        input.len()
    }

    /// Goes on with the next command, unless a reply has ended the session.
    fn await_command(&mut self, now: Instant, dialogue: Dialogue) {
        if self.is_closing() {
            return;
        }
        let between_mails = matches!(dialogue, Dialogue::Ungreeted | Dialogue::Idle(_));
        if self.draining && between_mails {
            return self.close_stopping();
        }
        self.session.waiting_since = now;
        self.state = State::Command(dialogue);
    }
}
