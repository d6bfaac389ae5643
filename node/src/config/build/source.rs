//! `<source>` settings of one client.

use super::View;
use crate::config::settings::{AddDate, DsnReturn, SourceSettings};

/// Reads everything that ingress asks for out of the layers of one client.
pub(in crate::config) fn source_settings(name: String, view: &View<'_>) -> SourceSettings {
    SourceSettings {
        name,
        always_allow_relaying: view.flag("always-allow-relaying"),
        smtp_service: view.flag("smtp-service"),
        allow_starttls: view.flag("allow-starttls"),
        require_starttls_before_auth: view.flag("require-starttls-before-auth"),
        allow_unencrypted_plain_auth: view.flag("allow-unencrypted-plain-auth"),
        allow_auth: view.flag("allow-auth"),
        require_auth: view.flag("require-auth"),
        max_auth_failure_rate: view.rate("smtp-max-auth-failure-rate"),
        default_virtual_mta: view.text("default-virtual-mta"),
        process_x_virtual_mta: view.flag("process-x-virtual-mta"),
        retain_x_virtual_mta: view.flag("retain-x-virtual-mta"),
        allow_empty_x_virtual_mta: view.flag("allow-empty-x-virtual-mta"),
        reject_invalid_virtual_mta: view.flag("reject-invalid-virtual-mta"),
        process_x_job: view.flag("process-x-job"),
        retain_x_job: view.flag("retain-x-job"),
        jobid_header: view.text("jobid-header"),
        process_x_envid: view.flag("process-x-envid"),
        add_received_header: view.flag("add-received-header"),
        hide_message_source: view.flag("hide-message-source"),
        remove_headers: view.list("remove-header"),
        add_date_header: add_date(view),
        add_message_id_header: view.flag("add-message-id-header"),
        max_message_size_bytes: view.size_bytes("max-message-size"),
        max_message_hops: view.number("max-message-hops"),
        max_rcpt_per_message: view.limit("max-rcpt-per-message"),
        too_many_rcpts_fails_message: view.flag("too-many-rcpts-fails-message"),
        allow_chunking: view.flag("allow-chunking"),
        allow_smtputf8: view.flag("allow-smtputf8"),
        smtp_data_timeout: view.time("smtp-data-timeout"),
        smtp_command_timeout: view.time("smtp-command-timeout"),
        disconnect_on_transient_error: view.flag("disconnect-on-transient-error"),
        suppress_local_dsn: view.flag("suppress-local-dsn"),
        dsn_return_default: dsn_return(view),
        log_connections: view.flag("log-connections"),
        log_commands: view.flag("log-commands"),
        log_data: view.flag("log-data"),
        log_tls: view.flag("log-tls"),
    }
}

fn add_date(view: &View<'_>) -> AddDate {
    match view.text("add-date-header").as_deref() {
        Some("yes" | "true") => AddDate::Yes,
        Some("override") => AddDate::Override,
        Some(_) | None => AddDate::No,
    }
}

fn dsn_return(view: &View<'_>) -> DsnReturn {
    match view.text("dsn-return-default").as_deref() {
        Some("headers") => DsnReturn::Headers,
        Some("full") => DsnReturn::Full,
        Some(_) | None => DsnReturn::System,
    }
}
