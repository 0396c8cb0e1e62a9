use milena_types::{Offset, Timestamp};
use milena_wire::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use milena_wire::{Request, Response};

use super::*;
use crate::consumer::{Consumer, Settings};
use crate::request::Failure;

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

    /// In nobody's name, and with this patience.
    fn push_until(&mut self, id: u64, deadline: Instant) {
        let offset = CommittedOffset::new(Offset::new(5).unwrap());
        let offsets = [(("t", 0).into(), offset)].into();
        let (waiter, sender, stays) = (waiter(id, deadline), Sender::Standalone, BTreeMap::new());
        self.commits.push(waiter, offsets, CommitMode::Retry, &sender, stays);
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
        self.answer_for(request, "t", 0, code)
    }

    /// The connection ends before the answer.
    fn lose(&mut self, request: RequestId) -> Settled {
        let mut answer = Answer::new(request, None, 9, self.now, Err(Failure::ConnectionLost));
        self.commits.handle_answer(self.now, &mut answer, false, &mut Rng::with_seed(1)).unwrap()
    }

    fn answer_for(
        &mut self,
        request: RequestId,
        topic: &str,
        partition_index: i32,
        error_code: ErrorCode,
    ) -> Settled {
        let partition = OffsetCommitResponsePartition { partition_index, error_code };
        let topic = OffsetCommitResponseTopic {
            name: topic.into(),
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

/// Another member may have read on in between. Even if none has, as in the next generation, what came back is read again from
/// where the group stood: stored now, the old offset would be followed by a smaller one.
#[test]
fn what_went_and_came_back_is_not_committed_by_the_old_stay() {
    for epoch in [2, 3, 4, 5] {
        for stay in [stays().last().copied(), None] {
            let mut fixture = Fixture::new();
            fixture.push(1, 3);
            fixture.stay = stay;
            let (over, sent) = fixture.drive(epoch);
            let [(_, Err(error))] = over.as_slice() else { panic!("{over:?} in {epoch}") };
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, Fate::NotStored));
            assert!(sent.is_none());
        }
    }
}

/// The answer that calls for a retry comes when the partition has gone and come back; nothing waited in line meanwhile, so
/// that nothing was refused.
#[test]
fn a_commit_under_way_does_not_outlive_the_loss_of_its_partition() {
    for (code, fate) in [
        (Some(ErrorCode::NOT_COORDINATOR), Fate::NotStored),
        (Some(ErrorCode::REBALANCE_IN_PROGRESS), Fate::NotStored),
        (None, Fate::Unknown),
    ] {
        let mut fixture = Fixture::new();
        fixture.push(1, 3);
        let (request, _) = fixture.drive(3).1.unwrap();
        assert!(fixture.drive_as(&Sender::Gone).0.is_empty(), "an answer is waited for");
        fixture.stay = stays().last().copied();
        assert!(fixture.drive(4).0.is_empty());
        let settled = match code {
            Some(code) => fixture.answer(request, code),
            None => fixture.lose(request),
        };
        assert!(settled.over.is_empty(), "{code:?} calls for a retry");
        fixture.now += Duration::from_secs(2);
        let (over, sent) = fixture.drive(4);
        assert!(sent.is_none());
        let [(_, Err(error))] = over.as_slice() else { panic!("{over:?}") };
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Rebalanced, fate), "{code:?}");
        assert!(std::error::Error::source(error).is_some(), "{code:?}");
    }
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
        fixture.push_until(id, start + Duration::from_secs(patience));
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

/// A driver that is woken too early spins; one that is never woken commits by the next thing that happens.
#[test]
fn a_commit_is_sent_again_at_the_moment_it_asks_to_be_woken_at() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    let (request, _) = fixture.drive(3).1.unwrap();
    let deadline = fixture.now + Duration::from_secs(60);
    assert_eq!(fixture.commits.timeout(true), Some(deadline), "an answer is waited for");
    fixture.answer(request, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
    assert_eq!(fixture.commits.timeout(false), Some(deadline), "nothing could be sent");
    let at = fixture.commits.timeout(true).unwrap();
    let wait = at - fixture.now;
    assert!(Duration::from_millis(80) <= wait && wait <= Duration::from_millis(120), "{wait:?}");
    fixture.now = at - Duration::from_nanos(1);
    assert!(fixture.drive(3).1.is_none());
    fixture.now = at;
    let (again, _) = fixture.drive(3).1.expect("its time has come");
    // What succeeds leaves no wait behind for the next.
    fixture.answer(again, ErrorCode::NONE);
    assert_eq!(fixture.commits.timeout(true), None);
    fixture.push(2, 3);
    assert!(fixture.drive(3).1.is_some());
}

