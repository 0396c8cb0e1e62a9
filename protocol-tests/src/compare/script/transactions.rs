//! Transactions: InitProducerId with a transactional id, AddPartitionsToTxn, EndTxn, and what is asked about them.

use std::time::Duration;

use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::create_topics_request::CreatableTopic;
use milena_wire::messages::describe_producers_request::TopicRequest;
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::{
    AddOffsetsToTxnRequest, CreateTopicsRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, FetchRequest, FindCoordinatorRequest, ListOffsetsRequest,
    ListTransactionsRequest,
};

use super::transactional_producer::{Producer, TOPIC, TRANSACTIONAL, produce, settled};
use crate::Result;
use crate::compare::fields::fields;
use crate::compare::recorder::Recorder;
use crate::raw::{message, timestamp};

/// The versions that producers of the two protocols speak: Produce and EndTxn.
const V1: (i16, i16) = (11, 4);
const V2: (i16, i16) = (12, 5);

pub(super) async fn run(on: &mut Recorder) -> Result {
    let topic =
        message!(CreatableTopic { name: TOPIC.into(), num_partitions: 5, replication_factor: 1 });
    let make = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    let id = on.await_topic(TOPIC).await?;
    before_any(on).await?;
    await_coordinator(on).await?;
    inits(on).await?;
    strangers(on).await?;
    for versions in protocols(on) {
        life(on, id, versions).await?;
        fencing(on, id, versions).await?;
    }
    repeated_ends(on, id).await?;
    verification(on, id).await?;
    described(on, id).await?;
    visible(on, id).await?;
    times(on).await
}

/// Those of the two that the release has.
fn protocols(on: &Recorder) -> Vec<(i16, i16)> {
    let newest = on.newest(ApiKey::END_TXN);
    [V1, V2].into_iter().filter(|(_, to_end)| *to_end < V2.1 || newest >= V2.1).collect()
}

/// Nobody has asked for the coordinator, so that its topic is not there.
async fn before_any(on: &mut Recorder) -> Result {
    let producer = Producer::named("script-early");
    on.ask("before the coordinator is there", 5, producer.init()).await?;
    on.ask("before the coordinator is there", 5, producer.end(true)).await?;
    Ok(())
}

