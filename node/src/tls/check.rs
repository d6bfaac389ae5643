//! What a configuration says about TLS, tried out before it is used: every certificate, key,
//! authority and cipher list, with the place where it is configured.
//!
//! For `--check-config` and for a reload: an error refuses the configuration, so that a node never
//! runs with a listener that cannot speak TLS.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;

use super::acceptor::ClientAuthorities;
use super::connector::Connector;
use super::roots::{self, Roots};
use super::{TlsError, acceptor, certificate, cipher, key};
use crate::clock::Timestamp;
use crate::config::settings::{CertificateFile, ClientTls, ServerTls, UserMethod};
use crate::config::{Config, Diagnostic, Lookup as _, Position, Severity};

/// A certificate with less than this to live is warned of.
const SHORT_LIFE_S: i64 = 14 * 24 * 3600;
/// What is certain to be said once need not be said for each of thousands of sections.
const DIAGNOSTICS_MAX: usize = 200;

/// Tries out the TLS of a whole configuration. Reads files.
#[must_use]
pub fn check(config: &Config, now: Timestamp) -> Vec<Diagnostic> {
    let mut check = Check { config, now, said: HashSet::new(), found: Vec::new() };
    check.cipher_lists();
    for listener in &config.listeners {
        if let Some(tls) = &listener.tls {
            check.server(tls);
        }
    }
    let queues = config.representative_queues();
    let clients: HashSet<ClientTls> = queues
        .iter()
        .map(|(domain, vmta)| config.queue(domain, vmta))
        .filter(|settings| settings.use_starttls)
        .map(|settings| settings.tls.clone())
        .collect();
    for tls in &clients {
        check.client(tls);
    }
    for user in config.users.values() {
        if let UserMethod::Certificate(path) = &user.method {
            check.user(path);
        }
    }
    check.found.sort_by(|a, b| a.position.cmp(&b.position));
    check.found.truncate(DIAGNOSTICS_MAX);
    check.found
}

struct Check<'a> {
    config: &'a Config,
    now: Timestamp,
    said: HashSet<(Option<PathBuf>, String)>,
    found: Vec<Diagnostic>,
}

impl Check<'_> {
    /// Effect of every list; whether it selects anything is found out where it is used.
    fn cipher_lists(&mut self) {
        for list in &self.config.cipher_positions {
            let selection = if list.directive.ends_with("suites") {
                cipher::select_tls13(Some(&list.list))
            } else {
                cipher::select(&list.list)
            };
            for note in selection.map(|selection| selection.notes).unwrap_or_default() {
                let width = list.list.chars().count();
                let at = Some(&list.position);
                self.found.push(diagnostic(Severity::Warning, note.to_string(), at, width));
            }
        }
    }

    fn server(&mut self, tls: &ServerTls) {
        if let Err(error) = acceptor::server_config(tls, true) {
            self.error(&error);
        }
        self.certificate(&tls.certificate, Some(&self.config.server.host_name));
        if let Some(path) = &tls.ca_file {
            match ClientAuthorities::load(Some(path)) {
                Ok(_) => self.roots(path),
                Err(error) => self.error(&error),
            }
        }
    }

    fn client(&mut self, tls: &ClientTls) {
        if let Err(error) = Connector::new(tls, tls.ca_file.is_some()) {
            self.error(&error);
        }
        if let Some(file) = &tls.certificate {
            self.certificate(file, None);
        }
        if let Some(path) = &tls.ca_file {
            match Roots::load(path) {
                Ok(_) => self.roots(path),
                Err(error) => self.error(&error),
            }
        }
    }

    fn user(&mut self, path: &Path) {
        match roots::certificates(path) {
            Ok(certificates) => self.dates(path, &certificates[0]),
            Err(error) => self.error(&error),
        }
    }

    /// Why a file does not load, which another fault may have hidden so far, or what is unusual
    /// about it.
    fn certificate(&mut self, file: &CertificateFile, host: Option<&str>) {
        let loaded = match key::load(file) {
            Ok(loaded) => loaded,
            Err(error) => return self.error(&error),
        };
        for warning in loaded.warnings {
            self.warn(&file.path, &warning);
        }
        let Some(leaf) = loaded.certified.cert.first() else {
            return;
        };
        self.dates(&file.path, leaf);
        let named = |host: &str| certificate::covers(leaf, host);
        if let Some(host) = host.filter(|host| !named(host)) {
            self.warn(&file.path, &format!("the certificate is not for {host}"));
        }
    }

    fn roots(&mut self, path: &Path) {
        let skipped = Roots::load(path).map(|roots| roots.skipped()).unwrap_or_default();
        if skipped > 0 {
            self.warn(path, &format!("{skipped} certificates cannot be read and are skipped"));
        }
    }

    fn dates(&mut self, path: &Path, der: &CertificateDer<'_>) {
        let Some((from, until)) = certificate::dates(der) else {
            return;
        };
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        if now > until {
            self.warn(path, "the certificate has expired");
        } else if now < from {
            self.warn(path, "the certificate is not valid yet");
        } else if until - now < SHORT_LIFE_S {
            let end = Timestamp(u64::try_from(until).unwrap_or_default().saturating_mul(1000));
            let day = end.local().strftime("%Y-%m-%d").to_string();
            self.warn(path, &format!("the certificate expires on {day}"));
        }
    }

    fn warn(&mut self, path: &Path, message: &str) {
        let message = format!("{}: {message}", path.display());
        self.say(Severity::Warning, Some(path), message);
    }

    fn error(&mut self, error: &TlsError) {
        let path = match error {
            TlsError::Read { path, .. }
            | TlsError::Key { path, .. }
            | TlsError::Roots { path, .. } => Some(path.as_path()),
            TlsError::Cipher(cipher) => return self.cipher_error(cipher),
            TlsError::NoVersions | TlsError::NoRoots | TlsError::Setup(_) => None,
        };
        self.say(Severity::Error, path, error.to_string());
    }

    /// At every place that gives the list; a list that is nobody's comes from a default.
    fn cipher_error(&mut self, error: &cipher::CipherError) {
        let lists = self.config.cipher_positions.iter().filter(|list| list.list == error.text());
        let places: Vec<_> = lists.map(|list| list.position.clone()).collect();
        if !self.said.insert((None, error.to_string())) {
            return;
        }
        let width = error.text().chars().count();
        for place in &places {
            let message = error.to_string();
            self.found.push(diagnostic(Severity::Error, message, Some(place), width));
        }
        if places.is_empty() {
            self.found.push(diagnostic(Severity::Error, error.to_string(), None, 0));
        }
    }

    /// Says something once, at the first place that names the file.
    fn say(&mut self, severity: Severity, path: Option<&Path>, message: String) {
        if !self.said.insert((path.map(Path::to_owned), message.clone())) {
            return;
        }
        let mut places = self.config.file_positions.iter();
        let place = path.and_then(|path| places.find(|file| file.path == path));
        let width = path.map_or(0, |path| path.display().to_string().chars().count());
        let position = place.map(|place| &place.position);
        self.found.push(diagnostic(severity, message, position, width));
    }
}

fn diagnostic(
    severity: Severity,
    message: String,
    position: Option<&Position>,
    width: usize,
) -> Diagnostic {
    Diagnostic { severity, message, position: position.cloned(), width: width.max(1), help: None }
}

#[cfg(test)]
#[path = "check_test.rs"]
mod tests;
