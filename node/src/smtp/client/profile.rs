//! How a client behaves: what the configuration of a queue says that concerns the protocol.

use std::time::Duration;

use super::failure::Phase;
use crate::config::DomainSettings;
use crate::config::settings::Credentials;

/// RFC 5321 4.5.3.2, where no directive says otherwise.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
const DATA_COMMAND_TIMEOUT: Duration = Duration::from_secs(120);
/// Nothing is lost when the answer to QUIT does not come.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of one session.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name for EHLO.
    pub helo: String,
    /// For AUTH.
    pub credentials: Option<Credentials>,
    /// PLAIN and LOGIN may be used without TLS.
    pub login_in_clear: bool,
    /// Send 8-bit messages as they are.
    pub ignore_eight_bit: bool,
    /// Do not use BDAT.
    pub ignore_chunking: bool,
    /// One command at a time.
    pub ignore_pipelining: bool,
    /// Do not pass on DSN parameters.
    pub ignore_dsn: bool,
    /// Wait for the greeting.
    pub greeting_timeout: Duration,
    /// Wait while a part of the message is sent.
    pub send_timeout: Duration,
    /// Wait for the answer to the end of the message.
    pub end_timeout: Duration,
    /// Keep lines of the dialogue for [`super::Client::take_line`].
    pub keeps_dialogue: bool,
}

impl Profile {
    /// The profile that a queue's settings ask for.
    #[must_use]
    pub fn of(settings: &DomainSettings, helo: String) -> Self {
        Self {
            helo,
            credentials: settings.auth.clone(),
            login_in_clear: settings.use_unencrypted_plain_auth,
            ignore_eight_bit: settings.ignore_8bitmime,
            ignore_chunking: settings.ignore_chunking,
            ignore_pipelining: settings.ignore_pipelining,
            ignore_dsn: settings.ignore_dsn,
            greeting_timeout: settings.smtp_greeting_timeout,
            send_timeout: settings.data_send_timeout,
            end_timeout: settings.smtp_data_termination_timeout,
            keeps_dialogue: settings.log_commands,
        }
    }

    /// How long a phase may last without progress.
    pub(super) const fn timeout(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Greeting => self.greeting_timeout,
            Phase::Body => self.send_timeout,
            Phase::End => self.end_timeout,
            Phase::Data | Phase::StartTls => DATA_COMMAND_TIMEOUT,
            Phase::Quit => QUIT_TIMEOUT,
            Phase::Hello
            | Phase::Login
            | Phase::Idle
            | Phase::Reset
            | Phase::Mail
            | Phase::Rcpt => COMMAND_TIMEOUT,
        }
    }
}
