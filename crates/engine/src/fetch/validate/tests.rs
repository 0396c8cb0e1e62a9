use bytes::Bytes;
use milena_wire::Request;
use milena_wire::messages::OffsetForLeaderEpochResponse;
use milena_wire::messages::offset_for_leader_epoch_response::OffsetForLeaderTopicResult;

use super::*;
use crate::backoff::Backoff;
use crate::fetch::Which;
use crate::fetch::buffer::CompletedFetch;
use crate::metadata::{PartitionMetadata, TopicMetadata};

const MS: Duration = Duration::from_millis(1);

struct Fixture {
    validator: Validator,
    subscription: Subscription,
    buffer: FetchBuffer,
    ids: RequestIds,
    rng: Rng,
    now: Instant,
}

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn at(raw: i64, epoch: i32) -> Position {
    Position::new(Offset::new(raw).unwrap(), LeaderEpoch::from_wire(epoch))
}

fn led_in(epoch: i32) -> Cluster {
    let (leader, epoch) = (Some(NodeId::new(1)), LeaderEpoch::from_wire(epoch));
    let partition = PartitionMetadata::new(0, leader, epoch);
    Cluster::new([], [TopicMetadata::new("t", None, vec![partition])])
}

impl Fixture {
    /// Fetches at offset 20, and the user was given what lies before 10.
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn new(reset: OffsetReset) -> Self {
        let mut subscription = Subscription::new(Backoff::new(100 * MS, 1000 * MS));
        let revision = subscription.add(tp(), Stage::Fetching(at(20, 3)), true);
        let buffer = FetchBuffer::default();
        buffer.assign(tp(), revision);
        buffer.place(&tp(), revision, Some(at(10, 3)));
        Validator::handle_cluster(&mut subscription, &led_in(3));
        let (ids, rng) = (RequestIds::default(), Rng::with_seed(1));
        let validator = Validator::new(reset, 30_000 * MS);
        Self { validator, subscription, buffer, ids, rng, now: Instant::now() }
    }

    fn hand_out(&self, revision: Revision, position: Position) {
        let (partition, broker, records) = (tp(), NodeId::new(1), Bytes::new());
        let (aborted, progress) = (None, None);
        let fetch = CompletedFetch { partition, revision, broker, records, aborted, progress };
        self.buffer.hand_out(&fetch, position).unwrap();
    }

    /// A new leader is there, and asked.
    fn asked(&mut self) -> Outbound {
        Validator::handle_cluster(&mut self.subscription, &led_in(4));
        assert_eq!(*self.stage(), Stage::Validating(at(20, 3)));
        let mut sent = self.poll();
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }

    fn poll(&mut self) -> Vec<Outbound> {
        self.poll_in(4)
    }

    fn poll_in(&mut self, epoch: i32) -> Vec<Outbound> {
        let Self { validator, subscription, ids, now, .. } = self;
        let mut refresh = false;
        let sent = validator.poll(*now, subscription, &led_in(epoch), ids, &mut refresh);
        assert!(!refresh, "the leader is known");
        sent
    }

    /// Whether the metadata is to be asked again.
    fn answer(&mut self, to: &Outbound, result: Result<Option<Response>, Failure>) -> bool {
        let mut answer = Answer::new(to.id, Some(NodeId::new(1)), 4, self.now, result);
        let Self { validator, subscription, buffer, rng, now, .. } = self;
        let mut refresh = false;
        let ours =
            validator.handle_answer(*now, &mut answer, subscription, buffer, rng, &mut refresh);
        assert!(ours);
        refresh
    }

    fn ends(&mut self, to: &Outbound, code: ErrorCode, end_offset: i64, epoch: i32) -> bool {
        let end =
            EpochEndOffset { error_code: code, partition: 0, leader_epoch: epoch, end_offset };
        let topic = OffsetForLeaderTopicResult { topic: "t".into(), partitions: vec![end] };
        let response = OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() };
        self.answer(to, Ok(Some(response.into())))
    }

    fn stage(&self) -> &Stage {
        self.subscription.get(&tp()).unwrap().stage()
    }

    /// How often a truncation is told, and how often an error.
    fn told(&self) -> (usize, usize) {
        let events: Vec<_> = std::iter::from_fn(|| self.buffer.take_event()).collect();
        let truncated = events.iter().filter(|event| {
            let Event::Truncated { position, diverged_at, .. } = event else { return false };
            assert!(diverged_at.is_none_or(|at| at.offset <= position.offset), "{event:?}");
            true
        });
        let errors = events.iter().filter(|event| matches!(event, Event::Error(_)));
        let counts = (truncated.count(), errors.count());
        assert_eq!(counts.0 + counts.1, events.len(), "{events:?}");
        counts
    }
}

