//! Reads orders as a member of a group, commits by hand what was worked off, and leaves well on Ctrl-C and SIGTERM: the
//! last offsets are committed, and the other members go on at once rather than after a time-out.
//!
//! ```text
//! cargo run -p milena --example order_consumer                    an embedded broker
//! KAFKA_BROKERS=localhost:9092 KAFKA_TOPIC=orders KAFKA_GROUP_ID=billing cargo run -p milena --example order_consumer
//! ```

use std::error::Error;
use std::time::Duration;

use milena::config::OffsetReset;
use milena::{ConsumerHandle, Kafka, RebalanceListener, Record, TopicPartition};
use milena_broker::Broker;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let (topic, group) = (variable("KAFKA_TOPIC", "orders"), variable("KAFKA_GROUP_ID", "billing"));
    match std::env::var("KAFKA_BROKERS") {
        Ok(servers) => {
            let kafka = milena::connect(&servers).await?;
            let worked_off = work(&kafka, &topic, &group, asked_to_end()).await?;
            println!("{worked_off} orders");
        }
        Err(_) => {
            let broker = Broker::builder().topic(&*topic, 3).start().await?;
            let kafka = milena::connect(&broker.bootstrap_servers()).await?;
            place_orders(&kafka, &topic).await?;
            // Ends by itself, where nobody presses Ctrl-C.
            let soon = tokio::time::sleep(Duration::from_secs(3));
            let end = async {
                tokio::select! { () = soon => {}, () = asked_to_end() => {} }
            };
            println!("{} orders", work(&kafka, &topic, &group, end).await?);
        }
    }
    Ok(())
}

/// Says what the group does.
struct Announce;

impl RebalanceListener for Announce {
    async fn assigned(&self, _: &ConsumerHandle, partitions: &[TopicPartition]) {
        println!("assigned: {}", listed(partitions));
    }

    async fn revoked(&self, handle: &ConsumerHandle, partitions: &[TopicPartition]) {
        // The last word before somebody else goes on there.
        if let Err(error) = handle.commit_marked().await {
            eprintln!("not committed: {error}");
        }
        println!("revoked: {}", listed(partitions));
    }
}

/// As Kafka writes them: `orders-0, orders-2`.
fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Works off orders until `end`; tells how many.
async fn work(
    kafka: &Kafka,
    topic: &str,
    group: &str,
    end: impl Future<Output = ()>,
) -> milena::Result<u64> {
    let consumer = kafka.consumer(group).subscribe([topic]).enable_auto_commit(false);
    let consumer = consumer.auto_offset_reset(OffsetReset::Earliest).max_poll_records(500);
    let mut consumer = consumer.on_rebalance(Announce).build().await?;
    let mut end = std::pin::pin!(end);
    let mut worked_off = 0;
    loop {
        // To drop a poll half-way loses no record.
        let batch = tokio::select! {
            biased;
            () = &mut end => break,
            batch = consumer.poll(Duration::from_secs(1)) => batch,
        };
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) if !error.is_fatal() => {
                eprintln!("{error}");
                continue;
            }
            Err(error) => return Err(error),
        };
        for order in &batch {
            bill(order.value().unwrap_or_default());
            // Of what is marked nothing is lost if a rebalance comes before the commit.
            consumer.mark(order);
            worked_off += 1;
        }
        match consumer.commit_marked().await {
            Ok(()) => {}
            // Other members read these orders again: at least once.
            Err(error) if !error.is_fatal() => eprintln!("not committed: {error}"),
            Err(error) => return Err(error),
        }
    }
    consumer.close(Duration::from_secs(10)).await?;
    Ok(worked_off)
}

fn bill(order: &[u8]) {
    println!("billing {}", String::from_utf8_lossy(order));
}

async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

async fn place_orders(kafka: &Kafka, topic: &str) -> milena::Result<()> {
    let producer = kafka.producer().build().await?;
    for number in 0..10 {
        let (key, value) = (format!("o-{number}"), format!("order {number}"));
        producer.send(Record::to(topic).key(key).value(value)).detach();
    }
    producer.close(Duration::from_secs(10)).await
}

