//! Random commands against a simple model of the queue.

use std::collections::{BTreeMap, BTreeSet};

use convoy_proto::storage as proto;
use proptest::prelude::*;
use prost::Message as _;

use super::table_test::{GROUP, Partition};
use crate::clock::Timestamp;
use crate::id::Locator;
use crate::message::Class;
use crate::queue::command::Draft;
use crate::queue::fixture;
use crate::queue::index::Index;
use crate::queue::machine::{Answer, BodyPart, Table, View};
use crate::queue::model::{Operation, Target};
use crate::queue::rows;

#[derive(Clone, Debug)]
enum Step {
    /// A message with so many recipients; the id may be one that is known.
    Submit {
        id: u8,
        recipients: u8,
    },
    Report {
        message: u8,
        results: Vec<(u8, Class)>,
        notice: Option<u8>,
    },
    Delete {
        message: u8,
        recipient: u8,
    },
    Hold {
        message: u8,
        recipient: u8,
        held: bool,
    },
    Schedule {
        message: u8,
        recipient: u8,
        at: u64,
    },
    /// Applies the last entry's commands again, as a new entry.
    Repeat,
    Tick,
}

fn class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Delivered), Just(Class::Bounced), Just(Class::Deferred)]
}

fn step() -> impl Strategy<Value = Step> {
    let message = 0..12u8;
    prop_oneof![
        5 => (0..30u8, 1..4u8).prop_map(|(id, recipients)| Step::Submit { id, recipients }),
        6 => (
            message.clone(),
            prop::collection::vec((0..4u8, class()), 1..4),
            prop::option::of(100..110u8),
        )
            .prop_map(|(message, results, notice)| Step::Report { message, results, notice }),
        1 => (message.clone(), 0..4u8)
            .prop_map(|(message, recipient)| Step::Delete { message, recipient }),
        2 => (message.clone(), 0..4u8, any::<bool>())
            .prop_map(|(message, recipient, held)| Step::Hold { message, recipient, held }),
        1 => (message, 0..4u8, 0..99u64)
            .prop_map(|(message, recipient, at)| Step::Schedule { message, recipient, at }),
        2 => Just(Step::Repeat),
        1 => Just(Step::Tick),
    ]
}

#[derive(Clone, Debug)]
struct Open {
    held: bool,
    due: u64,
}

/// What the queue should be.
#[derive(Default)]
struct Model {
    ids: BTreeMap<u8, Locator>,
    open: BTreeMap<Locator, BTreeMap<u16, Open>>,
    accepted: u64,
    delivered: u64,
    bounced: u64,
    deleted: u64,
    outbox: usize,
    released: BTreeSet<BodyPart>,
}

impl Model {
    fn submit(&mut self, id: u8, recipients: u8, at: Locator, now: u64) -> Answer {
        if let Some(known) = self.ids.get(&id) {
            return Answer::Repeated(*known);
        }
        self.ids.insert(id, at);
        let open = |number| (u16::from(number), Open { held: false, due: now });
        self.open.insert(at, (0..recipients).map(open).collect());
        self.accepted += u64::from(recipients);
        self.outbox += usize::from(recipients);
        Answer::Stored(at)
    }

    fn finish(&mut self, at: Locator, number: u16) {
        let message = self.open.get_mut(&at).unwrap();
        message.remove(&number).unwrap();
        if message.is_empty() {
            self.open.remove(&at);
            assert!(self.released.insert(BodyPart { index: at.index, part: 0 }));
        }
    }

    fn get(&mut self, at: Locator, number: u16) -> Option<&mut Open> {
        self.open.get_mut(&at)?.get_mut(&number)
    }

    fn report(&mut self, at: Locator, results: &[(u8, Class)]) -> u64 {
        let mut changed = 0;
        for (number, class) in results {
            let number = u16::from(*number);
            let Some(open) = self.get(at, number) else { continue };
            changed += 1;
            match class {
                Class::Deferred => open.due = 1_000_000,
                Class::Delivered => {
                    self.delivered += 1;
                    self.finish(at, number);
                }
                Class::Bounced => {
                    self.bounced += 1;
                    self.finish(at, number);
                }
            }
        }
        self.outbox += usize::try_from(changed).unwrap();
        changed
    }
}

struct Run {
    partition: Partition,
    model: Model,
    /// The locators that steps choose from, finished ones too.
    known: Vec<Locator>,
    last: Option<Step>,
}

impl Run {
    fn message(&self, number: u8) -> Locator {
        let nowhere = Locator { group: GROUP, index: 999, slot: 0 };
        self.known.get(usize::from(number)).copied().unwrap_or(nowhere)
    }