/// Each end that a leader may name for the epoch of the last record: where reading goes on, and what the user hears. Taken
/// for whole, a log that was cut loses records in silence; taken for cut, a whole one gives them twice.
#[test]
fn each_end_of_an_epoch_decides_where_reading_goes_on() {
    use OffsetReset::{Latest, None as NoPolicy};
    let cases = [
        // The log holds all that was fetched.
        (Latest, (20, 3), Stage::Fetching(at(20, 3)), (0, 0)),
        (Latest, (25, 3), Stage::Fetching(at(20, 3)), (0, 0)),
        (NoPolicy, (20, 3), Stage::Fetching(at(20, 3)), (0, 0)),
        // What was handed out is there, what waits is not.
        (Latest, (19, 3), Stage::Fetching(at(10, 3)), (0, 0)),
        (NoPolicy, (10, 3), Stage::Fetching(at(10, 3)), (0, 0)),
        // Something was handed out that is no more.
        (Latest, (9, 3), Stage::Fetching(at(9, 3)), (1, 0)),
        (NoPolicy, (9, 3), Stage::Halted, (1, 1)),
        // The epoch itself is not in the log; what an earlier one has instead was not handed out.
        (Latest, (25, 2), Stage::Fetching(at(10, 2)), (1, 0)),
        (Latest, (15, 2), Stage::Fetching(at(10, 2)), (1, 0)),
        (Latest, (9, 2), Stage::Fetching(at(9, 2)), (1, 0)),
        (NoPolicy, (25, 2), Stage::Halted, (1, 1)),
        // Nothing is known of it: a policy says where to go on.
        (Latest, (-1, -1), Stage::Reset(Latest), (0, 0)),
        (NoPolicy, (-1, -1), Stage::Halted, (1, 1)),
    ];
    for (reset, (end, epoch), stage, told) in cases {
        let mut fixture = Fixture::new(reset);
        let asked = fixture.asked();
        let old = fixture.subscription.get(&tp()).unwrap().revision();
        assert!(!fixture.ends(&asked, ErrorCode::NONE, end, epoch));
        assert_eq!(*fixture.stage(), stage, "{reset:?} {end} {epoch}");
        assert_eq!(fixture.told(), told, "{reset:?} {end} {epoch}");
        let assigned = fixture.subscription.get(&tp()).unwrap();
        assert_eq!(assigned.confirmed, LeaderEpoch::from_wire(4));
        let is_whole = stage == Stage::Fetching(at(20, 3));
        assert_eq!(assigned.revision() == old, is_whole, "what waits is void, or is not");
        let position = if is_whole { Some(at(10, 3)) } else { stage.position() };
        assert_eq!(fixture.buffer.position(&tp()), position, "{reset:?} {end} {epoch}");
    }
}

/// The end of a later epoch says nothing of the earlier one in which the user's last record was.
#[test]
fn what_was_handed_out_in_an_earlier_epoch_is_validated_by_that_one() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let revision = fixture.subscription.get(&tp()).unwrap().revision();
    fixture.buffer.place(&tp(), revision, Some(at(10, 2)));
    let asked = fixture.asked();
    fixture.ends(&asked, ErrorCode::NONE, 19, 3);
    assert_eq!((fixture.stage(), fixture.told()), (&Stage::Validating(at(10, 2)), (0, 0)));
    let asked = fixture.poll().remove(0);
    let Request::OffsetForLeaderEpoch(request) = &asked.body else { panic!("{:?}", asked.body) };
    assert_eq!(request.topics[0].partitions[0].leader_epoch, 2);
    fixture.ends(&asked, ErrorCode::NONE, 8, 2);
    assert_eq!((fixture.stage(), fixture.told()), (&Stage::Fetching(at(8, 2)), (1, 0)));
}

/// Committed unasked, it would be lost with a user who goes down before he is done with it.
#[test]
fn what_is_in_hand_stays_so_after_a_truncation() {
    for (end, returned) in [(19, 5), (9, 5), (5, 5), (4, 4)] {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let revision = fixture.subscription.get(&tp()).unwrap().revision();
        fixture.buffer.place(&tp(), revision, Some(at(5, 3)));
        fixture.hand_out(revision, at(10, 3));
        let asked = fixture.asked();
        fixture.ends(&asked, ErrorCode::NONE, end, 3);
        let position = at(end.min(10), 3);
        assert_eq!(fixture.buffer.position(&tp()), Some(position), "{end}");
        assert_eq!(fixture.buffer.offsets(Which::Returned)[&tp()], at(returned, 3), "{end}");
        fixture.buffer.enter_poll(fixture.now);
        assert_eq!(fixture.buffer.offsets(Which::Returned)[&tp()], position, "{end}: he is done");
    }
}

/// The leader is asked under the epoch that it has, about that of the last record.
#[test]
fn a_new_leader_is_asked_for_the_end_of_the_position_s_epoch() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    assert!(fixture.poll().is_empty(), "nothing has changed");
    let asked = fixture.asked();
    assert_eq!((asked.version_min, asked.lane), (3, Lane::Control));
    let Request::OffsetForLeaderEpoch(request) = &asked.body else { panic!("{:?}", asked.body) };
    let partition = &request.topics[0].partitions[0];
    assert_eq!((partition.current_leader_epoch, partition.leader_epoch), (4, 3));
    assert_eq!(request.replica_id, -1);
    assert!(fixture.poll().is_empty(), "once is enough");
}

