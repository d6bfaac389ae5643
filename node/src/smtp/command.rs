//! Commands that a client may send (RFC 5321 4.1, RFC 3030, 3207, 3461, 4954, 6152, 6531).
//!
//! Owns their syntax, not their order. Refuses control characters, unknown and repeated
//! parameters, and arguments where none belong. Two liberties are taken, because clients need
//! them: blanks after `FROM:` and `TO:`, and blanks at the end of a line.

use super::address::{self, Address, AddressError, ReversePath};
use super::parameter::{BodyType, Notify, Ret};
use super::reply::Reply;
use super::xtext;

/// Octets of a command line with CRLF (RFC 5321 4.5.3.1.4).
pub const MAX_LINE_BYTES: usize = 512;
/// The same for `MAIL` and `RCPT`, whose parameters come on top.
pub const MAX_ENVELOPE_LINE_BYTES: usize = 2048;
/// The same for `AUTH` and the client's responses in it (RFC 4954 4.5).
pub const MAX_AUTH_LINE_BYTES: usize = 12_288;

/// Characters of `ENVID` before decoding (RFC 3461 4.4).
const MAX_ENVID_BYTES: usize = 100;
/// Characters of `ORCPT` before decoding (RFC 3461 4.2).
const MAX_ORCPT_BYTES: usize = 500;
/// Octets of the name in `EHLO` that are worth keeping.
const MAX_HELO_BYTES: usize = 255;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `HELO name`.
    Helo(String),
    /// `EHLO name`.
    Ehlo(String),
    /// `MAIL FROM:<path> parameters`.
    Mail(MailFrom),
    /// `RCPT TO:<path> parameters`.
    Rcpt(RcptTo),
    /// `DATA`.
    Data,
    /// `BDAT size [LAST]`.
    Bdat {
        /// Octets that follow.
        size_bytes: u64,
        /// The message is complete with them.
        last: bool,
    },
    /// `STARTTLS`.
    StartTls,
    /// `AUTH mechanism [initial-response]`.
    Auth {
        /// Upper case.
        mechanism: String,
        /// As sent: base64, or `=` for an empty one.
        initial: Option<String>,
    },
    /// `RSET`.
    Rset,
    /// `NOOP`.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY`.
    Vrfy,
    /// `EXPN`.
    Expn,
    /// `HELP`.
    Help,
}

/// `MAIL FROM` with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    /// The sender.
    pub path: ReversePath,
    /// `SIZE=` (RFC 1870).
    pub size_bytes: Option<u64>,
    /// `BODY=`.
    pub body: BodyType,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
}

/// `RCPT TO` with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptTo {
    /// The recipient.
    pub address: Address,
    /// `NOTIFY=`.
    pub notify: Notify,
    /// `ORCPT=`, decoded, address type included.
    pub orcpt: Option<String>,
}

/// Why a line is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Control characters, or not UTF-8.
    #[error("invalid characters")]
    InvalidCharacters,
    /// Not a verb that is known here.
    #[error("unknown command")]
    Unknown,
    /// A verb of another protocol, or no verb at all: this is not a mail client.
    #[error("not SMTP")]
    NotSmtp,
    /// The arguments are wrong; says how the command is written.
    #[error("{0}")]
    Usage(&'static str),
    /// The size of a chunk cannot be read, so what follows cannot be told from commands.
    #[error("bad chunk size")]
    BadChunk,
    /// The sender's address is malformed.
    #[error("bad sender address: {0}")]
    Sender(AddressError),
    /// The recipient's address is malformed.
    #[error("bad recipient address: {0}")]
    Recipient(AddressError),
    /// A parameter that is not known.
    #[error("unknown parameter")]
    UnknownParameter,
    /// A parameter with a bad value, or given twice.
    #[error("bad parameter {0}")]
    BadParameter(&'static str),
}

impl CommandError {
    /// The answer.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let text = self.to_string();
        match self {
            Self::InvalidCharacters => Reply::new(500, 5, 2, text),
            Self::Unknown => Reply::new(500, 5, 1, text),
            Self::NotSmtp => Reply::new(554, 5, 1, text),
            Self::Usage(_) | Self::BadChunk | Self::BadParameter(_) => Reply::new(501, 5, 4, text),
            Self::Sender(_) => Reply::new(501, 1, 7, text),
            Self::Recipient(_) => Reply::new(501, 1, 3, text),
            Self::UnknownParameter => Reply::new(555, 5, 4, text),
        }
    }
}

