//! `AUTH` (RFC 4954): which mechanisms are offered, and their exchanges.

use super::Server;
use super::action::{Action, AuthResult, Greeting, Identity};
use super::state::{Dialogue, Login, State};
use super::text::{Line, first_line};
use crate::clock::Instant;
use crate::smtp::command::MAX_AUTH_LINE_BYTES;
use crate::smtp::reply::Reply;
use crate::smtp::sasl::{self, Credentials};

use zeroize::Zeroizing;

/// What the client's next response means.
pub(super) enum Exchange {
    /// The message of PLAIN.
    Plain,
    /// The user of LOGIN.
    LoginUser,
    /// The password of LOGIN.
    LoginPassword { user: String },
    /// The answer to this challenge.
    CramMd5 { challenge: String },
    /// Whom to act for.
    External,
}

/// The mechanisms that are known here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    CramMd5,
    Login,
    Plain,
    External,
}

impl Mechanism {
    const ALL: [Self; 4] = [Self::CramMd5, Self::Login, Self::Plain, Self::External];

    const fn name(self) -> &'static str {
        match self {
            Self::CramMd5 => "CRAM-MD5",
            Self::Login => "LOGIN",
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }
}

impl Server {
    /// The names after `AUTH` in the answer to `EHLO`; none hides the extension.
    pub(super) fn offered_mechanisms(&self) -> Vec<&'static str> {
        let settings = self.settings();
        let in_clear = self.session.tls.is_none();
        if !settings.allow_auth || (in_clear && settings.require_starttls_before_auth) {
            return Vec::new();
        }
        Mechanism::ALL.into_iter().filter(|m| self.allows(*m)).map(Mechanism::name).collect()
    }

    fn allows(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::CramMd5 => true,
            Mechanism::Login | Mechanism::Plain => {
                self.session.tls.is_some() || self.settings().allow_unencrypted_plain_auth
            }
            Mechanism::External => self.certificate_user().is_some(),
        }
    }

    pub(super) fn certificate_user(&self) -> Option<&Identity> {
        self.session.tls.as_ref().and_then(|tls| tls.certificate_user.as_ref())
    }

    pub(super) fn auth(
        &mut self,
        now: Instant,
        greeting: Greeting,
        mechanism: &str,
        initial: Option<&str>,
    ) {
        if let Some(reply) = self.auth_refusal(mechanism) {
            self.fault(reply);
            return self.await_command(now, Dialogue::Idle(greeting));
        }
        let exchange = match Mechanism::ALL.into_iter().find(|m| m.name() == mechanism) {
            Some(Mechanism::CramMd5) if initial.is_some() => {
                self.fault(Reply::new(501, 7, 0, "CRAM-MD5 takes no initial response"));
                return self.await_command(now, Dialogue::Idle(greeting));
            }
            Some(Mechanism::CramMd5) => Exchange::CramMd5 { challenge: self.challenge() },
            Some(Mechanism::Login) => Exchange::LoginUser,
            Some(Mechanism::Plain) => Exchange::Plain,
            Some(Mechanism::External) => Exchange::External,
            None => {
                self.fault(Reply::new(504, 5, 4, "mechanism not supported"));
                return self.await_command(now, Dialogue::Idle(greeting));
            }
        };
        match initial {
            Some(response) => self.respond(now, greeting, exchange, response),
            None => self.ask(now, greeting, exchange),
        }
    }

    /// Why this mechanism cannot be used now.
    fn auth_refusal(&self, mechanism: &str) -> Option<Reply> {
        let settings = self.settings();
        let in_clear = self.session.tls.is_none();
        let refusal = if !settings.allow_auth {
            Reply::new(502, 5, 1, "AUTH not available")
        } else if matches!(self.session.login, Login::Auth(_)) {
            Reply::new(503, 5, 1, "already authenticated")
        } else if in_clear && settings.require_starttls_before_auth {
            Reply::new(530, 7, 0, "must issue STARTTLS first")
        } else if in_clear
            && matches!(mechanism, "PLAIN" | "LOGIN")
            && !settings.allow_unencrypted_plain_auth
        {
            Reply::new(538, 7, 11, "encryption required for this mechanism")
        } else if mechanism == Mechanism::External.name() && self.certificate_user().is_none() {
            Reply::new(504, 5, 4, "mechanism not supported")
        } else {
            return None;
        };
        Some(refusal)
    }

    /// Different for each exchange, unpredictable between sessions (RFC 2195 2).
    fn challenge(&mut self) -> String {
        self.session.exchanges += 1;
        let host = &self.setup.host_name;
        format!("<{:016x}.{}@{host}>", self.setup.challenge_seed, self.session.exchanges)
    }

    /// Sends a challenge and waits for the response.
    fn ask(&mut self, now: Instant, greeting: Greeting, exchange: Exchange) {
        let challenge = match &exchange {
            Exchange::Plain | Exchange::External => String::new(),
            Exchange::LoginUser => sasl::encode("Username:"),
            Exchange::LoginPassword { .. } => sasl::encode("Password:"),
            Exchange::CramMd5 { challenge } => sasl::encode(challenge),
        };
        self.send(&Reply::plain(334, challenge));
        self.session.waiting_since = now;
        self.state = State::Sasl(greeting, exchange);
    }

    pub(super) fn receive_sasl(
        &mut self,
        now: Instant,
        greeting: Greeting,
        exchange: Exchange,
        input: &[u8],
    ) -> usize {
        match first_line(input, MAX_AUTH_LINE_BYTES) {
            Line::Partial => {
                self.state = State::Sasl(greeting, exchange);
                0
            }
            Line::BareLf | Line::TooLong(_) => {
                self.close_with(Reply::new(500, 5, 6, "bad response line"));
                input.len()
            }
            Line::Whole(_, octets) if octets < input.len() => {
                self.close_out_of_turn();
                input.len()
            }
            Line::Whole(line, octets) => {
                self.log_received(b"(response not shown)");
                match std::str::from_utf8(line) {
                    Ok("*") => self.refuse_auth(now, greeting, Reply::new(501, 7, 0, "cancelled")),
                    Ok(response) => self.respond(now, greeting, exchange, response),
                    Err(_) => self.refuse_auth(now, greeting, bad_response()),
                }
                octets
            }
        }
    }

    /// Takes a response, initial or not.
    fn respond(&mut self, now: Instant, greeting: Greeting, exchange: Exchange, response: &str) {
        let Some(message) = sasl::decode(response) else {
            return self.refuse_auth(now, greeting, bad_response());
        };
        let credentials = match exchange {
            Exchange::Plain => sasl::read_plain(&message),
            Exchange::LoginUser => match sasl::text(&message) {
                Some(user) if !user.is_empty() => {
                    return self.ask(now, greeting, Exchange::LoginPassword { user });
                }
                _ => None,
            },
            Exchange::LoginPassword { user } => {
                let password = sasl::text(&message).map(Zeroizing::new);
                password.map(|password| Credentials::Password { user, password })
            }
            Exchange::CramMd5 { challenge } => sasl::read_cram_md5(&message, challenge),
            Exchange::External => return self.external(now, greeting, &message),
        };
        match credentials {
            Some(credentials) => {
                self.next = Some(Action::Authenticate(credentials));
                self.state = State::AwaitAuth(greeting);
            }
            None => self.refuse_auth(now, greeting, bad_response()),
        }
    }

    /// The certificate has proved the user already; the client may only name that one.
    fn external(&mut self, now: Instant, greeting: Greeting, message: &[u8]) {
        let matching = self
            .certificate_user()
            .filter(|identity| message.is_empty() || message == identity.user.as_bytes())
            .cloned();
        match matching {
            Some(identity) => self.accept_auth(now, greeting, identity),
            None => self.refuse_auth(now, greeting, failed()),
        }
    }

    /// Takes the result of [`Action::Authenticate`].
    pub fn authenticated(&mut self, now: Instant, result: AuthResult) {
        let State::AwaitAuth(greeting) = std::mem::replace(&mut self.state, State::Closed) else {
            return self.close_with(Reply::new(421, 3, 0, "internal error"));
        };
        match result {
            AuthResult::Accepted(identity) => self.accept_auth(now, greeting, identity),
            AuthResult::Refused => self.refuse_auth(now, greeting, failed()),
            AuthResult::Locked => {
                let reply = Reply::new(454, 7, 0, "too many authentication failures, try later");
                self.refuse_auth(now, greeting, reply);
            }
        }
    }

    fn accept_auth(&mut self, now: Instant, greeting: Greeting, identity: Identity) {
        self.session.login = Login::Auth(identity);
        self.send(&Reply::new(235, 7, 0, "authentication succeeded"));
        self.await_command(now, Dialogue::Idle(greeting));
    }

    fn refuse_auth(&mut self, now: Instant, greeting: Greeting, reply: Reply) {
        self.fault(reply);
        self.await_command(now, Dialogue::Idle(greeting));
    }
}

fn bad_response() -> Reply {
    Reply::new(501, 5, 2, "bad authentication response")
}

fn failed() -> Reply {
    Reply::new(535, 7, 8, "authentication failed")
}
