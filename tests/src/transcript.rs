//! The format of `tests/transcripts/*.txt`: what a client sends, what the server answers.
//!
//! ```text
//! # A comment.
//! @config                  lines of configuration up to @end
//! @end
//! S: 250 2.1.0 MAIL ok     the server's next line
//! S: ~^250-SIZE \d+$       the same, as a regular expression
//! C: MAIL FROM:<a@b.c>     a line from the client; CRLF is added
//! C< a\nb\r\n              bytes from the client: \r \n \0 \t \\ \xHH, nothing is added
//! @repeat 100 C: NOOP      the same step a number of times
//! ```
//!
//! Client steps without a server's line in between are sent in one piece, and also in all kinds of
//! other pieces, unless the transcript says `@once`. The other steps are variants of [`Step`].

use anyhow::{Context, Result, bail, ensure};

/// One file.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// For messages about it.
    pub name: String,
    /// Text of the configuration that it needs.
    pub config: String,
    /// How the client's bytes are cut matters to it: send each group in one piece.
    pub once: bool,
    /// Steps with their line numbers.
    pub steps: Vec<(usize, Step)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `C:` and `C<`.
    Client(Vec<u8>),
    /// `S:` with the whole line.
    Server(String),
    /// `S: ~` with a regular expression.
    ServerLike(String),
    /// `@early`: the client's next bytes come before the banner. First step.
    Early,
    /// `@tls [user]`: the handshake, with the certificate of this user.
    Tls(Option<String>),
    /// `@cram-md5 user password`: the response to the challenge in the last line.
    CramMd5 {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// `@messages n`: so many have been stored.
    Messages(usize),
    /// `@body text`: the text of the last one, in the notation of `C<`.
    Body(Vec<u8>),
    /// `@closed`: the server has closed the connection.
    Closed,
    /// `@wait n`: so many seconds pass. Only where time can be set.
    Wait(u64),
    /// `@overload on|off`: the node takes no new message. Only where it can be told so.
    Overload(bool),
    /// `@shed`: no memory is left for the message being received. As above.
    Shed,
    /// `@refuse code text`: the next message is not stored. As above.
    Refuse(String),
    /// `@drain`: the node begins to stop. As above.
    Drain,
}

impl Transcript {
    /// Reads a file's text.
    ///
    /// # Errors
    ///
    /// With the line that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let mut read =
            Self { name: name.to_owned(), config: String::new(), once: false, steps: Vec::new() };
        let mut lines = text.lines().enumerate();
        while let Some((n, line)) = lines.next() {
            if line == "@config" {
                let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "@end");
                block.for_each(|line| {
                    read.config.push_str(line);
                    read.config.push('\n');
                });
            } else if line == "@once" {
                read.once = true;
            } else if !line.is_empty() && !line.starts_with('#') {
                let at = || format!("{name}:{}: {line}", n + 1);
                read.add(n + 1, line).with_context(at)?;
            }
        }
        ensure!(!read.steps.is_empty(), "{name}: no steps");
        Ok(read)
    }

    /// True when it needs a server whose time, memory or store can be set.
    #[must_use]
    pub fn needs_a_double(&self) -> bool {
        self.steps.iter().any(|(_, step)| match step {
            Step::Wait(_) | Step::Overload(_) | Step::Shed | Step::Refuse(_) | Step::Drain => true,
            Step::Client(_)
            | Step::Server(_)
            | Step::ServerLike(_)
            | Step::Early
            | Step::Tls(_)
            | Step::CramMd5 { .. }
            | Step::Messages(_)
            | Step::Body(_)
            | Step::Closed => false,
        })
    }

    fn add(&mut self, n: usize, line: &str) -> Result<()> {
        let Some(repeated) = line.strip_prefix("@repeat ") else {
            self.steps.push((n, step(line)?));
            return Ok(());
        };
        let (times, line) = repeated.split_once(' ').context("@repeat needs a step")?;
        let (times, step) = (times.parse()?, step(line)?);
        self.steps.extend(std::iter::repeat_n((n, step), times));
        Ok(())
    }
}

fn step(line: &str) -> Result<Step> {
    if let Some(text) = line.strip_prefix("C: ") {
        return Ok(Step::Client(format!("{text}\r\n").into_bytes()));
    }
    if let Some(text) = line.strip_prefix("C< ") {
        return Ok(Step::Client(unescape(text)?));
    }
    if let Some(pattern) = line.strip_prefix("S: ~") {
        return Ok(Step::ServerLike(pattern.to_owned()));
    }
    if let Some(text) = line.strip_prefix("S: ") {
        return Ok(Step::Server(text.to_owned()));
    }
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match word {
        "@early" => Step::Early,
        "@tls" => Step::Tls((!rest.is_empty()).then(|| rest.to_owned())),
        "@cram-md5" => {
            let (user, password) = rest.split_once(' ').context("needs user and password")?;
            Step::CramMd5 { user: user.to_owned(), password: password.to_owned() }
        }
        "@messages" => Step::Messages(rest.parse()?),
        "@body" => Step::Body(unescape(rest)?),
        "@closed" => Step::Closed,
        "@wait" => Step::Wait(rest.parse()?),
        "@overload" => Step::Overload(rest == "on"),
        "@shed" => Step::Shed,
        "@refuse" => Step::Refuse(rest.to_owned()),
        "@drain" => Step::Drain,
        _ => bail!("not a step"),
    })
}

fn unescape(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
                u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
            }
            _ => bail!("a bad escape"),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_steps_and_configuration() -> Result<()> {
        let text = "# x\n@config\n<source 0/0>\n</source>\n@end\n@once\n\nS: ~^220 \nC: NOOP\n\
                    C< a\\r\\x00\\\\\n@repeat 2 C: RSET\n@tls robot\n@wait 5\n";
        let transcript = Transcript::parse("t", text)?;
        assert_eq!(transcript.config, "<source 0/0>\n</source>\n");
        assert!(transcript.once && transcript.needs_a_double());
        let steps: Vec<Step> = transcript.steps.into_iter().map(|(_, step)| step).collect();
        let reset = Step::Client(b"RSET\r\n".to_vec());
        assert_eq!(
            steps,
            [
                Step::ServerLike("^220 ".to_owned()),
                Step::Client(b"NOOP\r\n".to_vec()),
                Step::Client(b"a\r\0\\".to_vec()),
                reset.clone(),
                reset,
                Step::Tls(Some("robot".to_owned())),
                Step::Wait(5),
            ]
        );
        Ok(())
    }

    #[test]
    fn says_which_line_is_wrong() {
        let error = Transcript::parse("t", "C: x\n@what\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("t:2: @what"), "{error:#}");
    }
}
