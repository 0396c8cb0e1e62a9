//! Groups of the consumer protocol (KIP-848), seen from inside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena::{Kafka, Record, SubscriptionPattern, TopicPartition};
use milena_types::ApiKey;
use milena_wire::Response;
use milena_wire::messages::IncrementalAlterConfigsRequest;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use tokio::sync::oneshot;

use crate::Result;
use crate::member::{Account, Member, Seen, until};
use crate::raw::{Connection, message};
use crate::target::{Target, Version};
use crate::user::{connect, create};

/// Rebalances take heartbeats of several members, one after the other.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

/// Whether the brokers know the protocol; that of 3.x is another one's draft.
pub(super) fn is_spoken(on: &Target) -> bool {
    *on.version() >= Version::of(4, 0, 0) && on.speaks(ApiKey::CONSUMER_GROUP_HEARTBEAT)
}

/// Rows 42 to 44: one, two, three and five members on three partitions, and the first goes.
pub(super) async fn members_share_the_partitions_as_they_come_and_go(on: Arc<Target>) -> Result {
    for assignor in ["uniform", "range"] {
        let kafka = connect(&on).await?;
        let (topic, group) = (on.unique("share-848"), on.unique("share-848"));
        create(&kafka, &on, &topic, 3).await?;
        hasten(&on, &group, SESSION_MS).await?;
        let settings = [("group.remote.assignor", assignor)];
        let join = || join(&kafka, &group, &topic, &settings);
        let mut members = vec![join().await?];
        until("one member has all", || members[0].owned() == [0, 1, 2]).await?;
        for sizes in [&[2, 1][..], &[1, 1, 1], &[1, 1, 1, 0], &[1, 1, 1, 0, 0]] {
            members.push(join().await?);
            until("the partitions are shared", || is_shared(&members, sizes)).await?;
        }
        // The last two have nothing, and heard so.
        until("who has nothing hears so", || {
            members[3..].iter().all(|member| member.seen().changes == [('+', 0)])
        })
        .await?;
        let first = members.remove(0).stop().await?;
        assert!(first.changes.iter().all(|(sign, _)| *sign != '!'), "{:?}", first.changes);
        until("an heir takes over", || is_shared(&members, &[1, 1, 1, 0])).await?;
        for member in members {
            member.stop().await?;
        }
    }
    Ok(())
}

/// What is kept flows on; what moves is committed before it goes, so that nothing comes twice.
pub(super) async fn rebalances_lose_and_double_nothing(on: Arc<Target>) -> Result {
    const RECORDS: usize = 6_000;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("exact-848"), on.unique("exact-848"));
    create(&kafka, &on, &topic, 6).await?;
    hasten(&on, &group, SESSION_MS).await?;
    let settings = [("max.poll.records", "50")];
    let mut members = vec![join(&kafka, &group, &topic, &settings).await?];
    let mut done = Vec::new();
    let producer = kafka.producer().build().await?;
    for number in 0..RECORDS {
        let partition = i32::try_from(number % 6)?;
        let record = Record::to(topic.as_str()).value(number.to_string()).partition(partition);
        drop(producer.send(record).enqueue().await?);
        // Members come and go while records do.
        if number % 1_000 == 500 {
            producer.flush().await?;
            members.push(join(&kafka, &group, &topic, &settings).await?);
            if members.len() == 4 {
                done.push(members.remove(0).stop().await?);
            }
        }
    }
    producer.flush().await?;
    let count = |seen: &[Seen]| seen.iter().map(|one| one.records.len()).sum();
    until("all records are read", || {
        let seen: Vec<_> = members.iter().map(Member::seen).chain(done.iter().cloned()).collect();
        let read: usize = count(&seen);
        read >= RECORDS
    })
    .await?;
    for member in members {
        done.push(member.stop().await?);
    }
    let mut all: BTreeMap<(TopicPartition, i64), u32> = BTreeMap::new();
    for seen in done {
        assert!(seen.owned.is_empty() || seen.changes.iter().all(|(sign, _)| *sign != '!'));
        for (record, times) in seen.records {
            *all.entry(record).or_default() += times;
        }
    }
    assert_eq!(all.len(), RECORDS);
    let twice: Vec<_> = all.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

