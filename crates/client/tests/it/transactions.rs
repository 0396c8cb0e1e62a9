//! All of a transaction is read, or nothing, by those who read committed records; on both protocols.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use milena::config::{IsolationLevel, OffsetReset};
use milena::{
    Consumer, ConsumerBuilder, Error, ErrorKind, Record, Transaction, TransactionOutcome,
    TransactionalProducer,
};
use milena_broker::Broker;
use milena_types::ApiKey;

use crate::world::{GRACE, LONG, STEPS_MAX, World, drop_after, numbers, read, text};

/// Levels of `transaction.version`: the old protocol and the one of KIP-890.
pub(crate) const LEVELS: [i16; 2] = [1, 2];

/// Three nodes with topics `t` and `u` of `partitions` partitions, and transactions of `level`.
pub(crate) async fn world(level: i16, partitions: i32) -> World {
    let broker = Broker::builder().nodes(3).topic("t", partitions).topic("u", partitions);
    World::start(broker.transaction_version(level)).await
}

pub(crate) async fn transactional(world: &World) -> TransactionalProducer {
    let producer = world.kafka.producer().transactional_id("x");
    producer.build_transactional().await.unwrap()
}

pub(crate) fn to_t(value: impl ToString) -> Record<'static> {
    Record::to("t").partition(0).value(value.to_string())
}

/// What a reader of committed records sees of a topic's first partitions, in the order of their offsets.
pub(crate) async fn committed(world: &World, topic: &'static str, partitions: i32) -> Vec<String> {
    let consumer =
        world.kafka.consumer_without_group().isolation_level(IsolationLevel::ReadCommitted);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest);
    let consumer = consumer.assign((0..partitions).map(|partition| (topic, partition)));
    let mut consumer = consumer.build().await.unwrap();
    let mut values = Vec::new();
    loop {
        // Longer than a fetch waits, and shorter than a transaction may be open.
        let batch = consumer.poll(Duration::from_secs(2)).await.unwrap();
        if batch.is_empty() {
            return values;
        }
        values.extend(batch.iter().map(|message| text(message.value())));
    }
}

/// A member of group `g` that reads what is committed of topic `t`.
pub(crate) fn member(world: &World) -> ConsumerBuilder {
    world.member().isolation_level(IsolationLevel::ReadCommitted)
}

/// Copies what the consumer reads to topic `u`.
pub(crate) async fn copy(
    producer: &mut TransactionalProducer,
    consumer: &mut Consumer,
) -> Result<usize, Error> {
    let copied = producer.transform(consumer, LONG, async |transaction, batch| {
        for message in batch {
            let record =
                Record::to("u").partition(message.partition()).value(text(message.value()));
            transaction.send(record).enqueue().await?;
        }
        Ok(())
    });
    copied.await
}

#[tokio::test(start_paused = true)]
async fn what_a_closure_sends_is_read_if_it_returns_ok() {
    for level in LEVELS {
        let world = world(level, 2).await;
        let mut producer = transactional(&world).await;
        let sent = producer.transaction(async |transaction| {
            for number in 0..10 {
                transaction.send(to_t(number)).enqueue().await?;
            }
            let stored = transaction.send(Record::to("t").partition(1).value("last")).await?;
            Ok::<_, Error>(stored.partition())
        });
        assert_eq!(sent.await.unwrap(), 1);
        let mut expected = numbers(0..10);
        expected.push("last".to_owned());
        let mut seen = committed(&world, "t", 2).await;
        seen.sort();
        assert_eq!(seen, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn many_records_at_once_are_read_together() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.enqueue_all((0..1000).map(to_t)).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, numbers(0..1000));
        let transaction = producer.begin().await.unwrap();
        let too_large = to_t("x".repeat(2 << 20));
        let refused = transaction.enqueue_all([to_t(1), too_large, to_t(2)]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RecordTooLarge);
        drop(transaction);
        producer.close(GRACE).await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, numbers(0..1000));
    }
}

/// Some of it is stored by then, and some is not.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_closure_that_returns_an_error_is_read() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let failed = producer.transaction(async |transaction| {
            transaction.send(to_t("stored")).await?;
            transaction.send(to_t("unsent")).enqueue().await?;
            Err::<(), _>(Error::misuse("changed my mind"))
        });
        assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(producer.wait_for_end().await.unwrap(), Some(TransactionOutcome::Aborted));
        producer
            .transaction(async |transaction| transaction.send(to_t("next")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["next"]);
        assert!(world.values(0).contains(&"stored".to_owned()), "it was stored, and is not read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_aborts() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let panicking = producer.transaction(async |transaction: &Transaction<'_>| {
            transaction.send(to_t("bad")).await?;
            assert!(transaction.flush().await.is_err(), "on purpose");
            Ok::<_, Error>(())
        });
        let mut panicking = Box::pin(panicking);
        let caught = std::future::poll_fn(|cx| {
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| panicking.as_mut().poll(cx)));
            match polled {
                Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
                polled => std::task::Poll::Ready(polled.is_err()),
            }
        });
        assert!(caught.await);
        drop(panicking);
        producer
            .transaction(async |transaction| transaction.send(to_t("good")).await)
            .await
            .unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
    }
}

