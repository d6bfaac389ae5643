use std::collections::BTreeSet;

use super::*;
use crate::id::Locator;

const GROUP: GroupId = GroupId(2);

/// A queue in memory.
#[derive(Default)]
struct Rows(BTreeSet<Due>);

impl Rows {
    fn add(&mut self, at: u64, index: u64, recipients: u16) {
        let locator = Locator { group: GROUP, index, slot: 0 };
        for recipient in 0..recipients {
            self.0.insert(Due { at: Timestamp(at), locator, recipient });
        }
    }

    fn finish(&mut self, batch: &Batch) {
        let claim = &batch.claim;
        self.0.retain(|r| r.locator != claim.locator || !claim.recipients.contains(&r.recipient));
    }

    fn page(&self, request: Request, now: u64) -> Page {
        let due = |row: &&Due| row.at >= request.from && row.at <= Timestamp(now);
        let rows: Vec<_> = self.0.iter().filter(due).take(request.limit).cloned().collect();
        let later = self.0.iter().map(|row| row.at).find(|at| *at > Timestamp(now));
        let later = later.filter(|_| rows.len() < request.limit);
        Page { request, term: Some(7), rows, later }
    }

    fn read(&self, feed: &mut Feed, now: u64, in_work: usize) -> Vec<Batch> {
        let requests = feed.requests(Timestamp(now), in_work);
        requests.into_iter().flat_map(|r| feed.take(&self.page(r, now), 100)).collect()
    }
}

fn feed() -> Feed {
    Feed::new(Arc::new(Claims::default()))
}

fn recipients(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.claim.recipients.len()).sum()
}

#[test]
fn recipients_of_a_message_go_together_and_once() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    rows.add(5, 1, 3);
    rows.add(5, 2, 1);
    rows.add(9, 3, 1);
    feed.note(GROUP, Timestamp(5));
    let first = rows.read(&mut feed, 5, 0);
    assert_eq!(first.iter().map(|b| b.claim.recipients.len()).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(first[0].term, 7);
    assert!(rows.read(&mut feed, 5, 4).is_empty());
    assert_eq!(feed.next(), Some(Timestamp(9)));
    assert_eq!(recipients(&rows.read(&mut feed, 9, 4)), 1);
    assert_eq!(feed.next(), None);
}

#[test]
fn batches_are_cut_to_the_limit_of_a_transaction() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    rows.add(5, 1, 5);
    feed.note(GROUP, Timestamp(5));
    let request = feed.requests(Timestamp(5), 0)[0];
    let batches = feed.take(&rows.page(request, 5), 2);
    assert_eq!(batches.iter().map(|b| b.claim.recipients.len()).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_message_is_not_cut_where_a_page_ends() {
    let check = |messages: &[u16], batch_max, expected: &[usize]| {
        let (mut rows, mut feed) = (Rows::default(), feed());
        for (index, recipients) in (0..).zip(messages) {
            rows.add(5, index, *recipients);
        }
        feed.note(GROUP, Timestamp(5));
        let mut held: Vec<Batch> = Vec::new();
        for _ in 0..100 {
            let in_work = recipients(&held);
            for request in feed.requests(Timestamp(6), in_work) {
                held.extend(feed.take(&rows.page(request, 6), batch_max));
            }
        }
        let sizes: Vec<_> = held.iter().map(|batch| batch.claim.recipients.len()).collect();
        assert_eq!(sizes, expected, "{messages:?}");
        assert_eq!(feed.next(), None);
    };
    check(&[900], 1000, &[900]);
    check(&[100, 900, 1], 1000, &[100, 900, 1]);
    check(&[60, 60, 60, 60], 1000, &[60, 60, 60, 60]);
    check(&[2500], 1000, &[1000, 1000, 500]);
    check(&[300], 50, &[50, 50, 50, 50, 50, 50]);
}

#[test]
fn a_long_queue_of_one_instant_is_read_to_its_end() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    for index in 0..1000 {
        rows.add(5, index, 1);
    }
    feed.note(GROUP, Timestamp(5));
    let mut done = 0;
    while feed.next().is_some() {
        let batches = rows.read(&mut feed, 6, 0);
        assert!(batches.len() <= PAGE_ROWS);
        for batch in batches {
            rows.finish(&batch);
            done += 1;
        }
    }
    assert_eq!(done, 1000);
}

#[test]
fn what_is_in_work_does_not_hide_what_is_not() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    for index in 0..500 {
        rows.add(5, index, 1);
    }
    feed.note(GROUP, Timestamp(5));
    let mut held = Vec::new();
    while feed.next().is_some() {
        let in_work = held.len();
        held.extend(rows.read(&mut feed, 6, in_work));
    }
    assert_eq!(held.len(), 500);
}

#[test]
fn what_is_set_aside_comes_back_after_a_rewind() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    rows.add(5, 1, 1);
    rows.add(5, 2, 1);
    feed.note(GROUP, Timestamp(5));
    let batches = rows.read(&mut feed, 6, 0);
    let key = (batches[0].claim.locator, 0);
    feed.set_aside(GROUP, Timestamp(5), &[key]);
    rows.finish(&batches[1]);
    drop(batches);
    feed.note(GROUP, Timestamp(5));
    assert!(rows.read(&mut feed, 6, 0).is_empty());
    feed.rewind();
    assert_eq!(recipients(&rows.read(&mut feed, 6, 0)), 1);
}

#[test]
fn earlier_work_is_seen_and_a_lost_partition_is_left() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    rows.add(50, 1, 1);
    feed.note(GROUP, Timestamp(50));
    let _held = rows.read(&mut feed, 60, 0);
    rows.add(20, 2, 1);
    feed.note(GROUP, Timestamp(20));
    assert_eq!(recipients(&rows.read(&mut feed, 60, 1)), 1);
    feed.rewind();
    let request = feed.requests(Timestamp(60), 0)[0];
    let lost = Page { term: None, ..rows.page(request, 60) };
    assert!(feed.take(&lost, 10).is_empty());
    assert!(feed.groups().is_empty());
}

#[test]
fn what_comes_while_a_page_is_read_is_not_forgotten() {
    let (mut rows, mut feed) = (Rows::default(), feed());
    rows.add(5, 1, 1);
    feed.note(GROUP, Timestamp(5));
    let request = feed.requests(Timestamp(6), 0)[0];
    let page = rows.page(request, 6);
    rows.add(6, 2, 1);
    feed.note(GROUP, Timestamp(6));
    let first = feed.take(&page, 10);
    assert_eq!(recipients(&first), 1);
    assert_eq!(feed.next(), Some(Timestamp(6)));
    assert_eq!(recipients(&rows.read(&mut feed, 6, 1)), 1);
}