/// Row 46: one that dies without a word is missed after its session; the other reads on meanwhile.
pub(super) async fn a_killed_member_is_replaced_after_its_session(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("killed-848"), on.unique("killed-848"));
    create(&kafka, &on, &topic, 2).await?;
    hasten(&on, &group, SESSION_MS).await?;
    let first = join(&kafka, &group, &topic, &[]).await?;
    until("one member has all", || first.owned() == [0, 1]).await?;
    let (kill, killed) = oneshot::channel();
    let (servers, names) = (on.bootstrap_servers().to_owned(), (group.clone(), topic.clone()));
    let account = Account::default();
    // A runtime of its own: dropped, its tasks get no chance to say goodbye.
    let victim = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let kafka = milena::connect(servers.as_str()).await?;
            let builder = kafka.consumer(names.0.as_str()).set("group.protocol", "consumer")?;
            let builder = builder.subscribe([names.1.as_str()]).on_rebalance(account.clone());
            account.poll(builder.build().await?, killed).await.map(drop)
        })
    });
    until("two members share", || first.owned().len() == 1).await?;
    let producer = kafka.producer().build().await?;
    let kept = first.owned()[0];
    _ = kill.send(());
    victim.join().map_err(|_| "the victim panicked")??;
    // The other does not wait for any of this.
    for number in 0..20 {
        let record = Record::to(topic.as_str()).value(number.to_string()).partition(kept);
        producer.send(record).await?;
    }
    until("what is kept flows on", || first.seen().records.len() == 20).await?;
    until("the heir takes over", || first.owned() == [0, 1]).await?;
    let seen = first.stop().await?;
    assert_eq!(seen.moves(), [('+', 2), ('-', 1), ('+', 1), ('-', 2)], "and nothing else");
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

/// KIP-345 in KIP-848: back within the session it has what it had, and nobody else hears of it; a second one of its
/// name is refused.
pub(super) async fn a_static_member_comes_back_to_its_partitions(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("static-848"), on.unique("static-848"));
    create(&kafka, &on, &topic, 4).await?;
    hasten(&on, &group, 30_000).await?;
    let one = [("group.instance.id", "one")];
    let other = join(&kafka, &group, &topic, &[]).await?;
    until("one member has all", || other.owned().len() == 4).await?;
    let first = join(&kafka, &group, &topic, &one).await?;
    until("two members share", || (other.owned().len(), first.owned().len()) == (2, 2)).await?;
    let before = first.owned();
    let impostor = join(&kafka, &group, &topic, &one).await?;
    until("the impostor fails", || impostor.has_ended()).await?;
    let error = impostor.failure().await?;
    assert!(error.contains("UNRELEASED_INSTANCE_ID"), "{error}");
    first.stop().await?;
    let first = join(&kafka, &group, &topic, &one).await?;
    until("it has what it had", || first.owned() == before).await?;
    assert_eq!(other.seen().moves(), [('+', 4), ('-', 2)], "the other heard of nothing");
    first.stop().await?;
    other.stop().await?;
    Ok(())
}

/// F51: a user who does not poll for max.poll.interval.ms is out, hears so, and is in again with his next poll.
pub(super) async fn who_does_not_poll_is_out_until_he_does(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("idle-848"), on.unique("idle-848"));
    create(&kafka, &on, &topic, 2).await?;
    hasten(&on, &group, SESSION_MS).await?;
    let builder = kafka.consumer(group.as_str()).set("group.protocol", "consumer")?;
    let builder = builder.set("max.poll.interval.ms", "2000")?.subscribe([topic.as_str()]);
    let account = Account::default();
    let mut idle = builder.on_rebalance(account).build().await?;
    while idle.handle().assignment().await?.len() < 2 {
        idle.poll(Duration::from_millis(100)).await?;
    }
    // It goes by itself: this one has all without waiting for a session.
    let other = join(&kafka, &group, &topic, &[]).await?;
    until("the other has all", || other.owned() == [0, 1]).await?;
    assert!(idle.handle().assignment().await?.is_empty());
    while idle.handle().assignment().await?.len() != 1 {
        idle.poll(Duration::from_millis(100)).await?;
    }
    until("two members share", || other.owned().len() == 1).await?;
    idle.close(Duration::from_secs(30)).await?;
    other.stop().await?;
    Ok(())
}

