//! Names of accounting files: `acct.csv` becomes `acct-2016-05-29-0000.csv`, and so on.

use std::path::{Path, PathBuf};

use super::fields;
use crate::clock::Timestamp;

/// A configured path, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    /// Where the files are.
    pub directory: PathBuf,
    stem: String,
    /// With its dot; may be empty.
    extension: String,
}

impl Naming {
    /// Takes a configured path apart; a relative one starts at `base`.
    pub(crate) fn new(base: &Path, configured: &str) -> Self {
        let path = base.join(configured);
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map_or_else(String::new, |p| p.to_string_lossy().into_owned())
        };
        Self {
            directory: path.parent().unwrap_or(base).to_owned(),
            stem: text(path.file_stem()),
            extension: path.extension().map_or_else(String::new, |e| format!(".{}", text(Some(e)))),
        }
    }

    /// The name of the `number`-th file of a day.
    pub(crate) fn file(&self, date: &str, number: u32) -> String {
        format!("{}-{date}-{number:04}{}", self.stem, self.extension)
    }

    /// All files of the series, as a shell pattern.
    pub(crate) fn pattern(&self) -> PathBuf {
        self.directory.join(format!("{}-*{}", self.stem, self.extension))
    }

    /// Is this the name of one of these files, of any day?
    pub(crate) fn owns(&self, name: &str) -> bool {
        let middle = name
            .strip_prefix(&self.stem)
            .and_then(|rest| rest.strip_suffix(&self.extension))
            .and_then(|rest| rest.strip_prefix('-'));
        let Some((date, number)) = middle.and_then(|middle| middle.rsplit_once('-')) else {
            return false;
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let date_shape = date.len() == 10
            && date.bytes().enumerate().all(|(i, b)| match i {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            });
        date_shape && number.len() >= 4 && digits(number)
    }
}

/// The day of `at` as file names show it.
pub(crate) fn date(at: Timestamp, utc_offset_s: i32) -> String {
    fields::local(at, utc_offset_s).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_date_and_number() {
        let check = |configured: &str, number, expected: &str| {
            let naming = Naming::new(Path::new("/srv"), configured);
            let name = naming.file("2016-05-29", number);
            assert_eq!(naming.directory.join(&name), Path::new(expected));
            assert!(naming.owns(&name), "{name}");
        };
        check("acct.csv", 0, "/srv/acct-2016-05-29-0000.csv");
        check("logs/acct.csv", 12, "/srv/logs/acct-2016-05-29-0012.csv");
        check("/var/log/acct.b.csv", 9999, "/var/log/acct.b-2016-05-29-9999.csv");
        check("acct", 10_000, "/srv/acct-2016-05-29-10000");
        let pattern = Naming::new(Path::new("/srv"), "logs/acct.csv").pattern();
        assert_eq!(pattern, Path::new("/srv/logs/acct-*.csv"));
    }

    #[test]
    fn only_its_own_names_belong_to_a_series() {
        let naming = Naming::new(Path::new("/srv"), "acct.csv");
        let check = |name: &str, expected| assert_eq!(naming.owns(name), expected, "{name}");
        check("acct-2016-05-29-0000.csv", true);
        check("acct.csv", false);
        check("acct-b-2016-05-29-0000.csv", false);
        check("acct-2016-05-29-0000.csv.gz", false);
        check("acct-2016-05-29-000.csv", false);
        check("acct-2016x05-29-0000.csv", false);
        check("diag-2016-05-29-0000.csv", false);
    }

    #[test]
    fn days_follow_the_time_zone() {
        let at = Timestamp(1_464_477_051_000);
        assert_eq!(date(at, 0), "2016-05-28");
        assert_eq!(date(at, 7200), "2016-05-29");
    }
}
