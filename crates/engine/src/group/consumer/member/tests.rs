mod fences;
mod reconciling;
mod sent;

use milena_wire::messages::consumer_group_heartbeat_response::{
    Assignment as Given, TopicPartitions,
};
use milena_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use milena_wire::{Request, Response};

use super::*;
use crate::group::GroupProtocol;
use crate::metadata::{PartitionMetadata, TopicMetadata};
use crate::request::{Answer, Failure, Outbound, RequestIds};
use crate::subscription::Subscription;

/// A member, and a coordinator by hand.
struct Fixture {
    member: Member,
    cluster: Cluster,
    held: Subscription,
    ids: RequestIds,
    now: Instant,
    idle_since: Option<Instant>,
    reachable: bool,
}

impl Fixture {
    fn new() -> Self {
        Self::with(GroupSettings::new(Arc::<str>::from("g")))
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of time")]
    fn with(settings: GroupSettings) -> Self {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let held = Subscription::new(backoff.clone());
        let mut rng = Rng::with_seed(1);
        let mut member = Member::new(settings, Duration::from_secs(30), backoff, &mut rng);
        member.subscribe(topics(&["t"]));
        Self {
            member,
            cluster: cluster(&[("t", 1)]),
            held,
            ids: RequestIds::default(),
            now: Instant::now(),
            idle_since: None,
            reachable: true,
        }
    }

    /// A member that holds these partitions of "t", in epoch 1.
    fn stable(partitions: &[i32]) -> Self {
        let mut fixture = Self::new();
        fixture.join(partitions);
        fixture
    }

    fn join(&mut self, partitions: &[i32]) {
        let (join, _) = self.sent();
        assert_eq!(join.member_epoch, 0);
        self.answer_to(&join_answer(1, partitions));
        assert_eq!(self.poll_taken(), partitions.iter().copied().collect());
        self.member.settled();
        let (acknowledgement, _) = self.sent();
        assert_eq!(acknowledgement.member_epoch, 1);
        self.answer_to(&nothing_new(1));
        assert!(self.poll().is_none());
        assert_eq!(self.member.state, State::Stable);
    }

    fn poll(&mut self) -> Option<Action> {
        let coordinator = self.reachable.then(|| NodeId::new(1));
        let (cluster, held, ids) = (&self.cluster, &self.held, &mut self.ids);
        let idle_since = self.idle_since;
        let mut around = Surroundings { coordinator, cluster, held, idle_since, ids };
        self.member.poll(self.now, &mut around)
    }

    fn leave(&mut self, operation: GroupMembershipOperation) {
        let coordinator = self.reachable.then(|| NodeId::new(1));
        let (cluster, held, ids) = (&self.cluster, &self.held, &mut self.ids);
        let mut around = Surroundings { coordinator, cluster, held, idle_since: None, ids };
        self.member.leave(self.now, operation, &mut around);
    }

    /// The heartbeat that is due now.
    fn sent(&mut self) -> (ConsumerGroupHeartbeatRequest, Outbound) {
        match self.poll() {
            Some(Action::Send(outbound)) => (heartbeat(&outbound), outbound),
            other => panic!("{other:?} in {:?}", self.member.state),
        }
    }

    /// The heartbeat that the interval brings.
    fn next_sent(&mut self) -> ConsumerGroupHeartbeatRequest {
        assert!(self.poll().is_none());
        self.now = self.member.timeout(true, None).expect("a heartbeat is due some time");
        self.sent().0
    }

    fn poll_taken(&mut self) -> BTreeSet<i32> {
        match self.poll() {
            Some(Action::Take(partitions)) => indexes(&partitions),
            other => panic!("{other:?} in {:?}", self.member.state),
        }
    }

    fn poll_given_up(&mut self) -> (Change, BTreeSet<i32>) {
        match self.poll() {
            Some(Action::GiveUp { change, partitions }) => (change, indexes(&partitions)),
            other => panic!("{other:?} in {:?}", self.member.state),
        }
    }

    fn answer_to(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        self.land(Ok(Some(response.clone().into())));
    }

    fn refuse(&mut self, code: ErrorCode) {
        self.answer_to(&ConsumerGroupHeartbeatResponse {
            error_code: code,
            error_message: Some("because".into()),
            ..Default::default()
        });
    }

    /// The answer to the one heartbeat that is under way.
    fn land(&mut self, result: Result<Option<Response>, Failure>) {
        let (id, _) = self.member.beat.in_flight.expect("a heartbeat is under way");
        let mut answer = Answer::new(id, None, 1, self.now, result);
        assert!(self.member.handle_answer(self.now, &mut answer));
    }
}

fn heartbeat(outbound: &Outbound) -> ConsumerGroupHeartbeatRequest {
    let Request::ConsumerGroupHeartbeat(request) = &outbound.body else {
        panic!("{}", outbound.body.api_key());
    };
    request.clone()
}

fn topics(names: &[&str]) -> Wanted {
    Wanted::Topics(names.iter().map(|name| Topic::from(*name)).collect())
}

fn id(byte: u8) -> Uuid {
    Uuid::from_bytes([byte; 16])
}

fn cluster(known: &[(&str, u8)]) -> Cluster {
    let topics = known.iter().map(|(name, byte)| {
        let partitions = (0..8).map(|index| PartitionMetadata::new(index, None, None)).collect();
        TopicMetadata::new(*name, Some(id(*byte)), partitions)
    });
    Cluster::new([], topics)
}

fn indexes(partitions: &BTreeSet<TopicPartition>) -> BTreeSet<i32> {
    partitions.iter().map(|tp| tp.partition).collect()
}

fn given(partitions: &[(u8, i32)]) -> Option<Given> {
    let topic = |&(byte, index): &(u8, i32)| TopicPartitions {
        topic_id: id(byte),
        partitions: vec![index],
    };
    Some(Given { topic_partitions: partitions.iter().map(topic).collect() })
}

/// What a coordinator says to one who joins, or whose target has changed.
fn join_answer(epoch: i32, partitions: &[i32]) -> ConsumerGroupHeartbeatResponse {
    let partitions: Vec<_> = partitions.iter().map(|index| (1, *index)).collect();
    ConsumerGroupHeartbeatResponse { assignment: given(&partitions), ..nothing_new(epoch) }
}

fn nothing_new(epoch: i32) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        member_epoch: epoch,
        heartbeat_interval_ms: 5000,
        ..Default::default()
    }
}

const SECOND: Duration = Duration::from_secs(1);
