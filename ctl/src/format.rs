//! Times, sizes and texts as people and scripts read them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `YYYY-MM-DD HH:MM:SS` in the local zone; nothing for 0.
pub(crate) fn time(at_ms: u64) -> String {
    strftime(at_ms, "%Y-%m-%d %H:%M:%S")
}

/// The same with the zone, as accounting files have it, for scripts.
pub(crate) fn time_zoned(at_ms: u64) -> String {
    strftime(at_ms, "%Y-%m-%d %H:%M:%S%z")
}

fn strftime(at_ms: u64, form: &str) -> String {
    if at_ms == 0 {
        return String::new();
    }
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_zoned_datetime(TimeZone::system()).strftime(form).to_string())
        .unwrap_or_default()
}

/// Kilobytes with one decimal, rounded.
pub(crate) fn kbytes(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + 512) / 1024;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// The same as a number.
pub(crate) fn kb(bytes: u64) -> serde_json::Value {
    kbytes(bytes).parse::<f64>().map_or(serde_json::Value::Null, serde_json::Value::from)
}

/// Days and `HH:MM:SS`.
pub(crate) fn uptime(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    format!("{days}  {}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60)
}

/// Text without control characters: a remote host may have sent it, and it goes to a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `4d12h`, `90m`, `300s`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write for instance 30s, 15m, 12h or 4d12h");
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let tens = number.unwrap_or(0).checked_mul(10).ok_or_else(wrong)?;
            number = Some(tens.checked_add(digit.into()).ok_or_else(wrong)?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    let bare = number.filter(|_| total == 0);
    match (bare, number, text.is_empty()) {
        (Some(seconds), _, _) => Ok(Duration::from_secs(seconds)),
        (None, None, false) => Ok(Duration::from_secs(total)),
        (None, _, _) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_the_configuration() {
        for (text, expected) in [
            ("300", Some(300)),
            ("30s", Some(30)),
            ("4d12h", Some(4 * 86_400 + 12 * 3600)),
            ("1w", Some(604_800)),
            ("2H", Some(7200)),
            ("", None),
            ("h", None),
            ("1h30", None),
            ("5x", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(parse_duration(text).ok().map(|d| d.as_secs()), expected, "{text}");
        }
    }

    #[test]
    fn kilobytes_are_rounded_to_tenths() {
        for (bytes, expected) in [(0, "0.0"), (51, "0.0"), (52, "0.1"), (1024, "1.0")] {
            assert_eq!(kbytes(bytes), expected);
        }
        assert_eq!(kbytes(u64::MAX), "18014398509481984.0");
        assert_eq!(kb(1536).to_string(), "1.5");
    }

    #[test]
    fn remote_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n"), "a?[2Jb??");
    }

    #[test]
    fn no_time_is_no_text() {
        assert_eq!(time(0), "");
        assert_eq!(uptime(90_061), "1  1:01:01");
    }
}
