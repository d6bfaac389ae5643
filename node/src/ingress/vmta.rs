//! Which virtual MTA sends a message.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

use crate::config::settings::{Config, SourceSettings};
use crate::id::DEFAULT_VMTA;
use crate::smtp::reply::Reply;

/// The value of `default-virtual-mta` that picks the virtual MTA whose source address is the one
/// that the client connected to.
const BY_ADDRESS: &str = "by-smtp-source-ip";

/// The choice for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// This virtual MTA.
    One(String),
    /// One out of this pool for each recipient.
    Pool(String),
}

impl Choice {
    fn default_vmta() -> Self {
        Self::One(DEFAULT_VMTA.to_owned())
    }
}

/// Chooses: the `x-virtual-mta` header where it is processed, then the source's default.
///
/// # Errors
///
/// The reply when the header names nothing that exists and `reject-invalid-virtual-mta` holds.
pub(super) fn choose(
    config: &Config,
    settings: &SourceSettings,
    header: Option<&str>,
    local: IpAddr,
) -> Result<Choice, Reply> {
    if let Some(name) = header.filter(|_| settings.process_x_virtual_mta) {
        if name.is_empty() && settings.allow_empty_x_virtual_mta {
            return Ok(Choice::default_vmta());
        }
        return match find(config, name) {
            Some(choice) => Ok(choice),
            None if settings.reject_invalid_virtual_mta => {
                Err(Reply::new(550, 3, 5, format!("unknown virtual MTA \"{name}\"")))
            }
            None => Ok(Choice::default_vmta()),
        };
    }
    let chosen = match settings.default_virtual_mta.as_deref() {
        Some(BY_ADDRESS) => by_address(config, local),
        Some(name) => find(config, name),
        None => None,
    };
    Ok(chosen.unwrap_or_else(Choice::default_vmta))
}

/// By exact name, else in any case of letters.
fn find(config: &Config, name: &str) -> Option<Choice> {
    fn named<'a, T>(map: &'a HashMap<String, T>, name: &str) -> Option<&'a str> {
        match map.get_key_value(name) {
            Some((key, _)) => Some(key),
            None => map.keys().map(String::as_str).find(|key| key.eq_ignore_ascii_case(name)),
        }
    }
    match named(&config.vmtas, name) {
        Some(vmta) => Some(Choice::One(vmta.to_owned())),
        None => named(&config.pools, name).map(|pool| Choice::Pool(pool.to_owned())),
    }
}

fn by_address(config: &Config, local: IpAddr) -> Option<Choice> {
    let mut matching: Vec<&str> = config
        .vmtas
        .values()
        .filter(|vmta| vmta.source_hosts.iter().any(|host| host.address == local))
        .map(|vmta| vmta.name.as_str())
        .collect();
    // The map has no order; the same address must give the same name each time.
    matching.sort_unstable();
    matching.first().map(|name| Choice::One((*name).to_owned()))
}

/// Where each pool's round stands.
#[derive(Default)]
pub(super) struct Rounds {
    next: Mutex<HashMap<String, usize>>,
}

impl Rounds {
    /// The next member of a pool; the default virtual MTA when it has none.
    pub(super) fn draw(&self, config: &Config, pool: &str) -> String {
        let members = config.pools.get(pool).map_or(&[][..], |pool| &pool.members);
        if members.is_empty() {
            return DEFAULT_VMTA.to_owned();
        }
        let mut next = self.next.lock();
        // Pools that a reload removed would stay for ever.
        if next.len() > config.pools.len() {
            next.retain(|name, _| config.pools.contains_key(name));
        }
        let turn = next.entry(pool.to_owned()).or_default();
        let member = members[*turn % members.len()].clone();
        *turn = turn.wrapping_add(1);
        member
    }
}
