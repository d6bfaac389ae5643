//! Who may call what, for calls that come over the cluster listener. Whoever may open the node's
//! Unix socket may call everything.

use crate::id::Role;

/// What each call of the service asks for.
const TABLE: &[(&str, Role)] = &[
    ("Version", Role::Monitor),
    ("Status", Role::Monitor),
    ("Queues", Role::Monitor),
    ("Domains", Role::Monitor),
    ("Vmtas", Role::Monitor),
    ("Jobs", Role::Monitor),
    ("Limits", Role::Monitor),
    ("Settings", Role::Monitor),
    ("Message", Role::Monitor),
    ("Resolve", Role::Monitor),
    ("ConfigCheck", Role::Monitor),
    ("AcctStatus", Role::Monitor),
    // Passwords are shown to administrators only: `super::caller::may_see_secrets`.
    ("ConfigHistory", Role::Monitor),
    ("ConfigShow", Role::Monitor),
    ("ConfigDiff", Role::Monitor),
    ("ClusterStatus", Role::Monitor),
    // `list` also holds, releases and schedules what it lists.
    ("List", Role::Operator),
    ("Delete", Role::Operator),
    ("PauseQueue", Role::Operator),
    ("ResumeQueue", Role::Operator),
    ("PauseJob", Role::Operator),
    ("ResumeJob", Role::Operator),
    ("SetQueueMode", Role::Operator),
    ("Schedule", Role::Operator),
    // A dialogue shows addresses and texts of messages, and can make recipients due.
    ("Trace", Role::Operator),
    ("ClearDnsCache", Role::Operator),
    ("ResetCounters", Role::Operator),
    ("Reload", Role::Operator),
    ("RotateAcct", Role::Operator),
    ("RotateLog", Role::Operator),
    // It reads everything that is stored.
    ("Audit", Role::Operator),
    ("Drain", Role::Admin),
    ("ConfigPush", Role::Admin),
    ("ConfigRollback", Role::Admin),
    ("SetStanding", Role::Admin),
    ("TransferGroup", Role::Admin),
    ("Balance", Role::Admin),
    ("ClusterInit", Role::Admin),
    ("ClusterToken", Role::Admin),
    ("ClusterOperator", Role::Admin),
];

/// The role that a call of the administration service asks for; none for a call that does not
/// exist, and for those of nodes.
#[must_use]
pub fn role_for(call: &str) -> Option<Role> {
    TABLE.iter().find(|(name, _)| *name == call).map(|(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that nodes make to each other: nobody else may make them.
    const BETWEEN_NODES: &[&str] = &["ConfigVerify", "ConfigAwait"];

    #[test]
    fn every_call_has_one_row() {
        let protocol = include_str!("../../../proto/convoy/admin.proto");
        let service =
            protocol.split("service Admin {").nth(1).unwrap().split("\n}").next().unwrap();
        let calls = service.lines().filter_map(|line| line.trim().strip_prefix("rpc "));
        let mut calls: Vec<_> = calls.filter_map(|call| call.split('(').next()).collect();
        let roles = TABLE.iter().map(|(call, _)| *call);
        let mut rows: Vec<_> = roles.chain(BETWEEN_NODES.iter().copied()).collect();
        calls.sort_unstable();
        rows.sort_unstable();
        assert!(calls.len() > 25, "the calls were not found");
        assert_eq!(rows, calls);
        assert_eq!(role_for("Nothing"), None);
    }

    #[test]
    fn roles_grow() {
        assert!(Role::Monitor < Role::Operator && Role::Operator < Role::Admin);
    }
}
