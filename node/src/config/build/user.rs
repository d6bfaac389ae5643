//! `<smtp-user>`.

use std::collections::HashMap;
use std::path::PathBuf;

use super::{Checked, Diagnostic, Diagnostics, Scope, merged, view};
use crate::config::settings::{SmtpUser, UserMethod};

/// All users. One who could never log in is an error.
pub(super) fn users(root: &Checked, diagnostics: &mut Diagnostics) -> HashMap<String, SmtpUser> {
    let mut users = HashMap::new();
    for (section, settings) in merged(root, Scope::SmtpUser) {
        let name = section.name.as_str().to_owned();
        let user = view(Scope::SmtpUser, &settings);
        let wrong = |message: &str| Err(Diagnostic::error(&section.argument, message));
        let kind = user.text("authentication-method").unwrap_or_else(|| "password".to_owned());
        let method = match kind.as_str() {
            "certificate" => match user.text("tls-certificate") {
                Some(path) => Ok(UserMethod::Certificate(PathBuf::from(path))),
                None => wrong("authentication-method certificate needs tls-certificate FILE"),
            },
            "system" => wrong("authentication by accounts of the system is not available"),
            _ => match user.text("password") {
                Some(password) => Ok(UserMethod::Password(password)),
                None => wrong("this user has no password"),
            },
        };
        if method.is_err() && !section.broken.is_empty() {
            continue;
        }
        if let Some(method) = diagnostics.keep(method) {
            let source = user.text("source");
            users.insert(name.clone(), SmtpUser { name, method, source });
        }
    }
    users
}