/// A task that is cancelled, or a `select!` that another arm won.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_dropped_is_aborted_before_the_next() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("bad")).await.unwrap();
        drop(transaction);
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("good")).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
    }
}

/// Wherever its future is dropped, a whole transaction is committed or nothing of it is, and the next one works.
#[tokio::test(start_paused = true)]
async fn a_transaction_may_be_dropped_at_each_poll() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let mut expected = Vec::new();
        for step in 0.. {
            let run = producer.transaction(async |transaction| {
                transaction.send(to_t(format!("{step} a"))).enqueue().await?;
                transaction.send(to_t(format!("{step} b"))).await?;
                transaction.send(to_t(format!("{step} c"))).enqueue().await
            });
            let done = drop_after(step, run).await;
            let outcome = producer.wait_for_end().await.unwrap();
            let is_committed = outcome == Some(TransactionOutcome::Committed);
            if let Some(result) = &done {
                result.as_ref().unwrap();
                assert!(is_committed);
            }
            let between = committed(&world, "t", 1).await;
            if between.len() > expected.len() {
                expected.extend(["a", "b", "c"].map(|name| format!("{step} {name}")));
            }
            assert_eq!(between, expected, "dropped at step {step}");
            if done.is_some() {
                break;
            }
            let value = format!("{step} after");
            producer
                .transaction(async |transaction| transaction.send(to_t(&value)).await)
                .await
                .unwrap();
            expected.push(value);
        }
        assert!(expected.len() > 6, "it was dropped at one poll at least");
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_nothing_commits_and_aborts() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        assert_eq!(producer.wait_for_end().await.unwrap(), None);
        producer.begin().await.unwrap().commit().await.unwrap();
        producer.begin().await.unwrap().abort().await.unwrap();
        // Trap 19.
        assert_eq!(world.broker.requests(ApiKey::END_TXN).len(), 0);
        producer.close(GRACE).await.unwrap();
    }
}

/// F63. Whoever is fenced hears of it, and nothing of him is read any more.
#[tokio::test(start_paused = true)]
async fn a_newer_instance_fences_the_older_one() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut older = transactional(&world).await;
        let transaction = older.begin().await.unwrap();
        transaction.send(to_t("zombie")).await.unwrap();
        let mut newer = transactional(&world).await;
        let _ = transaction.send(to_t("zombie too")).await;
        let error = transaction.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        let error = older.begin().await.map(drop).unwrap_err();
        assert!(error.kind() == ErrorKind::Fenced && error.is_fatal(), "{error}");
        newer.transaction(async |transaction| transaction.send(to_t("good")).await).await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
        older.close(GRACE).await.unwrap();
    }
}

/// It would be read at once, whatever becomes of the transaction.
#[tokio::test(start_paused = true)]
async fn a_transactional_id_makes_no_plain_producer() {
    let world = world(2, 1).await;
    let error = world.kafka.producer().transactional_id("x").build().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("transactional.id"));
    let error = world.kafka.producer().build_transactional().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("transactional.id"));
}

