//! What `mtactl cluster status` says.

use anyhow::{Context, Result};
use serde_json::Value;

/// The state of the cluster as one node tells it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Members, in the order of the reply.
    pub members: Vec<MemberStatus>,
    /// Raft groups.
    pub groups: Vec<GroupStatus>,
}

/// A member.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// `n1`.
    pub id: String,
    /// Where other nodes find it.
    pub address: String,
    /// `active`, `draining` and so on.
    pub standing: String,
    /// The node that answered reaches it.
    pub reachable: bool,
}

/// A Raft group.
#[derive(Clone, Debug)]
pub struct GroupStatus {
    /// `meta`, `accounting`, `p0`.
    pub name: String,
    /// The node that leads it.
    pub leader: Option<String>,
    /// Its term.
    pub term: u64,
    /// Its voters.
    pub voters: Vec<String>,
    /// The most that a replica lags behind, in entries.
    pub lag: u64,
}

impl Status {
    /// Reads the reply with `--json`.
    ///
    /// # Errors
    ///
    /// When it is no such reply.
    pub fn parse(text: &str) -> Result<Self> {
        let reply: Value = serde_json::from_str(text).context("no JSON")?;
        let data = reply.get("data").context("no data")?;
        Ok(Self {
            members: list(data, "member")?.iter().map(member).collect::<Result<_>>()?,
            groups: list(data, "group")?.iter().map(group).collect::<Result<_>>()?,
        })
    }

    /// The leader of a group.
    #[must_use]
    pub fn leader(&self, group: &str) -> Option<&str> {
        self.group(group)?.leader.as_deref()
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&GroupStatus> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Names of the groups that a node leads.
    #[must_use]
    pub fn led_by(&self, node: &str) -> Vec<String> {
        let led = self.groups.iter().filter(|group| group.leader.as_deref() == Some(node));
        led.map(|group| group.name.clone()).collect()
    }
}

/// A list under its name or the plural of it.
fn list<'a>(data: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    let found = data.get(name).or_else(|| data.get(format!("{name}s")));
    found.and_then(Value::as_array).with_context(|| format!("no {name}s in {data}"))
}

/// A node is named `n1` or numbered 1; 0 is nobody.
fn node(value: &Value) -> Option<String> {
    match value {
        Value::String(name) if !name.is_empty() && name != "-" => Some(name.clone()),
        Value::Number(number) if number.as_u64() != Some(0) => Some(format!("n{number}")),
        _ => None,
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn member(value: &Value) -> Result<MemberStatus> {
    let id = value.get("id").or_else(|| value.get("node")).and_then(node);
    Ok(MemberStatus {
        id: id.with_context(|| format!("a member without id: {value}"))?,
        address: text(value, "address"),
        standing: text(value, "standing"),
        reachable: value.get("reachable").and_then(Value::as_bool).unwrap_or(false),
    })
}

fn group(value: &Value) -> Result<GroupStatus> {
    let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64);
    let replicas = ["replica", "replicas"].iter().find_map(|name| value.get(name)?.as_array());
    let lags = replicas.into_iter().flatten().filter_map(|replica| number(replica, "lag"));
    let voters = ["voters", "voter"].iter().find_map(|name| value.get(name)?.as_array());
    Ok(GroupStatus {
        name: text(value, "name"),
        leader: value.get("leader").and_then(node),
        term: number(value, "term").unwrap_or(0),
        voters: voters.context("a group without voters")?.iter().filter_map(node).collect(),
        lag: number(value, "lag").or(lags.max()).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let text = r#"{"status":"success","data":{
            "members":[{"id":"n1","address":"a:1","standing":"active","reachable":true}],
            "groups":[{"name":"meta","leader":"n1","term":3,"voters":["n1","n2"],"lag":2},
                      {"name":"p0","leader":null,"term":4,"voters":["n1"],
                       "replicas":[{"node":"n1","lag":7},{"node":"n2","lag":9}]}]}}"#;
        let status = Status::parse(text).unwrap();
        assert!(status.members[0].reachable);
        assert_eq!(status.leader("meta"), Some("n1"));
        assert_eq!(status.leader("p0"), None);
        assert_eq!(status.group("p0").unwrap().lag, 9);
        assert_eq!(status.led_by("n1"), ["meta"]);
        assert!(Status::parse("{}").is_err());
    }
}
