//! Answers that are lost, refused or strange, and what is asked next.

use milena_records::{BatchBuilder, Buffer, Compression, Compressor};
use milena_types::Timestamp;
use milena_wire::Request;
use milena_wire::messages::HeartbeatResponse;
use milena_wire::messages::fetch_request::FetchRequest;
use milena_wire::messages::fetch_response::{
    FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
};

use super::*;
use crate::metadata::{PartitionMetadata, TopicMetadata};

const ID: Uuid = Uuid::from_bytes([7; 16]);
const MS: Duration = Duration::from_millis(1);

struct Fixture {
    fetcher: Fetcher,
    subscription: Subscription,
    buffer: FetchBuffer,
    cluster: Cluster,
    ids: RequestIds,
    rng: Rng,
    now: Instant,
}

fn tp(index: i32) -> TopicPartition {
    TopicPartition::new("t", index)
}

fn at(raw: i64) -> Position {
    Position::new(Offset::new(raw).unwrap(), None)
}

/// Two brokers; the first leads both partitions.
fn cluster(id: Option<Uuid>) -> Cluster {
    let brokers = [1, 2].map(|id| Broker::new(NodeId::new(id), "h", 9092));
    let partition = |index| {
        let (leader, epoch) = (Some(NodeId::new(1)), LeaderEpoch::from_wire(4));
        PartitionMetadata::new(index, leader, epoch)
    };
    let partitions = [0, 1].map(partition).into();
    Cluster::new(brokers, [TopicMetadata::new("t", id, partitions)])
}

impl Fixture {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn new(reset: OffsetReset) -> Self {
        let backoff = Backoff::new(100 * MS, 1000 * MS);
        let limits = Limits {
            isolation: IsolationLevel::ReadUncommitted,
            rack: None,
            min_bytes: 1,
            max_bytes: 1 << 20,
            partition_max_bytes: 1 << 16,
            max_wait: 500 * MS,
            buffer_bytes: 16 << 20,
        };
        let fetcher = Fetcher::new(limits, 30_000 * MS, 300_000 * MS, reset, backoff.clone());
        let mut subscription = Subscription::new(backoff);
        let buffer = FetchBuffer::default();
        for index in 0..2 {
            let revision = subscription.add(tp(index), Stage::Fetching(at(5)), true);
            buffer.assign(tp(index), revision);
            buffer.place(&tp(index), revision, Some(at(5)));
        }
        let (ids, rng) = (RequestIds::default(), Rng::with_seed(1));
        Self {
            fetcher,
            subscription,
            buffer,
            cluster: cluster(Some(ID)),
            ids,
            rng,
            now: Instant::now(),
        }
    }

    fn plan(&mut self) -> Vec<Outbound> {
        let Self { fetcher, subscription, buffer, cluster, ids, now, .. } = self;
        fetcher.plan(*now, subscription, cluster, buffer, ids, &mut Notes::default())
    }

    /// The one fetch that is due.
    fn sent(&mut self) -> (Outbound, FetchRequest) {
        let mut sent = self.plan();
        assert_eq!(sent.len(), 1);
        let outbound = sent.remove(0);
        let Request::Fetch(request) = outbound.body.clone() else { panic!("{:?}", outbound.body) };
        (outbound, request)
    }

    fn answer(&mut self, to: &Outbound, result: Result<Option<Response>, Failure>) -> Notes {
        let mut answer = Answer::new(to.id, Some(NodeId::new(1)), 17, self.now, result);
        let Self { fetcher, subscription, buffer, cluster, rng, now, .. } = self;
        let notes = fetcher.handle_answer(*now, &mut answer, subscription, cluster, buffer, rng);
        notes.expect("it is the answer to a fetch")
    }

    fn respond(&mut self, to: &Outbound, response: FetchResponse) -> Notes {
        self.answer(to, Ok(Some(response.into())))
    }

