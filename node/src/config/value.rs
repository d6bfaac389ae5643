//! Arguments: from words to typed values, and the messages when they are not what was expected.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::address;
use super::directive::{Arg, Kind};
use super::lexer::{self, LexError, Token};
use super::network::{DomainPattern, parse_host, parse_listen, parse_network};
use super::position::Text;
use super::settings::Rate;
use crate::message::RecordType;

/// A checked argument.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `""`: nothing, which also takes an inherited value away.
    Empty,
    Bool(bool),
    Integer(u64),
    /// `unlimited` or `never`.
    Unbounded,
    Size(u64),
    Time(Duration),
    Times(Vec<Duration>),
    Rate(Option<Rate>),
    DataRate(Option<Rate>),
    /// Any kind that stays text, unquoted; a choice in lower case.
    Text(String),
    List(Vec<String>),
    Address(IpAddr),
    Network(IpNet),
    Listen(SocketAddr),
    /// None for `$macro`, which is expanded elsewhere.
    Domain(Option<DomainPattern>),
    Records(Vec<RecordType>),
    /// A record type and the items of its field list.
    Fields(RecordType, Vec<String>),
    Options(Vec<(String, String)>),
}

/// An argument that is not what was expected.
#[derive(Debug)]
pub(super) struct ValueError {
    pub(super) at: Text,
    pub(super) message: String,
}

impl ValueError {
    fn new(at: &Text, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into() }
    }
}

/// Arguments of one directive and what was left of the line.
pub(super) struct Taken {
    pub(super) values: Vec<Value>,
    /// Where each value stands.
    pub(super) texts: Vec<Text>,
    pub(super) rest: Text,
}

/// Reads the arguments that `args` asks for from `rest`. `is_directive` tells whether a word is
/// another directive: such a word is never an optional argument.
pub(super) fn take_arguments(
    args: &'static [Arg],
    keyword: &Text,
    rest: &Text,
    is_directive: &dyn Fn(&str) -> bool,
) -> Result<Taken, ValueError> {
    let mut taken = Taken { values: Vec::new(), texts: Vec::new(), rest: rest.trim() };
    for arg in args {
        let next = lexer::split_word(&taken.rest).0;
        let missing = taken.rest.is_empty()
            || (arg.optional && !takes_whole_line(arg.kind) && is_directive(next.as_str()));
        if missing && arg.optional {
            break;
        }
        if missing {
            let syntax = syntax(keyword.as_str(), args);
            return Err(ValueError::new(
                keyword,
                format!("argument missing: {syntax} is expected"),
            ));
        }
        let (value, text, rest) = take_argument(arg.kind, &taken.rest)?;
        taken.values.push(value);
        taken.texts.push(text);
        taken.rest = rest;
    }
    Ok(taken)
}

/// `name FILE [PASSWORD]`.
#[must_use]
pub(super) fn syntax(name: &str, args: &[Arg]) -> String {
    let mut text = name.to_owned();
    for arg in args {
        let label = arg.label;
        text += &if arg.optional { format!(" [{label}]") } else { format!(" {label}") };
    }
    text
}

/// Kinds whose value goes on to the end of the line.
const fn takes_whole_line(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Rest
            | Kind::List
            | Kind::TimeList
            | Kind::RecordTypes
            | Kind::RecordFields
            | Kind::Options(_)
            | Kind::Special
    )
}

fn take_argument(kind: Kind, text: &Text) -> Result<(Value, Text, Text), ValueError> {
    let lexical = |e: LexError| ValueError::new(text, e.to_string());
    if takes_whole_line(kind) {
        let token = lexer::take_rest(text).map_err(lexical)?.expect("the text is not empty");
        let value = if token.quoted && token.value.is_empty() {
            Value::Empty
        } else {
            whole_line(kind, &token).map_err(|m| ValueError::new(&token.text, m))?
        };
        return Ok((value, token.text, text.after(text.as_str().len())));
    }
    if pattern_stands_here(kind, text) {
        let (token, rest) = lexer::take_pattern(text).map_err(lexical)?;
        let value = regex(&token).map_err(|m| ValueError::new(&token.text, m))?;
        return Ok((value, token.text, rest));
    }
    let (token, rest) = lexer::take_token(text).map_err(lexical)?.expect("the text is not empty");
    let value = word(kind, &token).map_err(|m| ValueError::new(&token.text, m))?;
    Ok((value, token.text, rest))
}

