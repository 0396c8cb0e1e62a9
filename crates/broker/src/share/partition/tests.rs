//! One share partition: what is handed out, to whom, how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, Offset};

use super::*;
use crate::share::acknowledge::{AcknowledgeError, Acknowledgement, AcknowledgementBatch};
use crate::share::acquire::{Acquired, Demand, ReadBatches};

const LIMITS: Limits =
    Limits { records_max: 20, deliveries_max: 5, lock: Duration::from_secs(30), may_renew: true };

#[test]
fn whole_batches_are_handed_out_beyond_the_limit() {
    let mut world = World::new(&[3, 5, 2]);
    assert_eq!(world.fetch("a", 4), [(0, 7, 1)]);
    assert_eq!(world.fetch("b", 4), [(8, 9, 1)]);
    assert_eq!(world.fetch("b", 4), []);
}

#[test]
fn acquired_batches_are_cut_where_batches_of_the_log_begin() {
    let mut world = World::new(&[3, 3, 3]);
    world.demand.batch_size = 2;
    assert_eq!(world.fetch("a", 9), [(0, 2, 1), (3, 5, 1), (6, 8, 1)]);
}

#[test]
fn a_strict_limit_cuts_batches() {
    let mut world = World::new(&[10]);
    world.demand.is_strict = true;
    assert_eq!(world.fetch("a", 4), [(0, 3, 1)]);
    assert_eq!(world.fetch("b", 4), [(4, 7, 1)]);
    assert_eq!(world.fetch("a", 4), [(8, 9, 1)]);
}

