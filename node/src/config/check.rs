//! Checks of the configuration as a whole: names that must exist, settings that need each other.

use super::checker::Checked;
use super::diagnostic::Diagnostics;
use super::settings::Config;

/// Reports what no single section can know.
pub(super) fn check(_root: &Checked, _config: &Config, _diagnostics: &mut Diagnostics) {}