fn pattern_stands_here(kind: Kind, text: &Text) -> bool {
    match kind {
        Kind::Regex => true,
        Kind::EmailOrRegex => text.as_str().starts_with('/'),
        _ => false,
    }
}

/// Checks a pattern; keeps it as text.
fn regex(token: &Token) -> Result<Value, String> {
    compile(&token.value)?;
    Ok(Value::Text(token.value.clone()))
}

/// Compiles a pattern of the language: case-insensitive, with a bound on its backtracking.
pub(super) fn compile(pattern: &str) -> Result<fancy_regex::Regex, String> {
    fancy_regex::RegexBuilder::new(pattern)
        .case_insensitive(true)
        .backtrack_limit(100_000)
        .build()
        .map_err(|e| format!("not a regular expression: {e}"))
}

/// One word or quoted string.
fn word(kind: Kind, token: &Token) -> Result<Value, String> {
    let text = token.value.as_str();
    if token.quoted && text.is_empty() && may_be_empty(kind) {
        return Ok(Value::Empty);
    }
    match kind {
        Kind::Bool => parse_bool(text).map(Value::Bool),
        Kind::Integer { min, max } => parse_integer(text, min, max).map(Value::Integer),
        Kind::IntegerOrUnlimited { min, max } => unbounded(text, "unlimited")
            .map_or_else(|| parse_integer(text, min, max).map(Value::Integer), Ok)
            .map_err(|m| format!("{m}, or `unlimited`")),
        Kind::Size => parse_size(text).map(Value::Size),
        Kind::SizeOrUnlimited => unbounded(text, "unlimited")
            .map_or_else(|| parse_size(text).map(Value::Size), Ok)
            .map_err(|m| format!("{m}, or `unlimited`")),
        Kind::Time => parse_time(text).map(Value::Time),
        Kind::TimeOrNever => unbounded(text, "never")
            .map_or_else(|| parse_time(text).map(Value::Time), Ok)
            .map_err(|m| format!("{m}, or `never`")),
        Kind::Rate => parse_rate(text).map(Value::Rate),
        Kind::DataRate => parse_data_rate(text).map(Value::DataRate),
        Kind::Choice(choices) => parse_choice(text, choices).map(Value::Text),
        Kind::BoolOrTime => bool_or_time(text),
        Kind::Address => parse_address(text),
        Kind::Endpoint => text
            .parse()
            .map(Value::Listen)
            .or_else(|_| parse_address(text))
            .map_err(|m: String| format!("{m}, with a port or without")),
        Kind::Socket => parse_socket(text).map(Value::Listen),
        Kind::Reach => match address::split(text) {
            Ok(_) => Ok(Value::Text(text.to_owned())),
            Err(bad) => Err(bad.to_string()),
        },
        Kind::Network => parse_network(text).map(Value::Network),
        Kind::Listen => parse_listen(text).map(Value::Listen),
        Kind::Host => parse_host(text).map(Value::Text),
        Kind::DomainPattern if text.contains('$') => Ok(Value::Domain(None)),
        Kind::DomainPattern => DomainPattern::parse(text).map(|p| Value::Domain(Some(p))),
        Kind::Email | Kind::EmailOrRegex => parse_email(text),
        Kind::Word | Kind::Path | Kind::Name | Kind::Regex => Ok(Value::Text(text.to_owned())),
        Kind::Rest
        | Kind::List
        | Kind::TimeList
        | Kind::RecordTypes
        | Kind::RecordFields
        | Kind::Options(_)
        | Kind::Special => whole_line(kind, token),
    }
}

