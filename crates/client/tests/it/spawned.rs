//! What a task may own that a runtime moves from thread to thread.

use milena::{
    Batch, Consumer, ConsumerHandle, Kafka, Message, PartitionStream, Producer, ShareConsumer,
    TransactionalProducer, TypedConsumer,
};

use crate::world::{GRACE, World};

/// A call that borrows its client across a wait, as `commit`, makes a future that can be spawned only where the client may
/// be shared: without that, programs do not compile.
#[test]
fn clients_may_be_shared_between_threads() {
    fn may_be_shared<T: Send + Sync>() {}
    may_be_shared::<Kafka>();
    may_be_shared::<Producer>();
    may_be_shared::<TransactionalProducer>();
    may_be_shared::<Consumer>();
    may_be_shared::<TypedConsumer<String, String>>();
    may_be_shared::<ConsumerHandle>();
    may_be_shared::<PartitionStream>();
    may_be_shared::<ShareConsumer>();
    may_be_shared::<Batch>();
    may_be_shared::<Message>();
}

#[tokio::test(start_paused = true)]
async fn a_consumer_works_in_a_task_of_its_own() {
    let world = World::with_partitions(1).await;
    world.fill(0..3).await;
    let mut consumer = world.member().build().await.unwrap();
    let task = tokio::spawn(async move {
        consumer.subscribe(["t"]).await.unwrap();
        let first = consumer.try_next().await.unwrap().unwrap();
        assert_eq!(first.offset().get(), 0);
        consumer.commit().await.unwrap();
        consumer.unsubscribe().await.unwrap();
        consumer.close(GRACE).await.unwrap();
    });
    task.await.unwrap();
    assert_eq!(world.committed(0), Some(1));
}
