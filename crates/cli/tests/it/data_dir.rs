//! `milena dev --data-dir`, killed while it takes records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use milena::Record;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::dev::Dev;
use crate::program::alone;

/// By partition and offset.
type Records = BTreeMap<(i32, i64), String>;

/// Sends from several tasks, so that many requests are open when the broker is killed, and notes what is acknowledged.
async fn produce_until_killed(dev: Dev, round: usize, acknowledged: &mut Records) {
    let kafka = milena::connect(&dev.servers).await.expect("it listens");
    let producer = Arc::new(kafka.producer().build().await.expect("it answers"));
    let (acks, mut acked) = mpsc::unbounded_channel();
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (producer, acks) = (Arc::clone(&producer), acks.clone());
        senders.spawn(async move {
            for record in 0.. {
                let value = format!("{round}-{sender}-{record}");
                let sent = producer.send(Record::to("orders").value(value.as_str())).await;
                let Ok(stored) = sent else { return };
                let offset = stored.offset().expect("acks=all").get();
                if acks.send((stored.topic_partition().partition, offset, value)).is_err() {
                    return;
                }
            }
        });
    }
    drop(acks);
    let mut note = |(partition, offset, value): (i32, i64, String)| {
        let before = acknowledged.insert((partition, offset), value);
        assert_eq!(before, None, "an offset was given twice");
    };
    for _ in 0..ACKS_PER_ROUND {
        note(acked.recv().await.expect("all of them are sending"));
    }
    // By SIGKILL, while the others go on.
    drop(dev);
    senders.shutdown().await;
    while let Ok(late) = acked.try_recv() {
        note(late);
    }
}

async fn stored(dev: &Dev) -> Records {
    let format = ["--from", "beginning", "-e", "-f", "%p %o %s\\n"];
    let args = [&["-b", &dev.servers, "consume", "orders"], &format[..]].concat();
    let printed = alone(&args, "").await.done();
    let record = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().expect("three words");
        let place = (next().parse().expect("a partition"), next().parse().expect("an offset"));
        (place, next().to_owned())
    };
    printed.lines().map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kill_9");
    // Of an earlier run, if there was one.
    let _ = std::fs::remove_dir_all(&path);
    let path = path.to_str().expect("text");
    let mut acknowledged = Records::new();
    for round in 0..ROUNDS {
        let dev = Dev::with(&["--data-dir", path]);
        produce_until_killed(dev, round, &mut acknowledged).await;
    }
    assert!(acknowledged.len() >= ROUNDS * ACKS_PER_ROUND);

    let dev = Dev::with(&["--data-dir", path]);
    let found = stored(&dev).await;
    for (place, value) in &acknowledged {
        assert_eq!(found.get(place), Some(value), "at {place:?}");
    }
    let values: BTreeSet<_> = found.values().collect();
    assert_eq!(values.len(), found.len(), "a record was stored twice");
    let group = ["-b", &dev.servers, "consume", "orders", "-g", "g"];
    let first = [&group[..], &["--from", "beginning", "-n", "100"]].concat();
    assert_eq!(alone(&first, "").await.done().lines().count(), 100);
    drop(dev);

    let dev = Dev::with(&["--data-dir", path]);
    assert_eq!(stored(&dev).await, found);
    let rest = ["-b", &dev.servers, "consume", "orders", "-g", "g", "-e"];
    let rest = alone(&rest, "").await.done();
    assert_eq!(rest.lines().count(), found.len() - 100, "the group goes on where it was");
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_told() {
    let run = alone(&["dev", "--port", "0", "--data-dir", env!("CARGO_BIN_EXE_milena")], "").await;
    assert_ne!(run.status, 0);
    assert!(run.stderr.contains("data directory"), "{}", run.stderr);
}

const SENDERS: usize = 8;

const ROUNDS: usize = 3;

const ACKS_PER_ROUND: usize = 1_000;
