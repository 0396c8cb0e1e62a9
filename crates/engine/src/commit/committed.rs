//! Reading the offsets that a group has committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milena_types::{ApiKey, ErrorCode, Generation, LeaderEpoch, NodeId, Offset, TopicPartition};
use milena_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use milena_wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use milena_wire::{ByteString, Response};

use super::offset::CommittedOffset;
use crate::backoff::Backoff;
use crate::by_topic::by_topic;
use crate::disposition::{self, Reaction};
use crate::error::{Error, Operation};
use crate::group::Identity;
use crate::request::{Answer, Lane, Outbound, RequestId, RequestIds, Target};
use crate::subscription::{Revision, Stage, Subscription};

/// Who wants to know.
#[derive(Debug)]
pub(crate) enum CommittedAsker {
    /// Partitions without a position, of these revisions.
    Positions(BTreeMap<TopicPartition, Revision>),
    /// The query of this number.
    Query(u64),
}

/// Questions to the coordinator, each asked until it is answered or withdrawn.
#[derive(Debug)]
pub(crate) struct CommittedLookup {
    group_id: Arc<str>,
    request_timeout: Duration,
    requests: BTreeMap<RequestId, (CommittedAsker, BTreeSet<TopicPartition>)>,
    queries: BTreeMap<u64, Query>,
    backoff: Backoff,
}

#[derive(Debug)]
struct Query {
    partitions: BTreeSet<TopicPartition>,
    asked: bool,
    retry_at: Option<Instant>,
}

impl CommittedLookup {
    pub(crate) fn new(group_id: Arc<str>, request_timeout: Duration, backoff: Backoff) -> Self {
        let (requests, queries) = (BTreeMap::new(), BTreeMap::new());
        Self { group_id, request_timeout, requests, queries, backoff }
    }

    pub(crate) fn ask(&mut self, query: u64, partitions: BTreeSet<TopicPartition>) {
        self.queries.insert(query, Query { partitions, asked: false, retry_at: None });
    }

    pub(crate) fn withdraw(&mut self, query: u64) {
        self.queries.remove(&query);
    }

    /// Whether the coordinator is needed.
    pub(crate) fn is_waiting(&self, subscription: &Subscription) -> bool {
        !self.queries.is_empty()
            || subscription.iter().any(|(_, assigned)| *assigned.stage() == Stage::Committed)
    }

    /// The requests that may be sent now. Of a `member` of the consumer protocol the coordinator wants to know that it
    /// is up to date: it may be about to hear that a partition has gone elsewhere.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        coordinator: NodeId,
        member: Option<&Identity>,
        subscription: &mut Subscription,
        ids: &mut RequestIds,
    ) -> Vec<Outbound> {
        let mut asks = Vec::new();
        let mut positions = BTreeMap::new();
        for (tp, assigned) in subscription.iter_mut() {
            if *assigned.stage() == Stage::Committed && !assigned.asked && !assigned.waits(now) {
                assigned.asked = true;
                positions.insert(tp.clone(), assigned.revision());
            }
        }
        if !positions.is_empty() {
            let partitions = positions.keys().cloned().collect();
            asks.push((CommittedAsker::Positions(positions), partitions));
        }
        for (&id, query) in &mut self.queries {
            if !query.asked && query.retry_at.is_none_or(|at| at <= now) {
                query.asked = true;
                asks.push((CommittedAsker::Query(id), query.partitions.clone()));
            }
        }
        let requests = asks.into_iter().map(|(asker, partitions)| {
            let id = ids.deal();
            let body = request(&self.group_id, member, &partitions);
            self.requests.insert(id, (asker, partitions));
            let (target, timeout) = (Target::Broker(coordinator), self.request_timeout);
            // Not behind a JoinGroup, which blocks its connection.
            let mut outbound = Outbound::new(id, target, Lane::Control, timeout, body.into());
            outbound.version_max = VERSION_MAX;
            outbound
        });
        requests.collect()
    }

    /// Takes in an answer; `None` if it is not to one of these. `Err` is to be asked again, which happens by itself.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        answer: &mut Answer,
        subscription: &mut Subscription,
        rng: &mut Rng,
    ) -> Option<(CommittedAsker, Result<Fetched, Again>)> {
        let (asker, partitions) = self.requests.remove(&answer.id)?;
        let result = match std::mem::replace(&mut answer.result, Ok(None)) {
            Ok(Some(Response::OffsetFetch(response))) => {
                let mut fetched = read(&self.group_id, &partitions, &response);
                let complete = fetched.offsets.len() == partitions.len();
                match fetched.again.take() {
                    Some(reaction) => Err(Again::Code(reaction)),
                    None if !complete && fetched.errors.is_empty() => Err(Again::Unanswered),
                    None => Ok(fetched),
                }
            }
            Ok(_) | Err(_) => Err(Again::Unanswered),
        };
        let wait = match &result {
            Ok(_) => {
                self.backoff.reset();
                None
            }
            Err(_) => Some(now + self.backoff.next_wait(rng)),
        };
        match &asker {
            CommittedAsker::Positions(positions) => {
                for (tp, revision) in positions {
                    if let Some(assigned) = subscription.current(tp, *revision) {
                        assigned.asked = false;
                        assigned.retry_at = wait;
                    }
                }
            }
            CommittedAsker::Query(id) => match self.queries.get_mut(id) {
                Some(query) if wait.is_some() => (query.asked, query.retry_at) = (false, wait),
                Some(_) | None => {
                    self.queries.remove(id);
                }
            },
        }
        Some((asker, result))
    }

    pub(crate) fn timeout(&self, now: Instant) -> Option<Instant> {
        let waits = self.queries.values().filter(|query| !query.asked);
        waits.filter_map(|query| query.retry_at).filter(|at| *at > now).min()
    }
}