/// By the client in both protocols, by the coordinator in the new one; topics that come later too.
pub(super) async fn a_pattern_takes_topics_that_are_and_will_be(on: Arc<Target>) -> Result {
    let kafka = Kafka::builder().bootstrap_servers(on.bootstrap_servers());
    let kafka = kafka.set("metadata.max.age.ms", "500")?.connect().await?;
    let stem = on.unique("pattern-848");
    let names = [format!("{stem}.a"), format!("{stem}.b"), format!("{stem}-other")];
    create(&kafka, &on, &names[0], 2).await?;
    create(&kafka, &on, &names[2], 2).await?;
    let pattern = format!(r"{stem}\.[a-z]");
    let mut members = Vec::new();
    for (protocol, by_server) in [("classic", false), ("consumer", false), ("consumer", true)] {
        let group = on.unique("pattern-848");
        hasten(&on, &group, SESSION_MS).await?;
        let member = Member::start(async |account| {
            let builder = kafka.consumer(group.as_str()).set("group.protocol", protocol)?;
            let builder = builder.on_rebalance(account);
            let builder = if by_server {
                builder.subscribe_server_pattern(SubscriptionPattern::new(pattern.as_str()))
            } else {
                builder.subscribe_pattern(&pattern)?
            };
            Ok(builder.build().await?)
        });
        members.push(member.await?);
    }
    let has = |member: &Member, name: &str, count: usize| {
        let owned = member.seen().owned;
        owned.iter().filter(|tp| tp.topic == name).count() == count
    };
    until("what is there is taken", || members.iter().all(|m| has(m, &names[0], 2))).await?;
    create(&kafka, &on, &names[1], 3).await?;
    // The client looks at all topics every metadata.max.age.ms, the coordinator at every change.
    until("what comes later is taken", || members.iter().all(|m| has(m, &names[1], 3))).await?;
    for member in members {
        assert!(has(&member, &names[2], 0));
        member.stop().await?;
    }
    Ok(())
}

/// Refusals that joining again does not heal end the consumer, and say why.
pub(super) async fn what_the_coordinator_refuses_is_told(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let topic = on.unique("refused-848");
    create(&kafka, &on, &topic, 1).await?;
    let group = on.unique("refused-848");
    let member = join(&kafka, &group, &topic, &[("group.remote.assignor", "sticky")]).await?;
    until("an unknown assignor fails", || member.has_ended()).await?;
    let error = member.failure().await?;
    assert!(error.contains("UNSUPPORTED_ASSIGNOR") && error.contains("uniform"), "{error}");

    let member = Member::start(async |_| {
        let builder = kafka.consumer(group.as_str()).set("group.protocol", "consumer")?;
        let builder = builder.subscribe_server_pattern(SubscriptionPattern::new("orders("));
        Ok(builder.build().await?)
    });
    let member = member.await?;
    until("a pattern that is none fails", || member.has_ended()).await?;
    let error = member.failure().await?;
    assert!(error.contains("INVALID_REGULAR_EXPRESSION"), "{error}");
    Ok(())
}

/// `auto` reads on every broker; Java has nothing like it.
pub(super) async fn auto_takes_the_protocol_that_is_there(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("auto-848"), on.unique("auto-848"));
    create(&kafka, &on, &topic, 2).await?;
    let auto = [("group.protocol", "auto"), ("auto.offset.reset", "earliest")];
    let first = join(&kafka, &group, &topic, &auto).await?;
    until("one member has all", || first.owned() == [0, 1]).await?;
    let second = join(&kafka, &group, &topic, &auto).await?;
    until("two members share", || (first.owned().len(), second.owned().len()) == (1, 1)).await?;
    // Only where the coordinator shares out does the first keep one partition all the time.
    let kept = if is_spoken(&on) { 1 } else { 2 };
    let changes = first.seen().changes;
    let gone = changes.iter().find(|(sign, _)| *sign == '-');
    assert_eq!(gone, Some(&('-', kept)), "{changes:?}");
    let producer = kafka.producer().build().await?;
    for partition in 0..2 {
        producer.send(Record::to(topic.as_str()).value("v").partition(partition)).await?;
    }
    until("both read", || [&first, &second].iter().all(|member| member.seen().records.len() == 1))
        .await?;
    producer.close(Duration::from_secs(30)).await?;
    first.stop().await?;
    second.stop().await?;
    Ok(())
}

