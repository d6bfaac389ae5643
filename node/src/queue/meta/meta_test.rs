use super::*;
use crate::clock::Timestamp;
use crate::id::{GroupId, NodeId};
use crate::queue::cluster::{
    BrokenHost, Change, Configuration, Description, Identity, Placement, Standing, TicketSecret,
};
use crate::queue::command::{Draft, entry};
use crate::queue::machine::Memory;

struct Meta {
    machine: MetaMachine,
    view: MetaView,
    state: Memory,
    index: u64,
    now: u64,
}

impl Meta {
    fn new() -> Self {
        let (machine, view) = MetaMachine::new();
        Self { machine, view, state: Memory::default(), index: 0, now: 1000 }
    }

    fn founded() -> Self {
        let mut meta = Self::new();
        let identity = Identity {
            id: "c".to_owned(),
            authority_certificate_pem: "cert".to_owned(),
            authority_key_pem: "key".to_owned(),
            founded_at: Timestamp(1),
        };
        let first = Description { level: 1, ..Description::default() };
        assert_eq!(meta.change(&Change::found(&identity, NodeId(1), &first)), Answer::Number(1));
        meta
    }

    fn propose(&mut self, draft: Draft) -> Answer {
        self.index += 1;
        let proposal = entry(1, Timestamp(self.now), [draft].iter());
        let committed = Committed {
            group: GroupId::META,
            index: self.index,
            term: 1,
            payload: proposal.payload,
            bodies: Vec::new(),
        };
        let answers = self.machine.apply(&committed, &mut self.state).unwrap();
        self.machine.written().unwrap();
        self.check_reopened();
        answers[0]
    }

    fn change(&mut self, change: &Change) -> Answer {
        self.propose(Draft::cluster(change))
    }

    fn cluster(&self) -> Cluster {
        self.view.cluster.borrow().as_ref().clone()
    }

    /// What a restart reads is what was shown before.
    fn check_reopened(&self) {
        let (mut again, view) = MetaMachine::new();
        again.opened(&self.state).unwrap();
        let index = self.cluster().index;
        let reopened = Cluster { index, ..view.cluster.borrow().as_ref().clone() };
        let level = self.cluster().level.max(1);
        assert_eq!(reopened, Cluster { level, ..self.cluster() });
    }

    fn join(&mut self) -> Answer {
        let hash = [u8::try_from(self.index).unwrap(); 32];
        let token = Change::add_token(hash, Timestamp(self.now + 10), None);
        assert_eq!(self.change(&token), Answer::Done);
        self.change(&Change::admit(hash, hash, "host:1", "host", 1, "0.1"))
    }
}

#[test]
fn switches_are_shown_when_written_and_read_back_at_start() {
    let switches = Switches { paused_jobs: vec!["j1".to_owned()], ..Switches::default() };
    let mut meta = Meta::new();
    assert_eq!(*meta.view.switches.borrow(), Switches::default());
    meta.propose(Draft::switches(&switches));
    assert_eq!(*meta.view.switches.borrow(), switches);
    let (mut again, view) = MetaMachine::new();
    again.opened(&meta.state).unwrap();
    assert_eq!(*view.switches.borrow(), switches);
}

#[test]
fn a_token_admits_one_node_in_time() {
    let mut meta = Meta::founded();
    let token = Change::add_token([7; 32], Timestamp(meta.now + 10), None);
    assert_eq!(meta.change(&token), Answer::Done);
    let admit = |token, claim| Change::admit([token; 32], [claim; 32], "b:1", "b", 1, "0.1");
    assert_eq!(meta.change(&admit(8, 1)), Answer::Refused);
    assert_eq!(meta.change(&admit(7, 1)), Answer::Number(2));
    assert_eq!(meta.change(&admit(7, 2)), Answer::Refused, "a token is good once");
    assert_eq!(meta.change(&token), Answer::Done);
    meta.now += 10;
    assert_eq!(meta.change(&admit(7, 2)), Answer::Refused, "it has expired");
    assert_eq!(meta.change(&admit(7, 1)), Answer::Number(2), "the answer was lost");
    assert_eq!(meta.cluster().active().collect::<Vec<_>>(), [NodeId(1), NodeId(2)]);
}

