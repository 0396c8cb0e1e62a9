//! The shipped client finds brokers, loses them, and lets go of them.

use std::sync::Arc;
use std::time::Duration;

use milena::{ErrorKind, Kafka, Offset, Record};
use tokio::process::Command;
use tokio::time::Instant;

use crate::Result;
use crate::kafka::told;
use crate::target::Target;
use crate::user::{connect, create, read};

/// A broker takes its time to come back: two minutes each time on a machine that is busy with others.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// Nobody listens there.
const DEAD: &str = "127.0.0.1:1";

pub(super) async fn a_dead_bootstrap_address_is_passed_over(on: Arc<Target>) -> Result {
    produce_past(&on, DEAD).await
}

/// Java's refuses to start where no name resolves (KIP-909); of several the others are enough for it, too.
pub(super) async fn a_bootstrap_name_without_an_address_is_passed_over(on: Arc<Target>) -> Result {
    // A label of more than 63 bytes, which no server has to be asked for.
    produce_past(&on, &format!("{:x<64}.invalid:9092", "")).await
}

/// Produces by what stands behind `address`.
async fn produce_past(on: &Target, address: &str) -> Result {
    let kafka = milena::connect(&format!("{address},{}", on.bootstrap_servers())).await?;
    let topic = on.unique("past-bootstrap");
    create(&kafka, on, &topic, 1).await?;
    let producer = kafka.producer().build().await?;
    producer.send(Record::to(topic.as_str()).value("there")).await?;
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

pub(super) async fn where_nobody_listens_is_said_in_time(_on: Arc<Target>) -> Result {
    let started = Instant::now();
    let failed = async {
        let kafka = Kafka::builder().bootstrap_servers(DEAD).connect().await?;
        let producer = kafka.producer().set("max.block.ms", "1000")?.build().await?;
        producer.send(Record::to("anything").value("x")).await.map(drop)
    };
    let error = failed.await.expect_err("nobody is there");
    let is_apt = matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Connection);
    assert!(is_apt, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    Ok(())
}

/// Descriptors that the program may have: more than its runtime needs, and few enough to be held.
const DESCRIPTORS: u32 = 64;

pub(super) async fn a_program_without_descriptors_says_so_and_goes_on_once_it_has_some(
    on: Arc<Target>,
) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("no-descriptors");
    create(&kafka, &on, &topic, 1).await?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")]);
    command.arg(std::env::current_exe()?).args(["hoard", "--topic", &topic]);
    command.args(["--bootstrap-servers", on.bootstrap_servers()]);
    let said = told(command, "").await?.expect_success();
    let (refused, offset) = said.split_once('\n').ok_or("the program said less than two lines")?;
    assert!(refused.contains("open files"), "{refused}");
    assert_eq!(offset.trim(), "0");
    let consumer = kafka.consumer_without_group().assign([(topic.as_str(), 0)]).build().await?;
    let ends = consumer.handle().end_offsets([(topic.as_str(), 0)]).await?;
    assert!(ends.into_values().eq([Offset::new(1).unwrap()]), "what was refused is not there");
    Ok(())
}

/// All brokers were gone at once, so that nothing known is left but the addresses.
pub(super) async fn a_producer_outlives_its_only_broker(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("outlives");
    create(&kafka, &on, &topic, 1).await?;
    // The outage is as long as the broker takes to start, and the record must wait for it.
    let producer = kafka.producer().set("delivery.timeout.ms", "300000")?.build().await?;
    producer.send(Record::to(topic.as_str()).value("0")).await?;
    for outage in 1..=2 {
        on.kill_broker(1).await?;
        let while_down = producer.send(Record::to(topic.as_str()).value(outage.to_string()));
        let delivery = while_down.enqueue().await?;
        on.start_broker(1).await?;
        delivery.await?;
    }
    producer.close(Duration::from_secs(30)).await?;
    let rows = read(&kafka, &topic, 1, 3).await?;
    let values: Vec<_> = rows.iter().map(|row| row.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"0"[..]), Some(&b"1"[..]), Some(&b"2"[..])]);
    Ok(())
}

/// Whatever is still to be sent, every delivery ends, and so does the close.
pub(super) async fn a_close_ends_in_time_and_leaves_nothing_open(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("close");
    create(&kafka, &on, &topic, 1).await?;
    for patience in [Duration::ZERO, Duration::from_secs(30)] {
        let producer = kafka.producer().set("linger.ms", "60000")?.build().await?;
        let other = producer.clone();
        let mut deliveries = Vec::new();
        for number in 0..100 {
            let record = Record::to(topic.as_str()).value(number.to_string());
            deliveries.push(producer.send(record).enqueue().await?);
        }
        let started = Instant::now();
        let closed = producer.close(patience).await;
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert!(patience.is_zero() || closed.is_ok(), "{closed:?}");
        for delivery in deliveries {
            let delivered = delivery.await;
            assert!(patience.is_zero() || delivered.is_ok(), "{delivered:?}");
        }
        let refused = other.send(Record::to(topic.as_str()).value("late")).await;
        assert_eq!(refused.map_err(|e| e.kind()).err(), Some(ErrorKind::Closed));
    }
    Ok(())
}
