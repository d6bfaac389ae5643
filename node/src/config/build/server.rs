//! Settings of the server as a whole.

use std::net::SocketAddr;

use super::{
    Checked, Diagnostic, Diagnostics, Scope, Setting, Settings, View, merged, view, virtual_mta,
};
use crate::config::settings::Server;
use crate::config::value::Value;

const DNS_PORT: u16 = 53;
const HEALTH_PORT: u16 = 8080;

/// Reads the top level. `host_name` is the system's, for want of a configured one.
pub(super) fn server(
    global: &Settings,
    root: &Checked,
    host_name: String,
    diagnostics: &mut Diagnostics,
) -> Server {
    let top = View::new(Scope::Global, vec![global]);
    let mut local_names = top.texts("host-name");
    if local_names.is_empty() {
        local_names.push(host_name);
    }
    let spools = merged(root, Scope::Spool);
    for (section, _) in spools.iter().skip(1) {
        let message = "this spool is not used: there is one store, in the first directory named";
        diagnostics.push(Diagnostic::warning(&section.argument, message));
    }
    let spool = match spools.first() {
        Some((section, _)) => Some(section.name.as_str().into()),
        None => top.path("spool"),
    };
    let min_free =
        spools.first().and_then(|(_, own)| view(Scope::Spool, own).size_bytes("min-free-space"));
    Server {
        host_name: local_names[0].clone(),
        local_names,
        postmaster: top.texts("postmaster"),
        name_servers: endpoints(global, "name-server", DNS_PORT),
        spool: spool.unwrap_or_else(|| "/var/spool/convoy".into()),
        min_free_space_bytes: min_free.or_else(|| old_min_free(&top)).unwrap_or(0),
        log_file: top.path("log-file"),
        log_rotate: top.number("log-rotate"),
        log_auto_rotation: top.flag("log-auto-rotation"),
        log_world_readable: top.flag("log-file-world-readable"),
        total_max_smtp_in: top.number("total-max-smtp-in"),
        total_max_smtp_out: top.number("total-max-smtp-out"),
        source_hosts: virtual_mta::source_hosts(global, diagnostics),
        track_time_first_attempt: top.flag("track-time-first-attempt"),
        dsn_from: top.text("custom-dsn-from-header"),
        admin_socket: top.path("admin-socket").unwrap_or_else(|| "/run/convoy/mtad.sock".into()),
        cluster_listener: socket(global, "cluster-listener"),
        cluster_address: top.text("cluster-address"),
        health_listener: endpoints(global, "health-listener", HEALTH_PORT).pop(),
        partitions: top.limit("queue-partitions").unwrap_or(8),
        max_bytes_in_flight: top.size_bytes("max-bytes-in-flight").unwrap_or(u64::MAX),
        tls_broken_host_memory: top.time("tls-broken-host-memory"),
    }
}

/// `spool-min-free-space` counts MB.
fn old_min_free(top: &View<'_>) -> Option<u64> {
    top.limit("spool-min-free-space").map(|mb| u64::from(mb) << 20)
}

fn socket(global: &Settings, name: &str) -> Option<SocketAddr> {
    match global.all(name).last()?.value(0)? {
        Value::Listen(address) => Some(*address),
        _ => None,
    }
}

/// All values of a directive that takes an address with or without a port.
fn endpoints(global: &Settings, name: &str, usual_port: u16) -> Vec<SocketAddr> {
    let address = |setting: &Setting| match setting.value(0)? {
        Value::Address(ip) => Some(SocketAddr::new(*ip, usual_port)),
        Value::Listen(address) => Some(*address),
        _ => None,
    };
    global.all(name).iter().filter_map(address).collect()
}
