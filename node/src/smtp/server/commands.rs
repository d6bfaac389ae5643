//! What each command does in each state.

use super::action::{Action, Greeting};
use super::state::{ChunkTarget, Dialogue, Login, State, Transaction, Transfer};
use super::text::{Body, ChunkReader, DataReader};
use super::{Server, limits};
use crate::clock::Instant;
use crate::smtp::command::{Command, MailFrom, RcptTo};
use crate::smtp::reply::Reply;

impl Server {
    /// Does what a command asks. `more_follows` tells that the client has sent more already.
    pub(super) fn obey(
        &mut self,
        now: Instant,
        dialogue: Dialogue,
        command: Command,
        more_follows: bool,
    ) {
        match command {
            Command::StartTls => self.start_tls(now, dialogue, more_follows),
            // The client has to wait for the answer to these (RFC 2920 3.1, RFC 4954 4).
            Command::Helo(_) | Command::Ehlo(_) | Command::Data | Command::Auth { .. }
                if more_follows =>
            {
                self.close_out_of_turn();
            }
            Command::Helo(name) => self.hello(now, dialogue, Greeting { name, esmtp: false }),
            Command::Ehlo(name) => self.hello(now, dialogue, Greeting { name, esmtp: true }),
            Command::Mail(mail) => self.mail(now, dialogue, mail),
            Command::Rcpt(rcpt) => self.rcpt(now, dialogue, rcpt),
            Command::Data => self.data(now, dialogue),
            Command::Bdat { size_bytes, last } => self.bdat(now, dialogue, size_bytes, last),
            Command::Auth { mechanism, initial } => match dialogue {
                Dialogue::Idle(greeting) if greeting.esmtp => {
                    self.auth(now, greeting, &mechanism, initial.as_deref());
                }
                Dialogue::Idle(_) | Dialogue::Ungreeted => {
                    self.out_of_order(now, dialogue, "send EHLO first");
                }
                Dialogue::Open(_) | Dialogue::Chunked(..) => {
                    self.out_of_order(now, dialogue, "mail transaction in progress");
                }
            },
            Command::Rset => {
                self.send_idle(Reply::new(250, 0, 0, "reset"));
                self.await_command(now, dialogue.reset());
            }
            Command::Noop => self.stay(now, dialogue, Reply::new(250, 0, 0, "ok")),
            Command::Vrfy => {
                let reply = Reply::new(252, 1, 5, "cannot verify, send some mail and see");
                self.stay(now, dialogue, reply);
            }
            Command::Help => {
                let reply = Reply::new(214, 0, 0, "see RFC 5321");
                self.stay(now, dialogue, reply);
            }
            Command::Expn => {
                self.fault(Reply::new(502, 5, 1, "command not available"));
                self.await_command(now, dialogue);
            }
            Command::Quit => {
                let text = format!("{} says goodbye", self.setup.host_name);
                self.close_with(Reply::new(221, 0, 0, text));
            }
        }
    }

    fn stay(&mut self, now: Instant, dialogue: Dialogue, reply: Reply) {
        self.send_idle(reply);
        self.await_command(now, dialogue);
    }

    fn out_of_order(&mut self, now: Instant, dialogue: Dialogue, text: &'static str) {
        self.fault(Reply::new(503, 5, 1, text));
        self.await_command(now, dialogue);
    }

    /// The client did not wait for an answer that it has to wait for.
    pub(super) fn close_out_of_turn(&mut self) {
        self.close_with(Reply::new(554, 5, 1, "commands sent out of turn"));
    }

    fn hello(&mut self, now: Instant, _discarded: Dialogue, greeting: Greeting) {
        if let (Login::Anonymous, Some(identity)) = (&self.session.login, self.certificate_user()) {
            self.session.login = Login::Certificate(identity.clone());
        }
        let reply = if greeting.esmtp { self.extensions() } else { self.hello_reply() };
        self.send_idle(reply);
        self.await_command(now, Dialogue::Idle(greeting));
    }

    fn hello_reply(&self) -> Reply {
        Reply::plain(250, format!("{} says hello", self.setup.host_name))
    }

    fn extensions(&self) -> Reply {
        let settings = self.settings();
        let mut reply = self.hello_reply().line("ENHANCEDSTATUSCODES").line("PIPELINING");
        if settings.allow_chunking {
            reply = reply.line("CHUNKING");
        }
        reply = reply.line("8BITMIME");
        if settings.allow_smtputf8 {
            reply = reply.line("SMTPUTF8");
        }
        if self.offers_tls() {
            reply = reply.line("STARTTLS");
        }
        let mechanisms = self.offered_mechanisms();
        if !mechanisms.is_empty() {
            reply = reply.line(format!("AUTH {}", mechanisms.join(" ")));
        }
        reply.line(format!("SIZE {}", self.max_message_bytes())).line("DSN")
    }