/// Until a leader says so, the position is not trusted; and no broker is asked in a circle.
#[test]
fn a_question_without_an_answer_is_asked_again_after_a_wait() {
    for code in
        [None, Some(ErrorCode::FENCED_LEADER_EPOCH), Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]
    {
        let mut fixture = Fixture::new(OffsetReset::Latest);
        let asked = fixture.asked();
        let refresh = match code {
            None => fixture.answer(&asked, Err(Failure::ConnectionLost)),
            Some(code) => fixture.ends(&asked, code, -1, -1),
        };
        assert!(refresh, "another may lead");
        let refused = code == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        assert_eq!(fixture.told(), (0, usize::from(refused)), "{code:?}");
        assert_eq!(*fixture.stage(), Stage::Validating(at(20, 3)));
        assert!(fixture.poll().is_empty(), "{code:?}: not at once");
        let at = fixture.subscription.get(&tp()).unwrap().retry_at.unwrap();
        assert!((80 * MS..=120 * MS).contains(&(at - fixture.now)));
        fixture.now = at;
        assert_eq!(fixture.poll().len(), 1);
    }
}

/// Before 2.3 brokers cannot tell; as with Java, the position is then good.
#[test]
fn a_broker_that_cannot_tell_is_believed() {
    let mut fixture = Fixture::new(OffsetReset::None);
    let asked = fixture.asked();
    fixture.answer(&asked, Err(Failure::UnsupportedVersion));
    assert_eq!(*fixture.stage(), Stage::Fetching(at(20, 3)));
    assert_eq!(fixture.told(), (0, 0));
    Validator::handle_cluster(&mut fixture.subscription, &led_in(4));
    assert_eq!(*fixture.stage(), Stage::Fetching(at(20, 3)), "it is not asked the same again");
}

/// A seek decides; an answer to what was before it does not.
#[test]
fn an_answer_to_a_position_of_yesterday_changes_nothing() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let asked = fixture.asked();
    let next = fixture.subscription.revise();
    fixture.subscription.get_mut(&tp()).unwrap().seek(Stage::Fetching(at(3, 3)), next);
    fixture.ends(&asked, ErrorCode::NONE, 0, 0);
    assert_eq!(*fixture.stage(), Stage::Fetching(at(3, 3)));
    assert_eq!(fixture.told(), (0, 0));
}

/// The first one may never answer, or from a log that the second one does not have.
#[test]
fn a_second_leader_starts_a_validation_over() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    let first = fixture.asked();
    Validator::handle_cluster(&mut fixture.subscription, &led_in(5));
    let mut sent = fixture.poll_in(5);
    assert_eq!(sent.len(), 1, "at once");
    let second = sent.remove(0);
    fixture.ends(&first, ErrorCode::NONE, 20, 3);
    assert_eq!(*fixture.stage(), Stage::Validating(at(20, 3)), "another leads by now");
    assert!(fixture.poll_in(5).is_empty(), "it is asked already");
    fixture.ends(&second, ErrorCode::NONE, 9, 3);
    assert_eq!(fixture.told(), (1, 0));
    let assigned = fixture.subscription.get(&tp()).unwrap();
    assert_eq!(assigned.confirmed, LeaderEpoch::from_wire(5));
}

/// A snapshot may be older than what is known already.
#[test]
fn only_a_leader_of_a_newer_epoch_puts_the_position_in_question() {
    let mut fixture = Fixture::new(OffsetReset::Latest);
    for epoch in [3, 2] {
        Validator::handle_cluster(&mut fixture.subscription, &led_in(epoch));
        assert_eq!(*fixture.stage(), Stage::Fetching(at(20, 3)), "epoch {epoch}");
        assert_eq!(
            fixture.subscription.get(&tp()).unwrap().confirmed,
            LeaderEpoch::from_wire(3),
            "epoch {epoch}"
        );
    }
    // Without the epoch of the last record there is nothing to ask; what the old leader refused, the new one may have.
    let next = fixture.subscription.revise();
    let assigned = fixture.subscription.get_mut(&tp()).unwrap();
    assigned.seek(Stage::Fetching(Position::new(Offset::ZERO, None)), next);
    assigned.retry_at = Some(fixture.now + 1000 * MS);
    Validator::handle_cluster(&mut fixture.subscription, &led_in(3));
    assert!(fixture.subscription.get(&tp()).unwrap().retry_at.is_some(), "it is the same leader");
    Validator::handle_cluster(&mut fixture.subscription, &led_in(4));
    let assigned = fixture.subscription.get(&tp()).unwrap();
    assert_eq!(assigned.stage().kind(), crate::subscription::StageKind::Fetching);
    assert_eq!(assigned.confirmed, LeaderEpoch::from_wire(4));
    assert_eq!(assigned.retry_at, None);
}