    /// The first partition is refused with `code`.
    fn refuse(&mut self, code: ErrorCode) -> Notes {
        let (fetch, _) = self.sent();
        self.respond(&fetch, refusal(code))
    }

    /// Nothing goes out before what the clock says, and then something does.
    fn goes_on_after_a_wait(&mut self) -> Duration {
        assert!(self.plan().is_empty(), "at once, it would spin");
        let at = self.fetcher.timeout(self.now, &self.subscription).expect("it waits for nothing");
        let wait = at - self.now;
        self.now = at;
        wait
    }

    fn first(&self) -> &Assigned {
        self.subscription.get(&tp(0)).unwrap()
    }

    fn errors(&self) -> Vec<Option<ErrorCode>> {
        let events = std::iter::from_fn(|| self.buffer.take_event());
        let errors = events.map(|event| {
            let Event::Error(error) = event else { panic!("{event:?}") };
            error.code()
        });
        errors.collect()
    }
}

fn topic(topic: &str, topic_id: Uuid, partitions: Vec<PartitionData>) -> FetchableTopicResponse {
    FetchableTopicResponse { topic: topic.into(), topic_id, partitions }
}

fn answered(responses: Vec<FetchableTopicResponse>) -> FetchResponse {
    FetchResponse { session_id: 9, responses, ..Default::default() }
}

fn refused_partition(code: ErrorCode) -> PartitionData {
    PartitionData { partition_index: 0, error_code: code, ..Default::default() }
}

fn refusal(code: ErrorCode) -> FetchResponse {
    answered(vec![topic("", ID, vec![refused_partition(code)])])
}

/// What a request says of its session: the epoch, the partitions that it names with their offsets, and how many it forgets.
fn said(request: &FetchRequest) -> (i32, Vec<(i32, i64)>, usize) {
    let named = request.topics.iter().flat_map(|topic| &topic.partitions);
    let named = named.map(|partition| (partition.partition, partition.fetch_offset)).collect();
    let forgotten = request.forgotten_topics_data.iter().map(|topic| topic.partitions.len());
    (request.session_epoch, named, forgotten.sum())
}

/// One large record of the first partition.
fn record(offset: i64, bytes: usize) -> FetchResponse {
    let mut builder = BatchBuilder::new(Buffer::default());
    builder.append(Timestamp::from_millis(1), None, Some(&vec![0; bytes]), []).unwrap();
    let sealed = builder.seal(Compression::NONE, &mut Compressor::new()).unwrap();
    let mut header = *sealed.header();
    header.set_base_offset(Offset::new(offset).unwrap());
    let records = Some(Records::from(sealed.with_header(&header).to_bytes()));
    answered(vec![topic("", ID, vec![PartitionData { records, ..Default::default() }])])
}

/// KIP-227: a partition that left the session while its records wait, and came back when they are taken, would be named
/// twice for each answer, and cost a slow reader's broker its session's place.
#[test]
fn a_partition_whose_records_wait_stays_in_its_session() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    // As little as there is: two answers, and there is no room for a third.
    fixture.fetcher.limits.buffer_bytes = 0;
    let (fetch, request) = fixture.sent();
    assert_eq!(said(&request), (0, vec![(0, 5), (1, 5)], 0));
    fixture.respond(&fetch, record(5, 60 << 10));
    let (fetch, request) = fixture.sent();
    assert_eq!(said(&request), (1, vec![(0, 6)], 0), "it waits, and is in the session");
    fixture.respond(&fetch, record(6, 60 << 10));
    assert!(fixture.plan().is_empty(), "there is no room: nothing is asked for, not less");
    while let Some((fetch, _)) = fixture.buffer.take() {
        fixture.buffer.release(fetch);
    }
    let (fetch, request) = fixture.sent();
    assert_eq!(said(&request), (2, vec![(0, 7)], 0), "the session goes on");
    fixture.respond(&fetch, answered(Vec::new()));
    let (_, request) = fixture.sent();
    assert_eq!(said(&request), (3, vec![], 0));
}

