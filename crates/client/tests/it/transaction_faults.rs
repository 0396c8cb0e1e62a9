//! Transactions under fault: what was committed is read, what was aborted is not, and nobody waits for ever.

use std::time::Duration;

use milena::{Error, ErrorKind, Fate, NodeId, Record, TransactionOutcome};
use milena_broker::{Broker, FaultRule, on, on_any};
use milena_types::{ApiKey, CorrelationId, ErrorCode, ProducerEpoch, ProducerId};
use milena_wire::encode_request;
use milena_wire::messages::EndTxnRequest;

use crate::transactions::{LEVELS, committed, to_t, transactional, world};
use crate::world::{GRACE, LONG, STEPS_MAX, World, drop_after};

/// Runs transactions of three records while `rule` strikes, every fourth of them aborted, and holds what is read against
/// what was reported. Returns how many were committed.
async fn run_under(level: i16, rule: FaultRule) -> usize {
    let world = world(level, 1).await;
    let shown = format!("level {level}, {rule:?}");
    let mut producer = transactional(&world).await;
    world.broker.add_fault(rule);
    let mut expected = Vec::new();
    for number in 0..12 {
        let values = ["a", "b", "c"].map(|name| format!("{number} {name}"));
        let run = producer.transaction(async |transaction| {
            for value in &values {
                transaction.send(to_t(value)).enqueue().await?;
            }
            if number % 4 == 3 { Err(Error::misuse("on purpose")) } else { Ok(()) }
        });
        let is_committed = match run.await {
            Ok(()) => true,
            Err(error) if error.is_fatal() => panic!("{shown}: {error}"),
            Err(error) if error.fate() == Fate::Unknown && !error.is_abortable() => {
                producer.wait_for_end().await.unwrap() == Some(TransactionOutcome::Committed)
            }
            Err(_) => false,
        };
        if is_committed {
            expected.extend(values);
        }
    }
    world.broker.clear_faults();
    producer.wait_for_end().await.unwrap();
    assert_eq!(committed(&world, "t", 1).await, expected, "{shown}");
    producer.close(GRACE).await.unwrap();
    expected.len() / 3
}

/// Everything at once, by lot: no fault alone brings two rare paths together.
#[tokio::test(start_paused = true)]
async fn faults_of_all_kinds_at_once_neither_lose_nor_double() {
    for seed in 0..SEEDS {
        let level = LEVELS[usize::try_from(seed % 2).unwrap()];
        let broker = Broker::builder().nodes(3).topic("t", 1).seed(seed);
        let world = World::start(broker.transaction_version(level)).await;
        let builder = world.kafka.producer().transactional_id("x").transaction_timeout(LONG);
        let mut producer = builder.build_transactional().await.unwrap();
        for rule in [
            on_any().probability(0.05).drop_request(),
            on_any().probability(0.05).apply_then_drop(),
            on_any().probability(0.02).apply_then_hang(),
            on_any().probability(0.03).truncate(),
            on(ApiKey::PRODUCE).probability(0.03).error(ErrorCode::TRANSACTION_ABORTABLE),
            on(ApiKey::PRODUCE).probability(0.03).error(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            on(ApiKey::END_TXN).probability(0.1).error(ErrorCode::CONCURRENT_TRANSACTIONS),
            on(ApiKey::END_TXN).probability(0.1).error(ErrorCode::NOT_COORDINATOR),
            on(ApiKey::ADD_PARTITIONS_TO_TXN).probability(0.1).error(ErrorCode::NOT_COORDINATOR),
        ] {
            world.broker.add_fault(rule);
        }
        let mut expected = Vec::new();
        for number in 0..20 {
            let values = ["a", "b"].map(|name| format!("{number} {name}"));
            let run = producer.transaction(async |transaction| {
                for value in &values {
                    transaction.send(to_t(value)).enqueue().await?;
                }
                if number % 5 == 4 { Err(Error::misuse("on purpose")) } else { Ok(()) }
            });
            // Some are dropped on the way, and some of those are committed all the same.
            let done = drop_after(if number % 3 == 2 { 5 } else { STEPS_MAX }, run).await;
            let is_committed = match done {
                Some(Ok(())) => true,
                Some(Err(error)) if error.is_abortable() || error.kind() == ErrorKind::Misuse => {
                    false
                }
                _ => loop {
                    match producer.wait_for_end().await {
                        Ok(outcome) => break outcome == Some(TransactionOutcome::Committed),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout, "{seed}"),
                    }
                },
            };
            if is_committed {
                expected.extend(values);
            }
        }
        world.broker.clear_faults();
        producer.wait_for_end().await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, expected, "seed {seed}, level {level}");
        assert!(expected.len() >= 8, "hardly anything came through: {seed}, {expected:?}");
        producer.close(GRACE).await.unwrap();
    }
}

