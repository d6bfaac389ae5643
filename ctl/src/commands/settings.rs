//! `show settings`.

use convoy_proto::admin::{Setting, SettingsReply, SettingsRequest};
use serde_json::{Value, json};

use super::{Done, split_queue};
use crate::client::Client;
use crate::format::plain;
use crate::output::{Answer, Output};

pub(super) async fn settings(mut client: Client, output: &Output, queue: &str) -> Done {
    let (domain, vmta) = split_queue(queue);
    let reply = client.settings(SettingsRequest { domain, vmta }).await?.into_inner();
    Ok(output.answer(&render(&reply))?)
}

/// `name value` per line as it could stand in a file, and where it is set as a comment.
fn render(reply: &SettingsReply) -> Answer {
    let mut text = String::new();
    section(&mut text, "Virtual MTA Settings", &reply.vmta);
    text.push('\n');
    section(&mut text, "Queue Settings", &reply.queue);
    let data = |settings: &[Setting]| -> Vec<Value> {
        let one = |s: &Setting| json!({"name": s.name, "value": s.value, "origin": s.origin});
        settings.iter().map(one).collect()
    };
    Answer::data(text, json!({"vmta": data(&reply.vmta), "queue": data(&reply.queue)}))
}

fn section(text: &mut String, heading: &str, settings: &[Setting]) {
    text.push_str(heading);
    text.push('\n');
    for setting in settings {
        let value = if setting.value.is_empty() { "\"\"" } else { &setting.value };
        let line = format!("{} {}", setting.name, plain(value));
        let origin = match setting.origin.as_str() {
            "" | "default" => String::new(),
            origin => format!("  # {}", plain(origin)),
        };
        text.push_str(&format!("  {line}{origin}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{human, machine};

    #[test]
    fn settings_are_lines_that_could_stand_in_a_file() {
        let setting = |name: &str, value: &str, origin: &str| Setting {
            name: name.into(),
            value: value.into(),
            origin: origin.into(),
        };
        let reply = SettingsReply {
            vmta: vec![setting("host-name", "", "default")],
            queue: vec![setting("max-smtp-out", "20", "/etc/convoy/config:14")],
        };
        let expected = "\
Virtual MTA Settings
  host-name \"\"

Queue Settings
  max-smtp-out 20  # /etc/convoy/config:14
";
        let answer = render(&reply);
        assert_eq!(human(&answer), expected);
        let json: Value = serde_json::from_str(&machine(&answer)).unwrap();
        assert_eq!(json["data"]["queue"][0]["value"], "20");
    }
}