/// A request that outlives its call holds up those behind it; one without the time of a round trip cannot succeed.
#[test]
fn a_request_has_the_time_that_is_left_but_a_round_trip_at_least() {
    for (left_ms, expected_ms) in [(60_000, 30_000), (10_000, 10_000), (1, 100)] {
        let mut fixture = Fixture::new();
        let deadline = fixture.now + Duration::from_millis(left_ms);
        fixture.push_until(1, deadline);
        let sender = Sender::Standalone;
        let sent = fixture.commits.poll(fixture.now, NodeId::new(1), &sender, &mut fixture.ids);
        assert_eq!(sent.unwrap().timeout, Duration::from_millis(expected_ms));
    }
}

/// Wrong in any of these, a broker stores it for somebody else, or at a place that the next reader does not look at.
#[test]
fn a_commit_names_its_group_its_member_and_what_was_read() {
    let mut fixture = Fixture::new();
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    fixture.commits =
        Commits::new(&"g".into(), Some(&"i".into()), Duration::from_secs(30), backoff);
    let identity = Identity { member_id: "me".into(), generation: Generation::from_wire(3) };
    let sender = Sender::Member(identity);
    let at = |raw| CommittedOffset::new(Offset::new(raw).unwrap());
    let known = at(8).with_leader_epoch(LeaderEpoch::from_wire(2)).with_metadata("m");
    let offsets = [(("a", 0).into(), at(5)), (("a", 1).into(), known), (("b", 0).into(), at(6))];
    let waiter = waiter(1, fixture.now + Duration::from_secs(60));
    fixture.commits.push(waiter, offsets.into(), CommitMode::Retry, &sender, BTreeMap::new());
    let sent = fixture.commits.poll(fixture.now, NodeId::new(4), &sender, &mut fixture.ids);
    let sent = sent.unwrap();
    assert_eq!(sent.target, Target::Broker(NodeId::new(4)));
    let Request::OffsetCommit(body) = sent.body else { panic!("a commit") };
    assert_eq!((&*body.group_id, &*body.member_id), ("g", "me"));
    assert_eq!(body.group_instance_id.as_deref(), Some("i"));
    assert_eq!(body.generation_id_or_member_epoch, 3);
    let topics = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| {
            let metadata = one.committed_metadata.as_deref().unwrap_or("none");
            (one.partition_index, one.committed_offset, one.committed_leader_epoch, metadata)
        });
        (&*topic.name, partitions.collect::<Vec<_>>())
    });
    let expected = [("a", vec![(0, 5, -1, ""), (1, 8, 2, "m")]), ("b", vec![(0, 6, -1, "")])];
    assert_eq!(topics.collect::<Vec<_>>(), expected);
}

/// Who leaves by it has lost his partitions; who stays by it goes on as if nobody had taken them.
#[test]
fn only_what_is_said_of_the_member_reaches_the_group() {
    let unheard_of = ErrorCode::from_wire(30_000);
    for (code, is_members, is_over) in [
        (ErrorCode::UNKNOWN_MEMBER_ID, true, true),
        (ErrorCode::ILLEGAL_GENERATION, true, true),
        (ErrorCode::FENCED_INSTANCE_ID, true, true),
        (ErrorCode::REBALANCE_IN_PROGRESS, true, false),
        (ErrorCode::OFFSET_METADATA_TOO_LARGE, false, true),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, false, true),
        (unheard_of, false, true),
    ] {
        let mut fixture = Fixture::new();
        fixture.push(1, 3);
        let (request, _) = fixture.drive(3).1.unwrap();
        let settled = fixture.answer(request, code);
        assert_eq!(settled.reaction.is_some(), is_members, "{code:?}");
        assert_eq!(settled.over.len(), usize::from(is_over), "{code:?}");
        assert!(settled.stored.is_empty() && !settled.lose_coordinator);
        let mut fixture = Fixture::new();
        fixture.push_as(1, &Sender::Standalone);
        let (request, _) = fixture.drive_as(&Sender::Standalone).1.unwrap();
        assert!(fixture.answer(request, code).reaction.is_none(), "nobody is no member");
    }
}

#[test]
fn a_coordinator_that_moved_is_looked_for_and_the_commit_sent_there() {
    for code in [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS] {
        let mut fixture = Fixture::new();
        fixture.push(1, 3);
        let (request, _) = fixture.drive(3).1.unwrap();
        let settled = fixture.answer(request, code);
        assert_eq!(settled.lose_coordinator, code == ErrorCode::NOT_COORDINATOR);
        assert!(settled.over.is_empty());
        fixture.now = fixture.commits.timeout(true).unwrap();
        assert!(fixture.drive(3).1.is_some());
    }
}