fn parse_socket(text: &str) -> Result<SocketAddr, String> {
    let found: Option<SocketAddr> = text.parse().ok().filter(|a: &SocketAddr| a.port() != 0);
    found.ok_or_else(|| format!("`{text}` is no IP address with a port, as in 192.0.2.1:2526"))
}

/// Kinds of which `""` is a value.
const fn may_be_empty(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Word
            | Kind::Path
            | Kind::Host
            | Kind::Email
            | Kind::EmailOrRegex
            | Kind::Name
            | Kind::DomainPattern
            | Kind::Address
            | Kind::Endpoint
    )
}

/// All the rest of a line.
fn whole_line(kind: Kind, token: &Token) -> Result<Value, String> {
    let text = token.value.as_str();
    match kind {
        Kind::List => list(text).map(Value::List),
        Kind::TimeList => {
            let times: Result<_, _> = list(text)?.iter().map(|t| parse_time(t)).collect();
            times.map(Value::Times)
        }
        Kind::RecordTypes => {
            let types: Result<_, _> = list(text)?.iter().map(|t| parse_record_type(t)).collect();
            types.map(Value::Records)
        }
        Kind::RecordFields => {
            let (kind, fields) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            let kind = parse_record_type(kind)?;
            list(fields).map(|fields| Value::Fields(kind, fields))
        }
        Kind::Options(names) => options(text, names),
        _ => Ok(Value::Text(text.to_owned())),
    }
}

/// Words between commas; none may be empty, quotes around one are dropped.
fn list(text: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = text.split(',').map(|i| unquoted(i.trim())).collect();
    if items.iter().any(String::is_empty) {
        return Err("names separated by commas are expected".to_owned());
    }
    Ok(items)
}

fn unquoted(item: &str) -> String {
    let inner = item.strip_prefix('"').and_then(|i| i.strip_suffix('"'));
    inner.unwrap_or(item).to_owned()
}

fn options(text: &str, names: &[&str]) -> Result<Value, String> {
    let mut options = Vec::new();
    for word in text.split_whitespace() {
        let known = |name: &&&str| name.eq_ignore_ascii_case(word.split('=').next().unwrap_or(""));
        let (Some(name), Some((_, value))) = (names.iter().find(known), word.split_once('='))
        else {
            let expected: Vec<_> = names.iter().map(|n| format!("{n}=VALUE")).collect();
            return Err(format!("`{word}` is not one of {}", expected.join(", ")));
        };
        options.push(((*name).to_owned(), unquoted(value)));
    }
    Ok(Value::Options(options))
}

fn unbounded(text: &str, name: &str) -> Option<Value> {
    text.eq_ignore_ascii_case(name).then_some(Value::Unbounded)
}

/// `yes`, `no`, `true`, `false`.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("`{text}` is not yes or no")),
    }
}

fn parse_integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let range = if max == u64::MAX {
        format!("a whole number from {min}")
    } else {
        format!("a whole number from {min} to {max}")
    };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| digits && (min..=max).contains(n));
    number.ok_or_else(|| format!("`{text}` is not {range}"))
}

/// Digits, then the unit behind them.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// `250M`, `10k`, or a bare number of bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let size = split_number(text).and_then(|(number, unit)| {
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" => 10,
            "m" => 20,
            "g" => 30,
            "t" => 40,
            _ => return None,
        };
        number.checked_mul(1 << shift)
    });
    size.ok_or_else(|| format!("`{text}` is not a size such as 250M or 10k"))
}

/// `4d12h`, `300s`, or a bare number of seconds.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 4d12h or 300s");
    if text.is_empty() {
        return Err(wrong());
    }
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let unit = after.chars().next();
        if unit.is_none() && rest.len() < text.len() {
            return Err(wrong());
        }
        let each: u64 = match unit.map(|u| u.to_ascii_lowercase()) {
            None | Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3_600,
            Some('d') => 86_400,
            Some('w') => 604_800,
            Some(_) => return Err(wrong()),
        };
        let sum = number.checked_mul(each).and_then(|n| n.checked_add(seconds));
        seconds = sum.filter(|s| *s < 1 << 40).ok_or_else(wrong)?;
        rest = &after[unit.map_or(0, char::len_utf8)..];
    }
    Ok(Duration::from_secs(seconds))
}

