//! Producers of values: what they write, what that costs, and what a value that cannot be written does.

use std::sync::Arc;

use milena::format::{Json, Part, SerializeContext, Serializer};
use milena::{BoxError, ErrorKind, Fate, Payload, Record, Uuid};

use crate::allocations::allocations_of;
use crate::world::{GRACE, World, numbers, text};

#[derive(serde::Serialize)]
struct Order {
    id: u64,
    customer: &'static str,
    note: Option<String>,
}

#[tokio::test(start_paused = true)]
async fn values_are_written_in_their_formats() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let orders = producer.typed::<i32, Order>().value_format(Json);
    let order = Order { id: 7, customer: "Größe", note: None };
    let record = Record::to("t").header("h", "1").partition(0);
    orders.send(record, &42, &order).await.unwrap();
    orders.send("t", &42, None).await.unwrap();
    let nothing = producer.typed::<(), Uuid>();
    nothing.send(producer.topic("t"), &(), &Uuid::ZERO).await.unwrap();
    nothing.send("t", None, &Uuid::ZERO).await.unwrap();

    let stored = world.broker.records("t", 0);
    let parts = |at: usize| (stored[at].key.as_deref(), text(stored[at].value.as_deref()));
    let json = r#"{"id":7,"customer":"Größe","note":null}"#.to_owned();
    assert_eq!(parts(0), (Some(&[0, 0, 0, 42][..]), json));
    assert_eq!(parts(1), (Some(&[0, 0, 0, 42][..]), "<null>".to_owned()));
    let zero = "00000000-0000-0000-0000-000000000000".to_owned();
    assert_eq!((parts(2), parts(3)), ((None, zero.clone()), (None, zero)));
    assert_eq!(stored[0].headers.len(), 1);
}

/// Refuses odd numbers; says in a header which part it wrote, and for which topic.
struct EvenOnly;

impl Serializer<u32> for EvenOnly {
    fn serialize<'a>(
        &self,
        value: &'a u32,
        context: &mut SerializeContext<'_, 'a>,
    ) -> Result<Option<Payload<'a>>, BoxError> {
        if value % 2 == 1 {
            return Err(format!("{value} is odd").into());
        }
        let part = format!("{} of {}", context.part(), context.topic());
        context.add_header("part", part);
        // The value's format sees what the key's wrote.
        assert_eq!(context.headers().count(), 1 + usize::from(context.part() == Part::Value));
        Ok((*value != 0).then(|| value.to_string().into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_format_of_ones_own_has_the_topic_and_the_headers() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let even: Arc<dyn Serializer<u32>> = Arc::new(EvenOnly);
    let numbers = producer.typed::<u32, u32>().key_format(EvenOnly).value_format(even);
    numbers.send("t", &2, &0).await.unwrap();
    let stored = world.broker.records("t", 0).remove(0);
    assert_eq!((text(stored.key.as_deref()), stored.value), ("2".to_owned(), None));
    let headers: Vec<_> = stored.headers.iter().map(|(_, value)| text(value.as_deref())).collect();
    assert_eq!(headers, ["key of t", "value of t"]);
}

/// Whichever way the record goes: it is not sent, and whoever asked is told.
#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_written_is_not_sent() {
    let world = World::with_partitions(1).await;
    let producer = world.producer().await;
    let odd = producer.typed::<str, u32>().value_format(EvenOnly);
    let failures = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&failures);
    let mut errors = vec![
        odd.send("t", "k", &1).await.unwrap_err(),
        odd.send("t", "k", &1).enqueue().await.unwrap_err(),
        odd.send("t", "k", &1).try_enqueue().unwrap_err().into(),
    ];
    odd.send("t", "k", &1).on_ack(move |result| told.lock().unwrap().extend(result.err())).detach();
    odd.send("t", "k", &1).detach();
    errors.append(&mut failures.lock().unwrap());
    assert_eq!(errors.len(), 4);
    for error in errors {
        assert_eq!((error.kind(), error.fate()), (ErrorKind::Serialization, Fate::NotStored));
        assert_eq!(error.to_string(), "send to t: the value cannot be serialized");
        assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "1 is odd");
    }
    assert_eq!(producer.metrics().detached_errors, 1);
    producer.close(GRACE).await.unwrap();
    assert_eq!(world.values(0), numbers(0..0));
}

/// The path from the user's value into the batch, for a record that a batch is open for.
#[tokio::test(start_paused = true)]
async fn text_bytes_and_numbers_are_sent_without_an_allocation() {
    let world = World::with_partitions(1).await;
    let producer = world.kafka.producer().linger(std::time::Duration::from_secs(60));
    let producer = producer.batch_size(1 << 20).build().await.unwrap();
    producer.partitions_for("t").await.unwrap();
    let topic = producer.topic("t");
    let texts = producer.typed::<str, [u8]>();
    let ids = producer.typed::<i64, Uuid>();
    drop(texts.send(&topic, "first", &b"record"[..]).enqueue().await.unwrap());
    let count = allocations_of(|| {
        for number in 0..500 {
            drop(texts.send(&topic, "key", &b"value"[..]).try_enqueue().unwrap());
            drop(ids.send("t", &number, &Uuid::ZERO).try_enqueue().unwrap());
        }
        for _ in 0..500 {
            texts.send(&topic, "key", None).detach();
        }
    });
    assert_eq!(count, 1, "1,500 records: one list of runs of detached ones");
}