#[test]
fn a_cluster_is_founded_once() {
    let mut meta = Meta::founded();
    let identity = meta.cluster().identity.unwrap();
    let again = Change::found(&identity, NodeId(9), &Description::default());
    assert_eq!(meta.change(&again), Answer::Refused);
}

#[test]
fn numbers_of_members_are_never_used_again() {
    let mut meta = Meta::founded();
    assert_eq!(meta.join(), Answer::Number(2));
    let removing = Change::set_standing(NodeId(2), Standing::Removing);
    assert_eq!(meta.change(&Change::forget(NodeId(2))), Answer::Refused, "it is active");
    assert_eq!(meta.change(&removing), Answer::Done);
    assert_eq!(
        meta.change(&Change::set_standing(NodeId(2), Standing::Active)),
        Answer::Refused,
        "a removal is not taken back"
    );
    let both = Placement { voters: vec![NodeId(1), NodeId(2)], learners: vec![], reached: false };
    assert_eq!(meta.change(&Change::place(GroupId(2), &both)), Answer::Done);
    assert_eq!(meta.change(&Change::forget(NodeId(2))), Answer::Refused, "it has a replica");
    let one = Placement { voters: vec![NodeId(1)], learners: vec![], reached: false };
    assert_eq!(meta.change(&Change::place(GroupId(2), &one)), Answer::Done);
    assert_eq!(meta.change(&Change::forget(NodeId(2))), Answer::Refused, "it may have it still");
    assert_eq!(meta.change(&Change::reached(GroupId(2), &both)), Answer::Refused);
    assert_eq!(meta.change(&Change::reached(GroupId(2), &one)), Answer::Done);
    assert_eq!(meta.change(&Change::forget(NodeId(2))), Answer::Done);
    assert_eq!(meta.change(&Change::place(GroupId(2), &both)), Answer::Refused, "it is gone");
    assert_eq!(meta.join(), Answer::Number(3));
    assert_eq!(meta.change(&Change::set_standing(NodeId(3), Standing::Removing)), Answer::Done);
    assert_eq!(
        meta.change(&Change::set_standing(NodeId(1), Standing::Removing)),
        Answer::Refused,
        "nobody would be left"
    );
}

#[test]
fn a_configuration_follows_the_one_that_it_was_made_from() {
    let mut meta = Meta::founded();
    let new = |text: &str| Configuration {
        files: vec![("config".to_owned(), text.to_owned())],
        ..Configuration::default()
    };
    assert_eq!(meta.change(&Change::configure(0, &new("a"))), Answer::Number(1));
    assert_eq!(meta.change(&Change::configure(0, &new("b"))), Answer::Refused);
    for version in 1..60 {
        let next = Change::configure(version, &new("b"));
        assert_eq!(meta.change(&next), Answer::Number(version + 1));
    }
    let cluster = meta.cluster();
    assert_eq!(cluster.history.len(), 50);
    assert_eq!(cluster.history.last().map(|v| v.version), Some(60));
    assert_eq!(cluster.configuration.map(|c| c.version), Some(60));
}

#[test]
fn a_format_is_used_when_all_members_read_it() {
    let mut meta = Meta::founded();
    meta.join();
    assert_eq!(meta.change(&Change::raise_level(2)), Answer::Refused);
    for node in [1, 2] {
        let newer = Description { level: 2, ..Description::default() };
        let nowhere = Change::describe(NodeId(node), &newer);
        assert_eq!(meta.change(&nowhere), Answer::Refused, "nobody could reach it");
        let newer = Description { address: "host:1".to_owned(), ..newer };
        assert_eq!(meta.change(&Change::describe(NodeId(node), &newer)), Answer::Done);
    }
    assert_eq!(meta.change(&Change::raise_level(2)), Answer::Done);
    assert_eq!(meta.join(), Answer::Refused, "an old node cannot follow any more");
}

