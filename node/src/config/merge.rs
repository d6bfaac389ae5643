//! Which value wins: settings of sections in layers, from the most specific to the most general,
//! and the table's default below them all.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::checker::Setting;
use super::directive::Scope;
use super::settings::Rate;
use super::table;
use super::value::Value;

/// What one section sets, by present name. A directive that repeats has several settings; of any
/// other the last one is kept.
#[derive(Clone, Default)]
pub(super) struct Settings {
    by_name: HashMap<&'static str, Vec<Setting>>,
}

impl Settings {
    pub(super) fn new(settings: impl IntoIterator<Item = Setting>) -> Self {
        let mut all = Self::default();
        all.extend(settings);
        all
    }

    /// Adds the settings of a section with the same tag that stands further below.
    pub(super) fn extend(&mut self, settings: impl IntoIterator<Item = Setting>) {
        for setting in settings {
            let list = self.by_name.entry(setting.row.name).or_default();
            if !setting.row.repeats || setting.values.first() == Some(&Value::Empty) {
                list.clear();
            }
            list.push(setting);
        }
    }

    /// All settings of a directive, in file order.
    pub(super) fn all(&self, name: &str) -> &[Setting] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Layers of settings that are looked through in order.
#[derive(Clone)]
pub(super) struct View<'a> {
    scope: Scope,
    layers: Vec<&'a Settings>,
}

impl<'a> View<'a> {
    /// `layers` begins with the one that wins; defaults are those of `scope`.
    pub(super) fn new(scope: Scope, layers: Vec<&'a Settings>) -> Self {
        Self { scope, layers }
    }

    /// The settings of a directive in the first layer that has any.
    pub(super) fn all(&self, name: &str) -> &'a [Setting] {
        let found = self.layers.iter().map(|layer| layer.all(name)).find(|list| !list.is_empty());
        found.unwrap_or(&[])
    }

    /// The setting that wins.
    pub(super) fn last(&self, name: &str) -> Option<&'a Setting> {
        self.all(name).last()
    }

    /// The first value of the setting that wins, else of the default. None if it is `""` or if
    /// there is no default.
    pub(super) fn value(&self, name: &'static str) -> Option<&'a Value> {
        let value = match self.last(name) {
            Some(setting) => setting.values.first(),
            None => table::default(self.scope, name).first(),
        };
        value.filter(|v| **v != Value::Empty)
    }

    pub(super) fn flag(&self, name: &'static str) -> bool {
        match self.value(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Text(word)) => word == "yes" || word == "true",
            _ => false,
        }
    }

    /// A count; none is unlimited, and so is 0.
    pub(super) fn limit(&self, name: &'static str) -> Option<u32> {
        match self.value(name) {
            Some(Value::Integer(n)) if *n > 0 => Some(u32::try_from(*n).unwrap_or(u32::MAX)),
            _ => None,
        }
    }

    /// A number; 0 if it has no value.
    pub(super) fn number(&self, name: &'static str) -> u32 {
        match self.value(name) {
            Some(Value::Integer(n)) => u32::try_from(*n).unwrap_or(u32::MAX),
            Some(Value::Unbounded) => u32::MAX,
            _ => 0,
        }
    }

    /// A size in bytes; none is unlimited, and so is 0.
    pub(super) fn size_bytes(&self, name: &'static str) -> Option<u64> {
        match self.value(name) {
            Some(Value::Size(n)) if *n > 0 => Some(*n),
            _ => None,
        }
    }

    /// A time; none is never.
    pub(super) fn time_or_never(&self, name: &'static str) -> Option<Duration> {
        match self.value(name) {
            Some(Value::Time(time)) => Some(*time),
            _ => None,
        }
    }

    pub(super) fn time(&self, name: &'static str) -> Duration {
        self.time_or_never(name).unwrap_or_default()
    }

    /// Times, at least one.
    pub(super) fn times(&self, name: &'static str) -> Vec<Duration> {
        match self.value(name) {
            Some(Value::Times(times)) => times.clone(),
            _ => vec![self.time(name)],
        }
    }

    pub(super) fn rate(&self, name: &'static str) -> Option<Rate> {
        match self.value(name) {
            Some(Value::Rate(rate)) => *rate,
            _ => None,
        }
    }

    /// Values behind networks, in file order; none is unlimited. `read` gives none of a value that
    /// sets no limit.
    pub(super) fn per_source<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Vec<(IpNet, Option<T>)> {
        let line = |setting: &Setting| match setting.value(0) {
            Some(Value::Network(network)) => Some((*network, setting.value(1).and_then(&read))),
            _ => None,
        };
        self.all(name).iter().filter_map(line).collect()
    }

    pub(super) fn text(&self, name: &'static str) -> Option<String> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self, name: &'static str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A list; empty if it has no value.
    pub(super) fn list(&self, name: &'static str) -> Vec<String> {
        match self.value(name) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    /// The first values of a directive that repeats.
    pub(super) fn texts(&self, name: &'static str) -> Vec<String> {
        self.all(name).iter().filter_map(|s| s.text(0)).map(str::to_owned).collect()
    }
}
