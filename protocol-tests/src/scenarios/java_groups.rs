//! Groups of the consumer protocol as Kafka's own programs see them, and with Kafka's own members.

use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::time::{Instant, sleep};

use super::consumer_groups::{hasten, is_shared, join};
use crate::Result;
use crate::member::until;
use crate::target::Target;
use crate::user::{connect, create};

/// A dozen JVMs, each of which takes seconds on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// Rows 43 to 45: a row for each member at each step, those without partitions included, and what moved.
pub(super) async fn our_members_are_described_by_java(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("rows-848"), on.unique("rows-848"));
    create(&kafka, &on, &topic, 3).await?;
    hasten(&on, &group, 6_000).await?;
    let mut members = Vec::new();
    for shares in [&[3][..], &[2, 1], &[1, 1, 1], &[1, 1, 1, 0], &[1, 1, 1, 0, 0]] {
        members.push(join(&kafka, &group, &topic, &[]).await?);
        until("the partitions are shared", || is_shared(&members, shares)).await?;
        described(&on, &group, shares).await?;
    }
    stable(&on, &group).await?;
    let told = on.tool("kafka-groups", &["--list"], "").await?;
    let row = told.lines().find(|line| line.starts_with(&group)).unwrap_or_default();
    let words: Vec<_> = row.split_whitespace().skip(1).collect();
    assert_eq!(words, ["Consumer", "consumer"], "{told}");
    // Row 42: the heir does not wait for a session.
    members.remove(0).stop().await?;
    until("an heir takes over", || is_shared(&members, &[1, 1, 1, 0])).await?;
    described(&on, &group, &[1, 1, 1, 0]).await?;
    for member in members {
        member.stop().await?;
    }
    Ok(())
}

/// One of ours and one of Java's, and each reads what is its own.
pub(super) async fn a_member_of_java_shares_with_ours(on: Arc<Target>) -> Result {
    const RECORDS: usize = 20;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("mixed-848"), on.unique("mixed-848"));
    create(&kafka, &on, &topic, 2).await?;
    hasten(&on, &group, 6_000).await?;
    let ours = join(&kafka, &group, &topic, &[]).await?;
    until("one member has all", || ours.owned() == [0, 1]).await?;
    let count = RECORDS.to_string();
    let args = ["--topic", &topic, "--group", &group, "--max-messages", &count];
    let args = [&args[..], &["--consumer-property", "group.protocol=consumer"]].concat();
    let java = on.tool("kafka-console-consumer", &args, "");
    let meanwhile = async {
        until("two members share", || ours.owned().len() == 1).await?;
        let kept = ours.owned()[0];
        let producer = kafka.producer().build().await?;
        for number in 0..RECORDS {
            for partition in 0..2 {
                let record = Record::to(topic.as_str()).value(format!("{partition}:{number}"));
                producer.send(record.partition(partition)).await?;
            }
        }
        producer.close(Duration::from_secs(30)).await?;
        Result::Ok(kept)
    };
    let (told, kept) = tokio::join!(java, meanwhile);
    let (told, kept) = (told?, kept?);
    let expected: Vec<_> = (0..RECORDS).map(|number| format!("{}:{number}", 1 - kept)).collect();
    let read: Vec<_> = told.lines().filter(|line| line.contains(':')).collect();
    assert_eq!(read, expected);
    // Java has committed what it read and left: ours goes on behind it.
    until("ours has all again", || ours.owned() == [0, 1]).await?;
    until("ours has read its own", || ours.seen().records.len() == RECORDS).await?;
    let seen = ours.stop().await?;
    assert!(seen.records.keys().all(|(partition, _)| partition.partition == kept), "{seen:?}");
    Ok(())
}

/// Members of both protocols in one group, Java's own among them: it is of either protocol as the first and last
/// members are.
pub(super) async fn a_classic_member_of_java_is_taken_over(on: Arc<Target>) -> Result {
    const RECORDS: usize = 20;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("upgrade-848"), on.unique("upgrade-848"));
    create(&kafka, &on, &topic, 2).await?;
    hasten(&on, &group, 6_000).await?;
    let count = RECORDS.to_string();
    let args = ["--topic", &topic, "--group", &group, "--max-messages", &count];
    let faster = ["--consumer-property", "heartbeat.interval.ms=300"];
    let args = [&args[..], &["--consumer-property", "group.protocol=classic"], &faster].concat();
    let java = on.tool("kafka-console-consumer", &args, "");
    let meanwhile = async {
        described_as(&on, &group, "Java is there", |shares| shares == [2]).await?;
        let ours = join(&kafka, &group, &topic, &[]).await?;
        until("two members share", || ours.owned().len() == 1).await?;
        let kept = ours.owned()[0];
        let producer = kafka.producer().build().await?;
        for number in 0..RECORDS {
            for partition in 0..2 {
                let record = Record::to(topic.as_str()).value(format!("{partition}:{number}"));
                producer.send(record.partition(partition)).await?;
            }
        }
        producer.close(Duration::from_secs(30)).await?;
        Result::Ok((ours, kept))
    };
    let (told, ours) = tokio::join!(java, meanwhile);
    let (told, (ours, kept)) = (told?, ours?);
    let read: Vec<_> = told.lines().filter(|line| line.contains(':')).collect();
    let expected: Vec<_> = (0..RECORDS).map(|number| format!("{}:{number}", 1 - kept)).collect();
    assert_eq!(read, expected);
    until("ours has all", || ours.owned() == [0, 1]).await?;
    until("ours has read its own", || ours.seen().records.len() == RECORDS).await?;
    ours.stop().await.map(drop)
}

/// Waits until Kafka's own program shows a group's members with so many partitions each.
pub(super) async fn described(on: &Target, group: &str, sizes: &[usize]) -> Result {
    described_as(on, group, &format!("{sizes:?}"), |shares| shares == sizes).await
}

/// A member that gets nothing is there before the others have heard of the new epoch.
async fn stable(on: &Target, group: &str) -> Result {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let args = ["--describe", "--group", group, "--state"];
        let told = on.tool("kafka-consumer-groups", &args, "").await?;
        assert!(told.contains("uniform"), "{told}");
        if told.contains("Stable") {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("not stable in time: {told}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn described_as(
    on: &Target,
    group: &str,
    what: &str,
    fits: impl Fn(&[usize]) -> bool,
) -> Result {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let args = ["--describe", "--group", group, "--members"];
        let told = on.try_tool("kafka-consumer-groups", &args, "").await?;
        // GROUP CONSUMER-ID HOST CLIENT-ID #PARTITIONS
        let rows = told.stdout.lines().filter(|line| line.starts_with(group));
        let count = |row: &str| row.split_whitespace().nth(4)?.parse().ok();
        let mut shares: Vec<usize> = rows.filter_map(count).collect();
        shares.sort_unstable_by(|a, b| b.cmp(a));
        if fits(&shares) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("not described in time: {what}; {told:?}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
}
