//! AUTH from the client's side (RFC 4954): CRAM-MD5, PLAIN, LOGIN.

use super::answer::Answer;
use super::failure::Failure;
use crate::config::settings::Credentials;
use crate::smtp::sasl;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    CramMd5,
    Plain,
    Login,
}

impl Mechanism {
    /// In the order in which they are tried: one that hides the password first.
    const ALL: [Self; 3] = [Self::CramMd5, Self::Plain, Self::Login];

    const fn name(self) -> &'static str {
        match self {
            Self::CramMd5 => "CRAM-MD5",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    const fn hides_password(self) -> bool {
        match self {
            Self::CramMd5 => true,
            Self::Plain | Self::Login => false,
        }
    }
}

/// What the server's next answer belongs to.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// AUTH with a mechanism whose secret follows a challenge.
    Challenge,
    /// LOGIN: the user name was asked for.
    User,
    /// The last response.
    Proof,
}

/// A login that is going on.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    mechanisms: std::vec::IntoIter<Mechanism>,
    current: Mechanism,
    step: Step,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Send this line. What it says is secret from the second word on.
    Send(String),
    /// Logged in.
    Done,
    /// The session cannot go on.
    Failed(Failure),
}

impl Login {
    /// Chooses a mechanism and gives the first line to send.
    pub(super) fn start(
        credentials: Credentials,
        offered: &[String],
        allows_clear: bool,
    ) -> Result<(Self, String), Failure> {
        let is_offered = |m: &Mechanism| offered.iter().any(|name| name == m.name());
        let known: Vec<_> = Mechanism::ALL.into_iter().filter(is_offered).collect();
        let needs_tls = !known.is_empty();
        let usable: Vec<_> =
            known.into_iter().filter(|m| allows_clear || m.hides_password()).collect();
        let mut mechanisms = usable.into_iter();
        let current = mechanisms.next().ok_or(Failure::NoMechanism { needs_tls })?;
        let mut login = Self { credentials, mechanisms, current, step: Step::Proof };
        let line = login.begin();
        Ok((login, line))
    }

    fn begin(&mut self) -> String {
        let Credentials { username, password } = &self.credentials;
        match self.current {
            Mechanism::CramMd5 => {
                self.step = Step::Challenge;
                "AUTH CRAM-MD5".to_owned()
            }
            Mechanism::Plain => {
                self.step = Step::Proof;
                format!("AUTH PLAIN {}", sasl::encode(&format!("\0{username}\0{password}")))
            }
            Mechanism::Login => {
                self.step = Step::User;
                "AUTH LOGIN".to_owned()
            }
        }
    }

    pub(super) fn answered(&mut self, answer: &Answer) -> Progress {
        match answer.code {
            235 => Progress::Done,
            334 => self.challenged(answer),
            // The mechanism is not known after all, or too weak: RFC 4954 4 and 6.
            504 | 534 => match self.mechanisms.next() {
                Some(next) => {
                    self.current = next;
                    Progress::Send(self.begin())
                }
                None => Progress::Failed(Failure::Login(answer.clone())),
            },
            _ => Progress::Failed(Failure::Login(answer.clone())),
        }
    }

    fn challenged(&mut self, answer: &Answer) -> Progress {
        let Credentials { username, password } = &self.credentials;
        let text = match (self.step, self.current) {
            (Step::User, _) => {
                self.step = Step::Challenge;
                return Progress::Send(sasl::encode(username));
            }
            (Step::Challenge, Mechanism::CramMd5) => {
                let decoded = sasl::decode(answer.lines[0].trim());
                match decoded.as_deref().and_then(|bytes| sasl::text(bytes)) {
                    Some(challenge) => {
                        let digest = sasl::cram_md5_digest(password, &challenge);
                        format!("{username} {digest}")
                    }
                    None => return Progress::Failed(Failure::Login(answer.clone())),
                }
            }
            (Step::Challenge, Mechanism::Login | Mechanism::Plain) => password.clone(),
            (Step::Proof, _) => return Progress::Failed(Failure::Login(answer.clone())),
        };
        self.step = Step::Proof;
        Progress::Send(sasl::encode(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(offered: &[&str], allows_clear: bool) -> Result<(Login, String), Failure> {
        let credentials =
            Credentials { username: "tim".to_owned(), password: "tanstaaftanstaaf".to_owned() };
        let offered: Vec<_> = offered.iter().map(|&name| name.to_owned()).collect();
        Login::start(credentials, &offered, allows_clear)
    }

    fn answer(code: u16, text: &str) -> Answer {
        Answer { code, enhanced: None, lines: vec![text.to_owned()] }
    }

    #[test]
    fn the_mechanism_is_the_safest_that_both_know() {
        let first = |offered: &[&str], clear| start(offered, clear).map(|(_, line)| line);
        assert_eq!(first(&["LOGIN", "PLAIN", "CRAM-MD5"], true).unwrap(), "AUTH CRAM-MD5");
        let plain = "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm";
        assert_eq!(first(&["LOGIN", "PLAIN"], true).unwrap(), plain);
        assert_eq!(first(&["CRAM-MD5", "PLAIN"], false).unwrap(), "AUTH CRAM-MD5");
        let hidden = Failure::NoMechanism { needs_tls: true };
        assert_eq!(first(&["PLAIN", "LOGIN"], false).unwrap_err(), hidden);
        let unknown = Failure::NoMechanism { needs_tls: false };
        assert_eq!(first(&["GSSAPI"], true).unwrap_err(), unknown);
    }

    #[test]
    fn cram_md5_answers_the_challenge_of_the_rfc() {
        let (mut login, _) = start(&["CRAM-MD5"], false).unwrap();
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let proof = "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw";
        let next = login.answered(&answer(334, challenge));
        assert_eq!(next, Progress::Send(proof.to_owned()));
        assert_eq!(login.answered(&answer(235, "ok")), Progress::Done);
    }

    #[test]
    fn login_gives_name_then_password() {
        let (mut login, first) = start(&["LOGIN"], true).unwrap();
        assert_eq!(first, "AUTH LOGIN");
        let next = login.answered(&answer(334, "VXNlcm5hbWU6"));
        assert_eq!(next, Progress::Send("dGlt".to_owned()));
        let next = login.answered(&answer(334, "UGFzc3dvcmQ6"));
        assert_eq!(next, Progress::Send("dGFuc3RhYWZ0YW5zdGFhZg==".to_owned()));
        let refused = answer(535, "no");
        let failed = Progress::Failed(Failure::Login(refused.clone()));
        assert_eq!(login.answered(&refused), failed);
    }

    #[test]
    fn a_mechanism_that_is_refused_gives_way_to_the_next() {
        let (mut login, _) = start(&["CRAM-MD5", "LOGIN"], true).unwrap();
        let next = login.answered(&answer(504, "no"));
        assert_eq!(next, Progress::Send("AUTH LOGIN".to_owned()));
        let (mut login, _) = start(&["PLAIN"], true).unwrap();
        assert!(matches!(login.answered(&answer(334, "")), Progress::Failed(_)));
    }
}
