//! A user who writes, and notes what he was told.

use std::time::Duration;

use fastrand::Rng;
use milena::{Fate, Kafka, Record};
use milena_sim::history::{CallKind, Outcome, Send};
use milena_types::TopicPartition;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::plan::{MAX_BLOCK, WriterPlan};
use super::world::{SLACK, Shared, TOPIC, WALL, value};

/// Writes until all is written, closes, and waits for every answer.
pub(super) async fn write(n: usize, plan: WriterPlan, kafka: Kafka, shared: Shared, mut rng: Rng) {
    let mut builder = kafka.producer();
    for (key, value) in &plan.settings {
        builder = builder.set(key, value).unwrap();
    }
    let producer = builder.build().await.unwrap();
    // The first news of the topic wakes the producer and its user in any order: both know of it before the first record.
    while producer.partitions_for(TOPIC).await.is_err() {}
    sleep(Duration::from_millis(1)).await;
    let mut answers = JoinSet::new();
    for number in 1..=plan.records {
        let to = TopicPartition::new(TOPIC, rng.i32(0..shared.partitions));
        let text = format!("{}", n * 1_000_000 + number);
        // The machine's time would make batches of other bytes each time.
        let record = Record::to(TOPIC).partition(to.partition).value(&text).timestamp(WALL);
        let invoked = shared.now();
        let place = shared.with(|history| {
            history.sends.push(Send {
                producer: n,
                value: value(text.as_bytes()),
                to,
                transaction: None,
                invoked,
                deadline: invoked + MAX_BLOCK + SLACK,
                is_taken: false,
                is_watched: false,
                returned: Vec::new(),
            });
            history.sends.len() - 1
        });
        let admitted = producer.send(record).enqueue().await;
        let now = shared.now();
        let used = producer.metrics().buffer_bytes_used;
        shared.with(|history| history.buffered_bytes_max = history.buffered_bytes_max.max(used));
        match admitted {
            Ok(delivery) => {
                shared.with(|history| {
                    history.sends[place].is_taken = true;
                    history.sends[place].deadline = now + plan.delivery_timeout + SLACK;
                });
                let shared = shared.clone();
                answers.spawn(async move {
                    let outcome = match delivery.await {
                        Ok(stored) => Outcome::Done(stored.offset()),
                        Err(error) if error.fate() == Fate::NotStored => Outcome::NotDone,
                        Err(_) => Outcome::Unknown,
                    };
                    let at = shared.now();
                    shared.with(|history| history.sends[place].returned.push((at, outcome)));
                });
            }
            Err(error) => {
                assert_eq!(error.fate(), Fate::NotStored, "what is not taken is not stored");
                let refused = (now, Outcome::NotDone);
                shared.with(|history| history.sends[place].returned.push(refused));
            }
        }
        if plan.flush_every > 0 && number % plan.flush_every == 0 {
            let deadline = shared.now() + plan.delivery_timeout + SLACK;
            let call = shared.call(CallKind::Flush, n, deadline);
            let is_good = producer.flush().await.is_ok();
            shared.returned(call, is_good);
            settle(&mut answers).await;
        }
        sleep(Duration::from_millis(rng.u64(0..=plan.pause_ms))).await;
    }
    let within = Duration::from_secs(*rng.choice(&[0, 2, 200]).unwrap());
    let until = shared.now() + within + SLACK;
    shared.with(|history| {
        for send in history.sends.iter_mut().filter(|send| send.producer == n) {
            // Whoever closes gives up what is not stored by then.
            send.deadline = send.deadline.min(until);
        }
    });
    let call = shared.call(CallKind::Close, n, until);
    let is_good = producer.close(within).await.is_ok();
    shared.returned(call, is_good);
    let at = shared.now();
    settle(&mut answers).await;
    shared.with(|history| {
        let left = producer.metrics().buffer_bytes_used;
        history.buffered_bytes_left = history.buffered_bytes_left.max(left);
    });
    // Nothing is open behind a close, whatever it said.
    assert_eq!(shared.now(), at, "deliveries of writer {n} outlast its close");
}

/// All that is known is told without waiting: whoever awaits it has to be polled once.
async fn settle(answers: &mut JoinSet<()>) {
    while let Some(joined) = answers.join_next().await {
        joined.unwrap();
    }
}