/// F61, F64, F65 and the faults of the network, at each API of a transaction.
#[tokio::test(start_paused = true)]
async fn passing_faults_pass() {
    use ErrorCode as E;
    for level in LEVELS {
        for api in [
            ApiKey::PRODUCE,
            ApiKey::ADD_PARTITIONS_TO_TXN,
            ApiKey::END_TXN,
            ApiKey::FIND_COORDINATOR,
            ApiKey::INIT_PRODUCER_ID,
        ] {
            let rules = [
                on(api).every(3).drop_request(),
                on(api).every(3).apply_then_drop(),
                on(api).every(5).apply_then_hang(),
                on(api).every(3).truncate(),
            ];
            for rule in rules {
                assert_eq!(run_under(level, rule).await, 9);
            }
            if api != ApiKey::PRODUCE {
                for code in [
                    E::NOT_COORDINATOR,
                    E::COORDINATOR_NOT_AVAILABLE,
                    E::COORDINATOR_LOAD_IN_PROGRESS,
                    E::CONCURRENT_TRANSACTIONS,
                ] {
                    if api != ApiKey::FIND_COORDINATOR || code != E::CONCURRENT_TRANSACTIONS {
                        assert_eq!(run_under(level, on(api).every(2).error(code)).await, 9);
                    }
                }
            }
        }
    }
}

/// Trap 20 and KIP-1050: the transaction is lost, and the producer goes on.
#[tokio::test(start_paused = true)]
async fn an_abortable_error_costs_its_transaction_and_no_other() {
    for level in LEVELS {
        for rule in [
            on(ApiKey::PRODUCE).nth(3).error(ErrorCode::TRANSACTION_ABORTABLE),
            on(ApiKey::PRODUCE).nth(3).error(ErrorCode::INVALID_TXN_STATE),
            on(ApiKey::PRODUCE).nth(3).apply_then_error(ErrorCode::INVALID_RECORD),
            on(ApiKey::END_TXN).nth(3).error(ErrorCode::TRANSACTION_ABORTABLE),
        ] {
            assert_eq!(run_under(level, rule).await, 8);
        }
    }
}

/// R2 and traps 5 and 6: librdkafka once asked for a new epoch in the middle, and lost the first half of the
/// transaction. Here it is lost as a whole, and the next one is whole again.
#[tokio::test(start_paused = true)]
async fn sequences_that_break_within_a_transaction_abort_it() {
    for level in LEVELS {
        for code in [ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorCode::UNKNOWN_PRODUCER_ID] {
            let world = world(level, 1).await;
            let builder = world.kafka.producer().transactional_id("x").transaction_timeout(LONG);
            let mut producer = builder.build_transactional().await.unwrap();
            let transaction = producer.begin().await.unwrap();
            transaction.send(to_t("first half")).await.unwrap();
            let inits = world.broker.requests(ApiKey::INIT_PRODUCER_ID).len();
            let broken = world.broker.add_fault(on(ApiKey::PRODUCE).error(code));
            let error = transaction.send(to_t("second half")).await.unwrap_err();
            assert!(error.is_abortable(), "{error:?}");
            world.broker.remove_fault(broken);
            assert_eq!(world.broker.requests(ApiKey::INIT_PRODUCER_ID).len(), inits);
            assert!(transaction.send(to_t("more")).await.unwrap_err().is_abortable());
            assert!(transaction.commit().await.unwrap_err().is_abortable());
            producer
                .transaction(async |transaction| transaction.send(to_t("whole")).await)
                .await
                .unwrap();
            assert_eq!(committed(&world, "t", 1).await, ["whole"], "level {level}, {code}");
        }
    }
}