    fn step(&mut self, step: &Step) {
        let target = |at, recipient: u8| Target {
            locator: at,
            recipient: u16::from(recipient),
            record: None,
        };
        let next = Locator { group: GROUP, index: self.partition.last + 1, slot: 0 };
        let now = self.partition.now;
        let (draft, expected) = match step {
            Step::Submit { id, recipients } => {
                let names = ["a@x.example", "b@y.example", "c@x.example"];
                let to = &names[..usize::from(*recipients)];
                let draft = Draft::submit(&fixture::submission((*id).into(), to, "text"), None);
                (draft, self.model.submit(*id, *recipients, next, now))
            }
            Step::Report { message, results, notice } => {
                let at = self.message(*message);
                let changed = self.model.report(at, results);
                let result =
                    |(number, class): &(u8, Class)| fixture::result(u16::from(*number), *class);
                let mut report = fixture::report(at, results.iter().map(result).collect());
                if let Some(id) = notice {
                    let to = ["from@sender.example"];
                    report.notice = Some(fixture::submission((*id).into(), &to, "notice"));
                    if changed > 0 {
                        self.model.submit(*id, 1, next, now);
                    }
                }
                (Draft::report(&report, None), Answer::Changed(changed))
            }
            Step::Delete { message, recipient } => {
                let at = self.message(*message);
                let targets = vec![target(at, *recipient)];
                let number = u16::from(*recipient);
                let changed = self.model.get(at, number).is_some();
                if changed {
                    self.model.deleted += 1;
                    self.model.finish(at, number);
                }
                let draft = Draft::operation(&Operation::Delete { targets });
                (draft, Answer::Changed(changed.into()))
            }
            Step::Hold { message, recipient, held } => {
                let at = self.message(*message);
                let targets = vec![target(at, *recipient)];
                let open = self.model.get(at, u16::from(*recipient));
                let changed = open.is_some_and(|o| std::mem::replace(&mut o.held, *held) != *held);
                let draft = Draft::operation(&Operation::Hold { targets, held: *held });
                (draft, Answer::Changed(changed.into()))
            }
            Step::Schedule { message, recipient, at } => {
                let place = self.message(*message);
                let targets = vec![target(place, *recipient)];
                let open = self.model.get(place, u16::from(*recipient));
                let changed = open.is_some_and(|o| std::mem::replace(&mut o.due, *at) != *at);
                let at = Timestamp(*at);
                let draft = Draft::operation(&Operation::Schedule { targets, at });
                (draft, Answer::Changed(changed.into()))
            }
            Step::Repeat => {
                if let Some(last) = self.last.take() {
                    self.step(&last);
                }
                return;
            }
            Step::Tick => {
                self.partition.now += 1000;
                return;
            }
        };
        assert_eq!(self.partition.apply(&[draft]).unwrap(), [expected], "{step:?}");
        if self.model.open.contains_key(&next) {
            self.known.push(next);
        }
        self.last = Some(step.clone());
    }

    fn check(&self) {
        let (partition, model) = (&self.partition, &self.model);
        let open: usize = model.open.values().map(BTreeMap::len).sum();
        let counters = partition.state.get(Table::State, rows::COUNTERS).unwrap();
        let counters = counters.map(|row| proto::Counters::decode(&*row).unwrap());
        let counters = counters.unwrap_or_default();
        let finished = model.delivered + model.bounced + model.deleted;
        assert_eq!(model.accepted, finished + open as u64);
        assert_eq!(counters.accepted_recipients, model.accepted);
        assert_eq!(counters.open_recipients, open as u64);
        assert_eq!(counters.open_messages, model.open.len() as u64);
        assert_eq!((counters.delivered, counters.bounced), (model.delivered, model.bounced));
        assert_eq!(counters.deleted, model.deleted);
        assert_eq!(partition.count(Table::Recipient), open);
        assert_eq!(partition.count(Table::Outbox), model.outbox);
        self.check_due();
        let released: Vec<_> = model.released.iter().copied().collect();
        let mut found = partition.state.released.clone();
        found.sort();
        assert_eq!(found, released);
        let live: Vec<_> =
            model.open.keys().map(|at| BodyPart { index: at.index, part: 0 }).collect();
        assert_eq!(partition.live(partition.last), live);
    }

    /// The recipients that wait are those that are open and not held.
    fn check_due(&self) {
        let rows = self.partition.state.scan(Table::Due, &[], &[255; 64], 1000).unwrap();
        let read = |key: &[u8]| rows::read_due(GROUP, key).unwrap();
        let found: BTreeSet<_> = rows
            .iter()
            .map(|row| read(&row.key))
            .map(|due| (due.locator, due.recipient, due.at.0))
            .collect();
        let expected: BTreeSet<_> = self
            .model
            .open
            .iter()
            .flat_map(|(at, open)| open.iter().map(|(number, open)| (*at, *number, open.clone())))
            .filter(|(_, _, open)| !open.held)
            .map(|(at, number, open)| (at, number, open.due))
            .collect();
        assert_eq!(found, expected);
    }

    /// Figures counted entry by entry are those that a start reads from the rows.
    fn check_index(&self) {
        let rebuilt = Index::default();
        rebuilt.rebuild(GROUP, &self.partition.state).unwrap();
        let sizes = |index: &Index| {
            let figures = index.figures(GROUP);
            let queues: BTreeMap<_, _> =
                figures.queues.into_iter().map(|(q, f)| (q, (f.recipients, f.bytes))).collect();
            let jobs: BTreeMap<_, _> =
                figures.jobs.into_iter().map(|(j, f)| (j, (f.recipients, f.bytes))).collect();
            (queues, jobs)
        };
        assert_eq!(sizes(&rebuilt), sizes(&self.partition.index));
        for (queue, figures) in rebuilt.figures(GROUP).queues {
            let hint = self.partition.index.figures(GROUP).queues[&queue].next_due;
            assert!(hint <= figures.next_due || figures.next_due.is_none(), "a hint is early");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_queue_does_what_a_simple_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run {
            partition: Partition::new(),
            model: Model::default(),
            known: Vec::new(),
            last: None,
        };
        for step in &steps {
            run.step(step);
            run.check();
        }
        run.check_index();
    }
}