/// A group of the classic protocol becomes one of the consumer protocol member by member, and back: nothing is lost
/// and nothing comes twice.
pub(super) async fn a_group_changes_its_protocol_as_it_runs(on: Arc<Target>) -> Result {
    const EACH: usize = 200;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("migrate-848"), on.unique("migrate-848"));
    create(&kafka, &on, &topic, 4).await?;
    hasten(&on, &group, SESSION_MS).await?;
    let producer = kafka.producer().build().await?;
    let classic = &[("group.protocol", "classic"), ("heartbeat.interval.ms", "300")][..];
    let consumer = &[("group.protocol", "consumer")][..];
    let mut members = vec![
        join(&kafka, &group, &topic, classic).await?,
        join(&kafka, &group, &topic, classic).await?,
    ];
    let mut is_classic = vec![true, true];
    let mut done = Vec::new();
    let mut sent = 0;
    for protocol in [None, Some(consumer), Some(consumer), Some(classic), Some(classic)] {
        if let Some(settings) = protocol {
            // Members of both protocols are in the group for a while.
            let before: Vec<_> = members.iter().map(|member| member.seen().changes.len()).collect();
            members.push(join(&kafka, &group, &topic, settings).await?);
            until("three share", || is_shared(&members, &[2, 1, 1])).await?;
            // A classic member that has not joined anew when the group becomes a classic one again is told that its
            // generation is none, and commits nothing: what it read comes twice.
            for (place, before) in before.into_iter().enumerate() {
                let has_joined = || members[place].seen().changes.len() >= before + 2;
                if is_classic[place] {
                    until("classic members have joined anew", has_joined).await?;
                }
            }
            is_classic.push(settings == classic);
            done.push(members.remove(0).stop().await?);
            is_classic.remove(0);
        }
        until("two share", || is_shared(&members, &[2, 2])).await?;
        for number in 0..EACH {
            let partition = i32::try_from(number % 4)?;
            let record = Record::to(topic.as_str()).value(sent.to_string()).partition(partition);
            drop(producer.send(record).enqueue().await?);
            sent += 1;
        }
        producer.flush().await?;
        let count = || {
            let running = members.iter().map(|member| member.seen().records.len());
            let stopped = done.iter().map(|seen| seen.records.len());
            running.chain(stopped).sum::<usize>()
        };
        until("all is read", || count() >= sent).await?;
        let all: Vec<_> = done.iter().cloned().chain(members.iter().map(Member::seen)).collect();
        assert_eq!(count(), sent, "nothing comes twice: {}", doubles(&all));
    }
    for member in members {
        member.stop().await?;
    }
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

/// What came twice, and to whom; and what each heard.
fn doubles(all: &[Seen]) -> String {
    let mut readers: BTreeMap<&(TopicPartition, i64), Vec<usize>> = BTreeMap::new();
    for (member, seen) in all.iter().enumerate() {
        for record in seen.records.keys() {
            readers.entry(record).or_default().push(member);
        }
    }
    let twice: Vec<_> = readers.into_iter().filter(|(_, members)| members.len() > 1).collect();
    let changes: Vec<_> = all.iter().map(|seen| &seen.changes).collect();
    format!("{:?} to {:?}; {changes:?}", twice.first(), twice.last())
}