/// Trap 16: the new topic knows nothing of the transaction, which has lost what it had in the old one.
#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_costs_the_transaction_that_wrote_to_the_old_one() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("gone")).await.unwrap();
        world.broker.with(|cluster, now| cluster.recreate_topic(now, "t"));
        let _ = transaction.send(to_t("alone")).await;
        let is_committed = transaction.commit().await.is_ok();
        assert!(!is_committed, "half of it is gone");
        producer
            .transaction(async |transaction| transaction.send(to_t("whole")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["whole"], "level {level}");
    }
}

/// The commit of transaction `x` under `producer`, as a broker reads it that was sent it long ago.
fn late_commit(world: &World, producer: (ProducerId, ProducerEpoch), version: i16) {
    let request = EndTxnRequest {
        transactional_id: "x".into(),
        producer_id: producer.0.get(),
        producer_epoch: producer.1.get(),
        committed: true,
    };
    let (correlation, none) = (CorrelationId::FIRST, None);
    let frame = encode_request(&request.into(), version, correlation, none).unwrap();
    let frame = frame.into_bytes().slice(4..);
    world.broker.with(|cluster, now| {
        // One of them coordinates.
        for node in cluster.nodes() {
            let connection = cluster.open(now, node).unwrap();
            cluster.handle(now, connection, frame.clone());
        }
    });
}

/// R7: an EndTxn that was given up is carried out while the next transaction is open, which then is aborted. Under the
/// first protocol only a new epoch keeps the two apart.
#[tokio::test(start_paused = true)]
async fn a_late_end_does_not_end_the_next_transaction() {
    for (level, version) in [(1, 4), (2, 5)] {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("first")).await.unwrap();
        let identity = world.broker.with(|cluster, _| cluster.transaction("x").unwrap().producer);
        world.broker.add_fault(on(ApiKey::END_TXN).nth(1).drop_request());
        transaction.commit().await.unwrap();

        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("second")).await.unwrap();
        late_commit(&world, identity, version);
        assert_eq!(committed(&world, "t", 1).await, ["first"], "the late request has done nothing");
        transaction.send(to_t("second too")).await.unwrap();
        transaction.abort().await.unwrap();
        producer
            .transaction(async |transaction| transaction.send(to_t("third")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["first", "third"], "level {level}");
    }
}

/// Trap 22: the answer to the abort is lost, and nothing is read.
#[tokio::test(start_paused = true)]
async fn an_abort_whose_answer_is_lost_leaves_nothing_to_read() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        for rule in [
            on(ApiKey::END_TXN).nth(1).apply_then_drop(),
            on(ApiKey::END_TXN).nth(1).drop_request(),
        ] {
            world.broker.add_fault(rule);
            let transaction = producer.begin().await.unwrap();
            transaction.send(to_t("bad")).await.unwrap();
            transaction.abort().await.unwrap();
            world.broker.clear_faults();
        }
        producer
            .transaction(async |transaction| transaction.send(to_t("good")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
    }
}

/// R9 and F61: it may be committed or not, and is not reported as committed.
#[tokio::test(start_paused = true)]
async fn an_unclear_answer_is_no_commit() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let code = ErrorCode::UNKNOWN_SERVER_ERROR;
        world.broker.add_fault(on(ApiKey::END_TXN).error(code));
        let run = producer.transaction(async |transaction| transaction.send(to_t("bad")).await);
        let error = run.await.unwrap_err();
        assert!(error.is_fatal() && error.fate() == Fate::Unknown, "{error:?}");
        world.broker.clear_faults();
        // The next instance puts an end to it.
        transactional(&world).await;
        assert_eq!(committed(&world, "t", 1).await, Vec::<String>::new());
    }
}

