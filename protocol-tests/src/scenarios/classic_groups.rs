//! Groups of the classic protocol, seen from inside and by Kafka's own programs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use milena::{Kafka, Record, TopicPartition};

use super::java_groups::described;
use crate::Result;
use crate::member::{Member, Seen, until};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// Rebalances take heartbeats of several members, and Kafka's own programs their time to start.
pub(super) const LIMIT: Duration = Duration::from_secs(240);

/// Before 2.3 there are no static members.
pub(super) const STATIC_SINCE: Version = Version::of(2, 3, 0);

/// Rows 42 to 44: one, two, three and five members on three partitions, and the first goes; then seen by Java.
pub(super) async fn members_share_the_partitions_as_they_come_and_go(on: Arc<Target>) -> Result {
    for strategy in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        let kafka = connect(&on).await?;
        let (topic, group) = (on.unique("share-classic"), on.unique("share-classic"));
        create(&kafka, &on, &topic, 3).await?;
        let settings = [("partition.assignment.strategy", strategy)];
        let join = || join(&kafka, &group, &topic, &settings);
        let mut members = vec![join().await?];
        until("one member has all", || members[0].owned() == [0, 1, 2]).await?;
        for sizes in [&[1, 2][..], &[1, 1, 1], &[0, 1, 1, 1], &[0, 0, 1, 1, 1]] {
            members.push(join().await?);
            until("the partitions are shared", || is_shared(&members, sizes)).await?;
        }
        let first = members.remove(0).stop().await?;
        until("an heir takes over", || is_shared(&members, &[0, 1, 1, 1])).await?;
        let gone = first.changes.iter().filter(|(sign, _)| *sign == '-');
        let most = gone.map(|(_, count)| *count).max();
        // Eager members give all up each time, cooperative ones only what goes to another.
        let expected = if strategy == "cooperative-sticky" { &[1, 2][..] } else { &[3] };
        assert!(most.is_some_and(|most| expected.contains(&most)), "{:?}", first.changes);
        for member in members {
            let seen = member.stop().await?;
            assert!(seen.changes.iter().all(|(sign, _)| *sign != '!'), "{:?}", seen.changes);
        }
    }
    Ok(())
}

/// Rows 42 to 44 as `kafka-consumer-groups.sh` shows them at each step; of five members two have nothing.
pub(super) async fn java_sees_who_has_what(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("shown-classic"), on.unique("shown-classic"));
    create(&kafka, &on, &topic, 3).await?;
    let settings = [("partition.assignment.strategy", "cooperative-sticky")];
    let mut members = Vec::new();
    for (sizes, shown) in [
        (&[3][..], &[3][..]),
        (&[1, 2], &[2, 1]),
        (&[1, 1, 1], &[1, 1, 1]),
        (&[0, 0, 1, 1, 1], &[1, 1, 1, 0, 0]),
    ] {
        while members.len() < sizes.len() {
            members.push(join(&kafka, &group, &topic, &settings).await?);
        }
        until("the partitions are shared", || is_shared(&members, sizes)).await?;
        described(&on, &group, shown).await?;
    }
    members.remove(0).stop().await?;
    until("an heir takes over", || is_shared(&members, &[0, 1, 1, 1])).await?;
    described(&on, &group, &[1, 1, 1, 0]).await?;
    for member in members {
        member.stop().await?;
    }
    Ok(())
}