/// Tasks of a multi-threaded runtime ask this of every future.
#[tokio::test(start_paused = true)]
async fn transactions_go_on_in_tasks_of_their_own() {
    let world = world(2, 1).await;
    let mut producer = transactional(&world).await;
    let task = tokio::spawn(async move {
        let run = producer.transaction(async |transaction| {
            transaction.send(to_t("in a task")).await?;
            Ok::<_, Error>(())
        });
        run.await
    });
    task.await.unwrap().unwrap();
    assert_eq!(committed(&world, "t", 1).await, ["in a task"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_holds_each_record_once() {
    for level in LEVELS {
        let world = world(level, 1).await;
        world.fill(0..100).await;
        let mut consumer = member(&world).max_poll_records(7).build().await.unwrap();
        let mut producer = transactional(&world).await;
        let mut copied = 0;
        while copied < 100 {
            copied += copy(&mut producer, &mut consumer).await.unwrap();
        }
        assert_eq!(committed(&world, "u", 1).await, numbers(0..100));
        assert_eq!(world.committed(0), Some(100));
    }
}

/// Wherever it is dropped, a new consumer goes on where the last commit was.
#[tokio::test(start_paused = true)]
async fn a_copy_may_be_dropped_at_each_poll() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let mut filled = 0;
        let mut is_done = false;
        for step in 1.. {
            assert!(step < STEPS_MAX, "no end");
            world.fill(filled..filled + 3).await;
            filled += 3;
            let mut consumer = member(&world).build().await.unwrap();
            is_done |= drop_after(step, copy(&mut producer, &mut consumer)).await.is_some();
            consumer.close(GRACE).await.unwrap();
            if is_done {
                break;
            }
        }
        let mut consumer = member(&world).build().await.unwrap();
        producer.wait_for_end().await.unwrap();
        while world.committed(0) != Some(i64::try_from(filled).unwrap()) {
            copy(&mut producer, &mut consumer).await.unwrap();
        }
        assert_eq!(committed(&world, "u", 1).await, numbers(0..filled), "level {level}");
    }
}

/// The same records come again, and nothing of the first try is read.
#[tokio::test(start_paused = true)]
async fn a_copy_that_fails_is_made_again() {
    for level in LEVELS {
        let world = world(level, 1).await;
        world.fill(0..20).await;
        let mut consumer = member(&world).build().await.unwrap();
        let mut producer = transactional(&world).await;
        let failed = producer.transform(&mut consumer, LONG, async |transaction, batch| {
            transaction.send(Record::to("u").partition(0).value("bad")).await?;
            assert_eq!(batch.len(), 20);
            Err(Error::misuse("once"))
        });
        assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::Misuse);
        assert_eq!(world.committed(0), None);
        assert_eq!(copy(&mut producer, &mut consumer).await.unwrap(), 20);
        assert_eq!(committed(&world, "u", 1).await, numbers(0..20));
        assert_eq!(world.committed(0), Some(20));
    }
}

/// F66: the member that has the partitions now reads the same records, so that ours must not count.
#[tokio::test(start_paused = true)]
async fn a_rebalance_turns_the_commit_into_an_abort() {
    for level in LEVELS {
        let world = world(level, 1).await;
        world.fill(0..10).await;
        let poll_interval = Duration::from_secs(10);
        let consumer = member(&world).max_poll_interval(poll_interval);
        let mut zombie = consumer.build().await.unwrap();
        let mut producer = transactional(&world).await;
        let copied = producer.transform(&mut zombie, LONG, async |transaction, batch| {
            for message in batch {
                let record = Record::to("u").partition(0).value(text(message.value()));
                transaction.send(record).await?;
            }
            // It takes too long, and the group goes on without this member.
            let mut other = member(&world).build().await.unwrap();
            assert_eq!(read(&mut other, 10).await, numbers(0..10));
            other.commit().await.unwrap();
            other.close(GRACE).await.unwrap();
            Ok::<_, Error>(())
        });
        assert_eq!(copied.await.unwrap(), 0);
        assert_eq!(producer.wait_for_end().await.unwrap(), Some(TransactionOutcome::Aborted));
        assert_eq!(committed(&world, "u", 1).await, Vec::<String>::new());
        assert_eq!(world.committed(0), Some(10), "the other member's commit stands");
    }
}

/// Whoever overlooks the error must not commit the records without the offsets.
#[tokio::test(start_paused = true)]
async fn offsets_that_are_refused_leave_nothing_to_commit() {
    let world = world(2, 1).await;
    world.fill(0..3).await;
    let mut consumer = member(&world).build().await.unwrap();
    let batch = consumer.poll(LONG).await.unwrap();
    consumer.close(GRACE).await.unwrap();
    let mut producer = transactional(&world).await;
    let transaction = producer.begin().await.unwrap();
    transaction.send(to_t("bad")).await.unwrap();
    assert!(transaction.send_offsets(&batch).await.unwrap_err().is_abortable());
    assert!(transaction.commit().await.unwrap_err().is_abortable());
    assert_eq!(committed(&world, "t", 1).await, numbers(0..3));
}

/// What is open when the producer goes away must not keep readers waiting until `transaction.timeout.ms`.
#[tokio::test(start_paused = true)]
async fn closing_and_dropping_abort_what_is_open() {
    for (level, closes) in [(1, true), (2, true), (1, false), (2, false)] {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(to_t("bad")).await.unwrap();
        drop(transaction);
        if closes {
            producer.close(GRACE).await.unwrap();
        } else {
            drop(producer);
        }
        let mut newer = transactional(&world).await;
        newer.transaction(async |transaction| transaction.send(to_t("good")).await).await.unwrap();
        assert_eq!(committed(&world, "t", 1).await, ["good"]);
        assert_eq!(world.broker.requests(ApiKey::END_TXN).len(), 2, "closing: {closes}");
    }
}
