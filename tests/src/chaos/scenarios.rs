//! The scenarios of `make chaos`: a table.

use super::{Needs, Scenario, Step, Who};

use Step::{
    Bridge, Clock, Delay, Drain, FailSync, Fill, Free, Heal, Healthy, Isolate, Join, Kill, KillAll,
    Mute, Pause, PowerCut, Push, Remove, Replace, Restart, Resume, SlowDisk, Terminate, Undrain,
    Wait,
};

/// All scenarios, in the order in which they run.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "calm",
        about: "load without a fault: nothing comes twice",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(10_000)],
        times: 1,
    },
    Scenario {
        name: "kill-leader",
        about: "kill -9 of the node that leads most, again and again",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(3_000), Kill(Who::Leader), Wait(1_500), Restart, Healthy],
        times: 8,
    },
    Scenario {
        name: "kill-follower",
        about: "kill -9 of the node that leads least",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(2_000), Kill(Who::Follower), Wait(3_000), Restart, Healthy],
        times: 2,
    },
    Scenario {
        name: "kill-collector",
        about: "kill -9 of the node that writes accounting rows",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(2_000), Kill(Who::Collector), Wait(3_000), Restart, Healthy],
        times: 3,
    },
    Scenario {
        name: "kill-granting",
        about: "kill -9 of the node that grants shares of limits",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(4_000), Kill(Who::Granting), Wait(8_000), Restart, Healthy],
        times: 2,
    },
    Scenario {
        name: "kill-all",
        about: "kill -9 of all nodes at once",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(3_000), KillAll, Wait(500), Restart, Healthy],
        times: 2,
    },
    Scenario {
        name: "pause",
        about: "SIGSTOP of a leader for longer than its lease, then SIGCONT",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(3_000), Pause(Who::Leader), Wait(8_000), Resume, Healthy],
        times: 2,
    },
    Scenario {
        name: "minority",
        about: "a leader cut off from the others",
        nodes: 3,
        needs: Needs::Namespaces,
        steps: &[Wait(3_000), Isolate(Who::Leader), Wait(8_000), Heal, Healthy],
        times: 2,
    },
    Scenario {
        name: "bridge",
        about: "two nodes that see each other only through the third",
        nodes: 3,
        needs: Needs::Namespaces,
        steps: &[Wait(3_000), Bridge(Who::Leader), Wait(8_000), Heal, Healthy],
        times: 2,
    },
    Scenario {
        name: "one-way",
        about: "a leader that hears the others and is not heard",
        nodes: 3,
        needs: Needs::Namespaces,
        steps: &[Wait(3_000), Mute(Who::Leader), Wait(8_000), Heal, Healthy],
        times: 2,
    },
    Scenario {
        name: "jitter",
        about: "delay and jitter between the nodes, and a kill",
        nodes: 3,
        needs: Needs::Proxies,
        steps: &[
            Delay(20, 40),
            Wait(4_000),
            Kill(Who::Leader),
            Wait(3_000),
            Restart,
            Healthy,
            Delay(0, 0),
        ],
        times: 1,
    },
    Scenario {
        name: "drain",
        about: "drain under load, and back; then an orderly stop",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[
            Wait(3_000),
            Drain(Who::Leader),
            Wait(3_000),
            Undrain,
            Healthy,
            Terminate(Who::Leader),
            Wait(1_000),
            Restart,
            Healthy,
        ],
        times: 1,
    },
    Scenario {
        name: "replace",
        about: "a node with its disk is gone, a new one takes its place",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(3_000), Replace(Who::Leader), Healthy, Wait(2_000)],
        times: 1,
    },
    Scenario {
        name: "grow-and-shrink",
        about: "a fourth node joins, another one leaves, with a kill and a push between",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[
            Wait(2_000),
            Join,
            Push,
            Kill(Who::Leader),
            Wait(1_000),
            Restart,
            Healthy,
            Remove(Who::Follower),
            Push,
            Healthy,
        ],
        times: 1,
    },
    Scenario {
        name: "push",
        about: "config push during load and while a node is down",
        nodes: 3,
        needs: Needs::Nothing,
        steps: &[Wait(2_000), Push, Wait(1_000), Kill(Who::Meta), Push, Restart, Healthy, Push],
        times: 1,
    },
    Scenario {
        name: "disk-full",
        about: "a leader's disk is full, then has room again",
        nodes: 3,
        needs: Needs::SmallDisks,
        steps: &[Wait(3_000), Fill(Who::Leader), Wait(8_000), Free, Healthy],
        times: 1,
    },
    Scenario {
        name: "sync-error",
        about: "a sync of a leader fails: the node ends, and the others take over",
        nodes: 3,
        needs: Needs::Shim,
        steps: &[Wait(3_000), FailSync(Who::Leader), Wait(2_000), Restart, Healthy],
        times: 2,
    },
    Scenario {
        name: "power-cut",
        about: "all nodes lose what they had not synced",
        nodes: 3,
        needs: Needs::Shim,
        steps: &[Wait(4_000), PowerCut, Restart, Healthy],
        times: 2,
    },
    Scenario {
        name: "slow-disk",
        about: "a leader's disk takes 150 ms longer for every sync",
        nodes: 3,
        needs: Needs::Shim,
        steps: &[
            Wait(2_000),
            SlowDisk(Who::Leader, 150),
            Wait(8_000),
            SlowDisk(Who::Leader, 0),
            Healthy,
        ],
        times: 1,
    },
    Scenario {
        name: "clock",
        about: "wall clocks jump a minute ahead and back",
        nodes: 3,
        needs: Needs::Shim,
        steps: &[
            Wait(2_000),
            Clock(Who::Leader, 60_000),
            Wait(3_000),
            Clock(Who::Leader, -60_000),
            Wait(3_000),
            Clock(Who::Leader, 0),
            Wait(1_000),
        ],
        times: 1,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_what_is_broken_is_mended() {
        let mut names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SCENARIOS.len());
        for Scenario { name, steps, .. } in SCENARIOS {
            let last = |wanted: fn(&Step) -> bool| steps.iter().rposition(wanted);
            let kills = |step: &Step| {
                matches!(step, Kill(_) | KillAll | PowerCut | FailSync(_) | Terminate(_))
            };
            let pairs = [
                (last(kills), last(|step| matches!(step, Restart))),
                (last(|step| matches!(step, Pause(_))), last(|step| matches!(step, Resume))),
                (
                    last(|step| matches!(step, Isolate(_) | Bridge(_) | Mute(_))),
                    last(|step| matches!(step, Heal)),
                ),
                (last(|step| matches!(step, Fill(_))), last(|step| matches!(step, Free))),
            ];
            for (broken, mended) in pairs {
                assert!(broken.is_none() || broken < mended, "{name}");
            }
        }
    }
}
