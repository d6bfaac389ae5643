//! Values of ESMTP parameters that the envelope keeps.

/// `BODY=` of RFC 6152 and RFC 3030.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyType {
    /// `7BIT`.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

/// `RET=`: how much of the message a failure notice returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its headers.
    Headers,
}

/// `NOTIFY=`; the default (RFC 3461 4.1) is failure, and delay at the server's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// The parameter was not given.
    #[default]
    Unspecified,
    /// `NEVER`.
    Never,
    /// Any of `SUCCESS`, `FAILURE`, `DELAY`; at least one is set.
    On {
        /// `SUCCESS`.
        success: bool,
        /// `FAILURE`.
        failure: bool,
        /// `DELAY`.
        delay: bool,
    },
}

impl Notify {
    /// Reads `NEVER`, or a list of `SUCCESS`, `FAILURE`, `DELAY` in which none is repeated.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in value.split(',') {
            let flag = match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => &mut success,
                "FAILURE" => &mut failure,
                "DELAY" => &mut delay,
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        Some(Self::On { success, failure, delay })
    }

    /// Does a failure cause a notice?
    #[must_use]
    pub const fn failure(self) -> bool {
        match self {
            Self::Unspecified => true,
            Self::Never => false,
            Self::On { failure, .. } => failure,
        }
    }

    /// Does a delay cause a notice?
    #[must_use]
    pub const fn delay(self) -> bool {
        match self {
            Self::Unspecified | Self::Never => false,
            Self::On { delay, .. } => delay,
        }
    }

    /// Does a delivery cause a notice?
    #[must_use]
    pub const fn success(self) -> bool {
        match self {
            Self::Unspecified | Self::Never => false,
            Self::On { success, .. } => success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_reads_lists_without_repeats() {
        fn check(value: &str, expected: Option<(bool, bool, bool)>) {
            let got = Notify::parse(value).map(|n| (n.success(), n.failure(), n.delay()));
            assert_eq!(got, expected, "{value:?}");
        }
        check("never", Some((false, false, false)));
        check("SUCCESS,delay", Some((true, false, true)));
        check("FAILURE", Some((false, true, false)));
        check("", None);
        check("NEVER,FAILURE", None);
        check("FAILURE,FAILURE", None);
        check("FAILURE,", None);
        check("SOMETIMES", None);
    }
}