/// Verbs by which a browser or a proxy shows itself.
const FOREIGN_VERBS: [&str; 9] =
    ["GET", "POST", "CONNECT", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE", "PATCH"];

/// How long a line that starts like this may be, CRLF included.
#[must_use]
pub fn max_line_bytes(start: &[u8]) -> usize {
    let verb = start.get(..4).unwrap_or(start);
    if verb.eq_ignore_ascii_case(b"MAIL") || verb.eq_ignore_ascii_case(b"RCPT") {
        MAX_ENVELOPE_LINE_BYTES
    } else if verb.eq_ignore_ascii_case(b"AUTH") {
        MAX_AUTH_LINE_BYTES
    } else {
        MAX_LINE_BYTES
    }
}

impl Command {
    /// Reads a line without its CRLF.
    ///
    /// # Errors
    ///
    /// Says what is wrong; [`CommandError::reply`] is the answer.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        let line = std::str::from_utf8(line).map_err(|_| CommandError::InvalidCharacters)?;
        if line.chars().any(char::is_control) {
            return Err(CommandError::InvalidCharacters);
        }
        let line = line.trim_end_matches(' ');
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        match verb.as_str() {
            "HELO" => helo_name(arguments, "syntax: HELO name").map(Self::Helo),
            "EHLO" => helo_name(arguments, "syntax: EHLO name").map(Self::Ehlo),
            "MAIL" => MailFrom::parse(arguments).map(Self::Mail),
            "RCPT" => RcptTo::parse(arguments).map(Self::Rcpt),
            "DATA" => bare(Self::Data, arguments),
            "BDAT" => bdat(arguments),
            "STARTTLS" => bare(Self::StartTls, arguments),
            "AUTH" => auth(arguments),
            "RSET" => bare(Self::Rset, arguments),
            "NOOP" => Ok(Self::Noop),
            "QUIT" => bare(Self::Quit, arguments),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Ok(Self::Expn),
            "HELP" => Ok(Self::Help),
            foreign if FOREIGN_VERBS.contains(&foreign) => Err(CommandError::NotSmtp),
            _ => Err(CommandError::Unknown),
        }
    }
}

fn bare(command: Command, arguments: &str) -> Result<Command, CommandError> {
    if arguments.is_empty() {
        Ok(command)
    } else {
        Err(CommandError::Usage("no arguments allowed"))
    }
}

/// One word of visible ASCII. Whether it names a host is not checked: much software gives none.
fn helo_name(arguments: &str, usage: &'static str) -> Result<String, CommandError> {
    let name = arguments.trim_start_matches(' ');
    let valid = !name.is_empty()
        && name.len() <= MAX_HELO_BYTES
        && name.bytes().all(|b| b.is_ascii_graphic());
    if valid { Ok(name.to_owned()) } else { Err(CommandError::Usage(usage)) }
}

fn bdat(arguments: &str) -> Result<Command, CommandError> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let size_bytes = words.next().and_then(number).ok_or(CommandError::BadChunk)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(CommandError::BadChunk),
    };
    match words.next() {
        None => Ok(Command::Bdat { size_bytes, last }),
        Some(_) => Err(CommandError::BadChunk),
    }
}

fn auth(arguments: &str) -> Result<Command, CommandError> {
    const USAGE: CommandError = CommandError::Usage("syntax: AUTH mechanism [initial-response]");
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(USAGE)?.to_ascii_uppercase();
    let initial = words.next().map(str::to_owned);
    match words.next() {
        None => Ok(Command::Auth { mechanism, initial }),
        Some(_) => Err(USAGE),
    }
}

/// At most twenty digits (RFC 1870 3), no sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits && text.len() <= 20 { text.parse().ok() } else { None }
}

/// The path after `FROM:` or `TO:`, and the parameters.
fn path_and_parameters<'a>(
    arguments: &'a str,
    keyword: &str,
    usage: &'static str,
) -> Result<(&'a str, &'a str), CommandError> {
    let arguments = arguments.trim_start_matches(' ');
    let named = arguments.get(..keyword.len()).is_some_and(|k| k.eq_ignore_ascii_case(keyword));
    if !named {
        return Err(CommandError::Usage(usage));
    }
    let rest = arguments[keyword.len()..].trim_start_matches(' ');
    let (path, parameters) = address::split_path(rest).ok_or(CommandError::Usage(usage))?;
    if !parameters.is_empty() && !parameters.starts_with(' ') {
        return Err(CommandError::Usage(usage));
    }
    Ok((path, parameters))
}

