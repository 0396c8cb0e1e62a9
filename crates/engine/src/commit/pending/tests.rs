use milena_types::{Offset, Timestamp};
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::{Request, Response};

use super::*;
use crate::consumer::{Consumer, Settings};

/// Commits of a member whose epoch moves on, and the stays of its partition.
struct Fixture {
    commits: Commits,
    ids: RequestIds,
    now: Instant,
    stay: Option<Stay>,
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn new() -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let commits = Commits::new(&"g".into(), None, Duration::from_secs(30), backoff);
        Self {
            commits,
            ids: RequestIds::default(),
            now: Instant::now(),
            stay: stays().first().copied(),
        }
    }

    fn push(&mut self, id: u64, epoch: i32) {
        let generation = Generation::from_wire(epoch);
        self.push_as(id, &Sender::Member(Identity { member_id: "me".into(), generation }));
    }

    fn push_as(&mut self, id: u64, sender: &Sender) {
        let tp = TopicPartition::new("t", 0);
        let offset = Offset::new(5).unwrap();
        let offsets = BTreeMap::from([(tp.clone(), CommittedOffset::new(offset))]);
        let stays = self.stay.map(|stay| (tp, stay)).into_iter().collect();
        let waiter = waiter(id, self.now + Duration::from_secs(60));
        self.commits.push(waiter, offsets, CommitMode::Retry, sender, stays);
    }

    /// What is over, and the epoch of the commit that goes out.
    fn drive(&mut self, epoch: i32) -> (Vec<Over>, Option<(RequestId, i32)>) {
        let generation = Generation::from_wire(epoch);
        self.drive_as(&Sender::Member(Identity { member_id: "me".into(), generation }))
    }

    fn drive_as(&mut self, sender: &Sender) -> (Vec<Over>, Option<(RequestId, i32)>) {
        let stay = self.stay;
        let over = self.commits.expire(self.now, sender, |_| stay);
        let sent = self.commits.poll(self.now, NodeId::new(1), sender, &mut self.ids);
        let sent = sent.map(|outbound| {
            let Request::OffsetCommit(request) = outbound.body else { panic!("a commit") };
            (outbound.id, request.generation_id_or_member_epoch)
        });
        (over, sent)
    }

    fn answer(&mut self, request: RequestId, code: ErrorCode) -> Settled {
        let partition = OffsetCommitResponsePartition { error_code: code, ..Default::default() };
        let topic = OffsetCommitResponseTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let response = OffsetCommitResponse { topics: vec![topic], ..Default::default() };
        let result = Ok(Some(Response::from(response)));
        let mut answer = Answer::new(request, None, 9, self.now, result);
        self.commits.handle_answer(self.now, &mut answer, false, &mut Rng::with_seed(1)).unwrap()
    }
}

fn waiter(id: u64, deadline: Instant) -> Waiter {
    Waiter { id: CommitId(id), deadline, is_own: false }
}

/// Two stays of one partition, one after the other.
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
fn stays() -> [Stay; 2] {
    let now = Instant::now();
    let wall = Timestamp::from_millis(0);
    let tp = TopicPartition::new("t", 0);
    let mut consumer = Consumer::new(Settings::default(), now, wall, Rng::with_seed(1));
    [(); 2].map(|()| {
        consumer.assign(now, [tp.clone()].into()).unwrap();
        let stay = consumer.buffer().stay(&tp).unwrap();
        consumer.assign(now, [].into()).unwrap();
        stay
    })
}

/// KIP-848: the coordinator's view of the epoch was ahead; the heartbeat brings it, and the commit goes out again.
#[test]
fn a_commit_of_a_stale_epoch_is_sent_again_with_the_newer_one() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    let (over, sent) = fixture.drive(3);
    assert!(over.is_empty());
    let (request, epoch) = sent.unwrap();
    assert_eq!(epoch, 3);
    let settled = fixture.answer(request, ErrorCode::STALE_MEMBER_EPOCH);
    assert!(settled.over.is_empty() && settled.reaction.is_none());
    assert!(fixture.drive(3).1.is_none(), "not at once");
    fixture.now += Duration::from_secs(1);
    // Others have come and gone meanwhile.
    let (over, sent) = fixture.drive(9);
    assert!(over.is_empty(), "{over:?}");
    let (request, epoch) = sent.unwrap();
    assert_eq!(epoch, 9);
    assert!(matches!(fixture.answer(request, ErrorCode::NONE).over.as_slice(), [(_, Ok(()))]));
}

/// Another member may have read on in between.
#[test]
fn what_went_and_came_back_is_not_committed_by_the_old_stay() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    fixture.stay = stays().last().copied();
    let (over, sent) = fixture.drive(5);
    let [(_, Err(error))] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!(error.kind(), ErrorKind::Rebalanced);
    assert!(sent.is_none());
}

/// A generation that was joined and never heard the assignment of lies between the two: another member may have read on
/// in it.
#[test]
fn what_was_asked_while_joining_follows_by_its_stay_alone() {
    for has_stayed in [true, false] {
        let mut fixture = Fixture::new();
        fixture.push_as(1, &Sender::Joining);
        assert!(fixture.drive_as(&Sender::Joining).0.is_empty());
        if !has_stayed {
            fixture.stay = stays().last().copied();
        }
        let (over, sent) = fixture.drive(4);
        assert_eq!(sent.is_some(), has_stayed);
        assert_eq!(over.len(), usize::from(!has_stayed));
    }
}