    fn offers_tls(&self) -> bool {
        self.session.tls.is_none() && self.setup.has_certificate && self.settings().allow_starttls
    }

    fn max_message_bytes(&self) -> u64 {
        let configured = self.settings().max_message_size_bytes.unwrap_or(u64::MAX);
        configured.min(self.setup.max_body_bytes)
    }

    fn start_tls(&mut self, now: Instant, dialogue: Dialogue, more_follows: bool) {
        // What was sent in clear must never be read as if it had come encrypted.
        if more_follows {
            return self.close_with(Reply::new(501, 5, 2, "STARTTLS must be the last command"));
        }
        let refusal = if self.session.tls.is_some() {
            Reply::new(503, 5, 1, "already in TLS")
        } else if !self.offers_tls() {
            Reply::new(502, 5, 1, "STARTTLS not available")
        } else if matches!(dialogue, Dialogue::Ungreeted) {
            Reply::new(503, 5, 1, "send EHLO first")
        } else if self.conditions.handshakes_exhausted {
            Reply::new(454, 7, 0, "TLS not available due to temporary reason")
        } else {
            self.send(&Reply::new(220, 0, 0, "ready to start TLS"));
            self.next = Some(Action::StartTls);
            self.state = State::AwaitTls;
            return;
        };
        self.fault(refusal);
        self.await_command(now, dialogue);
    }

    fn mail(&mut self, now: Instant, dialogue: Dialogue, mail: MailFrom) {
        let greeting = match dialogue {
            Dialogue::Idle(greeting) => greeting,
            Dialogue::Ungreeted => {
                return self.out_of_order(now, Dialogue::Ungreeted, "send HELO or EHLO first");
            }
            Dialogue::Open(_) | Dialogue::Chunked(..) => {
                return self.out_of_order(now, dialogue, "nested MAIL command");
            }
        };
        if let Some(reply) = self.mail_refusal(&mail) {
            self.fault(reply);
            return self.await_command(now, Dialogue::Idle(greeting));
        }
        if self.conditions.overloaded {
            let text = "server resources temporarily exhausted";
            self.send(&Reply::new(452, 3, 1, text));
            return self.await_command(now, Dialogue::Idle(greeting));
        }
        self.send(&Reply::new(250, 1, 0, "MAIL ok"));
        let transaction = Transaction { greeting, mail, recipients: Vec::new(), overflowed: false };
        self.await_command(now, Dialogue::Open(Box::new(transaction)));
    }

    fn mail_refusal(&self, mail: &MailFrom) -> Option<Reply> {
        let settings = self.settings();
        if settings.require_auth && matches!(self.session.login, Login::Anonymous) {
            Some(Reply::new(530, 7, 0, "authentication required"))
        } else if mail.smtputf8 && !settings.allow_smtputf8 {
            Some(Reply::new(555, 5, 4, "SMTPUTF8 not available"))
        } else if !mail.smtputf8 && !mail.path.is_ascii() {
            Some(needs_smtputf8())
        } else if mail.size_bytes.is_some_and(|size| size > self.max_message_bytes()) {
            Some(Reply::new(552, 3, 4, "message too big"))
        } else {
            None
        }
    }

    fn rcpt(&mut self, now: Instant, dialogue: Dialogue, rcpt: RcptTo) {
        let mut transaction = match dialogue {
            Dialogue::Open(transaction) => transaction,
            Dialogue::Ungreeted | Dialogue::Idle(_) => {
                return self.out_of_order(now, dialogue, "send MAIL first");
            }
            Dialogue::Chunked(..) => {
                return self.out_of_order(now, dialogue, "message already begun");
            }
        };
        if let Some(reply) = self.rcpt_refusal(&transaction.mail, &rcpt) {
            self.refuse_recipient(reply);
        } else if transaction.recipients.len() < self.max_recipients() {
            self.send(&Reply::new(250, 1, 5, format!("<{}> ok", rcpt.address)));
            transaction.recipients.push(rcpt);
        } else if self.settings().too_many_rcpts_fails_message {
            transaction.overflowed = true;
            self.send(&Reply::new(250, 1, 5, format!("<{}> ok", rcpt.address)));
        } else {
            self.send(&Reply::new(452, 5, 3, "too many recipients"));
        }
        self.await_command(now, Dialogue::Open(transaction));
    }