/// Brokers fill an answer in the order of the request: whoever has a backlog and is named first would leave nothing to the rest.
#[test]
fn a_broker_that_keeps_no_session_is_asked_for_another_partition_first() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let (mut fetch, request) = fixture.sent();
    assert_eq!(said(&request), (0, vec![(0, 5), (1, 5)], 0));
    for (index, offset, next) in
        [(0, 5, [(1, 5), (0, 6)]), (1, 5, [(0, 6), (1, 6)]), (0, 6, [(1, 6), (0, 7)])]
    {
        let mut response = record(offset, 10);
        response.session_id = 0;
        response.responses[0].partitions[0].partition_index = index;
        fixture.respond(&fetch, response);
        let (again, request) = fixture.sent();
        assert_eq!(said(&request), (0, next.into(), 0));
        fetch = again;
    }
    fixture.respond(&fetch, FetchResponse::default());
    assert_eq!(said(&fixture.sent().1).1, [(1, 6), (0, 7)], "nothing came of either");
}

/// A broker that is down, or gone mad, is not asked in a circle; and as nobody knows whether it counted the request, all is
/// named again.
#[test]
fn a_fetch_without_an_answer_is_repeated_whole_after_a_wait() {
    let strange: Response = HeartbeatResponse::default().into();
    for result in [Err(Failure::ConnectionLost), Ok(Some(strange)), Ok(None)] {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let (fetch, _) = fixture.sent();
        fixture.respond(&fetch, answered(Vec::new()));
        let (fetch, request) = fixture.sent();
        assert_eq!((request.session_epoch, request.topics.len()), (1, 0));
        let lost = result.is_err();
        let notes = fixture.answer(&fetch, result);
        assert_eq!(notes.refresh_metadata, lost);
        let wait = fixture.goes_on_after_a_wait();
        assert!((80 * MS..=120 * MS).contains(&wait), "{wait:?}");
        let (fetch, request) = fixture.sent();
        assert_eq!((request.session_epoch, request.topics[0].partitions.len()), (0, 2));
        // An answer starts the back-off over.
        fixture.respond(&fetch, answered(Vec::new()));
        let (fetch, _) = fixture.sent();
        fixture.answer(&fetch, Err(Failure::TimedOut));
        assert!(fixture.goes_on_after_a_wait() <= 120 * MS);
    }
}

/// What comes again with each try the user has to hear of; a broker that restarts he has not.
#[test]
fn an_answer_that_no_try_makes_better_is_told() {
    for (failure, told) in [
        (Failure::ConnectionLost, 0),
        (Failure::TimedOut, 0),
        (Failure::MalformedResponse("cut".into()), 1),
        (Failure::AuthenticationFailed("no".into()), 1),
    ] {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let (fetch, _) = fixture.sent();
        fixture.answer(&fetch, Err(failure.clone()));
        assert_eq!(fixture.errors().len(), told, "{failure:?}");
    }
}

/// KIP-392: the leader has what a follower that is gone does not give.
#[test]
fn a_follower_that_cannot_be_reached_is_left_for_the_leader() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let until = fixture.now + 60_000 * MS;
    fixture.subscription.get_mut(&tp(0)).unwrap().preferred = Some((NodeId::new(2), until));
    let sent = fixture.plan();
    let targets: Vec<_> = sent.iter().map(|one| one.target).collect();
    assert_eq!(targets, [Target::Broker(NodeId::new(1)), Target::Broker(NodeId::new(2))]);
    // The leader's failure says nothing of the follower.
    fixture.answer(&sent[0], Err(Failure::ConnectionLost));
    assert!(fixture.first().preferred.is_some());
    fixture.answer(&sent[1], Err(Failure::ConnectionLost));
    assert_eq!(fixture.first().preferred, None);
}

