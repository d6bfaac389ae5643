//! Nodes that did not answer: named below every answer, so that none is partial in silence.

use convoy_proto::admin::Missing;
use serde_json::{Value, json};

use crate::error::Error;
use crate::format::plain;
use crate::output::{Answer, Output};

/// A line for each.
pub(crate) fn text(missing: &[Missing]) -> String {
    let line = |gone: &Missing| format!("missing: n{}: {}\n", gone.node, plain(&gone.reason));
    missing.iter().map(line).collect()
}

/// The same for scripts.
pub(crate) fn data(missing: &[Missing]) -> Value {
    missing.iter().map(|gone| json!({"node": gone.node, "reason": gone.reason})).collect()
}

/// Prints what was done; where a node did not do its part, the command has failed.
pub(crate) fn told(output: &Output, mut answer: Answer, missing: &[Missing]) -> Result<(), Error> {
    if missing.is_empty() {
        return Ok(output.answer(&answer)?);
    }
    let done = std::mem::take(&mut answer.message);
    answer.text.push_str(&format!("{done}\n{}", text(missing)));
    if answer.data.is_null() {
        answer.data = json!({"missing": data(missing)});
    }
    let names: Vec<String> = missing.iter().map(|gone| format!("n{}", gone.node)).collect();
    let said = format!("Nothing was done on {}: repeat the command later.", names.join(", "));
    Err(output.found(&answer, &said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_with_the_reason() {
        let missing = [Missing { node: 3, reason: "connection refused\u{7}".into() }];
        assert_eq!(text(&missing), "missing: n3: connection refused?\n");
        assert_eq!(data(&missing)[0]["node"], 3);
        assert_eq!((text(&[]).as_str(), data(&[])), ("", json!([])));
    }
}
