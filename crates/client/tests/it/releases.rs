//! Every release of Kafka from 2.1 to 4.4, as the embedded cluster plays it.

use milena::Record;
use milena_broker::{Broker, Release};
use tokio::sync::mpsc;

use crate::group::{run, settle};
use crate::transactions::{committed, copy, member, to_t, transactional};
use crate::world::{GRACE, World, numbers};

async fn world(release: Release) -> World {
    let broker = Broker::builder().nodes(3).topic("t", 6).topic("u", 1);
    World::start(broker.as_version(release)).await
}

/// What an old broker lacks the client does without, be it versions, APIs or features; what a new one has it uses.
#[tokio::test(start_paused = true)]
async fn records_transactions_and_groups_work_on_every_release() {
    for release in Release::all() {
        let world = world(release).await;
        world.fill(0..100).await;
        assert_eq!(world.values(0), numbers(0..100), "{release}");

        let mut producer = transactional(&world).await;
        let transaction = producer.begin().await.unwrap();
        transaction.send(Record::to("u").value("kept")).await.unwrap();
        transaction.commit().await.unwrap();
        let transaction = producer.begin().await.unwrap();
        transaction.send(Record::to("u").value("dropped")).await.unwrap();
        transaction.abort().await.unwrap();
        assert_eq!(committed(&world, "u", 1).await, ["kept"], "{release}");

        let (told, mut heard) = mpsc::unbounded_channel();
        let (mut members, mut tasks) = (Vec::new(), Vec::new());
        for shares in [&[6][..], &[3, 3]] {
            let member = world.member().set("group.protocol", "auto").unwrap();
            let member = member.enable_auto_commit(true).build().await.unwrap();
            members.push(member.handle());
            tasks.push(run(member, told.clone()));
            settle(&members, shares).await;
        }
        for number in 0..100 {
            assert_eq!(heard.recv().await, Some(number.to_string()), "{release}");
        }
        for (member, task) in members.into_iter().zip(tasks) {
            member.close(GRACE).await.unwrap();
            task.await.unwrap();
        }
        assert_eq!(world.committed(0), Some(100), "{release}");
    }
}

/// Offsets go into a transaction with the membership that they were read under, which brokers take from 2.5 on (KIP-447).
#[tokio::test(start_paused = true)]
async fn offsets_are_committed_with_records_from_2_5_on() {
    for release in Release::all() {
        let world = world(release).await;
        let mut producer = transactional(&world).await;
        world.kafka.producer().build().await.unwrap().send(to_t("a")).await.unwrap();
        let mut consumer = member(&world).build().await.unwrap();
        let copied = copy(&mut producer, &mut consumer).await;
        let is_able = release >= "2.5".parse().unwrap();
        assert_eq!(copied.is_ok(), is_able, "{release}: {copied:?}");
        let expected = if is_able { Some(1) } else { None };
        assert_eq!(world.committed(0), expected, "{release}");
    }
}