/// Why a question is asked again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Again {
    Code(Reaction),
    /// No answer, or one that leaves partitions out.
    Unanswered,
}

/// The newest version that names topics; the next one has ids alone, which say nothing that the name does not.
const VERSION_MAX: i16 = 9;

/// Asks for the committed offsets of `partitions`.
fn request(
    group_id: &str,
    member: Option<&Identity>,
    partitions: &BTreeSet<TopicPartition>,
) -> OffsetFetchRequest {
    let topics = by_topic(partitions.iter().map(|tp| (tp, tp.partition))).into_iter().map(
        |(name, partition_indexes)| OffsetFetchRequestTopics {
            name,
            partition_indexes,
            ..Default::default()
        },
    );
    let group = OffsetFetchRequestGroup {
        group_id: ByteString::from(group_id),
        topics: Some(topics.collect()),
        member_id: member.map(|member| member.member_id.clone()),
        member_epoch: Generation::to_wire(member.and_then(|member| member.generation)),
    };
    OffsetFetchRequest {
        groups: vec![group],
        // Offsets of a transaction that is about to end would be read too old (KIP-447, trap 21).
        require_stable: true,
        ..Default::default()
    }
}

/// What a broker said of a group's offsets.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// `None` where nothing is committed.
    pub(crate) offsets: BTreeMap<TopicPartition, Option<CommittedOffset>>,
    /// To be asked for again, after this.
    again: Option<Reaction>,
    /// What no retry heals.
    pub(crate) errors: Vec<Error>,
}

/// Reads the answer to [`request`]; a partition that is in none of the three was left out by the broker.
fn read(
    group_id: &Arc<str>,
    asked: &BTreeSet<TopicPartition>,
    response: &OffsetFetchResponse,
) -> Fetched {
    let mut fetched = Fetched::default();
    let note = |fetched: &mut Fetched, code: ErrorCode, tp: Option<&TopicPartition>| {
        let reaction = disposition::reaction(ApiKey::OFFSET_FETCH, code);
        let passes = matches!(
            reaction,
            Reaction::Retry
                | Reaction::RefreshMetadata
                | Reaction::FindCoordinator
                | Reaction::Rejoin
                | Reaction::ResetGeneration
                | Reaction::ResetMember
        );
        if passes {
            fetched.again = Some(reaction);
            return;
        }
        let error = Error::from_code(ApiKey::OFFSET_FETCH, code)
            .during(Operation::FetchOffsets)
            .with_group(Arc::clone(group_id));
        fetched.errors.push(match tp {
            Some(tp) => error.with_partition(tp),
            None => error,
        });
    };
    let Some(group) = response.groups.iter().find(|group| *group.group_id == **group_id) else {
        return fetched;
    };
    if group.error_code != ErrorCode::NONE {
        note(&mut fetched, group.error_code, None);
        return fetched;
    }
    for topic in &group.topics {
        for partition in &topic.partitions {
            let tp = TopicPartition::new(&*topic.name, partition.partition_index);
            if !asked.contains(&tp) {
                continue;
            }
            if partition.error_code != ErrorCode::NONE {
                note(&mut fetched, partition.error_code, Some(&tp));
                continue;
            }
            let committed = Offset::new(partition.committed_offset).map(|offset| CommittedOffset {
                offset,
                // Some services never give one, which is legal (trap 32).
                leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
                metadata: Arc::from(partition.metadata.as_deref().unwrap_or_default()),
            });
            fetched.offsets.insert(tp, committed);
        }
    }
    fetched
}

