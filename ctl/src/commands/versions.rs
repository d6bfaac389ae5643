//! `config show`, `config history` and `config diff`.

use std::path::PathBuf;

use convoy_proto::admin::config_side::What;
use convoy_proto::admin::{
    ConfigDiffRequest, ConfigFile, ConfigHistoryReply, ConfigHistoryRequest, ConfigShowReply,
    ConfigShowRequest, ConfigSide, ConfigVersion,
};
use serde_json::{Value, json};

use super::Done;
use super::gather::Gathered;
use crate::client::Client;
use crate::error::Error;
use crate::format::{plain, time, time_zoned};
use crate::output::{Answer, Output};
use crate::table::{Align, Table};

/// A difference of two large configurations is longer than either.
const LARGEST_REPLY: usize = 16 * 1024 * 1024;

pub(super) async fn history(mut client: Client, output: &Output) -> Done {
    let reply = client.config_history(ConfigHistoryRequest {}).await?.into_inner();
    Ok(output.answer(&render_history(&reply))?)
}

fn render_history(reply: &ConfigHistoryReply) -> Answer {
    let active = reply.versions.last().map_or(0, |version| version.version);
    let data = |version: &ConfigVersion| {
        let mut one = version_json(version);
        one["active"] = Value::from(version.version == active);
        one
    };
    let data = json!({
        "version": reply.versions.iter().map(data).collect::<Vec<_>>(),
        "running": reply.running,
        "refused": reply.refused,
    });
    if reply.versions.is_empty() {
        let nothing = "No configuration has been pushed: each node has its own file alone.\n";
        return Answer::data(nothing.to_owned(), data);
    }
    let mut table = Table::new(&[
        ("version", Align::Right),
        ("", Align::Left),
        ("pushed", Align::Left),
        ("by", Align::Left),
        ("comment", Align::Left),
    ]);
    for version in &reply.versions {
        table.row([
            version.version.to_string(),
            if version.version == active { "active".to_owned() } else { String::new() },
            time(version.pushed_ms),
            version.author.clone(),
            version.comment.clone(),
        ]);
    }
    let mut text = table.text();
    if reply.running != active {
        text += &format!("This node runs with version {}: ", reply.running);
        text += &format!("{}\n", plain(&reply.refused));
    }
    Answer::data(text, data)
}

fn version_json(version: &ConfigVersion) -> Value {
    json!({
        "version": version.version,
        "pushed": time_zoned(version.pushed_ms),
        "author": version.author,
        "comment": version.comment,
    })
}

pub(super) async fn show(
    mut client: Client,
    output: &Output,
    version: Option<u64>,
    secrets: bool,
) -> Done {
    let request = ConfigShowRequest { version: version.unwrap_or(0), secrets };
    let reply = client.config_show(request).await?.into_inner();
    Ok(output.answer(&render_show(&reply))?)
}

/// One file as it is, so that it can be written to a file; of several each under its name.
fn render_show(reply: &ConfigShowReply) -> Answer {
    let text = match reply.files.as_slice() {
        [only] => only.text.clone(),
        files => files.iter().map(|f| format!("# ---- {}\n{}\n", f.name, f.text)).collect(),
    };
    let mut data = reply.version.as_ref().map_or_else(|| json!({}), version_json);
    data["active"] = Value::from(reply.active);
    let file = |file: &ConfigFile| json!({"name": file.name, "text": file.text});
    data["file"] = reply.files.iter().map(file).collect();
    Answer::data(text, data)
}

/// One side of a difference as it is given.
enum Side {
    Version(u64),
    Files(Gathered),
}

impl Side {
    fn parse(word: &str) -> Result<Self, Error> {
        match word.parse() {
            Ok(version) => Ok(Self::Version(version)),
            Err(_) => Ok(Self::Files(Gathered::begin(&PathBuf::from(word))?)),
        }
    }

    fn request(&self) -> ConfigSide {
        let what = match self {
            Self::Version(version) => What::Version(*version),
            Self::Files(gathered) => What::Bundle(gathered.bundle()),
        };
        ConfigSide { what: Some(what) }
    }

    /// Adds what may be missing here.
    fn add(&mut self, missing: &[String]) -> Result<(), Error> {
        match self {
            Self::Version(_) => Ok(()),
            Self::Files(gathered) => gathered.add(missing),
        }
    }
}

pub(super) async fn diff(
    client: Client,
    output: &Output,
    sides: Vec<String>,
    secrets: bool,
) -> Done {
    let mut client = client.max_decoding_message_size(LARGEST_REPLY);
    let (mut old, mut new) = match sides.as_slice() {
        [] => {
            let history = client.config_history(ConfigHistoryRequest {}).await?.into_inner();
            let [.., before, _] = history.versions.as_slice() else {
                let said = "there is no earlier version to compare with";
                return Err(Error::Local(said.to_owned()));
            };
            (Side::Version(before.version), Side::Version(0))
        }
        [one] => match Side::parse(one)? {
            old @ Side::Version(_) => (old, Side::Version(0)),
            new @ Side::Files(_) => (Side::Version(0), new),
        },
        [old, new, ..] => (Side::parse(old)?, Side::parse(new)?),
    };
    let text = loop {
        let request =
            ConfigDiffRequest { old: Some(old.request()), new: Some(new.request()), secrets };
        let reply = client.config_diff(request).await?.into_inner();
        if reply.missing.is_empty() {
            break reply.text;
        }
        old.add(&reply.missing)?;
        new.add(&reply.missing)?;
    };
    let message = if text.is_empty() { "No difference." } else { "" };
    let data = json!({"text": text});
    Ok(output.answer(&Answer { text, data, message: message.to_owned() })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::human;

    fn version(version: u64, comment: &str) -> ConfigVersion {
        let author = "alice".to_owned();
        ConfigVersion { version, pushed_ms: 0, author, comment: comment.into() }
    }

    #[test]
    fn the_last_version_is_active_and_one_that_is_refused_is_said() {
        let mut reply = ConfigHistoryReply {
            versions: vec![version(6, "first"), version(7, "more limits")],
            running: 7,
            refused: String::new(),
        };
        let table = "\
version          pushed  by     comment
      6                  alice  first
      7  active          alice  more limits
";
        assert_eq!(human(&render_history(&reply)), table);
        reply.running = 6;
        reply.refused = "a.pem is gone".to_owned();
        let more = "This node runs with version 6: a.pem is gone\n";
        assert_eq!(human(&render_history(&reply)), format!("{table}{more}"));
        let nothing = human(&render_history(&ConfigHistoryReply::default()));
        assert!(nothing.starts_with("No configuration has been pushed"));
    }

    #[test]
    fn one_file_is_shown_as_it_is() {
        let file = |name: &str, text: &str| ConfigFile { name: name.into(), text: text.into() };
        let mut reply = ConfigShowReply {
            version: Some(version(7, "")),
            active: true,
            files: vec![file("a.conf", "x\n")],
        };
        assert_eq!(human(&render_show(&reply)), "x\n");
        reply.files.push(file("b.conf", "y\n"));
        assert_eq!(human(&render_show(&reply)), "# ---- a.conf\nx\n\n# ---- b.conf\ny\n\n");
    }
}
