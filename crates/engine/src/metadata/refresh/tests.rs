use std::time::Duration;

use milena_types::{NodeId, TopicPartition};
use milena_wire::Request;
use milena_wire::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

use super::*;
use crate::request::Failure;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_brokers_are_asked_for_at_once_and_the_topics_when_they_are_used() {
    let mut world = World::new();
    assert_eq!(world.asked(), Some((Some(vec![]), true)));
    world.answer(&[]);
    world.metadata.touch(world.now, &"orders".into());
    assert_eq!(world.asked(), Some((Some(vec!["orders".into()]), true)));
    world.answer(&[("orders", 0)]);
    assert_eq!(world.cluster().partition_count("orders"), Some(1));
    assert_eq!(world.asked(), None);
    world.metadata.touch(world.now, &"orders".into());
    assert_eq!(world.asked(), None, "it is known");
}

#[test]
fn a_new_topic_need_not_wait_for_the_back_off_of_another() {
    let mut world = World::ready(&["orders"]);
    world.metadata.touch(world.now, &"payments".into());
    assert_eq!(world.asked(), Some((Some(vec!["payments".into()]), true)));
    // A third comes while the second is asked for.
    world.metadata.touch(world.now, &"refunds".into());
    assert_eq!(world.asked(), None);
    world.answer(&[("payments", 0)]);
    assert_eq!(world.asked(), Some((Some(vec!["refunds".into()]), true)));
}

#[test]
fn everything_in_use_is_asked_for_again_by_age() {
    let mut world = World::ready(&["orders", "payments"]);
    world.advance(299 * SECOND);
    assert_eq!(world.asked(), None);
    world.metadata.touch(world.now, &"orders".into());
    world.metadata.touch(world.now, &"payments".into());
    world.advance(SECOND);
    let both = vec!["orders".to_owned(), "payments".to_owned()];
    assert_eq!(world.asked(), Some((Some(both), true)));
}

/// R14: a topic that is used must not be forgotten, and one that is not must be.
#[test]
fn idle_topics_are_forgotten_and_used_or_held_ones_are_not() {
    let mut world = World::ready(&["idle", "used"]);
    let consumer = world.metadata.register();
    let held = Interest::Topics { topics: ["held".into()].into(), may_create: false };
    world.metadata.set_interest(world.now, consumer, held);
    assert!(world.asked().is_some());
    world.answer(&[("held", 0)]);
    for _ in 0..4 {
        world.advance(100 * SECOND);
        world.metadata.touch(world.now, &"used".into());
        if let Some((Some(topics), _)) = world.asked() {
            let answer: Vec<_> = topics.iter().map(|topic| (topic.as_str(), 0)).collect();
            world.answer(&answer);
        }
    }
    let names: Vec<_> = world.cluster().topics().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["held", "used"]);
    world.metadata.set_interest(world.now, consumer, Interest::Nothing);
    world.advance(300 * SECOND);
    world.metadata.touch(world.now, &"used".into());
    assert_eq!(world.asked().and_then(|asked| asked.0), Some(vec!["used".into()]));
}

/// F20: a crowd of complaints about one stale leader makes one request per back-off.
#[test]
fn complaints_are_answered_by_one_request_per_back_off() {
    let mut world = World::ready(&["orders"]);
    world.advance(SECOND);
    let mut requests = 0;
    for _ in 0..1000 {
        world.metadata.refresh();
        if world.asked().is_some() {
            requests += 1;
            world.answer(&[("orders", 0)]);
        }
        world.advance(MS);
    }
    assert!((8..=11).contains(&requests), "{requests}");
}