    fn rcpt_refusal(&self, mail: &MailFrom, rcpt: &RcptTo) -> Option<Reply> {
        if !mail.smtputf8 && !rcpt.address.is_ascii() {
            Some(needs_smtputf8())
        } else if self.settings().always_allow_relaying
            || rcpt.address.domain().is_empty()
            || self.setup.policy.may_relay(&rcpt.address)
        {
            None
        } else {
            Some(Reply::new(550, 7, 1, "relaying denied"))
        }
    }

    fn max_recipients(&self) -> usize {
        let configured = self.settings().max_rcpt_per_message.unwrap_or(u32::MAX);
        usize::try_from(configured)
            .map_or(limits::MAX_RECIPIENTS, |n| n.min(limits::MAX_RECIPIENTS))
    }

    fn data(&mut self, now: Instant, dialogue: Dialogue) {
        let transaction = match dialogue {
            Dialogue::Open(transaction) => transaction,
            Dialogue::Ungreeted | Dialogue::Idle(_) => {
                return self.out_of_order(now, dialogue, "send MAIL first");
            }
            Dialogue::Chunked(..) => {
                return self.out_of_order(now, dialogue, "DATA cannot follow BDAT");
            }
        };
        if let Some(reply) = transaction.refusal() {
            self.fault(reply);
            return self.await_command(now, transaction.after_refusal());
        }
        self.send(&Reply::plain(354, "send message"));
        let body = Body::new(self.max_message_bytes(), transaction.mail.size_bytes);
        let transfer = Transfer::start(now);
        self.state = State::Data { transaction, reader: DataReader::new(body), transfer };
    }

    /// A chunk that cannot be taken is read and thrown away: its octets are on their way.
    fn bdat(&mut self, now: Instant, dialogue: Dialogue, size_bytes: u64, last: bool) {
        let target = match self.chunk_target(dialogue, size_bytes, last) {
            ChunkTarget::Nothing { .. } if size_bytes > limits::MAX_REFUSED_CHUNK_BYTES => {
                return self.close_with(Reply::new(554, 5, 1, "chunk refused"));
            }
            target => target,
        };
        let transfer = Transfer::start(now);
        if size_bytes == 0 {
            self.end_chunk(now, target, 0);
        } else {
            self.state = State::Chunk { target, left_bytes: size_bytes, transfer };
        }
    }

    fn chunk_target(&self, dialogue: Dialogue, size_bytes: u64, last: bool) -> ChunkTarget {
        if !self.settings().allow_chunking {
            let reply = Reply::new(502, 5, 1, "CHUNKING not available");
            return ChunkTarget::Nothing { dialogue, reply };
        }
        match dialogue {
            Dialogue::Open(transaction) => match transaction.refusal() {
                Some(reply) => {
                    ChunkTarget::Nothing { dialogue: transaction.after_refusal(), reply }
                }
                None => {
                    let body = Body::new(self.max_message_bytes(), Some(size_bytes));
                    ChunkTarget::Message { transaction, reader: ChunkReader::new(body), last }
                }
            },
            Dialogue::Chunked(transaction, reader) => {
                ChunkTarget::Message { transaction, reader, last }
            }
            Dialogue::Ungreeted | Dialogue::Idle(_) => {
                let reply = Reply::new(503, 5, 1, "send MAIL first");
                ChunkTarget::Nothing { dialogue, reply }
            }
        }
    }
}

impl Transaction {
    /// Why its message is not taken.
    fn refusal(&self) -> Option<Reply> {
        if self.overflowed {
            Some(Reply::new(554, 5, 3, "too many recipients"))
        } else if self.recipients.is_empty() {
            Some(Reply::new(554, 5, 1, "no valid recipients"))
        } else {
            None
        }
    }

    /// Where the session goes on when the message was refused: a transaction with too many
    /// recipients has failed, one without any may still get some.
    fn after_refusal(self: Box<Self>) -> Dialogue {
        if self.overflowed { Dialogue::Idle(self.greeting) } else { Dialogue::Open(self) }
    }
}

impl Dialogue {
    /// After `RSET`.
    fn reset(self) -> Self {
        match self {
            Self::Ungreeted => Self::Ungreeted,
            Self::Idle(greeting) => Self::Idle(greeting),
            Self::Open(transaction) | Self::Chunked(transaction, _) => {
                Self::Idle(transaction.greeting)
            }
        }
    }
}

fn needs_smtputf8() -> Reply {
    Reply::new(553, 6, 7, "address needs SMTPUTF8")
}
