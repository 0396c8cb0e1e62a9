//! What a transaction comes to when one call of it is dropped, at each of its polls: whole or absent, and the next
//! one works; on both protocols. Whole closures and copies are in `transactions`.

use std::time::Duration;

use milena::{ErrorKind, Offset, Record, TransactionOutcome, TransactionalProducer};
use milena_broker::TransactionState;
use tokio::time::Instant;

use crate::cancellation::at_each_poll;
use crate::transactions::{LEVELS, committed, member, to_t, transactional, world};
use crate::world::{GRACE, LONG, World, drop_after, eventually, numbers};

/// Commits a transaction of one record.
async fn commit_one(producer: &mut TransactionalProducer, value: &str) {
    let sent = producer.transaction(async |transaction| transaction.send(to_t(value)).await);
    sent.await.unwrap();
}

/// Leaves a transaction to be aborted of which a record is stored.
async fn abandon(producer: &mut TransactionalProducer) {
    let transaction = producer.begin().await.unwrap();
    transaction.send(to_t("bad")).await.unwrap();
}

/// Before each call something is open: by an older instance, or about to be aborted.
#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_leaves_nothing_open() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut expected = Vec::new();
        at_each_poll(async |step| {
            let mut older = transactional(&world).await;
            let zombie = older.begin().await.unwrap();
            zombie.send(to_t("bad")).await.unwrap();
            let building = world.kafka.producer().transactional_id("x").build_transactional();
            let built = drop_after(step, building).await.map(|built| drop(built.unwrap()));
            let mut producer = transactional(&world).await;
            drop(zombie);
            commit_one(&mut producer, &format!("{step} built")).await;
            abandon(&mut producer).await;
            let begun = drop_after(step, producer.begin()).await.map(|begun| drop(begun.unwrap()));
            commit_one(&mut producer, &format!("{step} begun")).await;
            abandon(&mut producer).await;
            let ended = drop_after(step, producer.wait_for_end()).await;
            assert!(ended.as_ref().is_none_or(|end| end.as_ref().is_ok_and(Option::is_some)));
            commit_one(&mut producer, &format!("{step} ended")).await;
            expected.extend(["built", "begun", "ended"].map(|what| format!("{step} {what}")));
            assert_eq!(committed(&world, "t", 1).await, expected, "level {level}");
            producer.close(GRACE).await.unwrap();
            built.is_some() && begun.is_some() && ended.is_some()
        })
        .await;
        assert!(expected.len() > 6, "there was something to drop");
    }
}

/// How a transaction is ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Commit,
    Abort,
    /// Without two-phase commit this is refused, and the transaction aborted.
    Prepare,
}

#[tokio::test(start_paused = true)]
async fn a_dropped_end_is_a_whole_commit_or_an_abort() {
    for (level, end) in LEVELS
        .into_iter()
        .flat_map(|level| [End::Commit, End::Abort, End::Prepare].map(|end| (level, end)))
    {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let (mut expected, mut commits) = (Vec::new(), 0);
        at_each_poll(async |step| {
            let transaction = producer.begin().await.unwrap();
            transaction.send(to_t(format!("{step} a"))).await.unwrap();
            transaction.send(to_t(format!("{step} b"))).enqueue().await.unwrap();
            let done = match end {
                End::Commit => drop_after(step, transaction.commit()).await,
                End::Abort => drop_after(step, transaction.abort()).await,
                End::Prepare => drop_after(step, transaction.prepare()).await.map(|prepared| {
                    assert_eq!(prepared.unwrap_err().kind(), ErrorKind::Misuse);
                    Ok(())
                }),
            };
            let is_done = done.map(|ended| ended.unwrap()).is_some();
            let outcome = producer.wait_for_end().await.unwrap().unwrap();
            let is_committed = outcome == TransactionOutcome::Committed;
            assert!(!is_committed || end == End::Commit, "{end:?}");
            assert!(is_committed || !is_done || end != End::Commit, "told as committed");
            if is_committed {
                commits += 1;
                expected.extend(["a", "b"].map(|name| format!("{step} {name}")));
            }
            let value = format!("{step} after");
            commit_one(&mut producer, &value).await;
            expected.push(value);
            assert_eq!(committed(&world, "t", 1).await, expected, "{level} {end:?} {step}");
            is_done
        })
        .await;
        assert_eq!(commits > 0, end == End::Commit);
        producer.close(GRACE).await.unwrap();
    }
}

