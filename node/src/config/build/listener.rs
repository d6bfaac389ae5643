//! `smtp-listener` in both forms, and the TLS of each.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Checked, Diagnostic, Diagnostics, Scope, Setting, Settings, View, sections};
use crate::config::network::parse_listen;
use crate::config::position::Text;
use crate::config::settings::{
    CertificateFile, ServerTls, SmtpListener, TlsVersions, TrustedProxies,
};
use crate::config::value::{Value, parse_bool};

/// Where to listen when nothing is configured: nothing beyond this machine is opened unasked.
const DEFAULT_LISTENER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 25);

/// All listeners: those of one line first, then sections.
pub(super) fn listeners(root: &Checked, diagnostics: &mut Diagnostics) -> Vec<SmtpListener> {
    let global = Settings::new(root.settings.iter().cloned());
    let mut listeners: Vec<(SmtpListener, Text)> = Vec::new();
    for setting in global.all("smtp-listener") {
        if let Some(listener) = diagnostics.keep(one_line(setting, &global)) {
            listeners.push((listener, setting.at(0).clone()));
        }
    }
    for section in sections(root, Scope::SmtpListener) {
        match parse_listen(section.name.as_str()) {
            Ok(address) => {
                let own = Settings::new(section.settings.iter().cloned());
                listeners.push((with_section(address, &own, &global), section.argument.clone()));
            }
            Err(message) => diagnostics.error(&section.argument, message),
        }
    }
    let mut kept: Vec<SmtpListener> = Vec::new();
    for (listener, at) in listeners {
        let taken = |known: &SmtpListener| known.address == listener.address;
        if listener.address.port() != 0 && kept.iter().any(taken) {
            diagnostics.error(&at, format!("{} is given twice", listener.address));
        } else if listener.immediate_tls && listener.tls.is_none() {
            let error = Diagnostic::error(&at, "TLS at once needs a certificate");
            diagnostics.push(error.with_help("add smtp-server-tls-certificate FILE"));
        } else {
            proxies(&listener, &at, diagnostics);
            kept.push(listener);
        }
    }
    let wanted = !root.broken.contains("smtp-listener") && !listeners_given(root);
    if kept.is_empty() && wanted {
        let message = format!("no smtp-listener: mail is accepted on {DEFAULT_LISTENER} only");
        diagnostics.push(
            Diagnostic::general(message).with_help("smtp-listener 0/0:25 listens everywhere"),
        );
        kept.push(with_section(DEFAULT_LISTENER, &Settings::default(), &global));
    }
    kept
}

/// A listener for proxies needs some, and not everybody is one.
fn proxies(listener: &SmtpListener, at: &Text, diagnostics: &mut Diagnostics) {
    let Some(TrustedProxies(networks)) = &listener.proxies else { return };
    if networks.is_empty() {
        let error = Diagnostic::error(at, "proxy-protocol trusts nobody: no client could connect");
        diagnostics.push(error.with_help("add proxy-trusted-source NETWORK"));
    }
    if networks.iter().any(|network| network.prefix_len() == 0) {
        let message = "every client is trusted to name any address as its own";
        let help = "name the networks of the proxies as proxy-trusted-source";
        diagnostics.push(Diagnostic::warning(at, message).with_help(help));
    }
}

fn listeners_given(root: &Checked) -> bool {
    let one_line = root.settings.iter().any(|setting| setting.row.name == "smtp-listener");
    one_line || sections(root, Scope::SmtpListener).next().is_some()
}

fn one_line(setting: &Setting, global: &Settings) -> Result<SmtpListener, Diagnostic> {
    let Some(Value::Listen(address)) = setting.value(0) else {
        return Err(Diagnostic::error(setting.at(0), "ADDRESS:PORT is expected"));
    };
    let mut listener = with_section(*address, &Settings::default(), global);
    let options: &[(String, String)] = match setting.value(1) {
        Some(Value::Options(options)) => options,
        _ => &[],
    };
    for (name, value) in options {
        match name.as_str() {
            "source" => listener.source = Some(value.clone()),
            "tls" => {
                let wrong = |message| Diagnostic::error(setting.at(1), message);
                listener.immediate_tls = parse_bool(value).map_err(wrong)?;
            }
            "proxy-protocol" => {
                let wrong = |message| Diagnostic::error(setting.at(1), message);
                let wanted = parse_bool(value).map_err(wrong)?;
                listener.proxies = wanted.then(|| trusted(&Settings::default(), global));
            }
            other => {
                return Err(Diagnostic::error(setting.at(1), format!("unknown option `{other}`")));
            }
        }
    }
    Ok(listener)
}

fn with_section(address: SocketAddr, own: &Settings, global: &Settings) -> SmtpListener {
    let section = View::new(Scope::SmtpListener, vec![own]);
    SmtpListener {
        address,
        source: section.text("source"),
        immediate_tls: section.flag("immediate-tls"),
        tls: server_tls(own, global),
        proxies: section.flag("proxy-protocol").then(|| trusted(own, global)),
    }
}

/// The proxies that a section trusts, else those of the top level.
fn trusted(own: &Settings, global: &Settings) -> TrustedProxies {
    let view = View::new(Scope::SmtpListener, vec![own, global]);
    let network = |setting: &Setting| match setting.value(0) {
        Some(Value::Network(network)) => Some(*network),
        _ => None,
    };
    TrustedProxies(view.all("proxy-trusted-source").iter().filter_map(network).collect())
}

/// TLS of a listener: what its section sets, else what the top level sets, else defaults.
fn server_tls(own: &Settings, global: &Settings) -> Option<ServerTls> {
    let section = View::new(Scope::SmtpListener, vec![own]);
    let top = View::new(Scope::Global, vec![global]);
    let pick = |name: &'static str, global: &'static str| match section.last(name) {
        Some(_) => (&section, name),
        None => (&top, global),
    };
    let flag = |name, global| {
        let (view, name) = pick(name, global);
        view.flag(name)
    };
    let (view, name) = pick("tls-certificate", "smtp-server-tls-certificate");
    let certificate = view.last(name).and_then(certificate)?;
    let (view, name) = pick("tls-ca-file", "smtp-server-tls-ca-file");
    let ca_file = view.path(name);
    let (view, name) = pick("tls-ciphers", "smtp-server-tls-ciphers");
    let ciphers = view.text(name).unwrap_or_default();
    let (view, name) = pick("tls-tlsv1.3-ciphersuites", "smtp-server-tls-v1.3-ciphersuites");
    Some(ServerTls {
        certificate,
        ca_file,
        versions: TlsVersions {
            v1_2: flag("tls-allow-tlsv1.2", "smtp-server-tls-allow-tlsv1.2"),
            v1_3: flag("tls-allow-tlsv1.3", "smtp-server-tls-allow-tlsv1.3"),
        },
        ciphers,
        ciphersuites: suites(view, name),
    })
}

/// `FILE [PASSWORD]`; none for `""`.
pub(super) fn certificate(setting: &Setting) -> Option<CertificateFile> {
    let path = setting.text(0)?.into();
    Some(CertificateFile { path, password: setting.text(1).map(str::to_owned) })
}

/// TLS 1.3 suites if they were configured; none means all.
pub(super) fn suites(view: &View<'_>, name: &'static str) -> Option<String> {
    view.last(name).and_then(|setting| setting.text(0)).map(str::to_owned)
}
