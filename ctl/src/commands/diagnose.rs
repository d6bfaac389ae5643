//! `trace` and `resolve`: lines as they come.

use convoy_proto::admin::{ResolveRequest, ResolveStep, StepKind, TraceLine, TraceRequest};
use serde_json::{Value, json};
use tonic::Streaming;

use super::{Done, split_queue};
use crate::cli::{Resolve, Trace};
use crate::client::Client;
use crate::error::Error;
use crate::format::{plain, time, time_zoned};
use crate::output::{Answer, Output};

/// With JSON, one object whose lines are written as they come, since a trace may last.
pub(super) async fn trace(mut client: Client, output: &Output, options: Trace) -> Done {
    let request = TraceRequest { queue: options.queue, retry_recipients: options.retry_recipients };
    let mut lines = client.trace(request).await?.into_inner();
    if output.is_json() {
        return trace_data(lines, output).await;
    }
    while let Some(line) = lines.message().await? {
        output.raw(&format!("{} {}\n", time(line.at_ms), plain(&line.text)))?;
    }
    Ok(())
}

async fn trace_data(mut lines: Streaming<TraceLine>, output: &Output) -> Done {
    output.raw(TRACE_BEGIN)?;
    let mut is_first = true;
    loop {
        match lines.message().await {
            Ok(Some(line)) => output.raw(&trace_item(&line, is_first))?,
            Ok(None) => return Ok(output.raw(&trace_end(None))?),
            Err(status) => {
                let error = Error::from(status).to_string();
                output.raw(&trace_end(Some(&error)))?;
                return Err(Error::Found(error));
            }
        }
        is_first = false;
    }
}

const TRACE_BEGIN: &str = "{\"data\":{\"line\":[";

fn trace_item(line: &TraceLine, is_first: bool) -> String {
    let comma = if is_first { "" } else { "," };
    format!("{comma}\n{}", json!({"time": time_zoned(line.at_ms), "text": line.text}))
}

fn trace_end(error: Option<&str>) -> String {
    match error {
        None => "]},\"status\":\"success\"}\n".to_owned(),
        Some(error) => format!("]}},\"status\":\"error\",\"message\":{}}}\n", Value::from(error)),
    }
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
    fn a_trace_for_scripts_is_one_object_however_it_ends() {
        let line = TraceLine { at_ms: 1000, text: ">>> 220 \"x\"".into() };
        for (count, error, status) in
            [(0, None, "success"), (2, None, "success"), (1, Some("\"gone\""), "error")]
        {
            let items = (0..count).map(|n| trace_item(&line, n == 0));
            let text = TRACE_BEGIN.to_owned() + &items.collect::<String>() + &trace_end(error);
            let json: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(json["data"]["line"].as_array().unwrap().len(), count);
            assert_eq!(json["status"], status);
            assert!(count == 0 || json["data"]["line"][0]["text"] == ">>> 220 \"x\"");
        }
    }
}