#[test]
fn broken_hosts_are_remembered_for_their_time_and_forgotten_on_request() {
    let mut meta = Meta::founded();
    let host = |address: &str, until| BrokenHost {
        host: address.parse().unwrap(),
        verifies: false,
        until: Timestamp(until),
        name: "mx.example.com".to_owned(),
        reason: "handshake failure".to_owned(),
    };
    let first = [host("192.0.2.1:25", 1005), host("192.0.2.2:25", 2000)];
    assert_eq!(meta.change(&Change::broken_tls(&first)), Answer::Done);
    assert_eq!(meta.cluster().broken_tls.len(), 2);
    meta.now = 1500;
    let third = [host("[2001:db8::1]:25", 2000)];
    assert_eq!(meta.change(&Change::broken_tls(&third)), Answer::Done);
    assert_eq!(meta.cluster().broken_tls.len(), 2, "the first has had its time");
    assert_eq!(meta.change(&Change::forget_broken_tls("192.0.2.2")), Answer::Changed(1));
    assert_eq!(meta.change(&Change::forget_broken_tls("MX.example.com")), Answer::Changed(1));
    assert_eq!(meta.change(&Change::forget_broken_tls("*")), Answer::Changed(0));
}

#[test]
fn the_newest_ticket_secrets_are_kept() {
    let mut meta = Meta::founded();
    for from in 1..=5 {
        let secret = TicketSecret { secret: [9; 32], from: Timestamp(from) };
        assert_eq!(meta.change(&Change::add_ticket_secret(&secret)), Answer::Done);
    }
    let old = TicketSecret { secret: [9; 32], from: Timestamp(5) };
    assert_eq!(meta.change(&Change::add_ticket_secret(&old)), Answer::Refused);
    let kept: Vec<_> = meta.cluster().ticket_secrets.iter().map(|s| s.from.0).collect();
    assert_eq!(kept, [3, 4, 5]);
}

/// Something that may be asked of a cluster at any time.
#[derive(Clone, Debug)]
enum Ask {
    Join,
    Stand(u64, Standing),
    Forget(u64),
    Place(u32, Vec<u64>),
    Reached(u32),
    Time(u64),
}

fn ask() -> impl proptest::strategy::Strategy<Value = Ask> {
    use proptest::prelude::*;
    let node = 1..6_u64;
    let standing =
        prop_oneof![Just(Standing::Active), Just(Standing::Draining), Just(Standing::Removing)];
    prop_oneof![
        2 => Just(Ask::Join),
        3 => (node.clone(), standing).prop_map(|(node, standing)| Ask::Stand(node, standing)),
        3 => node.clone().prop_map(Ask::Forget),
        4 => (0..3_u32, proptest::collection::vec(node, 0..4))
            .prop_map(|(group, nodes)| Ask::Place(group, nodes)),
        3 => (0..3_u32).prop_map(Ask::Reached),
        1 => (1..20_u64).prop_map(Ask::Time),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

    /// Whatever is asked in whatever order: numbers are given once, placements name members only,
    /// somebody stays, and a restart reads the same (checked at every step).
    #[test]
    fn no_order_of_changes_breaks_the_cluster(asked in proptest::collection::vec(ask(), 1..40)) {
        let mut meta = Meta::founded();
        let mut given = std::collections::BTreeSet::from([1]);
        for ask in asked {
            match ask {
                Ask::Join => {
                    if let Answer::Number(number) = meta.join() {
                        assert!(given.insert(number), "{number} was given twice");
                    }
                }
                Ask::Stand(node, standing) => {
                    meta.change(&Change::set_standing(NodeId(node), standing));
                }
                Ask::Forget(node) => {
                    meta.change(&Change::forget(NodeId(node)));
                }
                Ask::Place(group, nodes) => {
                    let voters = nodes.into_iter().map(NodeId).collect();
                    let placement = Placement { voters, ..Placement::default() };
                    meta.change(&Change::place(GroupId(group), &placement));
                }
                Ask::Reached(group) => {
                    if let Some(known) = meta.cluster().placement.get(&GroupId(group)) {
                        meta.change(&Change::reached(GroupId(group), known));
                    }
                }
                Ask::Time(ms) => meta.now += ms,
            }
            let cluster = meta.cluster();
            let known = |node: &NodeId| cluster.members.contains_key(node);
            for placement in cluster.placement.values() {
                assert!(!placement.voters.is_empty() && placement.voters.iter().all(known));
            }
            assert!(cluster.members.values().any(|m| m.standing != Standing::Removing));
        }
    }
}