/// Waits until the one broker coordinates; it makes the topic at the first question.
async fn await_coordinator(on: &mut Recorder) -> Result {
    loop {
        let ask = message!(FindCoordinatorRequest { key: "script".into(), key_type: 1 });
        on.quietly(2, ask).await?;
        if knows_no_strangers(on).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether ids that nobody has, one at least on each partition of the coordinator's topic, are answered to be nobody's.
async fn knows_no_strangers(on: &mut Recorder) -> Result<bool> {
    let ids = (0..60).map(|i| format!("script-{i}"));
    if !on.has(ApiKey::DESCRIBE_TRANSACTIONS) {
        for id in ids {
            let ask = Producer::named(&id).end(false);
            let Response::EndTxn(told) = on.quietly(0, ask).await? else {
                return Err("another answer than EndTxn's".into());
            };
            if told.error_code != ErrorCode::INVALID_PRODUCER_ID_MAPPING {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let ask =
        message!(DescribeTransactionsRequest { transactional_ids: ids.map(Into::into).collect() });
    let Response::DescribeTransactions(told) = on.quietly(0, ask).await? else {
        return Err("another answer than DescribeTransactions'".into());
    };
    let not_found = ErrorCode::TRANSACTIONAL_ID_NOT_FOUND;
    Ok(told.transaction_states.iter().all(|state| state.error_code == not_found))
}

async fn inits(on: &mut Recorder) -> Result {
    let key = ApiKey::INIT_PRODUCER_ID;
    let named = |name: &str| Producer::named(name).init();
    on.ask_each("a new transactional id", key, 0..=5, |version| {
        named(&format!("script-init-{version}"))
    })
    .await?;
    on.ask_each("the same again", key, 0..=5, |version| named(&format!("script-init-{version}")))
        .await?;
    for timeout in [0, -1, 900_000, 900_001] {
        let mut ask = named("script-timeout");
        ask.transaction_timeout_ms = timeout;
        on.ask(&format!("a time-out of {timeout} ms"), 5, ask).await?;
    }
    for (id, epoch) in [(-1, 3), (7, -1)] {
        let mut ask = named("script-half");
        (ask.producer_id, ask.producer_epoch) = (id, epoch);
        on.ask("an id without an epoch or the other way round", 5, ask.clone()).await?;
        ask.transactional_id = None;
        on.ask("half an identity without a transactional id", 5, ask).await?;
    }

    let mut producer = Producer::begin(on, "script-bump").await?;
    on.ask("the next epoch", 5, producer.init()).await?;
    on.ask("the same again, as a retry", 5, producer.init()).await?;
    producer.epoch += 1;
    on.ask("and the next", 5, producer.init()).await?;
    let mut ask = producer.init();
    (ask.producer_id, ask.producer_epoch) = (-1, -1);
    on.ask("one that knows nothing", 5, ask).await?;
    for version in 3..=5 {
        on.ask("one that was overtaken", version, producer.init()).await?;
    }
    producer.id += 1000;
    on.ask("another producer's id", 5, producer.init()).await?;
    let mut ask = named("script-with-an-id");
    (ask.producer_id, ask.producer_epoch) = (12_345, 7);
    on.ask("a new transactional id, with an identity", 5, ask).await?;
    Ok(())
}

/// Requests of those who never began.
async fn strangers(on: &mut Recorder) -> Result {
    let mut nobody = Producer::named("script-nobody");
    (nobody.id, nobody.epoch) = (1, 0);
    let mut nameless = nobody.clone();
    nameless.transactional_id = String::new();
    for (what, who) in [("nobody", &nobody), ("an empty transactional id", &nameless)] {
        on.ask_each(what, ApiKey::ADD_PARTITIONS_TO_TXN, 0..=3, |_| who.add(TOPIC, &[0])).await?;
        on.ask_each(what, ApiKey::ADD_PARTITIONS_TO_TXN, 4..=5, |_| who.batched(false, &[0]))
            .await?;
        on.ask_each(what, ApiKey::END_TXN, 0..=99, |_| who.end(true)).await?;
        on.ask_each(what, ApiKey::ADD_OFFSETS_TO_TXN, 0..=99, |_| {
            message!(AddOffsetsToTxnRequest {
                transactional_id: who.transactional_id.as_str().into(),
                producer_id: who.id,
                producer_epoch: who.epoch,
                group_id: "script-group".into(),
            })
        })
        .await?;
    }
    Ok(())
}

/// A transaction committed, one aborted, and the mistakes in between.
async fn life(on: &mut Recorder, id: Uuid, (to_produce, to_end): (i16, i16)) -> Result {
    let name = format!("script-life-{to_end}");
    let mut producer = Producer::begin(on, &name).await?;
    let is_v2 = to_end >= 5;
    on.ask("commit of nothing", to_end, producer.end(true)).await?;
    let adds = on.newest(ApiKey::ADD_PARTITIONS_TO_TXN).min(3);
    if is_v2 {
        on.ask("abort of nothing", to_end, producer.end(false)).await?;
        settled(on, &producer).await?;
        producer.epoch += 1;
    } else {
        on.ask("abort of nothing", to_end, producer.end(false)).await?;
        on.ask("not there", adds, producer.add("not-there", &[0])).await?;
        on.ask("one that is there and one that is not", adds, producer.add(TOPIC, &[0, 99]))
            .await?;
        on.ask("the cluster's own", adds, producer.add("__transaction_state", &[0])).await?;
        on.ask("a partition", adds, producer.add(TOPIC, &[0])).await?;
        on.ask("again", adds, producer.add(TOPIC, &[0])).await?;
        on.ask("another", adds, producer.add(TOPIC, &[0, 1])).await?;
        on.ask("none", adds, producer.add(TOPIC, &[])).await?;
    }
    on.ask("a transactional batch", to_produce, producer.produce(id, 0, "first")).await?;
    on.ask("the same again", to_produce, producer.produce(id, 0, "first")).await?;
    let mut second = producer.clone();
    second.sequence = 1;
    let plain = second.batch("plain", 0);
    on.ask("a plain batch in between", to_produce, produce(Some(&name), id, 0, plain)).await?;
    on.ask("the next", to_produce, second.produce(id, 0, "second")).await?;
    describe(on, "an open one", &name).await?;

    for wrong in [-1, 1] {
        let mut other = producer.clone();
        other.epoch += wrong;
        if other.epoch >= 0 {
            on.ask(&format!("epoch {wrong:+}"), adds, other.add(TOPIC, &[0])).await?;
            // An end of a later epoch is refused before 2.7, but written down first, and the transaction never ends.
            let is_refused = wrong < 0 || on.newest(ApiKey::END_TXN) >= 2;
            for version in [1, to_end].into_iter().filter(|_| is_refused) {
                on.ask(&format!("epoch {wrong:+}"), version, other.end(true)).await?;
            }
        }
        let mut other = producer.clone();
        other.id += 1000;
        on.ask("another producer's id", adds, other.add(TOPIC, &[0])).await?;
        on.ask("another producer's id", to_end, other.end(true)).await?;
    }
    on.ask("commit", to_end, producer.end(true)).await?;
    settled(on, &producer).await?;
    on.ask("commit again", to_end, producer.end(true)).await?;
    on.ask("abort after the commit", to_end, producer.end(false)).await?;
    describe(on, "a committed one", &name).await?;
    on.ask(
        "the batch of the transaction that is over",
        to_produce,
        second.produce(id, 0, "second"),
    )
    .await?;
    if is_v2 {
        producer.epoch += 1;
    } else {
        producer.sequence = 2;
        on.ask("the next transaction", adds, producer.add(TOPIC, &[0])).await?;
    }
    on.ask("its batch", to_produce, producer.produce(id, 0, "aborted")).await?;
    on.ask("abort", to_end, producer.end(false)).await?;
    settled(on, &producer).await?;
    on.ask("abort again", to_end, producer.end(false)).await?;
    settled(on, &producer).await?;
    describe(on, "an aborted one", &name).await
}

/// A second producer of the same transactional id.
async fn fencing(on: &mut Recorder, id: Uuid, (to_produce, to_end): (i16, i16)) -> Result {
    let name = format!("script-fence-{to_end}");
    let producer = Producer::begin(on, &name).await?;
    let first = &producer;
    if to_end < 5 {
        on.quietly(3, first.add(TOPIC, &[2])).await?;
    }
    on.ask("left open", to_produce, first.produce(id, 2, "left open")).await?;
    on.ask("a second producer", 5, Producer::named(&name).init()).await?;
    settled(on, &producer).await?;
    describe(on, "a fenced one", &name).await?;
    on.ask("the first adds", 3, first.add(TOPIC, &[2])).await?;
    on.ask("the first adds", 1, first.add(TOPIC, &[2])).await?;
    let mut later = first.clone();
    later.sequence = 1;
    on.ask("the first writes", to_produce, later.produce(id, 2, "zombie")).await?;
    on.ask("the first commits", to_end, first.end(true)).await?;
    on.ask("the first aborts", to_end, first.end(false)).await?;
    settled(on, &producer).await?;
    on.ask("the first begins again", 5, first.init()).await?;
    on.ask("the second producer", 5, Producer::named(&name).init()).await?;
    describe(on, "one that began anew", &name).await?;
    on.ask("the first begins again after that", 5, first.init()).await?;
    let producers = message!(TopicRequest { name: TOPIC.into(), partition_indexes: vec![2] });
    let ask = message!(DescribeProducersRequest { topics: vec![producers] });
    on.ask("after the fence", 0, ask).await.map(drop)
}

/// Each end twice and the other way round, after each of the two, with each protocol.
async fn repeated_ends(on: &mut Recorder, id: Uuid) -> Result {
    for (to_produce, to_end) in protocols(on) {
        for committed in [true, false] {
            for again in [true, false] {
                let name = format!("script-end-{to_end}-{committed}-{again}");
                let mut producer = Producer::begin(on, &name).await?;
                on.quietly(3, producer.add(TOPIC, &[3])).await?;
                on.quietly(to_produce, producer.produce(id, 3, "x")).await?;
                let before = producer.clone();
                producer.ended(on, to_end, committed).await?;
                let what = format!("{again} after {committed}, as a retry");
                on.ask(&what, to_end, before.end(again)).await?;
                settled(on, &producer).await?;
                let what = format!("{again} after {committed}, as the next");
                on.ask(&what, to_end, producer.end(again)).await?;
                settled(on, &producer).await?;
                describe(on, &what, &name).await?;
            }
        }
    }
    Ok(())
}

/// Whether a partition takes part, as brokers ask and as Produce finds out.
async fn verification(on: &mut Recorder, id: Uuid) -> Result {
    let producer = Producer::begin(on, "script-verify").await?;
    let key = ApiKey::ADD_PARTITIONS_TO_TXN;
    let batched = on.versions(key).filter(|version| *version >= 4);
    for version in batched.clone() {
        on.ask("verify before", version, producer.batched(true, &[0])).await?;
    }
    on.ask_each("produce before", ApiKey::PRODUCE, 3..=11, |_| producer.produce(id, 0, "early"))
        .await?;
    let mut other = producer.clone();
    other.epoch += 1;
    for version in batched.clone() {
        on.ask("add", version, producer.batched(false, &[i32::from(version) - 3])).await?;
        on.ask("verify", version, producer.batched(true, &[0, 1, 2])).await?;
        on.ask("verify what is not there", version, producer.batched(true, &[1, 99])).await?;
        on.ask("verify with another epoch", version, other.batched(true, &[1])).await?;
    }
    on.ask_each("produce with another epoch", ApiKey::PRODUCE, 9..=12, |_| {
        other.produce(id, 1, "other")
    })
    .await?;
    other.id += 1000;
    for version in batched {
        on.ask("verify with another id", version, other.batched(true, &[1])).await?;
    }
    on.ask_each("produce with another id", ApiKey::PRODUCE, 9..=12, |_| {
        other.produce(id, 1, "other")
    })
    .await?;
    let nameless = produce(None, id, 1, producer.batch("nameless", TRANSACTIONAL));
    on.ask("without its transactional id", 12, nameless).await?;
    let stranger = produce(Some("script-nobody"), id, 1, producer.batch("x", TRANSACTIONAL));
    on.ask("with nobody's transactional id", 12, stranger).await?;
    let mut late = producer.clone();
    late.sequence = 5;
    on.ask("a first batch that is not the first", 12, late.produce(id, 3, "late")).await?;
    on.ask("a first batch that is not the first", 11, late.produce(id, 1, "late")).await?;
    Ok(())
}

async fn describe(on: &mut Recorder, what: &str, transactional_id: &str) -> Result {
    let ask =
        message!(DescribeTransactionsRequest { transactional_ids: vec![transactional_id.into()] });
    on.ask(what, 0, ask).await.map(drop)
}

async fn described(on: &mut Recorder, id: Uuid) -> Result {
    let producer = Producer::begin(on, "script-described").await?;
    producer.write(on, id, 1, "open").await?;
    describe(on, "nobody", "script-nobody").await?;
    describe(on, "an empty transactional id", "").await?;
    let ask = |topic: &str, partitions: &[i32]| {
        let topic =
            message!(TopicRequest { name: topic.into(), partition_indexes: partitions.to_vec() });
        message!(DescribeProducersRequest { topics: vec![topic] })
    };
    on.ask("a topic", 0, ask(TOPIC, &[0, 1, 2, 3, 99])).await?;
    on.ask("not there", 0, ask("not-there", &[0])).await?;
    for (what, states, ids, duration) in [
        ("open ones", vec!["Ongoing"], vec![], -1),
        ("of a state that is none", vec!["Nonsense", "ongoing"], vec![], -1),
        ("of one producer", vec![], vec![producer.id], -1),
        ("of no producer", vec![], vec![99_999], -1),
        ("open for a day", vec!["Ongoing"], vec![], 86_400_000),
        ("of any state", vec![], vec![], -1),
    ] {
        for version in on.versions(ApiKey::LIST_TRANSACTIONS) {
            let mut ask = message!(ListTransactionsRequest {
                state_filters: states.iter().map(|state| (*state).into()).collect(),
                producer_id_filters: ids.clone(),
            });
            if version >= 1 {
                ask.duration_filter = duration;
            }
            on.ask(what, version, ask).await?;
        }
    }
    for version in on.versions(ApiKey::LIST_TRANSACTIONS).filter(|version| *version >= 2) {
        for (what, pattern) in [
            ("by a pattern", Some("script-d.*d")),
            ("by a part of the name", Some("described")),
            ("by one of two", Some("script-described|other")),
            ("by an empty pattern", Some("")),
            ("by no pattern", None),
            ("by what is no pattern", Some("(")),
        ] {
            let ask = message!(ListTransactionsRequest {
                state_filters: vec!["Ongoing".into()],
                transactional_id_pattern: pattern.map(Into::into),
            });
            on.ask(what, version, ask).await?;
        }
    }
    Ok(())
}

/// What readers of committed records and of all records are told, with transactions open, committed and aborted.
async fn visible(on: &mut Recorder, id: Uuid) -> Result {
    let newest = on.newest(ApiKey::FETCH);
    for isolation_level in [0, 1] {
        for (partition, from) in [(0, 0), (0, 3), (1, 0), (2, 0), (3, 0), (3, 4)] {
            let place = message!(FetchPartition {
                partition: partition,
                fetch_offset: from,
                partition_max_bytes: 1 << 20,
            });
            let topic =
                message!(FetchTopic { topic: TOPIC.into(), topic_id: id, partitions: vec![place] });
            let ask = message!(FetchRequest {
                max_bytes: 10 << 20,
                isolation_level: isolation_level,
                topics: vec![topic],
            });
            let what =
                format!("partition {partition} from {from}, isolation level {isolation_level}");
            on.ask(&what, newest, ask).await?;
        }
    }
    Ok(())
}

/// Where each partition has the first record or marker of later times: all records are of the same second.
async fn times(on: &mut Recorder) -> Result {
    for (isolation_level, time) in [(0, 0), (0, 1), (1, 1), (0, i64::from(i32::MAX))] {
        let partition = |index| {
            let time = timestamp() + time;
            message!(ListOffsetsPartition { partition_index: index, timestamp: time })
        };
        let topic = message!(ListOffsetsTopic {
            name: TOPIC.into(),
            partitions: (0..4).map(partition).collect()
        });
        let mut ask = message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] });
        ask.isolation_level = isolation_level;
        let version = on.newest(ApiKey::LIST_OFFSETS);
        let Response::ListOffsets(mut told) = on.quietly(version, ask).await? else {
            return Err("another answer than ListOffsets'".into());
        };
        for topic in &mut told.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
        for found in told.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            // A marker's time is the cluster's own.
            found.timestamp = found.timestamp.clamp(-1, timestamp() + 1);
        }
        let what =
            format!("ListOffsets v{version}: {time} ms later, isolation level {isolation_level}");
        on.note(&what, fields(&told));
    }
    Ok(())
}