/// KIP-227: a busy broker forgets sessions, and one that forgets each of them at once is not asked in a circle.
#[test]
fn a_session_that_is_gone_is_opened_at_once_and_then_ever_more_rarely() {
    let gone = || FetchResponse {
        error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
        ..Default::default()
    };
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let (fetch, _) = fixture.sent();
    assert!(!fixture.respond(&fetch, gone()).refresh_metadata);
    let (fetch, request) = fixture.sent();
    assert_eq!(request.session_epoch, 0);
    fixture.respond(&fetch, gone());
    let wait = fixture.goes_on_after_a_wait();
    assert!((160 * MS..=240 * MS).contains(&wait), "{wait:?}");
    // What is no matter of sessions waits at once, and may be a matter of who leads.
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let (fetch, _) = fixture.sent();
    let error_code = ErrorCode::UNKNOWN_SERVER_ERROR;
    let notes = fixture.respond(&fetch, FetchResponse { error_code, ..Default::default() });
    assert!(notes.refresh_metadata);
    let wait = fixture.goes_on_after_a_wait();
    assert!((80 * MS..=120 * MS).contains(&wait), "{wait:?}");
}

/// Brokers before 2.8 have no topic ids.
#[test]
fn an_answer_names_its_topics_where_there_are_no_ids() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    fixture.cluster = cluster(None);
    let (fetch, _) = fixture.sent();
    let refused = refused_partition(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    fixture.respond(&fetch, answered(vec![topic("t", Uuid::ZERO, vec![refused])]));
    assert_eq!(fixture.errors(), [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
}

/// Nothing is known of the partition then; a topic of an id that was not asked for is nobody's.
#[test]
fn what_was_not_asked_for_is_not_read() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let (fetch, _) = fixture.sent();
    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let other = Uuid::from_bytes([8; 16]);
    let stray = PartitionData { partition_index: 7, ..refused_partition(code) };
    let twice = refused_partition(ErrorCode::KAFKA_STORAGE_ERROR);
    fixture.respond(
        &fetch,
        answered(vec![
            topic("", other, vec![refused_partition(code)]),
            topic("", ID, vec![stray, twice, refused_partition(code)]),
        ]),
    );
    assert_eq!(fixture.errors(), []);
    assert!(fixture.first().retry_at.is_some(), "the first of two counts");
}

/// Trap 32: a young topic is unknown here and there; for good, the user has to hear of it, once.
#[test]
fn a_topic_id_that_stays_unknown_is_told_once() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    for count in 1..=2 * UNKNOWN_TOPIC_IDS_MAX {
        let notes = fixture.refuse(ErrorCode::UNKNOWN_TOPIC_ID);
        assert!(notes.refresh_metadata);
        let told = usize::from(count == UNKNOWN_TOPIC_IDS_MAX);
        assert_eq!(fixture.errors().len(), told, "answer {count}");
        assert_eq!(fixture.first().unknown_topic_ids, count);
        // The other partition is asked for meanwhile; this one when its wait is over.
        fixture.now += 2_000 * MS;
    }
}

/// Each refusal of one partition: whether the user hears, whether the metadata is asked, where it stands.
#[test]
fn each_refusal_of_a_partition_has_its_way_on() {
    let cases = [
        (ErrorCode::UNKNOWN_SERVER_ERROR, 0, false),
        (ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, 0, false),
        (ErrorCode::NOT_LEADER_OR_FOLLOWER, 0, true),
        (ErrorCode::UNKNOWN_LEADER_EPOCH, 0, true),
        (ErrorCode::FENCED_LEADER_EPOCH, 0, true),
        (ErrorCode::OFFSET_NOT_AVAILABLE, 0, true),
        (ErrorCode::UNKNOWN_TOPIC_ID, 0, true),
        (ErrorCode::CORRUPT_MESSAGE, 1, false),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, 1, false),
    ];
    for (code, told, refreshes) in cases {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let notes = fixture.refuse(code);
        assert_eq!(fixture.errors().len(), told, "{code}");
        assert_eq!(notes.refresh_metadata, refreshes, "{code}");
        assert_eq!(*fixture.first().stage(), Stage::Fetching(at(5)), "{code}");
        let waits = fixture.first().retry_at.expect("it waits") - fixture.now;
        assert!((80 * MS..=120 * MS).contains(&waits), "{code}: {waits:?}");
        let due = fixture.first().retry_at;
        assert_eq!(fixture.fetcher.timeout(fixture.now, &fixture.subscription), due, "{code}");
        // A wait that is over is no reason to be woken: there may be no room, and it would spin.
        fixture.now += waits;
        assert_eq!(fixture.fetcher.timeout(fixture.now, &fixture.subscription), None, "{code}");
    }
}

