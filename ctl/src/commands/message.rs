//! `show message`.

use convoy_proto::admin::{MessageReply, MessageRequest, RecipientState, UnknownAttempt};
use serde_json::{Value, json};

use super::Done;
use crate::client::Client;
use crate::format::{kbytes, plain, time, time_zoned};
use crate::missing;
use crate::output::{Answer, Output};

pub(super) async fn message(mut client: Client, output: &Output, id: String) -> Done {
    let reply = client.message(MessageRequest { id }).await?.into_inner();
    Ok(output.answer(&Answer::data(text(&reply), data(&reply)))?)
}

fn text(reply: &MessageReply) -> String {
    let mut text = format!("Message {} ({})\n", reply.id, reply.locator);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<9} {}\n", plain(value)));
        }
    };
    if !reply.finished.is_empty() {
        line("state", &reply.finished);
        line("held by", &place(reply));
        return text + &missing::text(&reply.missing);
    }
    line("from", &format!("<{}>", reply.orig));
    line("received", &time(reply.received_ms));
    line("by", &reply.origin);
    line("size", &format!("{} kbytes", kbytes(reply.bytes)));
    line("job", &reply.job_id);
    line("envid", &reply.env_id);
    line("pool", &reply.vmta_pool);
    line("held by", &place(reply));
    for recipient in &reply.recipients {
        text.push_str(&recipient_text(recipient));
    }
    text + &missing::text(&reply.missing)
}

/// `p3, led by n2 in term 7; replicas on n1 n2 n3`.
fn place(reply: &MessageReply) -> String {
    if reply.partition.is_empty() {
        return String::new();
    }
    let leader = match reply.leader {
        0 => "without a leader".to_owned(),
        node => format!("led by n{node} in term {}", reply.term),
    };
    let replicas: Vec<String> = reply.replicas.iter().map(|node| format!("n{node}")).collect();
    let replicas = match replicas.is_empty() {
        true => String::new(),
        false => format!("; replicas on {}", replicas.join(" ")),
    };
    format!("{}, {leader}{replicas}", reply.partition)
}

fn unknown_text(unknown: &UnknownAttempt) -> String {
    format!(
        "the result of the attempt of n{} in term {} at {}: it may have been delivered",
        unknown.node,
        unknown.term,
        time(unknown.at_ms)
    )
}

fn recipient_text(recipient: &RecipientState) -> String {
    let mut text =
        format!("Recipient <{}> in {}\n", plain(&recipient.rcpt), plain(&recipient.queue));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("  {name:<9} {}\n", plain(value)));
        }
    };
    if recipient.finished {
        line("state", "finished: see the accounting files");
        return text;
    }
    line("attempts", &recipient.attempts.to_string());
    line("first", &time(recipient.first_attempt_ms));
    line("last", &recipient.last_reply);
    line("at", &recipient.last_mta);
    line("unknown", &recipient.unknown.as_ref().map(unknown_text).unwrap_or_default());
    line("next", &time(recipient.due_ms));
    line("waits", &recipient.waiting_for);
    text
}

fn data(reply: &MessageReply) -> Value {
    let recipient = |r: &RecipientState| {
        json!({
            "rcpt": r.rcpt,
            "queue": r.queue,
            "finished": r.finished,
            "attempts": r.attempts,
            "firstAttempt": time_zoned(r.first_attempt_ms),
            "nextAttempt": time_zoned(r.due_ms),
            "paused": r.held,
            "lastStatus": r.last_status,
            "lastReply": r.last_reply,
            "lastMta": r.last_mta,
            "waitingFor": r.waiting_for,
            "unknown": r.unknown.map(|u| json!({"node": u.node, "term": u.term,
                                                "time": time_zoned(u.at_ms)})),
        })
    };
    json!({
        "id": reply.id,
        "locator": reply.locator,
        "orig": reply.orig,
        "received": time_zoned(reply.received_ms),
        "source": reply.origin,
        "bytes": reply.bytes,
        "jobId": reply.job_id,
        "envId": reply.env_id,
        "vmtaPool": reply.vmta_pool,
        "partition": reply.partition,
        "leader": reply.leader,
        "term": reply.term,
        "replica": reply.replicas,
        "finished": reply.finished,
        "missing": missing::data(&reply.missing),
        "recipient": reply.recipients.iter().map(recipient).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_tells_its_story() {
        let reply = MessageReply {
            id: "01K4Z3X5J8Q6W2E9R7T0YBVCNM".into(),
            locator: "p0:17.0".into(),
            orig: "a@example.com".into(),
            bytes: 2048,
            job_id: "spring".into(),
            partition: "p0".into(),
            leader: 2,
            term: 7,
            replicas: vec![1, 2, 3],
            origin: "smtp from client (192.0.2.1)".into(),
            recipients: vec![
                RecipientState {
                    rcpt: "x@yahoo.com".into(),
                    queue: "yahoo.com/v1".into(),
                    attempts: 2,
                    last_reply: "421 busy".into(),
                    last_mta: "mx1 (192.0.2.9)".into(),
                    unknown: Some(UnknownAttempt { node: 1, term: 6, at_ms: 0 }),
                    waiting_for: "for its next attempt".into(),
                    ..RecipientState::default()
                },
                RecipientState {
                    rcpt: "y@b.com".into(),
                    queue: "b.com/v1".into(),
                    finished: true,
                    ..RecipientState::default()
                },
            ],
            ..MessageReply::default()
        };
        let expected = "\
Message 01K4Z3X5J8Q6W2E9R7T0YBVCNM (p0:17.0)
  from      <a@example.com>
  by        smtp from client (192.0.2.1)
  size      2.0 kbytes
  job       spring
  held by   p0, led by n2 in term 7; replicas on n1 n2 n3
Recipient <x@yahoo.com> in yahoo.com/v1
  attempts  2
  last      421 busy
  at        mx1 (192.0.2.9)
  unknown   the result of the attempt of n1 in term 6 at : it may have been delivered
  waits     for its next attempt
Recipient <y@b.com> in b.com/v1
  state     finished: see the accounting files
";
        assert_eq!(text(&reply), expected);
        assert_eq!(data(&reply)["recipient"][0]["lastReply"], "421 busy");
    }
}