#[cfg(test)]
#[tokio::test]
async fn what_was_worked_off_is_committed_when_it_ends() {
    let broker = Broker::builder().topic("orders", 3).start().await.expect("a free port");
    let kafka = milena::connect(&broker.bootstrap_servers()).await.expect("it listens");
    place_orders(&kafka, "orders").await.expect("nothing is wrong");
    let stored = || -> i64 {
        broker.committed("billing").values().map(|committed| committed.offset.get()).sum()
    };
    let end = async {
        while stored() < 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert_eq!(work(&kafka, "orders", "billing", end).await.expect("nothing is wrong"), 10);
    assert!(broker.group("billing").is_none_or(|group| group.members.is_empty()), "it left");
}

/// The program in a process of its own, while orders keep coming.
#[cfg(all(test, unix))]
mod signals {
    use std::collections::BTreeSet;
    use std::process::{Child, Command, Stdio};

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::unix::pipe::Receiver;

    use super::*;

    #[tokio::test]
    async fn sigterm_ends_it_well() {
        ends_well("TERM").await;
    }

    #[tokio::test]
    async fn sigint_ends_it_well() {
        ends_well("INT").await;
    }

    /// Not a test by itself: what the others start, in a process of its own.
    #[test]
    fn program() {
        if std::env::var_os(STARTED).is_some() {
            main().expect("nothing is wrong");
        }
    }

    async fn ends_well(signal: &str) {
        let broker = Broker::builder().topic("orders", 3).start().await.expect("a free port");
        let kafka = milena::connect(&broker.bootstrap_servers()).await.expect("it listens");
        let mut program = Program::start(&broker.bootstrap_servers());
        let handled = tokio::select! {
            handled = program.told_to_end(signal, &broker) => handled,
            // There is always more than it has handled.
            () = keep_ordering(&kafka) => unreachable!("they never stop"),
        };
        let status = program.0.wait().expect("it has ended");
        assert!(status.success(), "{status}");
        let mut committed = Vec::new();
        for (tp, end) in broker.committed("billing") {
            let records = broker.records("orders", tp.partition).into_iter();
            let before = records.filter(|record| record.offset < end.offset);
            committed.extend(before.filter_map(|record| record.value).map(|value| text(&value)));
        }
        committed.sort();
        assert_eq!(committed, handled, "each order once, and none that it has not handled");
        assert!(members(&broker).is_empty(), "it left");
    }

    /// Killed if the test ends before it does.
    struct Program(Child);

    impl Program {
        fn start(servers: &str) -> Self {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["--exact", "signals::program", "--nocapture"]).env(STARTED, "yes");
            command.env("KAFKA_BROKERS", servers);
            command.env_remove("KAFKA_TOPIC").env_remove("KAFKA_GROUP_ID");
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            Self(command.spawn().expect("this program starts"))
        }

        /// Sends the signal once some orders are handled, and gives all that are by the end, in order of their names.
        async fn told_to_end(&mut self, signal: &str, broker: &Broker) -> Vec<String> {
            let output = self.0.stdout.take().expect("it is piped");
            let output = Receiver::from_owned_fd(output.into()).expect("a pipe");
            let mut lines = BufReader::new(output).lines();
            let (mut handled, mut last) = (Vec::new(), String::new());
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some(order) = line.strip_prefix("billing ") {
                    handled.push(order.to_owned());
                    if handled.len() == SOME {
                        assert_eq!(members(broker).len(), 1, "it is a member");
                        self.send(signal);
                    }
                } else if line.ends_with(" orders") {
                    last = line;
                }
            }
            assert_eq!(last, format!("{} orders", handled.len()));
            assert!(handled.len() >= SOME);
            handled.sort();
            handled
        }

        fn send(&self, signal: &str) {
            let pid = self.0.id().to_string();
            let kill = Command::new("sh").args(["-c", "kill -s $0 $1", signal, &pid]).status();
            assert!(kill.expect("a shell").success());
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            // It has ended by itself if all went well.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    async fn keep_ordering(kafka: &Kafka) {
        let producer = kafka.producer().build().await.expect("nothing is wrong");
        for number in 0.. {
            let order = Record::to("orders").key(format!("o-{number}"));
            let sent = producer.send(order.value(format!("order {number}"))).await;
            sent.expect("nothing is wrong");
        }
    }

    fn members(broker: &Broker) -> BTreeSet<String> {
        let classic = broker.group("billing").map(|group| group.members.into_keys());
        let consumer = broker.consumer_group("billing").map(|group| group.members.into_keys());
        classic.into_iter().flatten().chain(consumer.into_iter().flatten()).collect()
    }

    fn text(value: &[u8]) -> String {
        String::from_utf8_lossy(value).into_owned()
    }

    /// Says that this process is the one that was started.
    const STARTED: &str = "STARTED_BY_A_TEST";

    const SOME: usize = 20;
}