#[cfg(test)]
mod tests {
    use milena_wire::Request;
    use milena_wire::messages::offset_fetch_response::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    };

    use super::*;
    use crate::request::Failure;

    struct Fixture {
        lookup: CommittedLookup,
        subscription: Subscription,
        ids: RequestIds,
        now: Instant,
    }

    impl Fixture {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
        fn new() -> Self {
            let backoff = || Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
            Self {
                lookup: CommittedLookup::new("g".into(), Duration::from_secs(30), backoff()),
                subscription: Subscription::new(backoff()),
                ids: RequestIds::default(),
                now: Instant::now(),
            }
        }

        /// Asks for partitions 0 and 1 of "t" as query 7, and gives the request that goes out.
        fn asked() -> (Self, Outbound) {
            let mut fixture = Self::new();
            fixture.lookup.ask(7, [0, 1].map(|index| ("t", index).into()).into());
            let request = fixture.poll().expect("a question");
            (fixture, request)
        }

        fn poll(&mut self) -> Option<Outbound> {
            let generation = Generation::from_wire(3);
            let member = Identity { member_id: "me".into(), generation };
            let node = NodeId::new(4);
            let (subscription, ids) = (&mut self.subscription, &mut self.ids);
            let requests = self.lookup.poll(self.now, node, Some(&member), subscription, ids);
            assert!(requests.len() <= 1, "one question, asked twice: {requests:?}");
            requests.into_iter().next()
        }

        fn hear(
            &mut self,
            request: &Outbound,
            result: Result<Option<Response>, Failure>,
        ) -> Result<Fetched, Again> {
            let mut answer = Answer::new(request.id, None, 9, self.now, result);
            let mut rng = Rng::with_seed(1);
            let subscription = &mut self.subscription;
            let heard = self.lookup.handle_answer(self.now, &mut answer, subscription, &mut rng);
            heard.expect("its own request").1
        }
    }

    fn partition(
        partition_index: i32,
        committed_offset: i64,
        error_code: ErrorCode,
    ) -> OffsetFetchResponsePartitions {
        OffsetFetchResponsePartitions {
            partition_index,
            committed_offset,
            committed_leader_epoch: if committed_offset < 0 { -1 } else { 2 },
            metadata: Some("m".into()),
            error_code,
        }
    }

    fn answer(
        group_id: &str,
        error_code: ErrorCode,
        partitions: Vec<OffsetFetchResponsePartitions>,
    ) -> Result<Option<Response>, Failure> {
        let topic =
            OffsetFetchResponseTopics { name: "t".into(), partitions, ..Default::default() };
        let (group_id, topics) = (group_id.into(), vec![topic]);
        let group = OffsetFetchResponseGroup { group_id, topics, error_code };
        let groups = vec![group];
        Ok(Some(OffsetFetchResponse { groups, ..Default::default() }.into()))
    }

    /// KIP-447, KIP-848: without these the answer may be older than what is stored.
    #[test]
    fn a_question_names_the_member_and_waits_for_transactions() {
        let (_, request) = Fixture::asked();
        assert_eq!((request.target, request.lane), (Target::Broker(NodeId::new(4)), Lane::Control));
        let Request::OffsetFetch(body) = &request.body else { panic!("{request:?}") };
        assert!(body.require_stable);
        let [group] = body.groups.as_slice() else { panic!("{body:?}") };
        assert_eq!((&*group.group_id, group.member_id.as_deref()), ("g", Some("me")));
        assert_eq!(group.member_epoch, 3);
        let [topic] = group.topics.as_deref().unwrap() else { panic!("{group:?}") };
        assert_eq!((&*topic.name, &*topic.partition_indexes), ("t", &[0, 1][..]));
    }

    #[test]
    fn what_is_committed_comes_with_its_epoch_and_metadata() {
        let (mut fixture, request) = Fixture::asked();
        // Nobody asked for partition 5.
        let partitions = vec![
            partition(0, 8, ErrorCode::NONE),
            partition(1, -1, ErrorCode::NONE),
            partition(5, 9, ErrorCode::UNSTABLE_OFFSET_COMMIT),
        ];
        let fetched = fixture.hear(&request, answer("g", ErrorCode::NONE, partitions)).unwrap();
        assert!(fetched.errors.is_empty());
        let committed = CommittedOffset::new(Offset::new(8).unwrap())
            .with_leader_epoch(LeaderEpoch::from_wire(2))
            .with_metadata("m");
        let expected = [(("t", 0).into(), Some(committed)), (("t", 1).into(), None)];
        assert_eq!(fetched.offsets, expected.into());
        assert!(!fixture.lookup.is_waiting(&fixture.subscription), "it is answered");
        assert!(fixture.poll().is_none());
    }

    /// "Nothing is committed", read out of an answer that does not say so, resets a position.
    #[test]
    fn what_says_nothing_of_a_partition_is_asked_again_when_its_wait_is_over() {
        let none = ErrorCode::NONE;
        let whole = || vec![partition(0, 8, none), partition(1, 8, none)];
        let unstable =
            vec![partition(0, 8, none), partition(1, -1, ErrorCode::UNSTABLE_OFFSET_COMMIT)];
        for result in [
            Err(Failure::ConnectionLost),
            answer("other", none, whole()),
            answer("g", none, vec![partition(0, 8, none)]),
            answer("g", none, unstable),
            answer("g", ErrorCode::NOT_COORDINATOR, Vec::new()),
            answer("g", ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, whole()),
        ] {
            let (mut fixture, request) = Fixture::asked();
            assert_eq!(fixture.lookup.timeout(fixture.now), None, "an answer is waited for");
            let heard = fixture.hear(&request, result);
            assert!(heard.is_err(), "{heard:?}");
            assert!(fixture.lookup.is_waiting(&fixture.subscription));
            let at = fixture.lookup.timeout(fixture.now).expect("to be woken");
            fixture.now = at - Duration::from_nanos(1);
            assert!(fixture.poll().is_none(), "not before");
            fixture.now = at;
            assert_eq!(fixture.lookup.timeout(fixture.now), None, "it is due");
            let again = fixture.poll().expect("its time has come");
            assert_eq!(again.body, request.body);
            assert!(fixture.hear(&again, answer("g", none, whole())).is_ok());
        }
    }

    /// Of the others the answer is good.
    #[test]
    fn an_error_that_no_retry_heals_names_its_partition() {
        let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        let (mut fixture, request) = Fixture::asked();
        let partitions = vec![partition(0, 8, ErrorCode::NONE), partition(1, -1, denied)];
        let fetched = fixture.hear(&request, answer("g", ErrorCode::NONE, partitions)).unwrap();
        assert_eq!(fetched.offsets.len(), 1);
        let [error] = fetched.errors.as_slice() else { panic!("{:?}", fetched.errors) };
        assert_eq!((error.code(), error.group()), (Some(denied), Some("g")));
        assert_eq!(error.topic_partition(), Some(("t", 1).into()));

        let denied = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let (mut fixture, request) = Fixture::asked();
        let fetched = fixture.hear(&request, answer("g", denied, Vec::new())).unwrap();
        let [error] = fetched.errors.as_slice() else { panic!("{:?}", fetched.errors) };
        assert_eq!((error.code(), error.topic_partition()), (Some(denied), None));
    }

    #[test]
    fn a_position_is_asked_for_once_and_again_after_its_wait() {
        let mut fixture = Fixture::new();
        fixture.subscription.add(("t", 0).into(), Stage::Committed, true);
        fixture.subscription.add(("t", 1).into(), Stage::Halted, true);
        assert!(fixture.lookup.is_waiting(&fixture.subscription));
        let request = fixture.poll().expect("a question");
        let Request::OffsetFetch(body) = &request.body else { panic!("{request:?}") };
        assert_eq!(body.groups[0].topics.as_ref().unwrap()[0].partition_indexes, [0]);
        assert!(fixture.poll().is_none(), "it is under way");
        assert!(fixture.hear(&request, Err(Failure::ConnectionLost)).is_err());
        assert!(fixture.poll().is_none(), "not at once");
        fixture.now += Duration::from_secs(1);
        assert!(fixture.poll().is_some());
        assert!(fixture.subscription.remove(&("t", 0).into()));
        assert!(!fixture.lookup.is_waiting(&fixture.subscription));
    }
}
