//! Checks of the configuration as a whole: names that must exist, settings that need each other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::checker::{Checked, Setting};
use super::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use super::directive::Scope;
use super::route::parse_smtp_hosts;
use super::settings::{Config, Lookup};
use super::value::Value;
use crate::id::DEFAULT_VMTA;

/// Longest `connection-idle-timeout`.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// An address of no network that a configuration would name on purpose (RFC 5737).
const STRANGER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

/// What kind of name a directive's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A virtual MTA or a pool.
    VmtaOrPool,
    Vmta,
    /// A section of this scope.
    Section(Scope),
}

/// Directives whose values name something: scope, directive, what it names.
const REFERENCES: &[(Scope, &str, Target)] = &[
    (Scope::Source, "default-virtual-mta", Target::VmtaOrPool),
    (Scope::Global, "invalid-virtual-mta-fallback", Target::VmtaOrPool),
    (Scope::Domain, "reroute-to-virtual-mta", Target::VmtaOrPool),
    (Scope::Domain, "backoff-reroute-to-virtual-mta", Target::VmtaOrPool),
    (Scope::VirtualMta, "cold-virtual-mta", Target::Vmta),
    (Scope::VirtualMtaPool, "virtual-mta", Target::Vmta),
    (Scope::SmtpUser, "source", Target::Section(Scope::Source)),
    (Scope::SmtpListener, "source", Target::Section(Scope::Source)),
    (Scope::Source, "source-group", Target::Section(Scope::SourceGroup)),
    (Scope::Source, "rewrite-list", Target::Section(Scope::RewriteList)),
    (Scope::VirtualMta, "rewrite-list", Target::Section(Scope::RewriteList)),
    (Scope::VirtualMtaPool, "rewrite-list", Target::Section(Scope::RewriteList)),
    (Scope::Source, "suppression-lists", Target::Section(Scope::AddressList)),
    (Scope::Domain, "smtp-pattern-list", Target::Section(Scope::SmtpPatternList)),
    (Scope::Global, "use-proxy", Target::Section(Scope::Proxy)),
    (Scope::VirtualMta, "use-proxy", Target::Section(Scope::Proxy)),
];

/// Reports what no single section can know.
pub(super) fn check(root: &Checked, config: &Config, diagnostics: &mut Diagnostics) {
    let mut check = Check { root, config, diagnostics };
    check.references(root);
    check.listener_sources();
    check.order_of_pattern_lists();
    check.pools();
    check.each_setting(root);
    check.tls();
    check.server();
}

struct Check<'a> {
    root: &'a Checked,
    config: &'a Config,
    diagnostics: &'a mut Diagnostics,
}