/// A broker that leaves a partition out has not said that it stored it.
#[test]
fn an_answer_without_a_partition_of_the_commit_is_a_failure() {
    for (topic, partition, code, expected) in [
        ("t", 0, ErrorCode::NONE, None),
        ("t", 1, ErrorCode::NONE, Some(ErrorCode::UNKNOWN_SERVER_ERROR)),
        ("u", 0, ErrorCode::NONE, Some(ErrorCode::UNKNOWN_SERVER_ERROR)),
        // Nobody asked for that one.
        ("u", 0, ErrorCode::OFFSET_METADATA_TOO_LARGE, Some(ErrorCode::UNKNOWN_SERVER_ERROR)),
        ("t", 0, ErrorCode::OFFSET_METADATA_TOO_LARGE, Some(ErrorCode::OFFSET_METADATA_TOO_LARGE)),
    ] {
        let mut fixture = Fixture::new();
        fixture.push(1, 3);
        let (request, _) = fixture.drive(3).1.unwrap();
        let settled = fixture.answer_for(request, topic, partition, code);
        let [(CommitId(1), result)] = settled.over.as_slice() else { panic!("{settled:?}") };
        let error = result.as_ref().err();
        assert_eq!(error.and_then(Error::code), expected, "{topic}-{partition}");
        assert!(error.is_none_or(|e| e.topic_partition() == Some(("t", 0).into())), "{error:?}");
        assert_eq!(settled.stored.len(), usize::from(expected.is_none()));
    }
}

/// Those with retry have somebody waiting, who must not hear of another partition's trouble.
#[test]
fn only_commits_without_retry_are_joined_over_different_partitions() {
    use CommitMode::{Once, Retry};
    let mut fixture = Fixture::new();
    let deadline = fixture.now + Duration::from_secs(60);
    let offset = CommittedOffset::new(Offset::new(5).unwrap());
    for (id, (partition, mode)) in
        (1..).zip([(0, Once), (1, Once), (2, Retry), (3, Retry), (4, Once), (5, Once)])
    {
        let offsets = [(("t", partition).into(), offset.clone())].into();
        let sender = Sender::Standalone;
        fixture.commits.push(waiter(id, deadline), offsets, mode, &sender, BTreeMap::new());
    }
    let line = fixture.commits.queue.iter().map(|pending| pending.offsets.len());
    assert_eq!(line.collect::<Vec<_>>(), [2, 1, 1, 2]);
}

#[test]
fn a_commit_of_nothing_succeeds_without_a_request() {
    let mut fixture = Fixture::new();
    let waiter = waiter(1, fixture.now + Duration::from_secs(60));
    let sender = Sender::Standalone;
    let (none, stays) = (BTreeMap::new(), BTreeMap::new());
    fixture.commits.push(waiter, none, CommitMode::Retry, &sender, stays);
    let (over, sent) = fixture.drive_as(&sender);
    assert!(matches!(over.as_slice(), [(CommitId(1), Ok(()))]), "{over:?}");
    assert!(sent.is_none() && fixture.commits.is_idle());
}

/// Whoever reads `NotStored` commits again without a thought.
#[test]
fn a_consumer_that_is_dropped_says_of_each_commit_what_is_known() {
    let mut fixture = Fixture::new();
    fixture.push(1, 3);
    fixture.drive(3).1.unwrap();
    fixture.push(2, 3);
    let over = fixture.commits.abandon();
    let fates = over.iter().map(|(id, result)| (id.0, result.as_ref().unwrap_err().fate()));
    assert_eq!(fates.collect::<Vec<_>>(), [(1, Fate::Unknown), (2, Fate::NotStored)]);
    assert!(fixture.commits.is_idle());
}

/// What was tried may be stored, and what was never sent is not.
#[test]
fn a_commit_that_runs_out_of_time_tells_what_stood_in_its_way() {
    for code in [None, Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS), Some(ErrorCode::NONE)] {
        let mut fixture = Fixture::new();
        fixture.push(1, 3);
        let sender = Sender::Joining;
        if let Some(code) = code {
            let (request, _) = fixture.drive(3).1.unwrap();
            if code.is_error() {
                fixture.answer(request, code);
            } else {
                assert!(fixture.lose(request).lose_coordinator);
            }
        }
        fixture.now += Duration::from_secs(60);
        let (over, _) = fixture.drive_as(&sender);
        let [(CommitId(1), Err(error))] = over.as_slice() else { panic!("{over:?}") };
        assert_eq!((error.kind(), error.group()), (ErrorKind::Timeout, Some("g")));
        let is_lost = code == Some(ErrorCode::NONE);
        assert_eq!(error.fate(), if is_lost { Fate::Unknown } else { Fate::NotStored });
        assert_eq!(std::error::Error::source(error).is_some(), code.is_some());
    }
}

#[test]
fn what_waits_for_a_coordinator_fails_where_none_will_be_found() {
    let mut fixture = Fixture::new();
    fixture.push(1, 1);
    let error = Error::new(ErrorKind::Authorization);
    let over = fixture.commits.fail(&error);
    let [(CommitId(1), Err(told))] = over.as_slice() else { panic!("{over:?}") };
    assert_eq!(told.kind(), ErrorKind::Authorization);
    assert!(fixture.commits.fail(&error).is_empty(), "once");
    assert!(fixture.drive(1).1.is_none());
}