/// The coordinator dies: its partitions are read on meanwhile, and the members are there for the next one.
pub(super) async fn a_coordinator_that_dies_takes_nothing_away(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("moved-848"), on.unique("moved-848"));
    create(&kafka, &on, &topic, 6).await?;
    hasten(&on, &group, 30_000).await?;
    let members =
        [join(&kafka, &group, &topic, &[]).await?, join(&kafka, &group, &topic, &[]).await?];
    until("two members share", || is_shared(&members, &[3, 3])).await?;
    let before: Vec<_> = members.iter().map(|member| member.seen().changes).collect();
    let coordinator = kafka.admin().describe_group(&group).await?.coordinator().get();
    on.kill_broker(coordinator).await?;
    let producer = kafka.producer().build().await?;
    for partition in 0..6 {
        producer.send(Record::to(topic.as_str()).value("v").partition(partition)).await?;
    }
    until("all is read on", || {
        members.iter().map(|member| member.seen().records.len()).sum::<usize>() == 6
    })
    .await?;
    let third = join(&kafka, &group, &topic, &[]).await?;
    until("the group goes on", || {
        members.iter().all(|member| member.owned().len() == 2) && third.owned().len() == 2
    })
    .await?;
    for (member, before) in members.into_iter().zip(before) {
        let after = member.stop().await?.changes;
        assert_eq!(after.len(), before.len() + 2, "one goes, and all at the end: {after:?}");
    }
    third.stop().await?;
    on.start_broker(coordinator).await?;
    producer.close(Duration::from_secs(30)).await?;
    Ok(())
}

/// A member of the consumer protocol, unless `settings` say otherwise, that commits what it gives up.
pub(super) async fn join(
    kafka: &Kafka,
    group: &str,
    topic: &str,
    settings: &[(&str, &str)],
) -> Result<Member> {
    Member::start(async |account| {
        let mut builder = kafka.consumer(group).set("group.protocol", "consumer")?;
        builder = builder.set("auto.offset.reset", "earliest")?;
        for (key, value) in settings {
            builder = builder.set(key, value)?;
        }
        Ok(builder.subscribe([topic]).on_rebalance(account).build().await?)
    })
    .await
}

/// Whether the members' shares are of these sizes, in any order, and no partition has two owners.
pub(super) fn is_shared(members: &[Member], sizes: &[usize]) -> bool {
    let shares: Vec<_> = members.iter().map(Member::owned).collect();
    let mut have: Vec<_> = shares.iter().map(Vec::len).collect();
    have.sort_unstable_by(|a, b| b.cmp(a));
    let mut all: Vec<_> = shares.concat();
    all.sort_unstable();
    all.dedup();
    have == sizes && all.len() == sizes.iter().sum::<usize>()
}

/// Has a group's members show themselves five times a second, rather than every five seconds, and sets their session.
///
/// That is about members of the consumer protocol. The embedded broker refuses these settings: there all its groups have
/// those of [`Target::start`], the same heartbeats and a session of six seconds.
pub(crate) async fn hasten(on: &Target, group: &str, session_ms: u32) -> Result {
    let set = |name: &str, value: String| {
        message!(AlterableConfig { name: name.into(), value: Some(value.into()) })
    };
    let configs = vec![
        set("consumer.heartbeat.interval.ms", "200".to_owned()),
        set("consumer.session.timeout.ms", session_ms.to_string()),
    ];
    let resource = message!(AlterConfigsResource {
        resource_type: GROUP_RESOURCE,
        resource_name: group.into(),
        configs: configs,
    });
    let ask = message!(IncrementalAlterConfigsRequest { resources: vec![resource] });
    if !on.speaks(ApiKey::INCREMENTAL_ALTER_CONFIGS) {
        return Ok(());
    }
    let told = Connection::open(on.address()).await?.call(ask, 1).await?;
    let Response::IncrementalAlterConfigs(told) = told else {
        return Err("another answer than IncrementalAlterConfigs's".into());
    };
    // Before 4.0 groups have no settings, and no group here needs any.
    if is_spoken(on) && on.embedded().is_none() {
        assert!(told.responses.iter().all(|one| !one.error_code.is_error()), "{told:?}");
    }
    Ok(())
}

const GROUP_RESOURCE: i8 = 32;

/// The shortest that heartbeats every 200 ms leave room for on a busy machine.
const SESSION_MS: u32 = 6_000;