impl Check<'_> {
    fn names(&self, target: Target) -> HashSet<&str> {
        let of = |scope| {
            let sections = self.root.sections.iter().filter(move |s| s.scope == scope);
            sections.map(|s| s.name.as_str())
        };
        let default = std::iter::once(DEFAULT_VMTA);
        match target {
            Target::Vmta => of(Scope::VirtualMta).chain(default).collect(),
            Target::VmtaOrPool => {
                let pools = of(Scope::VirtualMtaPool);
                of(Scope::VirtualMta).chain(pools).chain(default).collect()
            }
            Target::Section(scope) => of(scope).collect(),
        }
    }

    fn references(&mut self, section: &Checked) {
        for setting in &section.settings {
            let refers = |(scope, name, _): &&(Scope, &str, Target)| {
                *scope == section.scope && *name == setting.row.name
            };
            if let Some((_, _, target)) = REFERENCES.iter().find(refers) {
                self.reference(setting, *target);
            }
        }
        for inner in &section.sections {
            self.references(inner);
        }
    }

    fn reference(&mut self, setting: &Setting, target: Target) {
        let names = match setting.value(0) {
            Some(Value::Text(name)) => vec![name.clone()],
            Some(Value::List(names)) => names.clone(),
            _ => Vec::new(),
        };
        for name in names {
            let by_source = name.eq_ignore_ascii_case("by-smtp-source-ip");
            if target == Target::VmtaOrPool && by_source {
                continue;
            }
            let known = self.names(target);
            if !known.contains(name.as_str()) {
                let error = unknown(setting, &name, target, known);
                self.diagnostics.push(error);
            }
        }
    }

    /// `smtp-listener ADDRESS source=NAME`.
    fn listener_sources(&mut self) {
        let known = self.names(Target::Section(Scope::Source));
        let mut errors = Vec::new();
        for setting in self.root.settings.iter().filter(|s| s.row.name == "smtp-listener") {
            let Some(Value::Options(options)) = setting.value(1) else { continue };
            for (_, name) in options.iter().filter(|(option, _)| option == "source") {
                if !known.contains(name.as_str()) {
                    let target = Target::Section(Scope::Source);
                    errors.push(unknown(setting, name, target, known.clone()));
                }
            }
        }
        errors.into_iter().for_each(|error| self.diagnostics.push(error));
    }

    /// A pattern list must stand above the source that uses it.
    fn order_of_pattern_lists(&mut self) {
        let all = self.names(Target::Section(Scope::PatternList));
        let mut above = HashSet::new();
        let mut errors = Vec::new();
        for section in &self.root.sections {
            if section.scope == Scope::PatternList {
                above.insert(section.name.as_str());
            }
            if section.scope != Scope::Source {
                continue;
            }
            for setting in section.settings.iter().filter(|s| s.row.name == "pattern-list") {
                let Some(name) = setting.text(0).filter(|n| !above.contains(n)) else { continue };
                errors.push(if all.contains(name) {
                    let message = format!("<pattern-list {name}> stands below this source");
                    Diagnostic::error(setting.at(0), message).with_help("move it above the source")
                } else {
                    let target = Target::Section(Scope::PatternList);
                    unknown(setting, name, target, all.clone())
                });
            }
        }
        errors.into_iter().for_each(|error| self.diagnostics.push(error));
    }

    /// Pools and virtual MTAs share their names; settings come from one pool only.
    fn pools(&mut self) {
        let vmtas = self.names(Target::Vmta);
        let mut member_of: HashMap<&str, &str> = HashMap::new();
        let mut errors = Vec::new();
        let pools = self.root.sections.iter().filter(|s| s.scope == Scope::VirtualMtaPool);
        for pool in pools {
            if vmtas.contains(pool.name.as_str()) {
                let message = format!("`{}` is the name of a virtual MTA, too", pool.name);
                errors.push(Diagnostic::error(&pool.argument, message));
            }
            if self.config.pools.get(&pool.name).is_some_and(|p| p.members.is_empty()) {
                errors.push(Diagnostic::error(&pool.argument, "this pool has no members"));
            }
            if !pool.sections.iter().any(|s| s.scope == Scope::Domain) {
                continue;
            }
            for member in pool.settings.iter().filter(|s| s.row.name == "virtual-mta") {
                let Some(name) = member.text(0) else { continue };
                let first = *member_of.entry(name).or_insert(&pool.name);
                if first != pool.name {
                    let message = format!("`{name}` has settings from pool `{first}` already");
                    let help = "only one pool of a virtual MTA may hold <domain> sections";
                    errors.push(Diagnostic::error(member.at(0), message).with_help(help));
                }
            }
        }
        errors.into_iter().for_each(|error| self.diagnostics.push(error));
    }

    fn each_setting(&mut self, section: &Checked) {
        if section.scope == Scope::Domain {
            section.settings.iter().for_each(|setting| self.domain_setting(setting));
            self.starttls(section);
        }
        for inner in &section.sections {
            self.each_setting(inner);
        }
    }

    fn domain_setting(&mut self, setting: &Setting) {
        match (setting.row.name, setting.value(0)) {
            ("smtp-hosts", Some(Value::Text(hosts))) => {
                if let Err(message) = parse_smtp_hosts(hosts) {
                    self.diagnostics.error(setting.at(0), message);
                }
            }
            ("connection-idle-timeout", Some(Value::Time(time))) if *time > MAX_IDLE => {
                self.diagnostics.error(setting.at(0), "connection-idle-timeout is at most 10m");
            }
            ("type", Some(Value::Text(kind))) => self.delivery_type(setting, kind),
            _ => {}
        }
    }

    fn delivery_type(&mut self, setting: &Setting, kind: &str) {
        if matches!(kind, "pipe" | "http-delivery") {
            let message = format!("type {kind} is not available: this mail stays in its queue");
            self.diagnostics.warning(setting.at(0), message);
        }
        if kind == "file" && !has_destination(self.root) {
            self.diagnostics.error(setting.at(0), "type file needs file-destination");
        }
    }

    fn starttls(&mut self, section: &Checked) {
        let given = |name, flag| {
            let mut settings = section.settings.iter().filter(move |s| s.row.name == name);
            settings.rfind(|s| s.value(0) == Some(&Value::Bool(flag)))
        };
        let required = given("require-starttls", true);
        if let (Some(required), Some(_)) = (required, given("use-starttls", false)) {
            let message = "require-starttls has no effect while use-starttls is no";
            self.diagnostics.warning(&required.keyword, message);
        }
    }

    fn tls(&mut self) {
        for listener in &self.config.listeners {
            let off = |tls: &super::settings::ServerTls| !tls.versions.v1_2 && !tls.versions.v1_3;
            if listener.tls.as_ref().is_some_and(off) {
                let message = format!("no version of TLS is left for {}", listener.address);
                self.diagnostics.push(Diagnostic::general(message).into_error());
            }
        }
        if self.config.listeners.iter().any(|listener| listener.tls.is_some()) {
            return;
        }
        for source in self.root.sections.iter().filter(|s| s.scope == Scope::Source) {
            for setting in source.settings.iter().filter(|s| s.row.name == "allow-starttls") {
                if setting.value(0) == Some(&Value::Bool(true)) {
                    let message = "allow-starttls has no effect without a certificate";
                    let warning = Diagnostic::warning(&setting.keyword, message);
                    let help = "add smtp-server-tls-certificate FILE";
                    self.diagnostics.push(warning.with_help(help));
                }
            }
        }
    }

    fn server(&mut self) {
        if self.config.server.log_file.is_none() {
            let message = "no log-file: the log goes to standard error";
            self.diagnostics.push(Diagnostic::general(message));
        }
        let public = self.config.listeners.iter().any(|l| !l.address.ip().is_loopback());
        let stranger = self.config.source(STRANGER, None, None);
        if public && stranger.always_allow_relaying && !stranger.require_auth {
            let message = "anyone who can connect may send to any domain: this is an open relay";
            let help = "set always-allow-relaying for known networks or for <source {auth}> only";
            self.diagnostics.push(Diagnostic::general(message).with_help(help));
        }
    }
}

fn unknown(setting: &Setting, name: &str, target: Target, known: HashSet<&str>) -> Diagnostic {
    let what = match target {
        Target::VmtaOrPool => "virtual MTA or pool",
        Target::Vmta => "virtual MTA",
        Target::Section(scope) => scope.tag(),
    };
    let mut known: Vec<_> = known.into_iter().collect();
    known.sort_unstable();
    Diagnostic::error(&setting.item(name), format!("{what} `{name}` does not exist"))
        .with_optional_help(did_you_mean(name, known))
}

/// Does any section say where files go?
fn has_destination(section: &Checked) -> bool {
    let named = |s: &Setting| s.row.name == "file-destination" && s.value(0).is_some();
    section.settings.iter().any(named) || section.sections.iter().any(has_destination)
}