/// F24: the shape of back-off while a partition has no leader, and the return to calm.
#[test]
fn an_ill_topic_is_asked_for_alone_at_growing_waits_until_it_heals() {
    let mut world = World::ready(&["orders", "payments"]);
    world.advance(SECOND);
    world.metadata.refresh();
    assert!(world.asked().is_some());
    world.answer(&[("orders", LEADER_NOT_AVAILABLE), ("payments", 0)]);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let due = world.metadata.poll_timeout().expect("it is ill");
        waits.push(due - world.now);
        world.advance(due - world.now);
        assert_eq!(world.asked().and_then(|asked| asked.0), Some(vec!["orders".into()]));
        world.answer(&[("orders", LEADER_NOT_AVAILABLE)]);
    }
    assert!(waits[0] >= 80 * MS && waits[0] <= 120 * MS, "{waits:?}");
    assert!(waits[5] >= 800 * MS && waits[5] <= SECOND, "{waits:?}");
    world.advance(SECOND);
    assert!(world.asked().is_some());
    world.answer(&[("orders", 0)]);
    assert!(world.metadata.poll_timeout().expect("by age") - world.now > 200 * SECOND);
}

/// Who subscribes again to a topic that was not there would else hear of it after `metadata.max.age.ms`.
#[test]
fn an_ill_topic_that_was_let_go_is_asked_for_when_it_is_wanted_again() {
    let mut world = World::ready(&[]);
    let consumer = world.metadata.register();
    let held = Interest::Topics { topics: ["held".into()].into(), may_create: false };
    world.metadata.set_interest(world.now, consumer, held.clone());
    assert_eq!(world.asked(), Some((Some(vec!["held".into()]), false)));
    world.metadata.set_interest(world.now, consumer, Interest::Nothing);
    world.answer(&[("held", LEADER_NOT_AVAILABLE)]);
    world.advance(SECOND);
    assert_eq!(world.asked().and_then(|asked| asked.0), Some(vec![]), "nobody wants it");
    world.fail(Failure::ConnectionLost);
    world.metadata.set_interest(world.now, consumer, held);
    world.advance(2 * SECOND);
    assert_eq!(world.asked(), Some((Some(vec!["held".into()]), false)));
}

#[test]
fn a_topic_that_the_consumer_must_not_create_goes_in_a_request_of_its_own() {
    let mut world = World::ready(&[]);
    let consumer = world.metadata.register();
    let held = Interest::Topics { topics: ["theirs".into()].into(), may_create: false };
    world.metadata.set_interest(world.now, consumer, held);
    world.metadata.touch(world.now, &"ours".into());
    assert_eq!(world.asked(), Some((Some(vec!["ours".into()]), true)));
    world.answer(&[("ours", 0)]);
    assert_eq!(world.asked(), Some((Some(vec!["theirs".into()]), false)));
}

/// Else the one that is to be created would be asked for again and again without a pause, and the other one never.
#[test]
fn a_topic_in_a_request_of_its_own_waits_for_no_other_to_heal() {
    let mut world = World::ready(&[]);
    let consumer = world.metadata.register();
    let held = Interest::Topics { topics: ["theirs".into()].into(), may_create: false };
    world.metadata.set_interest(world.now, consumer, held);
    world.metadata.touch(world.now, &"ours".into());
    for _ in 0..2 {
        assert_eq!(world.asked(), Some((Some(vec!["ours".into()]), true)));
        world.answer(&[("ours", LEADER_NOT_AVAILABLE)]);
        assert_eq!(world.asked(), Some((Some(vec!["theirs".into()]), false)));
        world.answer(&[("theirs", LEADER_NOT_AVAILABLE)]);
        assert_eq!(world.asked(), None, "not before the back-off");
        world.advance(2 * SECOND);
    }
}

/// A refresh that comes just after a deletion would bring the topic back.
#[test]
fn a_known_topic_that_the_consumer_must_not_create_keeps_the_switch_off() {
    let mut world = World::ready(&["ours"]);
    let consumer = world.metadata.register();
    let held = Interest::Topics { topics: ["theirs".into()].into(), may_create: false };
    world.metadata.set_interest(world.now, consumer, held);
    assert!(world.asked().is_some());
    world.answer(&[("theirs", 0)]);
    world.advance(SECOND);
    world.metadata.refresh();
    let both = vec!["ours".to_owned(), "theirs".to_owned()];
    assert_eq!(world.asked(), Some((Some(both), false)));
}