#[test]
fn what_is_accepted_moves_the_start_and_what_is_released_comes_again() {
    let mut world = World::new(&[4, 4]);
    world.fetch("a", 8);
    assert_eq!(world.say("a", 0, 2, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!(world.start(), 3);
    assert_eq!(world.say("a", 5, 5, &[Acknowledgement::Release]), Ok(()));
    assert_eq!(world.fetch("b", 8), [(5, 5, 2)]);
    let said = [Acknowledgement::Reject, Acknowledgement::Gap];
    assert_eq!(world.say("a", 3, 4, &said), Ok(()));
    assert_eq!(world.start(), 5);
    assert_eq!(world.say("b", 5, 5, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!(world.say("a", 6, 7, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!((world.start(), world.partition.in_flight()), (8, 0));
}

/// A half of an acknowledgement would be worse than none: the member is told that all of it failed.
#[test]
fn an_acknowledgement_that_fails_changes_nothing() {
    let mut world = World::new(&[4, 4]);
    world.fetch("a", 4);
    world.fetch("b", 4);
    let refused = world
        .say_all("a", &[(0, 1, &[Acknowledgement::Accept]), (2, 5, &[Acknowledgement::Accept])]);
    assert_eq!(refused.map_err(|e| e.code), Err(ErrorCode::INVALID_RECORD_STATE));
    assert_eq!(world.start(), 0);
    assert_eq!(world.say("a", 0, 3, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!(world.start(), 4);
}

#[test]
fn only_the_holder_acknowledges_and_only_once() {
    let mut world = World::new(&[4]);
    world.fetch("a", 4);
    for (member, first, last, code) in [
        ("b", 0, 3, ErrorCode::INVALID_RECORD_STATE),
        ("b", 1, 1, ErrorCode::INVALID_RECORD_STATE),
        ("a", 2, 4, ErrorCode::INVALID_REQUEST),
        ("a", 7, 8, ErrorCode::INVALID_REQUEST),
    ] {
        let refused = world.say(member, first, last, &[Acknowledgement::Accept]);
        assert_eq!(refused.map_err(|e| e.code), Err(code), "{member} {first}..{last}");
    }
    assert_eq!(world.say("a", 2, 2, &[Acknowledgement::Accept]), Ok(()));
    let again = world.say("a", 2, 2, &[Acknowledgement::Accept]);
    assert_eq!(again.map_err(|e| e.code), Err(ErrorCode::INVALID_RECORD_STATE));
    // What lies below the start is done with, whoever says what.
    assert_eq!(world.say("a", 0, 1, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!(world.say("z", 0, 1, &[Acknowledgement::Accept]), Ok(()));
}

#[test]
fn a_lock_ends_by_time_unless_it_is_renewed() {
    let mut world = World::new(&[2, 2]);
    world.fetch("a", 4);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.say("a", 0, 1, &[Acknowledgement::Renew]), Ok(()));
    world.pass(Duration::from_secs(10));
    // Two log batches that were acquired together come back together: only the rest is available.
    assert_eq!(world.fetch("b", 4), [(2, 3, 2)]);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.fetch("b", 4), [(0, 1, 2)]);
    world.limits.may_renew = false;
    let refused = world.say("b", 0, 1, &[Acknowledgement::Renew]);
    assert_eq!(refused.map_err(|e| e.code), Err(ErrorCode::INVALID_RECORD_STATE));
}

#[test]
fn a_session_that_ends_gives_back_only_its_own() {
    let mut world = World::new(&[2, 2]);
    world.fetch("a", 2);
    world.fetch("b", 2);
    assert!(world.partition.release("a", &LIMITS));
    assert!(!world.partition.release("a", &LIMITS));
    assert_eq!(world.fetch("c", 4), [(0, 1, 2)]);
}

/// One bad record among many must not use up the deliveries of all.
#[test]
fn what_is_delivered_often_comes_in_smaller_portions_and_at_last_alone() {
    let mut world = World::new(&[8]);
    let mut deliveries: BTreeMap<i64, Vec<i16>> = BTreeMap::new();
    let mut portions = Vec::new();
    while world.start() < 8 {
        let acquired = world.fetch("a", 8);
        assert!(!acquired.is_empty(), "{portions:?}");
        portions.push(acquired.iter().map(|(first, last, _)| last - first + 1).sum::<i64>());
        for (first, last, count) in acquired {
            for offset in first..=last {
                deliveries.entry(offset).or_default().push(count);
            }
        }
        world.partition.release("a", &LIMITS);
        world.partition.settle();
    }
    assert!(deliveries.values().all(|counts| *counts == [1, 2, 3, 4, 5]), "{deliveries:?}");
    assert_eq!(portions.first(), Some(&8));
    assert_eq!(portions.last(), Some(&1));
}

#[test]
fn no_more_is_in_flight_than_may_be() {
    let mut world = World::new(&[10, 10, 10]);
    assert_eq!(world.fetch("a", 15), [(0, 19, 1)]);
    assert!(!world.partition.may_acquire(&LIMITS));
    assert_eq!(world.fetch("a", 15), []);
    world.say("a", 5, 9, &[Acknowledgement::Release]).expect("is held");
    assert_eq!(world.fetch("b", 15), [(5, 9, 2)]);
    world.say("a", 0, 4, &[Acknowledgement::Accept]).expect("is held");
    assert_eq!(world.fetch("b", 15), [(20, 29, 1)]);
}

#[test]
fn what_the_log_drops_is_gone_and_what_is_held_may_still_be_acknowledged() {
    let mut world = World::new(&[4, 4]);
    world.fetch("a", 4);
    world.fetch("a", 4);
    world.say("a", 4, 7, &[Acknowledgement::Release]).expect("is held");
    world.partition.handle_log_start(at(6));
    assert_eq!(world.start(), 6);
    assert_eq!(world.say("a", 0, 3, &[Acknowledgement::Accept]), Ok(()));
    assert_eq!(world.fetch("b", 8), [(6, 7, 2)]);
}

/// The log is cut off in the midst of a batch, with an older one in flight.
#[test]
fn nothing_is_handed_out_that_lies_before_the_log() {
    let mut world = World::new(&[4, 6]);
    world.demand.is_strict = true;
    world.fetch("a", 4);
    world.partition.handle_log_start(at(6));
    assert_eq!(world.fetch("b", 1), [(6, 6, 1)]);
    assert_eq!(world.fetch("b", 1), [(7, 7, 1)]);
}

#[test]
fn aborted_records_are_not_handed_out() {
    let mut world = World::new(&[3, 3, 3]);
    world.aborted = vec![(at(3), at(5))];
    assert_eq!(world.fetch("a", 9), [(0, 2, 1), (6, 8, 1)]);
    world.say("a", 0, 2, &[Acknowledgement::Accept]).expect("is held");
    assert_eq!(world.start(), 6);
}

/// Nobody has anything to acknowledge then.
#[test]
fn aborted_records_that_fill_the_window_do_not_stop_it() {
    let mut world = World::new(&[10, 10, 10]);
    world.aborted = vec![(at(0), at(9)), (at(10), at(19))];
    assert_eq!(world.fetch("a", 30), []);
    assert_eq!(world.fetch("a", 30), [(20, 29, 1)]);
}

#[test]
fn a_window_that_is_loaded_goes_on_where_it_was() {
    let mut world = World::new(&[4, 4]);
    world.fetch("a", 8);
    world.say("a", 2, 3, &[Acknowledgement::Accept]).expect("is held");
    world.say("a", 6, 6, &[Acknowledgement::Release]).expect("is held");
    let stored = world.partition.unload();
    world.partition = SharePartition::load(world.partition.start(), &stored);
    // Deliveries that nobody answered for do not count.
    assert_eq!(world.fetch("b", 20), [(0, 1, 1), (4, 5, 1), (6, 6, 2), (7, 7, 1)]);
}

/// What must hold whatever happens in which order: one holder at a time, counts that rise by one, an end for each.
#[test]
fn random_operations_lose_nothing_and_give_nothing_to_two() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::random(&mut rng);
        let mut model = Model::default();
        for _ in 0..120 {
            let member = *rng.choice(MEMBERS).expect("there are some");
            match rng.u8(0..10) {
                0..=3 => {
                    world.demand.is_strict = rng.bool();
                    world.demand.batch_size = rng.i64(1..8);
                    let acquired = world.fetch(member, rng.i64(1..12));
                    model.note_acquired(seed, member, world.now + LIMITS.lock, &acquired);
                }
                4..=7 => model.acknowledge(seed, &mut rng, &mut world, member),
                8 => {
                    world.partition.release(member, &LIMITS);
                    world.partition.settle();
                    model.release(|held| held.0 == member);
                }
                _ => {
                    world.pass(Duration::from_secs(rng.u64(1..40)));
                    let now = world.now;
                    model.release(|held| held.1 <= now);
                }
            }
            model.check(seed, &world);
        }
        // Somebody works on to the end.
        world.pass(LIMITS.lock);
        model.release(|_| true);
        world.demand.is_strict = false;
        let mut turns = 0;
        while world.start() < world.end {
            turns += 1;
            assert!(turns < 5_000, "seed {seed}: {:?}", world.partition);
            let acquired = world.fetch("a", 100);
            model.note_acquired(seed, "a", world.now + LIMITS.lock, &acquired);
            for (first, last, _) in acquired {
                world.say("a", first, last, &[Acknowledgement::Accept]).expect("just acquired");
                model.settle(first, last);
            }
        }
        assert!(model.records.values().all(|record| record.is_done), "seed {seed}");
        let all: Vec<i64> = model.records.keys().copied().collect();
        assert_eq!(all, (0..world.end).collect::<Vec<_>>(), "seed {seed}: each was delivered");
    }
}

const MEMBERS: &[&str] = &["a", "b", "c"];

/// A log, a share partition over it, and a clock.
struct World {
    partition: SharePartition,
    limits: Limits,
    demand: Demand,
    batches: Vec<(Offset, Offset)>,
    aborted: Vec<(Offset, Offset)>,
    end: i64,
    now: Instant,
}

impl World {
    /// A log of batches with so many records each.
    #[expect(clippy::disallowed_methods, reason = "any instant does")]
    fn new(batches: &[i64]) -> Self {
        let mut end = 0;
        let batch = |len: &i64| {
            let first = end;
            end += len;
            (at(first), at(end - 1))
        };
        let batches = batches.iter().map(batch).collect();
        Self {
            partition: SharePartition::load(Offset::ZERO, &[]),
            limits: LIMITS,
            demand: Demand {
                member: Arc::from(""),
                records_max: 0,
                is_strict: false,
                batch_size: 500,
            },
            batches,
            aborted: Vec::new(),
            end,
            now: Instant::now(),
        }
    }

    fn random(rng: &mut fastrand::Rng) -> Self {
        let batches: Vec<_> = (0..rng.usize(1..12)).map(|_| rng.i64(1..9)).collect();
        Self::new(&batches)
    }

    /// What a member is given of what may be read, each with its delivery count.
    fn fetch(&mut self, member: &str, records_max: i64) -> Vec<(i64, i64, i16)> {
        if !self.partition.may_acquire(&self.limits) {
            return Vec::new();
        }
        let fetch_offset = self.partition.next_fetch_offset();
        let read = self.batches.iter().filter(|(_, last)| *last >= fetch_offset);
        let read = ReadBatches {
            fetch_offset,
            batches: read.copied().collect(),
            aborted: self.aborted.clone(),
        };
        let demand = Demand { member: member.into(), records_max, ..self.demand.clone() };
        let acquired = self.partition.acquire(self.now, &demand, &self.limits, &read);
        let told = |one: Acquired| (one.first.get(), one.last.get(), one.delivery_count);
        acquired.into_iter().map(told).collect()
    }

    fn say(
        &mut self,
        member: &str,
        first: i64,
        last: i64,
        said: &[Acknowledgement],
    ) -> Result<(), AcknowledgeError> {
        self.say_all(member, &[(first, last, said)])
    }

    fn say_all(
        &mut self,
        member: &str,
        said: &[(i64, i64, &[Acknowledgement])],
    ) -> Result<(), AcknowledgeError> {
        let batch = |(first, last, said): &(i64, i64, &[Acknowledgement])| AcknowledgementBatch {
            first: at(*first),
            last: at(*last),
            said: said.to_vec(),
        };
        let batches: Vec<_> = said.iter().map(batch).collect();
        self.partition.acknowledge(self.now, member, &self.limits, &batches)?;
        self.partition.settle();
        Ok(())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.partition.poll_timeout().is_some_and(|due| due <= self.now) {
            self.partition.handle_timeout(self.now, &self.limits);
            self.partition.settle();
        }
    }

    fn start(&self) -> i64 {
        self.partition.start().get()
    }
}

/// What should be true of each record that was ever delivered.
#[derive(Default)]
struct Model {
    records: BTreeMap<i64, Delivered>,
}

#[derive(Default)]
struct Delivered {
    count: i16,
    holder: Option<(&'static str, Instant)>,
    is_done: bool,
}

impl Model {
    fn note_acquired(
        &mut self,
        seed: u64,
        member: &'static str,
        until: Instant,
        acquired: &[(i64, i64, i16)],
    ) {
        for (first, last, count) in acquired {
            for offset in *first..=*last {
                let record = self.records.entry(offset).or_default();
                assert!(!record.is_done, "seed {seed}: {offset} was done with");
                assert_eq!(record.holder, None, "seed {seed}: {offset} is held");
                assert_eq!(record.count + 1, *count, "seed {seed}: {offset}");
                record.count = *count;
                record.holder = Some((member, until));
            }
        }
    }

    /// A member speaks of some neighbouring records that it holds.
    fn acknowledge(
        &mut self,
        seed: u64,
        rng: &mut fastrand::Rng,
        world: &mut World,
        member: &'static str,
    ) {
        let is_held =
            |record: &Delivered| record.holder.is_some_and(|(holder, _)| holder == member);
        let held: Vec<i64> =
            self.records.iter().filter(|(_, r)| is_held(r)).map(|(offset, _)| *offset).collect();
        let Some(first) = rng.choice(&held).copied() else { return };
        let most = first + rng.i64(0..6);
        let last = (first..=most).take_while(|offset| held.contains(offset)).last().expect("one");
        let all = [
            Acknowledgement::Gap,
            Acknowledgement::Accept,
            Acknowledgement::Release,
            Acknowledgement::Reject,
            Acknowledgement::Renew,
        ];
        let many = if rng.bool() { 1 } else { usize::try_from(last - first + 1).expect("few") };
        let said: Vec<_> = (0..many).map(|_| *rng.choice(&all).expect("some")).collect();
        world.say(member, first, last, &said).unwrap_or_else(|e| panic!("seed {seed}: {e:?}"));
        for (offset, at) in (first..=last).zip(0..) {
            let one = said.get(at).or(said.first()).copied().expect("something is said");
            let Some(record) = self.records.get_mut(&offset) else { continue };
            match one {
                Acknowledgement::Renew => record.holder = Some((member, world.now + LIMITS.lock)),
                Acknowledgement::Release => record.release(),
                Acknowledgement::Gap | Acknowledgement::Accept | Acknowledgement::Reject => {
                    (record.holder, record.is_done) = (None, true);
                }
            }
        }
    }

    fn release(&mut self, is_meant: impl Fn(&(&'static str, Instant)) -> bool) {
        for record in self.records.values_mut() {
            if record.holder.as_ref().is_some_and(&is_meant) {
                record.release();
            }
        }
    }

    fn settle(&mut self, first: i64, last: i64) {
        for (_, record) in self.records.range_mut(first..=last) {
            (record.holder, record.is_done) = (None, true);
        }
    }

    fn check(&self, seed: u64, world: &World) {
        for (offset, record) in &self.records {
            if *offset < world.start() {
                assert!(record.is_done, "seed {seed}: {offset} is behind the start");
            }
        }
    }
}

impl Delivered {
    fn release(&mut self) {
        self.holder = None;
        self.is_done = self.count >= LIMITS.deliveries_max;
    }
}

fn at(offset: i64) -> Offset {
    Offset::new(offset).expect("not negative")
}