/// What was fetched and waits is read before the position is asked for anew; without a policy it is the user's to say.
#[test]
fn an_offset_out_of_range_goes_by_the_policy() {
    for (reset, stage, told) in [
        (OffsetReset::Earliest, Stage::Reset(OffsetReset::Earliest), 0),
        (OffsetReset::None, Stage::Halted, 1),
    ] {
        let mut fixture = Fixture::new(reset);
        let old = fixture.first().revision();
        fixture.refuse(ErrorCode::OFFSET_OUT_OF_RANGE);
        assert_eq!(*fixture.first().stage(), stage);
        assert_ne!(fixture.first().revision(), old, "what is on its way is void");
        assert_eq!(fixture.buffer.position(&tp(0)), None);
        assert_eq!(fixture.errors().len(), told);
        // Behind what the user was given something waits.
        let mut fixture = Fixture::new(reset);
        let old = fixture.first().revision();
        fixture.buffer.place(&tp(0), old, Some(at(4)));
        fixture.refuse(ErrorCode::OFFSET_OUT_OF_RANGE);
        assert_eq!(*fixture.first().stage(), Stage::Fetching(at(5)));
        assert_eq!(fixture.errors().len(), 0);
    }
}

/// KIP-951; a broker that is behind names the leader that is known to be gone.
#[test]
fn a_new_leader_that_an_answer_names_is_taken_if_it_is_news() {
    for (epoch, leader, taken) in [(5, 2, true), (4, 2, false), (5, 3, true), (5, 4, false)] {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let (fetch, _) = fixture.sent();
        let mut refused = refused_partition(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        refused.current_leader =
            LeaderIdAndEpoch { leader_id: leader, leader_epoch: epoch, ..Default::default() };
        let mut response = answered(vec![topic("", ID, vec![refused])]);
        response.node_endpoints =
            vec![NodeEndpoint { node_id: 3, host: "new".into(), port: 9093, ..Default::default() }];
        let notes = fixture.respond(&fetch, response);
        assert_eq!(notes.hints.len(), usize::from(taken), "{leader} of {epoch}");
        assert_eq!(notes.refresh_metadata, !taken, "{leader} of {epoch}");
        for hint in notes.hints {
            assert_eq!((hint.leader, hint.partition), (NodeId::new(leader), tp(0)));
            let port = hint.endpoint.map(|broker| broker.port);
            assert_eq!(port, (leader == 3).then_some(9093));
        }
    }
}

/// A session that nobody closes costs the broker memory until others push it out.
#[test]
fn closing_ends_each_session_that_there_is() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let (fetch, _) = fixture.sent();
    fixture.respond(&fetch, answered(Vec::new()));
    let closings = fixture.fetcher.close(&mut fixture.ids);
    assert_eq!(closings.len(), 1);
    let Request::Fetch(request) = &closings[0].body else { panic!("{:?}", closings[0].body) };
    assert_eq!((request.session_id, request.session_epoch), (9, -1));
    assert_eq!((request.max_wait_ms, request.min_bytes), (0, 0), "it waits for no records");
    assert_eq!(closings[0].target, Target::Broker(NodeId::new(1)));
    assert!(fixture.fetcher.close(&mut fixture.ids).is_empty());
}
