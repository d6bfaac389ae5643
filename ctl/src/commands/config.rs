//! `reload` and `config check`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use convoy_proto::admin::config_check_request::What;
use convoy_proto::admin::{ConfigCheckRequest, Diagnostic, ReloadRequest, Severity};
use serde_json::{Value, json};

use super::Done;
use super::gather::LARGEST;
use crate::client::Client;
use crate::error::Error;
use crate::format::plain;
use crate::output::{Answer, Output};

pub(super) async fn reload(mut client: Client, output: &Output) -> Done {
    let reply = client.reload(ReloadRequest {}).await?.into_inner();
    let verdict = if reply.applied {
        Ok("Configuration reloaded.")
    } else {
        Err("Configuration not reloaded: the running one stays in force.")
    };
    tell(output, &reply.diagnostics, verdict)
}

pub(super) async fn check(mut client: Client, output: &Output, file: Option<PathBuf>) -> Done {
    let request = ConfigCheckRequest { what: Some(source(file)?) };
    let reply = client.config_check(request).await?.into_inner();
    let verdict =
        if reply.valid { Ok("Configuration is valid.") } else { Err("Configuration has errors.") };
    tell(output, &reply.diagnostics, verdict)
}

/// Standard input is sent as text; a file is read by the node, which knows where its includes are.
fn source(file: Option<PathBuf>) -> Result<What, Error> {
    let Some(file) = file else { return Ok(What::Path(String::new())) };
    let local = |error: std::io::Error| Error::Local(format!("{}: {error}", file.display()));
    if file != Path::new("-") {
        let absolute = std::path::absolute(&file).map_err(local)?;
        return Ok(What::Path(absolute.display().to_string()));
    }
    let mut text = String::new();
    std::io::stdin().take(LARGEST + 1).read_to_string(&mut text).map_err(local)?;
    if text.len() as u64 > LARGEST {
        return Err(Error::Local(format!("standard input holds more than {LARGEST} bytes")));
    }
    Ok(What::Text(text))
}

/// Prints the findings; an error among them is a failure of the command.
fn tell(output: &Output, findings: &[Diagnostic], verdict: Result<&str, &str>) -> Done {
    let answer = render(findings, verdict);
    match verdict {
        Ok(_) => Ok(output.answer(&answer)?),
        Err(message) => Err(output.found(&answer, message)),
    }
}

fn render(findings: &[Diagnostic], verdict: Result<&str, &str>) -> Answer {
    let data: Vec<Value> = findings.iter().map(finding_json).collect();
    Answer {
        text: findings.iter().map(line).collect(),
        data: json!({"diagnostic": data}),
        message: verdict.unwrap_or_default().to_owned(),
    }
}

pub(super) fn finding_json(f: &Diagnostic) -> Value {
    json!({"severity": severity(f), "file": f.file, "line": f.line, "column": f.column,
           "text": f.text})
}

fn severity(finding: &Diagnostic) -> &'static str {
    match finding.severity() {
        Severity::Warning => "warning",
        Severity::Unspecified | Severity::Error => "error",
    }
}

/// `FILE:LINE:COLUMN: error: TEXT`, as editors find it; a longer text keeps its lines.
pub(super) fn line(finding: &Diagnostic) -> String {
    let text: Vec<String> = finding.text.lines().map(plain).collect();
    let place = match (finding.file.as_str(), finding.line) {
        ("", 0) => String::new(),
        (file, 0) => format!("{}: ", plain(file)),
        ("", line) => format!("line {line}:{}: ", finding.column),
        (file, line) => format!("{}:{line}:{}: ", plain(file), finding.column),
    };
    format!("{place}{}: {}\n", severity(finding), text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity, file: &str, line: u32, text: &str) -> Diagnostic {
        let column = if line == 0 { 0 } else { 3 };
        Diagnostic { severity: severity.into(), file: file.into(), line, column, text: text.into() }
    }

    #[test]
    fn findings_name_their_place() {
        for (given, expected) in [
            (
                finding(Severity::Error, "/etc/convoy/config", 11, "argument missing"),
                "/etc/convoy/config:11:3: error: argument missing\n",
            ),
            (finding(Severity::Warning, "", 2, "odd"), "line 2:3: warning: odd\n"),
            (finding(Severity::Error, "/x", 0, "no such file"), "/x: error: no such file\n"),
            (finding(Severity::Warning, "", 0, "a\nb"), "warning: a\nb\n"),
        ] {
            assert_eq!(line(&given), expected);
        }
    }

    #[test]
    fn a_file_is_named_in_full() {
        let What::Path(path) = source(Some("config".into())).unwrap() else { panic!("no path") };
        assert!(Path::new(&path).is_absolute() && path.ends_with("/config"), "{path}");
        assert_eq!(source(None).unwrap(), What::Path(String::new()));
    }
}
