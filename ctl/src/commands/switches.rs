//! `pause`, `resume`, `set queue` and `schedule`.

use convoy_proto::admin::{
    JobRequest, QueueRequest, ScheduleReply, ScheduleRequest, SetQueueModeRequest, SwitchReply,
};
use serde_json::json;

use super::Done;
use super::queues::mode;
use crate::cli::{Held, Mode, Schedule, Set};
use crate::client::Client;
use crate::missing;
use crate::output::{Answer, Output};

pub(super) async fn pause(mut client: Client, output: &Output, what: Held) -> Done {
    let (reply, said) = match what {
        Held::Queue { pattern } => {
            (client.pause_queue(QueueRequest { pattern }).await?, "Queue(s) paused.")
        }
        Held::Job { id } => (client.pause_job(JobRequest { id }).await?, "paused job."),
    };
    tell(output, &reply.into_inner(), said, "resume queue")
}

pub(super) async fn resume(mut client: Client, output: &Output, what: Held) -> Done {
    let (reply, said) = match what {
        Held::Queue { pattern } => {
            (client.resume_queue(QueueRequest { pattern }).await?, "Queue(s) resumed.")
        }
        Held::Job { id } => (client.resume_job(JobRequest { id }).await?, "resumed job."),
    };
    tell(output, &reply.into_inner(), said, "resume queue")
}

pub(super) async fn set(mut client: Client, output: &Output, what: Set) -> Done {
    let Set::Queue { mode: chosen, pattern } = what;
    let request = SetQueueModeRequest { pattern, mode: mode(chosen).into() };
    let reply = client.set_queue_mode(request).await?.into_inner();
    tell(output, &reply, said(chosen), "set queue --mode=normal")
}

/// No limit depends on the mode yet, and who sets it must know.
const fn said(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "Queue mode set.",
        Mode::Backoff => {
            "Queue mode set. It only marks the queue: no limit is lower in back-off mode yet. To \
             stop sending: mtactl pause queue."
        }
    }
}

/// A switch that had no effect since another pattern holds the queues is a failure.
fn tell(output: &Output, reply: &SwitchReply, said: &str, remedy: &str) -> Done {
    let answer = render(reply, said, remedy);
    if reply.changed || reply.still_held_by.is_empty() {
        return Ok(output.answer(&answer)?);
    }
    Err(output.found(&answer, "Nothing was changed: another pattern holds the queues."))
}

/// Says what was done, and by which patterns some queues are held all the same.
fn render(reply: &SwitchReply, said: &str, remedy: &str) -> Answer {
    let still = |pattern: &String| {
        format!("Some are still held by {pattern}: mtactl {remedy} '{pattern}'\n")
    };
    let unchanged = if reply.changed { "" } else { " Nothing was changed: it was so already." };
    Answer {
        text: reply.still_held_by.iter().map(still).collect(),
        data: json!({"changed": reply.changed, "stillHeldBy": reply.still_held_by}),
        message: format!("{said}{unchanged}"),
    }
}

pub(super) async fn schedule(mut client: Client, output: &Output, options: Schedule) -> Done {
    let request =
        ScheduleRequest { pattern: options.pattern, retry_recipients: options.retry_recipients };
    let reply = client.schedule(request).await?.into_inner();
    missing::told(output, scheduled(&reply), &reply.missing)
}

fn scheduled(reply: &ScheduleReply) -> Answer {
    Answer {
        text: String::new(),
        data: json!({
            "scheduled": reply.scheduled,
            "matching": reply.matching,
            "recipients": reply.recipients,
            "missing": missing::data(&reply.missing),
        }),
        message: format!("{} of {} matching queues scheduled.", reply.scheduled, reply.matching),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::human;

    #[test]
    fn what_was_done_is_said_as_in_powermta() {
        let reply = |changed, still: &[&str]| SwitchReply {
            changed,
            still_held_by: still.iter().map(|s| (*s).to_owned()).collect(),
        };
        let said = |r: &SwitchReply| human(&render(r, "Queue(s) resumed.", "resume queue"));
        assert_eq!(said(&reply(true, &[])), "Queue(s) resumed.\n");
        assert_eq!(
            said(&reply(true, &["*/*"])),
            "Some are still held by */*: mtactl resume queue '*/*'\nQueue(s) resumed.\n"
        );
        assert_eq!(
            said(&reply(false, &[])),
            "Queue(s) resumed. Nothing was changed: it was so already.\n"
        );
        assert_eq!(super::said(Mode::Normal), "Queue mode set.");
        assert!(super::said(Mode::Backoff).contains("only marks the queue"));
        let reply = ScheduleReply { scheduled: 154, matching: 3888, ..ScheduleReply::default() };
        assert_eq!(human(&scheduled(&reply)), "154 of 3888 matching queues scheduled.\n");
    }
}
