//! Who a client is: `<smtp-user>` by password or certificate, and how often it may fail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;

use crate::clock::Instant;
use crate::config::settings::{Config, Lookup, Rate, SmtpUser, UserMethod};
use crate::smtp::sasl::Credentials;
use crate::smtp::server::Identity;
use crate::tls::{TlsError, roots};

/// How long the answer to a failed AUTH is held back.
pub(super) const FAILURE_DELAY: Duration = Duration::from_secs(2);
/// Clients whose failures are remembered.
const MAX_CLIENTS: usize = 10_000;

/// The certificates that stand for users: the first one of each user's file.
#[derive(Default)]
pub(super) struct CertificateUsers {
    names: HashMap<Vec<u8>, String>,
}

impl CertificateUsers {
    /// Reads the files of all users with `authentication-method certificate`.
    pub(super) fn load(config: &Config) -> Result<Self, TlsError> {
        let mut names = HashMap::new();
        for user in config.users.values() {
            let UserMethod::Certificate(path) = &user.method else { continue };
            let certificates = roots::certificates(path)?;
            if let Some(first) = certificates.first() {
                names.insert(first.as_ref().to_vec(), user.name.clone());
            }
        }
        Ok(Self { names })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The user to whom exactly this certificate belongs.
    pub(super) fn user(&self, presented: &CertificateDer<'_>) -> Option<&str> {
        self.names.get(presented.as_ref()).map(String::as_str)
    }
}

/// The user whose password these credentials prove.
pub(super) fn prove<'a>(config: &'a Config, credentials: &Credentials) -> Option<&'a SmtpUser> {
    let user = config.users.get(credentials.user())?;
    match &user.method {
        UserMethod::Password(password) => credentials.prove(password).then_some(user),
        UserMethod::Certificate(_) => None,
    }
}

/// The user with the settings that hold for it at this client.
pub(super) fn identity(
    config: &Config,
    client: IpAddr,
    listener_source: Option<&str>,
    user: &SmtpUser,
) -> Identity {
    Identity {
        user: user.name.clone(),
        settings: config.source(client, listener_source, Some(user)),
    }
}

/// Failed attempts per client.
#[derive(Default)]
pub(super) struct Failures {
    windows: Mutex<HashMap<IpAddr, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    started: Instant,
    period: Duration,
    failures: u64,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) >= self.period
    }
}

impl Failures {
    /// Has the client failed as often as `smtp-max-auth-failure-rate` allows?
    pub(super) fn locked(&self, now: Instant, client: IpAddr, rate: Option<Rate>) -> bool {
        let Some(rate) = rate else { return false };
        let windows = self.windows.lock();
        let current = windows.get(&client).filter(|window| !window.is_over(now));
        current.map_or(0, |window| window.failures) >= rate.events
    }

    /// Counts a failure.
    pub(super) fn count(&self, now: Instant, client: IpAddr, rate: Option<Rate>) {
        let Some(rate) = rate else { return };
        let mut windows = self.windows.lock();
        if windows.len() >= MAX_CLIENTS && !windows.contains_key(&client) {
            windows.retain(|_, window| !window.is_over(now));
            if windows.len() >= MAX_CLIENTS {
                let oldest = windows.iter().min_by_key(|(_, window)| window.started);
                let oldest = oldest.map(|(address, _)| *address);
                oldest.and_then(|address| windows.remove(&address));
            }
        }
        let fresh = Window { started: now, period: rate.period, failures: 0 };
        let window = windows.entry(client).or_insert(fresh);
        if window.is_over(now) {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::monotonic;

    const RATE: Option<Rate> = Some(Rate { events: 2, period: Duration::from_secs(60) });

    #[test]
    fn a_client_is_locked_for_the_rest_of_the_period() {
        let (failures, now) = (Failures::default(), monotonic());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        failures.count(now, one, RATE);
        assert!(!failures.locked(now, one, RATE));
        failures.count(now, one, RATE);
        assert!(failures.locked(now, one, RATE));
        assert!(!failures.locked(now, other, RATE));
        assert!(!failures.locked(now, one, None));
        assert!(!failures.locked(now + Duration::from_secs(60), one, RATE));
    }

    #[test]
    fn the_number_of_clients_is_bounded() {
        let (failures, now) = (Failures::default(), monotonic());
        for n in 0..u32::try_from(MAX_CLIENTS).unwrap() + 10 {
            failures.count(now, IpAddr::from(n.to_be_bytes()), RATE);
        }
        assert_eq!(failures.windows.lock().len(), MAX_CLIENTS);
    }
}
