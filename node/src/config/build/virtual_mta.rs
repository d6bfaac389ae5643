//! `<virtual-mta>` and `<virtual-mta-pool>`.

use std::collections::HashMap;

use super::{Checked, Diagnostic, Diagnostics, Scope, Setting, Settings, merged, view};
use crate::config::settings::{Server, SourceHost, VirtualMta, VirtualMtaPool};
use crate::config::value::Value;
use crate::id::DEFAULT_VMTA;

/// A network of source addresses may hold at most this many.
const MAX_SOURCE_HOSTS: usize = 1_024;

/// All virtual MTAs. One without addresses of its own has those of the top level.
pub(super) fn virtual_mtas(
    root: &Checked,
    server: &Server,
    diagnostics: &mut Diagnostics,
) -> HashMap<String, VirtualMta> {
    let mut vmtas = HashMap::new();
    for (section, settings) in merged(root, Scope::VirtualMta) {
        let name = section.name.as_str().to_owned();
        let own = view(Scope::VirtualMta, &settings);
        let vmta = VirtualMta {
            name: name.clone(),
            source_hosts: source_hosts(&settings, diagnostics),
            host_name: own.text("host-name"),
            max_smtp_out: own.limit("max-smtp-out"),
            max_smtp_msg_rate: own.rate("max-smtp-msg-rate"),
        };
        vmtas.insert(name, vmta);
    }
    vmtas.entry(DEFAULT_VMTA.to_owned()).or_insert_with(|| VirtualMta {
        name: DEFAULT_VMTA.to_owned(),
        source_hosts: Vec::new(),
        host_name: None,
        max_smtp_out: None,
        max_smtp_msg_rate: None,
    });
    for vmta in vmtas.values_mut().filter(|vmta| vmta.source_hosts.is_empty()) {
        vmta.source_hosts.clone_from(&server.source_hosts);
    }
    inherit(root, &mut vmtas);
    vmtas
}

/// Gives members the limits of their pool where they have none of their own.
fn inherit(root: &Checked, vmtas: &mut HashMap<String, VirtualMta>) {
    for (_, settings) in merged(root, Scope::VirtualMtaPool) {
        let of_pool = view(Scope::VirtualMtaPool, &settings);
        let (places, rate) = (of_pool.limit("max-smtp-out"), of_pool.rate("max-smtp-msg-rate"));
        for member in of_pool.texts("virtual-mta") {
            if let Some(vmta) = vmtas.get_mut(&member) {
                vmta.max_smtp_out = vmta.max_smtp_out.or(places);
                vmta.max_smtp_msg_rate = vmta.max_smtp_msg_rate.or(rate);
            }
        }
    }
}

/// All pools with their members as written.
pub(super) fn pools(root: &Checked) -> HashMap<String, VirtualMtaPool> {
    let pools = merged(root, Scope::VirtualMtaPool).into_iter().map(|(section, settings)| {
        let name = section.name.as_str().to_owned();
        let members = view(Scope::VirtualMtaPool, &settings).texts("virtual-mta");
        (name.clone(), VirtualMtaPool { name, members })
    });
    pools.collect()
}

/// The members that one section of a pool names.
pub(super) fn members(section: &Checked) -> impl Iterator<Item = &Setting> {
    section.settings.iter().filter(|setting| setting.row.name == "virtual-mta")
}

/// `smtp-source-host ADDRESS-OR-NETWORK [HOST-NAME]`: every address of a network is used.
pub(super) fn source_hosts(settings: &Settings, diagnostics: &mut Diagnostics) -> Vec<SourceHost> {
    let mut hosts = Vec::new();
    for setting in settings.all("smtp-source-host") {
        let host_name = setting.text(1).map(str::to_owned);
        let addresses: Vec<_> = match setting.value(0) {
            Some(Value::Network(net)) => net.hosts().take(MAX_SOURCE_HOSTS + 1).collect(),
            Some(Value::Address(address)) => vec![*address],
            _ => Vec::new(),
        };
        if addresses.len() > MAX_SOURCE_HOSTS {
            let message = format!("a network of more than {MAX_SOURCE_HOSTS} source addresses");
            diagnostics.push(Diagnostic::error(setting.at(0), message));
            continue;
        }
        let host = |address| SourceHost { address, host_name: host_name.clone() };
        hosts.extend(addresses.into_iter().map(host));
    }
    hosts
}