#[test]
fn all_topics_are_asked_for_without_names_and_new_ones_by_name() {
    let mut world = World::ready(&[]);
    world.advance(SECOND);
    let consumer = world.metadata.register();
    world.metadata.set_interest(world.now, consumer, Interest::AllTopics);
    assert_eq!(world.asked(), Some((None, false)));
    world.metadata.touch(world.now, &"new".into());
    world.answer(&[("a", 0), ("b", 0)]);
    assert_eq!(world.cluster().topics().len(), 2);
    world.advance(SECOND);
    assert_eq!(world.asked(), Some((Some(vec!["new".into()]), true)));
}

#[test]
fn a_failure_is_told_and_tried_again_after_a_back_off() {
    let mut world = World::new();
    assert!(world.asked().is_some());
    world.fail(Failure::Unreachable("b1:9092: connection refused".into()));
    let error = world.failure();
    assert!(error.to_string().contains("b1:9092: connection refused"), "{error}");
    assert!(!error.is_fatal());
    assert_eq!(world.asked(), None);
    world.advance(120 * MS);
    assert!(world.asked().is_some());
    world.fail(Failure::AuthenticationFailed("wrong password".into()));
    assert!(world.failure().is_fatal());
}

/// KIP-580: every user of a partition without a leader complains after every answer.
#[test]
fn complaints_about_a_missing_leader_are_followed_less_and_less_often() {
    let mut world = World::ready(&["orders"]);
    let mut asked = 0;
    for _ in 0..1000 {
        world.metadata.refresh();
        if world.asked().is_some() {
            asked += 1;
            world.answer(&[("orders", LEADER_NOT_AVAILABLE)]);
        }
        world.advance(10 * MS);
    }
    assert!((10..=20).contains(&asked), "{asked} requests in 10 s");
    world.advance(SECOND);
    assert!(world.asked().is_some());
    world.answer(&[("orders", 0)]);
    world.metadata.refresh();
    world.advance(100 * MS);
    assert!(world.asked().is_some(), "what is well is asked for at once");
}

/// KIP-1102.
#[test]
fn it_starts_over_from_the_bootstrap_list_when_nobody_answers_for_long() {
    let mut world = World::ready(&["orders"]);
    world.advance(SECOND);
    world.metadata.refresh();
    let start = world.now;
    let mut rebootstraps = 0;
    while world.now < start + 601 * SECOND {
        if world.asked().is_some() {
            world.fail(Failure::NotSent);
        }
        while let Some(output) = world.next_output() {
            rebootstraps += usize::from(matches!(output, Output::Rebootstrap));
        }
        let due = world.metadata.poll_timeout().expect("it tries again");
        world.advance(due.saturating_duration_since(world.now).max(MS));
    }
    assert_eq!(rebootstraps, 2);
    assert!(world.cluster().topic("orders").is_some(), "what is known is kept meanwhile");
}

#[test]
fn it_starts_over_when_a_broker_says_so() {
    let mut world = World::new();
    assert!(world.asked().is_some());
    let error_code = ErrorCode::REBOOTSTRAP_REQUIRED;
    world.respond(MetadataResponse { error_code, ..MetadataResponse::default() });
    assert!(matches!(world.next_output(), Some(Output::Rebootstrap)));
    assert!(matches!(world.next_output(), Some(Output::Failed(_))));
}

#[test]
fn a_hint_is_published_at_once() {
    let mut world = World::ready(&["orders"]);
    let version = world.cluster().version();
    let epoch = milena_types::LeaderEpoch::from_wire(9).expect("not negative");
    let tp = TopicPartition::new("orders", 0);
    let hint = LeaderHint::new(tp, NodeId::new(2), epoch, None);
    assert!(world.metadata.handle_hint(&hint));
    assert!(!world.metadata.handle_hint(&hint), "no news the second time");
    let Some(Output::Publish(cluster)) = world.next_output() else { panic!() };
    assert_eq!(cluster.leader("orders", 0).map(|broker| broker.id), Some(NodeId::new(2)));
    assert_eq!(cluster.version(), version + 1);
}

