//! `trace` and `resolve`: lines as they come.

use convoy_proto::admin::{ResolveRequest, ResolveStep, StepKind, TraceLine, TraceRequest};
use serde_json::{Value, json};

use super::{Done, split_queue};
use crate::cli::{Resolve, Trace};
use crate::client::Client;
use crate::format::{plain, time, time_zoned};
use crate::output::{Answer, Output};

/// With JSON, one object per line, since a trace may last.
pub(super) async fn trace(mut client: Client, output: &Output, options: Trace) -> Done {
    let request = TraceRequest { queue: options.queue, retry_recipients: options.retry_recipients };
    let mut lines = client.trace(request).await?.into_inner();
    while let Some(line) = lines.message().await? {
        output.raw(&trace_line(&line, output.is_json()))?;
    }
    Ok(())
}

fn trace_line(line: &TraceLine, as_json: bool) -> String {
    if as_json {
        return format!("{}\n", json!({"time": time_zoned(line.at_ms), "text": line.text}));
    }
    format!("{} {}\n", time(line.at_ms), plain(&line.text))
}

pub(super) async fn resolve(mut client: Client, output: &Output, options: Resolve) -> Done {
    let (domain, vmta) = split_queue(&options.queue);
    let request = ResolveRequest { domain, vmta, connect: options.connect };
    let mut steps = client.resolve(request).await?.into_inner();
    let (mut data, mut problems) = (Vec::new(), 0_u32);
    while let Some(step) = steps.message().await? {
        problems += u32::from(step.kind() == StepKind::Problem);
        if output.is_json() {
            data.push(step_data(&step));
        } else {
            output.raw(&step_line(&step))?;
        }
    }
    let answer = Answer::data(String::new(), json!({"step": data, "problems": problems}));
    match problems {
        0 => Ok(output.answer(&answer)?),
        n => Err(output.found(&answer, &format!("{n} step(s) did not work."))),
    }
}

fn step_line(step: &ResolveStep) -> String {
    let mark = match step.kind() {
        StepKind::Unspecified | StepKind::Fact => "",
        StepKind::Problem => "! ",
        // As in the log: what the peer says is >>>, what we say is <<<.
        StepKind::Received => ">>> ",
        StepKind::Sent => "<<< ",
    };
    format!("{mark}{}\n", plain(&step.text))
}

fn step_data(step: &ResolveStep) -> Value {
    let kind = match step.kind() {
        StepKind::Unspecified | StepKind::Fact => "fact",
        StepKind::Problem => "problem",
        StepKind::Received => "received",
        StepKind::Sent => "sent",
    };
    json!({"type": kind, "text": step.text})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_peer_point_inwards() {
        for (kind, expected) in [
            (StepKind::Fact, "220 x?\n"),
            (StepKind::Problem, "! 220 x?\n"),
            (StepKind::Received, ">>> 220 x?\n"),
            (StepKind::Sent, "<<< 220 x?\n"),
        ] {
            let step = ResolveStep { kind: kind.into(), text: "220 x\u{7}".into() };
            assert_eq!(step_line(&step), expected);
        }
    }

    #[test]
    fn a_trace_for_scripts_is_one_object_per_line() {
        let line = TraceLine { at_ms: 1000, text: ">>> 220 \"x\"".into() };
        let json: Value = serde_json::from_str(&trace_line(&line, true)).unwrap();
        assert_eq!(json["text"], ">>> 220 \"x\"");
    }
}