/// Room for a few records only: what does not fit is waited for.
#[tokio::test(start_paused = true)]
async fn calls_within_a_transaction_can_be_dropped_and_it_commits_all_the_same() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let builder = world.kafka.producer().transactional_id("x");
        let builder = builder.batch_size(1000).buffer_memory(4000);
        let mut producer = builder.build_transactional().await.unwrap();
        let mut seen = 0;
        at_each_poll(async |step| {
            let asked = drop_after(step, producer.partitions_for("t")).await;
            assert!(asked.is_none_or(|count| count.unwrap() == 1));
            let transaction = producer.begin().await.unwrap();
            let admitted = drop_after(step, transaction.enqueue_all((0..500).map(to_t))).await;
            let admitted = admitted.map(|all| all.unwrap()).is_some();
            let flushed = drop_after(step, transaction.flush()).await;
            transaction.send(to_t("last")).enqueue().await.unwrap();
            transaction.commit().await.unwrap();
            let mut values = committed(&world, "t", 1).await.split_off(seen);
            seen += values.len();
            assert_eq!(values.pop().as_deref(), Some("last"));
            assert_eq!(values, numbers(0..values.len()), "a prefix");
            assert!(!admitted || values.len() == 500);
            admitted && flushed.map(|done| done.unwrap()).is_some()
        })
        .await;
        producer.close(GRACE).await.unwrap();
    }
}

/// Once they are asked for they belong to the transaction, whoever waits for that.
#[tokio::test(start_paused = true)]
async fn offsets_whose_call_was_dropped_are_committed_with_the_records() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let mut producer = transactional(&world).await;
        let mut consumer = member(&world).build().await.unwrap();
        let (handle, mut written, mut copied) = (consumer.handle(), 0_i64, Vec::new());
        at_each_poll(async |step| {
            let mut is_done = true;
            for of_batch in [true, false] {
                let number = usize::try_from(written).unwrap();
                world.fill(number..number + 1).await;
                let batch = consumer.poll(LONG).await.unwrap();
                assert_eq!(batch.len(), 1);
                let before = world.committed(0);
                written += 1;
                let transaction = producer.begin().await.unwrap();
                let value = format!("{step} {of_batch}");
                transaction
                    .send(Record::to("u").partition(0).value(&value))
                    .enqueue()
                    .await
                    .unwrap();
                let (sent, may_miss) = if of_batch {
                    // It asks the consumer first.
                    (drop_after(step, transaction.send_offsets(&batch)).await, true)
                } else {
                    let group = handle.group_metadata().await.unwrap();
                    let offsets = [(("t", 0), Offset::new(written).unwrap())];
                    let sending = transaction.send_offsets_for(offsets, group);
                    (drop_after(step, sending).await, step == 0)
                };
                let sent = sent.map(|sent| sent.unwrap()).is_some();
                transaction.commit().await.unwrap();
                copied.push(value);
                let after = world.committed(0);
                let is_kept = after == Some(written);
                assert!(is_kept || !sent && may_miss && after == before, "{after:?} at {step}");
                is_done &= sent;
            }
            is_done
        })
        .await;
        assert_eq!(committed(&world, "u", 1).await, copied);
        consumer.close(GRACE).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_aborts_what_is_open_long_before_its_time() {
    for level in LEVELS {
        let world = world(level, 1).await;
        let is_open = |world: &World| {
            let transaction = world.broker.transaction("x").unwrap();
            transaction.state == TransactionState::Ongoing || !transaction.partitions.is_empty()
        };
        let mut expected = Vec::new();
        at_each_poll(async |step| {
            let mut producer = transactional(&world).await;
            commit_one(&mut producer, &step.to_string()).await;
            expected.push(step.to_string());
            abandon(&mut producer).await;
            let begun = Instant::now();
            let done = drop_after(step, producer.close(GRACE)).await;
            eventually("it is aborted", || !is_open(&world)).await;
            assert!(begun.elapsed() < Duration::from_secs(5), "not by transaction.timeout.ms");
            assert_eq!(committed(&world, "t", 1).await, expected);
            done.map(|closed| closed.unwrap()).is_some()
        })
        .await;
    }
}