/// Nobody answers at all: the call ends, says that nobody knows, and the truth comes out later.
#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_is_unknown_until_there_is_one() {
    for level in LEVELS {
        for rule in [on(ApiKey::END_TXN).drop_request(), on(ApiKey::END_TXN).apply_then_drop()] {
            let world = world(level, 1).await;
            let builder = world.kafka.producer().transactional_id("x").transaction_timeout(LONG);
            let mut producer = builder.build_transactional().await.unwrap();
            world.broker.add_fault(rule);
            let run =
                producer.transaction(async |transaction| transaction.send(to_t("late")).await);
            let error = run.await.unwrap_err();
            assert_eq!((error.kind(), error.fate()), (ErrorKind::Timeout, Fate::Unknown));
            assert!(!error.is_abortable() && !error.is_retriable() && !error.is_fatal());
            world.broker.clear_faults();
            let outcome = producer.wait_for_end().await.unwrap();
            assert_eq!(outcome, Some(TransactionOutcome::Committed));
            assert_eq!(committed(&world, "t", 1).await, ["late"]);
        }
    }
}

/// F62: the coordinator has aborted it, and what was sent is gone.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_took_too_long_is_not_committed() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let builder = world.kafka.producer().transactional_id("x");
        let builder = builder.transaction_timeout(Duration::from_secs(5));
        let mut producer = builder.build_transactional().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("bad")).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let error = transaction.commit().await.unwrap_err();
        assert!(error.is_fatal() && error.fate() == Fate::NotStored, "{error:?}");
        let mut next = transactional(&world).await;
        next.transaction(async |transaction| transaction.send(to_t("good")).await).await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
    }
}

/// A record that is lost takes its transaction with it, even if nobody looked at its delivery.
#[tokio::test(start_paused = true)]
async fn a_record_that_times_out_is_not_left_out_of_a_commit() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let builder = world.kafka.producer().transactional_id("x");
        let builder = builder.transaction_timeout(LONG).delivery_timeout(Duration::from_secs(35));
        let mut producer = builder.build_transactional().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("one")).await.unwrap();
        let hang = world.broker.add_fault(on(ApiKey::PRODUCE).hang());
        transaction.send(to_t("two")).enqueue().await.unwrap();
        let error = transaction.commit().await.unwrap_err();
        assert!(error.is_abortable(), "{error:?}");
        world.broker.remove_fault(hang);
        producer
            .transaction(async |transaction| transaction.send(to_t("good")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"], "level {level}");
    }
}

/// F65 and F22: the node that coordinates goes away in the middle, and comes back.
#[tokio::test(start_paused = true)]
async fn a_coordinator_that_restarts_loses_nothing() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let mut expected = Vec::new();
        for node in 0..3 {
            let node = NodeId::new(node);
            let transaction = producer.begin().await.unwrap();
            let value = format!("while {node} restarts");
            transaction.send(to_t(&value)).await.unwrap();
            world.broker.crash_node(node);
            let commit = transaction.commit();
            let restart = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                world.broker.restart_node(node).await.unwrap();
            };
            let (committed, ()) = tokio::join!(commit, restart);
            committed.unwrap();
            expected.push(value);
        }
        assert_eq!(committed(&world, "t", 1).await, expected);
    }
}

/// F67: a reader of committed records waits behind an open transaction, and goes on once it has ended.
#[tokio::test(start_paused = true)]
async fn records_behind_an_open_transaction_are_read_when_it_ends() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("open")).await.unwrap();
        let plain = world.producer().await;
        plain.send(Record::to("t").partition(0).value("behind")).await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, Vec::<String>::new());
        transaction.commit().await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["open", "behind"]);
        plain.close(LONG).await.unwrap();
    }
}

/// Nobody is there to abort when the commit fails after its future was dropped.
#[tokio::test(start_paused = true)]
async fn a_dropped_commit_that_fails_does_not_stand_in_the_way() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let builder = world.kafka.producer().transactional_id("x").transaction_timeout(LONG);
        let builder = builder.delivery_timeout(Duration::from_secs(35));
        let mut producer = builder.build_transactional().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("one")).await.unwrap();
        let hang = world.broker.add_fault(on(ApiKey::PRODUCE).hang());
        transaction.send(to_t("two")).enqueue().await.unwrap();
        assert!(drop_after(1, transaction.commit()).await.is_none());
        tokio::time::sleep(Duration::from_secs(50)).await;
        world.broker.remove_fault(hang);
        producer
            .transaction(async |transaction| transaction.send(to_t("good")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"], "level {level}");
    }
}

/// Under a second; 300 were tried.
const SEEDS: u64 = 12;