/// Members come and go while records do, eagerly and cooperatively: nothing is lost, and as what moves is committed
/// before it goes, nothing comes twice. Cooperatively, what stays is not even interrupted.
pub(super) async fn rebalances_lose_and_double_nothing(on: Arc<Target>) -> Result {
    const RECORDS: usize = 6_000;
    for strategy in ["range", "cooperative-sticky"] {
        let kafka = connect(&on).await?;
        let (topic, group) = (on.unique("exact-classic"), on.unique("exact-classic"));
        create(&kafka, &on, &topic, 6).await?;
        let settings = [("partition.assignment.strategy", strategy), ("max.poll.records", "50")];
        let mut members = vec![join(&kafka, &group, &topic, &settings).await?];
        let mut done = Vec::new();
        let producer = kafka.producer().build().await?;
        for number in 0..RECORDS {
            let partition = i32::try_from(number % 6)?;
            let record = Record::to(topic.as_str()).value(number.to_string());
            drop(producer.send(record.partition(partition)).enqueue().await?);
            if number % 1_000 == 500 {
                producer.flush().await?;
                members.push(join(&kafka, &group, &topic, &settings).await?);
                if members.len() == 4 {
                    done.push(members.remove(0).stop().await?);
                }
            }
        }
        producer.flush().await?;
        let read = || {
            let running = members.iter().map(|member| member.seen().records.len());
            running.chain(done.iter().map(|seen| seen.records.len())).sum::<usize>()
        };
        until("all records are read", || read() >= RECORDS).await?;
        for member in members {
            done.push(member.stop().await?);
        }
        let all = counted(&done);
        assert_eq!(all.len(), RECORDS);
        let twice: Vec<_> = all.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "{strategy}: {twice:?}");
        producer.close(Duration::from_secs(30)).await?;
    }
    Ok(())
}

/// One of ours and one of Java's in one group, whoever of them leads: each partition has one owner, and both read.
pub(super) async fn javas_members_and_ours_share_one_group(on: Arc<Target>) -> Result {
    const CLASSES: &str = "org.apache.kafka.clients.consumer.";
    for (strategy, class) in
        [("range", "RangeAssignor"), ("cooperative-sticky", "CooperativeStickyAssignor")]
    {
        for ours_first in [true, false] {
            let kafka = connect(&on).await?;
            let (topic, group) = (on.unique("mixed-classic"), on.unique("mixed-classic"));
            create(&kafka, &on, &topic, 4).await?;
            let settings = [("partition.assignment.strategy", strategy)];
            let class = format!("partition.assignment.strategy={CLASSES}{class}");
            let java = {
                let (on, topic, group) = (Arc::clone(&on), topic.clone(), group.clone());
                async move {
                    let args = ["--topic", &topic, "--group", &group, "--max-messages", "20"];
                    let more = ["--timeout-ms", "60000", "--consumer-property", &class];
                    let last = ["--consumer-property", "auto.offset.reset=earliest"];
                    let args = [&args[..], &more, &last].concat();
                    on.tool("kafka-console-consumer", &args, "").await
                }
            };
            let (ours, java) = if ours_first {
                let ours = join(&kafka, &group, &topic, &settings).await?;
                until("ours has all", || ours.owned().len() == 4).await?;
                (ours, tokio::spawn(java))
            } else {
                let java = tokio::spawn(java);
                let args = ["--describe", "--group", &group];
                while rows(&on, &group, &args).await?.len() < 4 && !java.is_finished() {}
                (join(&kafka, &group, &topic, &settings).await?, java)
            };
            until("both have two", || ours.owned().len() == 2).await?;
            let args = ["--describe", "--group", &group];
            let mut owners: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
            // A partition that changes hands cooperatively is nobody's for a moment.
            for _ in 0..10 {
                owners.clear();
                for row in rows(&on, &group, &args).await? {
                    owners.entry(row[6].clone()).or_default().insert(row[2].parse()?);
                }
                if owners.len() == 2 && !owners.contains_key("-") {
                    break;
                }
            }
            let mine: BTreeSet<i32> = ours.owned().into_iter().collect();
            let javas: BTreeSet<i32> = (0..4).filter(|number| !mine.contains(number)).collect();
            let shares: BTreeSet<_> = owners.into_values().collect();
            assert_eq!(shares, BTreeSet::from([mine.clone(), javas.clone()]), "{strategy}");
            let producer = kafka.producer().build().await?;
            for number in 0..40 {
                let record = Record::to(topic.as_str()).value(format!("{}-{number}", number % 4));
                producer.send(record.partition(number % 4)).await?;
            }
            producer.close(Duration::from_secs(30)).await?;
            let read = java.await??;
            // Beside the values it may say which options are going out of use.
            let is_value = |line: &&str| line.starts_with(|one: char| one.is_ascii_digit());
            let read: BTreeSet<&str> = read.lines().filter(is_value).collect();
            let expected: Vec<String> = (0..40)
                .filter(|number| javas.contains(&(number % 4)))
                .map(|number| format!("{}-{number}", number % 4))
                .collect();
            assert_eq!(read, expected.iter().map(String::as_str).collect(), "{strategy}");
            until("ours has read its share and inherits the rest", || {
                ours.owned().len() == 4 && ours.seen().records.len() == 20
            })
            .await?;
            let seen = ours.stop().await?;
            let times = counted(&[seen]);
            assert!(times.values().all(|times| *times == 1), "{strategy}: {times:?}");
        }
    }
    Ok(())
}

