//! Kafka's own programs for administrators as judges.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::Result;
use crate::target::{Target, Version};

/// Several JVMs, one after the other.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

/// Brokers in KRaft did not describe SCRAM credentials before, which `kafka-configs` asks for with a user's quotas.
const SINCE: Version = Version::of(3, 5, 0);

/// Between one question and the next.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn fits(on: &Target) -> bool {
    *on.version() >= SINCE
}

pub(super) fn fits_three(on: &Target) -> bool {
    fits(on) && on.choice().brokers == 3
}

async fn topic_of(on: &Target, name: &str, factor: &str) -> Result<String> {
    let topic = on.unique(name);
    let args = ["--create", "--topic", &topic, "--partitions", "1", "--replication-factor", factor];
    on.tool("kafka-topics", &args, "").await?;
    Ok(topic)
}

/// Asks the program until its words are as they shall be: brokers hear of a change one by one, and a program that takes
/// too long to start gives up.
async fn until(on: &Target, tool: &str, args: &[&str], is_told: impl Fn(&str) -> bool) -> Result {
    loop {
        let told = on.try_tool(tool, args, "").await?;
        if told.success && is_told(&told.stdout) {
            return Ok(());
        }
        println!("            {tool} says: {} {}", told.stdout.trim(), told.stderr.trim());
        sleep(PAUSE).await;
    }
}

async fn until_led_by(on: &Target, topic: &str, leader: i32) -> Result {
    while on.leader(topic).await? != leader {
        sleep(PAUSE).await;
    }
    Ok(())
}

pub(super) async fn quotas_of_clients_and_users_are_set_described_and_deleted(
    on: Arc<Target>,
) -> Result {
    let name = on.unique("limited");
    let tool = "kafka-configs";
    let of_client = ["--entity-type", "clients", "--entity-name", &name];
    let of_user = ["--entity-type", "users", "--entity-name", &name];
    let of_both = [&of_user[..], &["--entity-type", "clients", "--entity-default"]].concat();
    for (entity, quota, told) in [
        (&of_client[..], "producer_byte_rate=20000", "producer_byte_rate=20000.0"),
        (&of_user, "request_percentage=12.5", "request_percentage=12.5"),
        (&of_both, "consumer_byte_rate=30000", "consumer_byte_rate=30000.0"),
    ] {
        on.tool(tool, &[entity, &["--alter", "--add-config", quota]].concat(), "").await?;
        let describe = [entity, &["--describe"]].concat();
        until(&on, tool, &describe, |words| words.contains(told)).await?;
    }
    let delete = ["--alter", "--delete-config", "producer_byte_rate"];
    on.tool(tool, &[&of_client[..], &delete].concat(), "").await?;
    let describe = [&of_client[..], &["--describe"]].concat();
    until(&on, tool, &describe, |words| !words.contains("producer_byte_rate")).await
}

pub(super) async fn passwords_of_users_are_set_described_and_deleted(on: Arc<Target>) -> Result {
    let name = on.unique("user");
    let tool = "kafka-configs";
    let entity = ["--entity-type", "users", "--entity-name", &name];
    // A user may not come up twice in one request.
    for add in
        ["SCRAM-SHA-256=[iterations=8192,password=secret]", "SCRAM-SHA-512=[password=secret]"]
    {
        on.tool(tool, &[&entity[..], &["--alter", "--add-config", add]].concat(), "").await?;
    }
    let describe = [&entity[..], &["--describe"]].concat();
    let told = ["SCRAM-SHA-256=iterations=8192", "SCRAM-SHA-512=iterations=4096"];
    until(&on, tool, &describe, |words| told.iter().all(|one| words.contains(one))).await?;
    let delete = ["--alter", "--delete-config", "SCRAM-SHA-256"];
    on.tool(tool, &[&entity[..], &delete].concat(), "").await?;
    until(&on, tool, &describe, |words| !words.contains(told[0]) && words.contains(told[1])).await
}

pub(super) async fn log_dirs_and_the_quorum_are_described(on: Arc<Target>) -> Result {
    let topic = topic_of(&on, "logs", "1").await?;
    on.tool("kafka-console-producer", &["--topic", &topic], "a line\n").await?;
    let told = on.tool("kafka-log-dirs", &["--describe", "--topic-list", &topic], "").await?;
    assert!(told.contains(&format!("\"partition\":\"{topic}-0\"")), "{told}");
    assert!(told.contains("\"offsetLag\":0,\"isFuture\":false"), "{told}");
    assert!(!told.contains(&format!("\"partition\":\"{topic}-0\",\"size\":0")), "{told}");

    let told = on.tool("kafka-metadata-quorum", &["describe", "--status"], "").await?;
    for wanted in ["ClusterId:", "LeaderId:", "HighWatermark:", "CurrentVoters:"] {
        assert!(told.contains(wanted), "{told}");
    }
    let told = on.tool("kafka-features", &["describe"], "").await?;
    assert!(told.contains("Feature: metadata.version"), "{told}");
    let told = on.tool("kafka-get-offsets", &["--topic", &topic], "").await?;
    assert_eq!(told.trim(), format!("{topic}:0:1"));
    Ok(())
}

pub(super) async fn a_partition_is_moved_and_its_first_replica_leads(on: Arc<Target>) -> Result {
    let topic = topic_of(&on, "moved", "1").await?;
    on.tool("kafka-console-producer", &["--topic", &topic], "a line\n").await?;
    let from = on.leader(&topic).await?;
    let to = from % 3 + 1;
    let plan = std::env::temp_dir().join(format!("{topic}-{}.json", std::process::id()));
    let path = plan.to_str().ok_or("a directory without a name")?;
    let moved = |replicas: &str| {
        format!(
            "{{\"version\":1,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"replicas\":[{replicas}]}}]}}"
        )
    };
    let tool = "kafka-reassign-partitions";
    let of_plan = ["--reassignment-json-file", path];
    let done = format!("Reassignment of partition {topic}-0 is completed.");
    // To the other one; then to both, led as before; then the first one of them shall lead.
    for (replicas, leader) in [(format!("{to}"), to), (format!("{from},{to}"), to)] {
        std::fs::write(&plan, moved(&replicas))?;
        on.tool(tool, &[&["--execute"], &of_plan[..]].concat(), "").await?;
        let verify = [&["--verify"], &of_plan[..]].concat();
        until(&on, tool, &verify, |words| words.contains(&done)).await?;
        until_led_by(&on, &topic, leader).await?;
    }
    std::fs::remove_file(&plan)?;
    let listed = on.tool(tool, &["--list"], "").await?;
    assert!(listed.contains("No partition reassignments found."), "{listed}");
    let elect = ["--election-type", "preferred", "--topic", &topic, "--partition", "0"];
    let told = on.tool("kafka-leader-election", &elect, "").await?;
    assert!(told.contains("Successfully completed leader election (PREFERRED)"), "{told}");
    until_led_by(&on, &topic, from).await?;
    let args = ["--topic", &topic, "--from-beginning", "--max-messages", "1"];
    let args = [&args[..], &["--timeout-ms", "30000"]].concat();
    let read = on.tool("kafka-console-consumer", &args, "").await?;
    assert_eq!(read.trim(), "a line");
    Ok(())
}