/// `[M]UNIT` of a rate.
fn parse_period(text: &str) -> Option<Duration> {
    let (many, unit) = match split_number(text) {
        Some((many, unit)) => (many, unit),
        None => (1, text),
    };
    let each = match unit.to_ascii_lowercase().as_str() {
        "d" | "day" => 86_400,
        "h" | "hr" => 3_600,
        "m" | "min" => 60,
        "s" | "sec" => 1,
        _ => return None,
    };
    let seconds = many.checked_mul(each).filter(|s| (1..1 << 40).contains(s))?;
    Some(Duration::from_secs(seconds))
}

/// `unlimited`, `0`, `250/h`, `1/20m`. No limit is `None`.
pub(super) fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "0" || text.eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    let rate = text.split_once('/').and_then(|(events, period)| {
        let (events, unit) = split_number(events)?;
        let period = parse_period(period)?;
        unit.is_empty().then_some(Rate { events, period })
    });
    let rate = rate.ok_or_else(|| format!("`{text}` is not a rate such as 250/h or 1/20m"))?;
    Ok((rate.events > 0).then_some(rate))
}

/// `10g/2h`: bytes per period, or `unlimited`.
fn parse_data_rate(text: &str) -> Result<Option<Rate>, String> {
    if text == "0" || text.eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    let rate = text.split_once('/').and_then(|(size, period)| {
        Some(Rate { events: parse_size(size).ok()?, period: parse_period(period)? })
    });
    rate.map(Some).ok_or_else(|| format!("`{text}` is not a data rate such as 10g/2h"))
}

/// One of the words, in lower case; `true` and `false` stand for `yes` and `no`.
fn parse_choice(text: &str, choices: &[&str]) -> Result<String, String> {
    let synonym = match text.to_ascii_lowercase().as_str() {
        "true" => "yes",
        "false" => "no",
        "yes" => "true",
        "no" => "false",
        _ => text,
    };
    let find = |word: &str| choices.iter().find(|c| c.eq_ignore_ascii_case(word));
    let found = find(text).or_else(|| find(synonym));
    found
        .map(|c| c.to_ascii_lowercase())
        .ok_or_else(|| format!("`{text}` is not one of {}", choices.join(", ")))
}

fn bool_or_time(text: &str) -> Result<Value, String> {
    if let Ok(flag) = parse_bool(text) {
        return Ok(Value::Bool(flag));
    }
    if text.eq_ignore_ascii_case("never") {
        return Ok(Value::Bool(false));
    }
    parse_time(text).map(Value::Time).map_err(|m| format!("{m}, or yes or no"))
}

fn parse_address(text: &str) -> Result<Value, String> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let address = inner.parse().map(Value::Address);
    address.map_err(|_| format!("`{text}` is not an IP address"))
}

/// A mail address; only its rough shape is checked. A local part alone is one, too.
fn parse_email(text: &str) -> Result<Value, String> {
    let shape = !text.is_empty()
        && !text.contains(char::is_whitespace)
        && text.rsplit_once('@').is_none_or(|(local, domain)| {
            !local.is_empty() && (domain.starts_with('[') || parse_host(domain).is_ok())
        });
    if shape {
        Ok(Value::Text(text.to_owned()))
    } else {
        Err(format!("`{text}` is not a mail address"))
    }
}

fn parse_record_type(text: &str) -> Result<RecordType, String> {
    RecordType::parse(text).ok_or_else(|| {
        let known: Vec<_> = RecordType::ALL.iter().map(|t| t.short()).collect();
        format!("`{text}` is not a record type: {}", known.join(", "))
    })
}