/// KIP-345: one that is back within its session has what it had, and nobody else hears of it; a second one of its name
/// takes its place, and the first is told.
pub(super) async fn a_static_member_comes_back_to_its_partitions(on: Arc<Target>) -> Result {
    for strategy in ["range", "cooperative-sticky"] {
        let kafka = connect(&on).await?;
        let (topic, group) = (on.unique("static-classic"), on.unique("static-classic"));
        create(&kafka, &on, &topic, 4).await?;
        let common = [("partition.assignment.strategy", strategy), ("session.timeout.ms", "30000")];
        let named = |name| [&common[..], &[("group.instance.id", name)]].concat();
        // The leader comes back too (KIP-814).
        let mut members = Vec::new();
        for name in ["one", "two"] {
            members.push(join(&kafka, &group, &topic, &named(name)).await?);
            let all = || members.iter().map(|member| member.owned().len()).sum::<usize>() == 4;
            until("all partitions are shared", || all() && members.iter().all(has_some)).await?;
        }
        for name in ["one", "two"] {
            let first = members.remove(0);
            let (before, others) = (first.owned(), members[0].seen().changes);
            first.stop().await?;
            let back = join(&kafka, &group, &topic, &named(name)).await?;
            until("it has what it had", || back.owned() == before).await?;
            assert_eq!(members[0].seen().changes, others, "the other heard of nothing");
            members.push(back);
        }
        let heir = join(&kafka, &group, &topic, &named("one")).await?;
        until("the older one ends", || members[0].has_ended()).await?;
        let error = members.remove(0).failure().await?;
        assert!(error.contains("FENCED_INSTANCE_ID"), "{error}");
        until("the newer one has its share", || has_some(&heir)).await?;
        heir.stop().await?;
        members.remove(0).stop().await?;
    }
    Ok(())
}

fn has_some(member: &Member) -> bool {
    !member.owned().is_empty()
}

/// How often each record was handed out, to whomever.
fn counted(seen: &[Seen]) -> BTreeMap<(TopicPartition, i64), u32> {
    let mut all = BTreeMap::new();
    for (record, times) in seen.iter().flat_map(|one| &one.records) {
        *all.entry(record.clone()).or_default() += times;
    }
    all
}

/// Whether the members have so many partitions, the smallest share first, and each partition one owner.
fn is_shared(members: &[Member], sizes: &[usize]) -> bool {
    let mut owned: Vec<Vec<i32>> = members.iter().map(Member::owned).collect();
    owned.sort_by_key(Vec::len);
    let distinct: BTreeSet<i32> = owned.iter().flatten().copied().collect();
    let now: Vec<usize> = owned.iter().map(Vec::len).collect();
    now == sizes && distinct.len() == sizes.iter().sum::<usize>()
}

/// The lines that a description of a group has about it, in columns.
async fn rows(on: &Target, group: &str, args: &[&str]) -> Result<Vec<Vec<String>>> {
    // A group that is not there yet is an error to it.
    let told = on.try_tool("kafka-consumer-groups", args, "").await?;
    let lines = told.stdout.lines().filter(|line| line.starts_with(group));
    Ok(lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
}

pub(super) async fn join(
    kafka: &Kafka,
    group: &str,
    topic: &str,
    settings: &[(&str, &str)],
) -> Result<Member> {
    Member::start(async |account| {
        let builder = kafka.consumer(group).set("auto.offset.reset", "earliest")?;
        let mut builder = builder.set("heartbeat.interval.ms", "300")?;
        for (key, value) in settings {
            builder = builder.set(key, value)?;
        }
        Ok(builder.subscribe([topic]).on_rebalance(account).build().await?)
    })
    .await
}
