//! What the user waits for, and what he hears.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use milena_types::{ErrorCode, NodeId, Topic};
use milena_wire::Request;

use super::script::{Script, said};
use crate::error::{Error, ErrorKind, Operation};
use crate::metadata::{Broker, Cluster, TopicMetadata};
use crate::share::settings::AcknowledgementMode;
use crate::share::{Acknowledge as A, ShareBuffer};

const SECOND: Duration = Duration::from_secs(1);

fn is_ready(buffer: &ShareBuffer) -> bool {
    buffer.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Whoever waits while nothing is acquired would wait for ever: each of these alone has to end it.
#[test]
fn an_error_a_failure_or_the_end_is_something_to_take() {
    let buffer = || ShareBuffer::new(AcknowledgementMode::Explicit);
    let error = || Error::new(ErrorKind::Protocol).during(Operation::Fetch);
    let told = buffer();
    assert!(!is_ready(&told));
    told.tell(error());
    // Of one kind and place the newest is enough.
    told.tell(error().with_detail("newer"));
    assert!(is_ready(&told));
    assert!(told.take_error().unwrap().to_string().contains("newer"));
    assert!(told.take_error().is_none() && !is_ready(&told));
    let failed = buffer();
    failed.fail(error().with_detail("first"));
    failed.fail(error().with_detail("later"));
    for _ in 0..2 {
        assert!(is_ready(&failed));
        assert!(failed.take_error().unwrap().to_string().contains("first"), "each time");
    }
    let closed = buffer();
    assert!(!closed.is_closed());
    closed.close();
    assert!(is_ready(&closed) && closed.is_closed() && closed.take_error().is_none());
}

/// He has asked for records, so the task has to run when there is something else.
#[test]
fn whoever_waits_is_woken_by_what_is_told() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let tell: [fn(&ShareBuffer); 3] = [
        |buffer| buffer.tell(Error::new(ErrorKind::Protocol)),
        |buffer| buffer.fail(Error::new(ErrorKind::Protocol)),
        |buffer| buffer.close(),
    ];
    for tell in tell {
        let count = Arc::new(Count(0.into()));
        let waker = Waker::from(Arc::clone(&count));
        let buffer = ShareBuffer::new(AcknowledgementMode::Implicit);
        assert_eq!(buffer.poll_ready(&mut Context::from_waker(&waker)), Poll::Pending);
        tell(&buffer);
        assert_eq!(count.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}

/// What nobody took in time is the broker's again: as long as it counted as something to take, nothing else were fetched.
#[test]
fn what_waits_under_a_lock_that_ran_out_is_nothing_to_take() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(0, 4, 1)]);
    assert!(is_ready(&script.buffer));
    script.pass(31 * SECOND);
    assert!(!is_ready(&script.buffer));
    script.want();
    let _ = script.fetch(1);
    script.acquire(0, &[(0, 4, 2)]);
    let counts: Vec<_> = script.read(5).iter().map(|one| one.delivery_count).collect();
    assert_eq!(counts, [2; 5]);
}

/// A range may end where a batch begins, or lie in a gap alone: what follows must not be passed over with it.
#[test]
fn ranges_in_a_gap_cost_no_record_behind_it() {
    let mut script = Script::joined(&[0]);
    script.want();
    let _ = script.fetch(1);
    script.acquire_sparse(&[(0, 2, 1), (4, 4, 1), (5, 7, 1)]);
    let records = script.read(10);
    let offsets: Vec<i64> = records.iter().map(|one| one.record.offset().get()).collect();
    assert_eq!(offsets, [0, 1, 2, 5, 6, 7]);
    script.say(&records, A::Accept);
    script.want();
    let fetch = script.fetch(1);
    assert_eq!(said(&Request::from(fetch)), [(0, 0, 2, 1), (0, 4, 4, 0), (0, 5, 7, 1)]);
}

#[test]
fn what_was_said_goes_at_once_where_there_is_a_hurry() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records, A::Accept);
    assert!(script.take(1).is_none(), "a fetch may take it along");
    script.machine.hurry(script.now);
    let request = script.acknowledge(1);
    assert_eq!(said(&Request::from(request)), [(0, 0, 2, 1)]);
}

/// Somebody waits for it: what else may wake the machine is no matter.
#[test]
fn a_commit_that_nobody_answers_ends_in_time() {
    let mut script = Script::joined(&[0]);
    let records = script.records(3);
    script.say(&records, A::Accept);
    let ends = script.now + 60 * SECOND;
    let commit = script.machine.commit(script.now);
    let _ = script.acknowledge(1);
    while let Some(at) = script.machine.poll_timeout().filter(|at| *at < ends) {
        script.pass(at - script.now);
    }
    assert_eq!(script.committed(commit), None);
    assert_eq!(script.machine.poll_timeout(), Some(ends));
    script.pass(ends - script.now);
    assert_eq!(script.committed(commit), Some(false));
}

/// The coordinator would hear of it with the next heartbeat only, in five seconds.
#[test]
fn other_topics_are_told_at_once() {
    let mut script = Script::joined(&[0]);
    script.pass(SECOND);
    assert!(!script.beats());
    let topics = BTreeSet::from(["jobs", "more"].map(Topic::from));
    script.machine.subscribe(script.now, topics).unwrap();
    let beat = script.heartbeat();
    let names: Vec<_> =
        beat.subscribed_topic_names.unwrap().iter().map(|name| name.to_string()).collect();
    assert_eq!(names, ["jobs", "more"]);
}

/// Once for each topic and code, and again when it happens again; of a topic that may be created yet he hears nothing.
#[test]
fn a_topic_that_may_not_be_read_is_told_once() {
    let mut script = Script::joined(&[0]);
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let missing = Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let sequence = [(denied, 1), (denied, 0), (missing, 0), (denied, 1), (None, 0), (denied, 1)];
    for (place, (code, told)) in sequence.into_iter().enumerate() {
        let broker = Broker::new(NodeId::new(1), "one", 9092);
        let mut topic = TopicMetadata::new("jobs", None, Vec::new());
        topic.error = code;
        script.machine.handle_cluster(script.now, Arc::new(Cluster::new([broker], [topic])));
        let errors: Vec<_> = std::iter::from_fn(|| script.buffer.take_error()).collect();
        assert_eq!(errors.len(), told, "snapshot {place}");
        for error in errors {
            assert_eq!((error.code(), error.topic().map(Topic::as_str)), (denied, Some("jobs")));
        }
    }
}