/// Others may have joined, committed and gone since: the coordinator takes anything of an empty group.
#[test]
fn what_a_member_asked_for_is_not_sent_in_nobodys_name() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    let (over, sent) = fixture.drive_as(&Sender::Standalone);
    let [(_, Err(error))] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!(error.kind(), ErrorKind::Rebalanced);
    assert!(sent.is_none());
    fixture.push_as(2, &Sender::Standalone);
    assert!(fixture.drive_as(&Sender::Standalone).1.is_some());
}

/// Joined out of order, the older offset would be stored last.
#[test]
fn a_commit_is_joined_to_one_of_the_same_partitions_and_overtakes_none() {
    let mut fixture = Fixture::new();
    let sender = Sender::Standalone;
    let deadline = fixture.now + Duration::from_secs(60);
    let mut id = 0;
    for partitions in [&[0][..], &[1], &[0], &[0, 1], &[0], &[1], &[0]] {
        id += 1;
        let offset = CommittedOffset::new(Offset::new(i64::try_from(id).unwrap()).unwrap());
        let offsets =
            partitions.iter().map(|one| (TopicPartition::new("t", *one), offset.clone())).collect();
        let stays = BTreeMap::new();
        fixture.commits.push(waiter(id, deadline), offsets, CommitMode::Retry, &sender, stays);
    }
    let line = fixture.commits.queue.iter().map(|pending| {
        let offsets = pending.offsets.iter().map(|(tp, end)| (tp.partition, end.offset.get()));
        (offsets.collect::<Vec<_>>(), pending.waiters.len())
    });
    let expected = [
        (vec![(0, 3)], 2),
        (vec![(1, 2)], 1),
        (vec![(0, 4), (1, 4)], 1),
        (vec![(0, 7)], 2),
        (vec![(1, 6)], 1),
    ];
    assert_eq!(line.collect::<Vec<_>>(), expected);
}

/// Timed by the one, the request would be given up for the other.
#[test]
fn joined_commits_end_each_by_its_own_deadline() {
    let mut fixture = Fixture::new();
    let (start, sender) = (fixture.now, Sender::Standalone);
    for (id, patience) in [(1, 1), (2, 60)] {
        let tp = TopicPartition::new("t", 0);
        let offsets = BTreeMap::from([(tp, CommittedOffset::new(Offset::new(5).unwrap()))]);
        let deadline = start + Duration::from_secs(patience);
        let (waiter, stays) = (waiter(id, deadline), BTreeMap::new());
        fixture.commits.push(waiter, offsets, CommitMode::Retry, &sender, stays);
    }
    let sent = fixture.commits.poll(start, NodeId::new(1), &sender, &mut fixture.ids).unwrap();
    assert_eq!(sent.timeout, Duration::from_secs(30), "that of a request");
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.commits.timeout(true), Some(fixture.now));
    let (over, none) = fixture.drive_as(&sender);
    let [(CommitId(1), Err(error))] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
    assert!(none.is_none() && !fixture.commits.is_idle(), "under way");
    let over = fixture.answer(sent.id, ErrorCode::NONE).over;
    assert!(matches!(over.as_slice(), [(CommitId(2), Ok(()))]), "{over:?}");
}

/// A last commit must not be lost because the user has asked for many.
#[test]
fn in_a_full_line_there_is_room_for_the_consumers_own() {
    let mut fixture = Fixture::new();
    let (sender, deadline) = (Sender::Standalone, fixture.now + Duration::from_secs(60));
    let offset = CommittedOffset::new(Offset::new(5).unwrap());
    let of = |index| BTreeMap::from([(TopicPartition::new("t", index), offset.clone())]);
    let full = i32::try_from(QUEUE_MAX).unwrap();
    assert!(full > 10_000, "each partition of a wide consumer by itself");
    // Set up by hand, as each looks through the line.
    fixture.commits.queue.extend((0..full).map(|index| Pending {
        waiters: vec![waiter(0, deadline)],
        offsets: of(index),
        mode: CommitMode::Retry,
        origin: Origin::Standalone,
        stays: BTreeMap::new(),
        last_error: None,
    }));
    for is_own in [false, true] {
        let waiter = Waiter { id: CommitId(1), deadline, is_own };
        let (offsets, stays) = (of(full), BTreeMap::new());
        fixture.commits.push(waiter, offsets, CommitMode::Retry, &sender, stays);
        let over = std::mem::take(&mut fixture.commits.crowded_out);
        assert_eq!(over.is_empty(), is_own, "{over:?}");
    }
    // Nor is it crowded out by those that are joined to it.
    for id in 2..2000 {
        let (offsets, stays) = (of(full), BTreeMap::new());
        fixture.commits.push(waiter(id, deadline), offsets, CommitMode::Retry, &sender, stays);
    }
    let over = fixture.commits.crowded_out;
    assert!(!over.is_empty() && over.iter().all(|(id, _)| *id > CommitId(1)));
}

/// A user who commits all the time does not keep a rebalance waiting.
#[test]
fn who_waits_for_commits_waits_for_those_before_him() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    assert!(!fixture.commits.is_done_to(CommitId(1)));
    let (request, _) = fixture.drive(3).1.unwrap();
    fixture.push(2, 3);
    assert!(!fixture.commits.is_done_to(CommitId(1)), "under way");
    fixture.answer(request, ErrorCode::NONE);
    assert!(fixture.commits.is_done_to(CommitId(1)));
    assert!(!fixture.commits.is_done_to(CommitId(2)));
}