/// A broker that leaves out what it was asked for would be asked again at once, for ever.
#[test]
fn silence_about_a_topic_counts_as_not_knowing_it() {
    let mut world = World::ready(&[]);
    world.metadata.touch(world.now, &"orders".into());
    assert!(world.asked().is_some());
    world.answer(&[]);
    let error = world.cluster().topic("orders").and_then(|topic| topic.error);
    assert_eq!(error, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(world.asked(), None, "not before the back-off");
}

const LEADER_NOT_AVAILABLE: i16 = ErrorCode::LEADER_NOT_AVAILABLE.get();

struct World {
    now: Instant,
    metadata: Metadata,
    asked: Option<RequestId>,
    outputs: VecDeque<Output>,
}

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do; none is read again")]
        let now = Instant::now();
        let metadata = Metadata::new(now, Settings::default(), Rng::with_seed(1));
        Self { now, metadata, asked: None, outputs: VecDeque::new() }
    }

    /// One that knows these topics, and has just asked.
    fn ready(topics: &[&str]) -> Self {
        let mut world = Self::new();
        for topic in topics {
            world.metadata.touch(world.now, &(*topic).into());
        }
        assert!(world.asked().is_some());
        let answer: Vec<_> = topics.iter().map(|topic| (*topic, 0)).collect();
        world.answer(&answer);
        world
    }

    /// The topics and the switch of a request that goes out at this moment.
    fn asked(&mut self) -> Option<(Option<Vec<String>>, bool)> {
        while let Some(output) = self.metadata.poll_output(self.now) {
            match output {
                Output::Request(request) => {
                    self.asked = Some(request.id);
                    let Request::Metadata(body) = request.body else { panic!() };
                    let names = body.topics.map(|topics| {
                        let name = |t: MetadataTopic| t.name.expect("by name").to_string();
                        topics.into_iter().map(name).collect()
                    });
                    return Some((names, body.allow_auto_topic_creation));
                }
                Output::Publish(_) | Output::Failed(_) | Output::Rebootstrap => {
                    self.outputs.push_back(output);
                }
            }
        }
        None
    }

    fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.metadata.poll_output(self.now))
    }

    fn failure(&mut self) -> Error {
        match self.next_output() {
            Some(Output::Failed(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Answers with two brokers and these topics, each with a code and one partition.
    fn answer(&mut self, topics: &[(&str, i16)]) {
        let broker = |node_id| MetadataResponseBroker {
            node_id,
            host: "broker".into(),
            port: 9092,
            ..MetadataResponseBroker::default()
        };
        let topic = |(name, code): &(&str, i16)| {
            let error_code = ErrorCode::from_wire(*code);
            let partition = MetadataResponsePartition {
                leader_id: 1,
                leader_epoch: 3,
                error_code,
                ..MetadataResponsePartition::default()
            };
            MetadataResponseTopic {
                name: Some((*name).into()),
                partitions: vec![partition],
                ..MetadataResponseTopic::default()
            }
        };
        self.respond(MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            topics: topics.iter().map(topic).collect(),
            ..MetadataResponse::default()
        });
        // The snapshot.
        while self.outputs.pop_front_if(|output| matches!(output, Output::Publish(_))).is_some() {}
        let published = self.metadata.outputs.pop_front();
        assert!(matches!(published, Some(Output::Publish(_))));
    }

    fn respond(&mut self, response: MetadataResponse) {
        self.resolve(Ok(Some(response.into())));
    }

    fn fail(&mut self, failure: Failure) {
        self.resolve(Err(failure));
    }

    fn resolve(&mut self, result: Result<Option<Response>, Failure>) {
        let id = self.asked.take().expect("a request is out");
        self.metadata.handle_answer(self.now, Answer::new(id, None, 12, self.now, result));
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.metadata.handle_timeout(self.now);
    }

    fn cluster(&self) -> &Cluster {
        self.metadata.cluster()
    }
}

type MetadataTopic = milena_wire::messages::metadata_request::MetadataRequestTopic;