/// `NAME` or `NAME=value`, separated by blanks.
fn parameters(text: &str) -> impl Iterator<Item = (String, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((name, value)) => (name.to_ascii_uppercase(), Some(value)),
        None => (word.to_ascii_uppercase(), None),
    })
}

/// Sets a parameter that may be given once.
fn set_once<T>(
    slot: &mut Option<T>,
    value: Option<T>,
    name: &'static str,
) -> Result<(), CommandError> {
    match (slot.is_some(), value) {
        (false, Some(value)) => {
            *slot = Some(value);
            Ok(())
        }
        _ => Err(CommandError::BadParameter(name)),
    }
}

impl MailFrom {
    fn parse(arguments: &str) -> Result<Self, CommandError> {
        let (path, rest) =
            path_and_parameters(arguments, "FROM:", "syntax: MAIL FROM:<address> [parameters]")?;
        let path = ReversePath::parse(path).map_err(CommandError::Sender)?;
        let (mut size, mut body, mut utf8) = (None, None, None);
        let (mut ret, mut envid, mut auth) = (None, None, None);
        for (name, value) in parameters(rest) {
            match name.as_str() {
                "SIZE" => set_once(&mut size, value.and_then(number), "SIZE")?,
                "BODY" => set_once(&mut body, value.and_then(body_type), "BODY")?,
                "SMTPUTF8" => set_once(&mut utf8, value.is_none().then_some(()), "SMTPUTF8")?,
                "RET" => set_once(&mut ret, value.and_then(ret_value), "RET")?,
                "ENVID" => set_once(&mut envid, value.and_then(envid_value), "ENVID")?,
                "AUTH" => set_once(&mut auth, value.and_then(auth_value), "AUTH")?,
                _ => return Err(CommandError::UnknownParameter),
            }
        }
        Ok(Self {
            path,
            size_bytes: size,
            body: body.unwrap_or_default(),
            smtputf8: utf8.is_some(),
            ret,
            envid,
        })
    }
}

impl RcptTo {
    fn parse(arguments: &str) -> Result<Self, CommandError> {
        let (path, rest) =
            path_and_parameters(arguments, "TO:", "syntax: RCPT TO:<address> [parameters]")?;
        let address = Address::parse_path(path).map_err(CommandError::Recipient)?;
        let (mut notify, mut orcpt) = (None, None);
        for (name, value) in parameters(rest) {
            match name.as_str() {
                "NOTIFY" => set_once(&mut notify, value.and_then(Notify::parse), "NOTIFY")?,
                "ORCPT" => set_once(&mut orcpt, value.and_then(orcpt_value), "ORCPT")?,
                _ => return Err(CommandError::UnknownParameter),
            }
        }
        Ok(Self { address, notify: notify.unwrap_or_default(), orcpt })
    }
}

/// `BINARYMIME` is not offered, hence not known.
fn body_type(value: &str) -> Option<BodyType> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Some(BodyType::SevenBit),
        "8BITMIME" => Some(BodyType::EightBitMime),
        _ => None,
    }
}

fn ret_value(value: &str) -> Option<Ret> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(Ret::Full),
        "HDRS" => Some(Ret::Headers),
        _ => None,
    }
}

fn envid_value(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > MAX_ENVID_BYTES {
        return None;
    }
    xtext::decode(value).ok()
}

/// `type;address` (RFC 3461 4.2): both parts are there.
fn orcpt_value(value: &str) -> Option<String> {
    if value.len() > MAX_ORCPT_BYTES {
        return None;
    }
    let decoded = xtext::decode(value).ok()?;
    let (kind, address) = decoded.split_once(';')?;
    let atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (atom && !address.is_empty()).then_some(decoded)
}

/// The submitter (RFC 4954 5): read for its syntax; nothing here trusts it.
fn auth_value(value: &str) -> Option<()> {
    if value == "<>" {
        return Some(());
    }
    let mailbox = xtext::decode(value).ok()?;
    Address::parse(&mailbox).ok().map(|_| ())
}

#[cfg(test)]
#[path = "command_test.rs"]
mod tests;
