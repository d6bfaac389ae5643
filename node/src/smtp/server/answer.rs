//! Answering: replies, what counts against a client, ending a session, the log of the dialogue.

use super::Server;
use super::action::{Action, LogLine};
use super::state::State;
use crate::smtp::reply::Reply;

/// Characters of a log line.
const MAX_LOGGED_CHARS: usize = 1000;

impl Server {
    /// Answers. A transient failure ends the session where `disconnect-on-transient-error` says so.
    pub(super) fn send(&mut self, reply: &Reply) {
        if reply.is_transient() && self.settings().disconnect_on_transient_error {
            return self.close();
        }
        self.write(reply);
    }

    /// Answers what a sound client does not do.
    pub(super) fn fault(&mut self, reply: Reply) {
        if self.session.tally.fault() {
            self.close_with(Reply::new(421, 7, 0, "too many errors"));
        } else {
            self.send(&reply);
        }
    }

    /// Refuses a recipient. Those who may relay send long lists, in which some are always wrong.
    pub(super) fn refuse_recipient(&mut self, reply: Reply) {
        let trusted = self.settings().always_allow_relaying;
        if !trusted && self.session.tally.refused_recipient() {
            self.close_with(Reply::new(421, 7, 0, "too many refused recipients"));
        } else {
            self.send(&reply);
        }
    }

    /// Answers a command that brings no mail nearer.
    pub(super) fn send_idle(&mut self, reply: Reply) {
        if self.session.tally.idle_command() {
            self.close_with(Reply::new(421, 7, 0, "too many commands without mail"));
        } else {
            self.send(&reply);
        }
    }

    /// Answers and ends the session.
    pub(super) fn close_with(&mut self, reply: Reply) {
        self.write(&reply);
        self.close();
    }

    pub(super) fn close_stopping(&mut self) {
        let text = format!("{} is shutting down", self.setup.host_name);
        self.close_with(Reply::new(421, 3, 2, text));
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.next = Some(Action::Close);
    }

    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.next, Some(Action::Close))
    }

    pub(super) fn log_received(&mut self, line: &[u8]) {
        if self.settings().log_commands {
            let shown = visible(masked(&String::from_utf8_lossy(line)));
            self.log.push_back(LogLine::Received(shown));
        }
    }

    fn write(&mut self, reply: &Reply) {
        let start = self.unsent.len();
        reply.write(&mut self.unsent);
        if self.settings().log_commands {
            let text = String::from_utf8_lossy(&self.unsent[start..]);
            let lines: Vec<LogLine> =
                text.lines().map(|line| LogLine::Sent(visible(line))).collect();
            self.log.extend(lines);
        }
    }
}

/// An AUTH command as far as its mechanism; other lines wholly.
fn masked(line: &str) -> &str {
    let is_auth = line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case("AUTH "));
    if !is_auth {
        return line;
    }
    let mechanism = line[5..].trim_start_matches(' ');
    match mechanism.find(' ') {
        Some(end) => &line[..line.len() - mechanism.len() + end],
        None => line,
    }
}

/// Without control characters, so that a client cannot write lines of its own into the log.
fn visible(text: &str) -> String {
    text.chars()
        .take(MAX_LOGGED_CHARS)
        .map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_logged() {
        assert_eq!(masked("AUTH PLAIN AHRpbQ=="), "AUTH PLAIN");
        assert_eq!(masked("auth  PLAIN AHRpbQ=="), "auth  PLAIN");
        assert_eq!(masked("AUTH LOGIN"), "AUTH LOGIN");
        assert_eq!(masked("MAIL FROM:<a@b.c> SIZE=1"), "MAIL FROM:<a@b.c> SIZE=1");
    }

    #[test]
    fn a_logged_line_is_one_line() {
        assert_eq!(visible("a\r\nb\u{1b}[0m\u{fffd}"), "a??b?[0m?");
        assert_eq!(visible(&"x".repeat(5000)).len(), MAX_LOGGED_CHARS);
    }
}
