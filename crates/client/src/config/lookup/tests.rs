use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::config::{Acks, AssignmentStrategy, OffsetReset};

fn settings(scope: Scope, pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let mut settings = Settings::default();
    settings.set(Scope::Client, "bootstrap.servers", "localhost:9092")?;
    for (key, value) in pairs {
        settings.set(scope, key, value)?;
    }
    Ok(settings)
}

fn refusal(scope: Scope, key: &str, value: &str) -> String {
    settings(scope, &[(key, value)]).unwrap_err().to_string()
}

fn producer(pairs: &[(&str, &str)]) -> Result<ProducerConfig, ConfigError> {
    let Settings { common, producer, .. } = settings(Scope::Producer, pairs)?;
    producer.settle(&common)
}

/// These settings fail, and the error names both keys.
fn contradicts(pairs: &[(&str, &str)], first: &str, second: &str) {
    let error = producer(pairs).unwrap_err().to_string();
    let both = format!("\"{first}\" and \"{second}\" contradict");
    assert!(error.contains(&both), "{error}");
}

fn consumer(pairs: &[(&str, &str)]) -> Result<ConsumerConfig, ConfigError> {
    settings(Scope::Consumer, pairs)?.consumer.settle()
}

/// Each of these stands in a tutorial.
#[test]
fn a_misspelt_key_is_told_the_right_one() {
    assert_eq!(
        refusal(Scope::Producer, "asks", "all"),
        "unknown producer config \"asks\"; did you mean \"acks\"?"
    );
    for (scope, wrong, right) in [
        (Scope::Producer, "buffer.byte", "buffer.memory"),
        (Scope::Consumer, "heartbeat.internval.ms", "heartbeat.interval.ms"),
        (Scope::Client, "bootstrap.server", "bootstrap.servers"),
        (Scope::Consumer, "auto.offset.rest", "auto.offset.reset"),
        (Scope::Producer, "batchsize", "batch.size"),
    ] {
        let error = refusal(scope, wrong, "1");
        assert!(error.ends_with(&format!("did you mean \"{right}\"?")), "{error}");
    }
}

#[test]
fn a_key_of_the_other_side_is_told_whose_it_is() {
    assert_eq!(
        refusal(Scope::Consumer, "acks", "all"),
        "unknown consumer config \"acks\"; it belongs to a producer"
    );
    assert_eq!(
        refusal(Scope::Producer, "group.id", "g"),
        "unknown producer config \"group.id\"; it belongs to a consumer"
    );
}

#[test]
fn a_bad_value_is_named_with_its_key_and_what_it_should_be() {
    assert_eq!(
        refusal(Scope::Producer, "linger.ms", "5s"),
        "config \"linger.ms\": \"5s\" is not a whole number of milliseconds, 0 or more"
    );
    assert_eq!(
        refusal(Scope::Producer, "compression.lz4.level", "18"),
        "config \"compression.lz4.level\": 18 is out of range 1..=17"
    );
    assert_eq!(
        refusal(Scope::Producer, "acks", "2"),
        "config \"acks\": \"2\" is not one of all, -1, 1, 0"
    );
    assert_eq!(
        refusal(Scope::Producer, "batch.size", "2147483648"),
        "config \"batch.size\": \"2147483648\" is not a whole number from 0 to 2147483647"
    );
}

/// Silently plain text would be worse than any error.
#[test]
fn security_is_refused_rather_than_ignored() {
    for (key, what) in [
        ("ssl.truststore.location", "TLS"),
        ("sasl.jaas.config", "SASL"),
        ("sasl.mechanism", "SASL"),
    ] {
        let said = refusal(Scope::Client, key, "x");
        assert!(said.contains(&format!("is not supported: {what} is not there yet")), "{said}");
    }
    assert!(refusal(Scope::Client, "security.protocol", "SASL_SSL").contains("not supported"));
    assert!(settings(Scope::Client, &[("security.protocol", "plaintext")]).is_ok());
}

/// As Java refuses them.
#[test]
fn each_group_protocol_has_keys_of_its_own() {
    let settle = |keys: &[(&str, &str)]| {
        let keys = [&[("group.id", "g")], keys].concat();
        settings(Scope::Consumer, &keys).unwrap().consumer.settle().map_err(|e| e.to_string())
    };
    for key in ["session.timeout.ms", "heartbeat.interval.ms"] {
        let said = settle(&[("group.protocol", "consumer"), (key, "4000")]).unwrap_err();
        assert!(said.contains(key) && said.contains("group.protocol"), "{said}");
    }
    let strategy = ("partition.assignment.strategy", "range");
    assert!(settle(&[("group.protocol", "Consumer"), strategy]).is_err());
    let assignor = ("group.remote.assignor", "uniform");
    assert!(settle(&[assignor]).is_err(), "the default is classic");
    assert!(settle(&[("group.protocol", "consumer"), assignor]).is_ok());
    // It may come to use either.
    assert!(settle(&[("group.protocol", "auto"), assignor, strategy]).is_ok());
}

/// A key as Java's classes define it: whose, name, type, default, valid values.
fn java_keys() -> impl Iterator<Item = (Scope, [&'static str; 4])> {
    include_str!("java-keys.txt").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut parts = line.split('|');
        let scope = if parts.next() == Some("P") { Scope::Producer } else { Scope::Consumer };
        (scope, std::array::from_fn(|_| parts.next().expect("five parts")))
    })
}

/// Of `name`, for a program that writes it for a producer or consumer.
fn known(scope: Scope, name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name && [scope, Scope::Client].contains(&key.scope))
}

#[test]
fn every_key_of_java_is_known_by_its_type_and_default() {
    // No text is the same as none, and each of the others says why in its doc.
    let differs = ["bootstrap.servers", "partition.assignment.strategy", "receive.buffer.bytes"];
    let mut count = 0;
    for (scope, [name, kind, default, _]) in java_keys() {
        let Some(key) = known(scope, name) else { panic!("{name} is not known") };
        assert_eq!(key.kind, kind, "{name}");
        if key.support == Support::Implemented && !differs.contains(&name) {
            assert_eq!(key.default, default.replace("(null)", ""), "{name}");
            count += 1;
        }
    }
    assert!(count >= 65, "{count}");
}

/// Whether `value` is taken for `name`, in its own range and by the rules of build.
fn takes(scope: Scope, name: &str, value: i64) -> bool {
    let Ok(set) = settings(Scope::Client, &[(name, &value.to_string())]) else { return false };
    let settled = match scope {
        Scope::Producer => set.producer.settle(&set.common).map(drop),
        _ => set.consumer.settle().map(drop),
    };
    // Rules between keys are not the matter here.
    settled.map_or_else(|error| !error.to_string().contains("range"), |()| true)
}

/// Java's ranges, probed at their ends and just outside.
#[test]
fn every_number_has_the_range_of_java() {
    let mut count = 0;
    for (scope, [name, kind, _, valid]) in java_keys() {
        let is_ours = known(scope, name).is_some_and(|key| key.support == Support::Implemented);
        if !is_ours || !["int", "long"].contains(&kind) {
            continue;
        }
        let bounds = valid.strip_prefix('[').and_then(|bounds| bounds.split_once(",...,"));
        let least = valid.strip_prefix('[').and_then(|bounds| bounds.split_once(','));
        if let Some(least) = least.and_then(|(least, _)| least.parse::<i64>().ok()) {
            assert!(takes(scope, name, least), "{name}={least}");
            assert!(!takes(scope, name, least - 1), "{name}={}", least - 1);
        }
        let most = bounds.and_then(|(_, most)| most.split(']').next()?.parse().ok());
        let most = most.or((kind == "int").then_some(i64::from(i32::MAX)));
        if let Some(most) = most {
            assert!(takes(scope, name, most), "{name}={most}");
            assert!(!takes(scope, name, most + 1), "{name}={}", most + 1);
        }
        count += 1;
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn every_default_shown_is_the_default_in_force() {
    let Settings { common, producer, consumer, share } = Settings::default();
    let values = [
        (Scope::Client, common.values()),
        (Scope::Producer, producer.values()),
        (Scope::Consumer, consumer.values()),
        (Scope::ShareConsumer, share.values()),
    ];
    for (scope, values) in values {
        for (name, value) in values {
            let key = keys().find(|key| (key.scope, key.name) == (scope, name));
            assert_eq!(key.map(|key| key.default), Some(value.as_str()), "{name}");
        }
    }
}

/// The value that a key without effect has all the same.
#[test]
fn what_says_how_things_are_is_taken() {
    let dns = "client.dns.lookup";
    assert!(settings(Scope::Client, &[(dns, "use_all_dns_ips"), ("config.providers", "")]).is_ok());
    let canonical = refusal(Scope::Producer, dns, "resolve_canonical_bootstrap_servers_only");
    assert!(canonical.contains("Kerberos"), "{canonical}");
    assert!(refusal(Scope::Client, "config.providers", "file").contains("is looked up"));
    assert!(settings(Scope::Consumer, &[("group.protocol", "CLASSIC")]).is_ok());
}

/// A password in a log is there for good.
#[test]
fn a_secret_is_in_no_error_and_in_no_debug_output() {
    let secrets = keys().filter(|key| key.is_secret());
    let mut count = 0;
    for key in secrets {
        let mut settings = Settings::default();
        let result = settings.set(Scope::Client, key.name, "hunter2");
        assert!(!format!("{result:?} {settings:?}").contains("hunter2"), "{}", key.name);
        count += 1;
    }
    assert_eq!(count, 9);
}

#[test]
fn a_javas_file_loads_and_jvm_classes_are_noted() {
    let mut settings = settings(Scope::Client, &[("acks", "1"), ("group.id", "g")]).unwrap();
    assert_eq!((settings.producer.acks(), settings.consumer.group_id()), (Acks::Leader, Some("g")));
    let serializer = "org.apache.kafka.common.serialization.StringSerializer";
    let effect = settings.set(Scope::Producer, "key.serializer", serializer);
    assert_eq!(effect, Ok(Effect::Ignored("a JVM class; a key is what the program makes of it")));
}

#[test]
fn a_connections_key_cannot_be_set_on_one_producer() {
    assert!(refusal(Scope::Producer, "client.id", "x").contains("set it on `Kafka::builder()`"));
    assert!(settings(Scope::Producer, &[("request.timeout.ms", "1000")]).is_ok());
}

/// Java 4.4.0 judges each of these so.
#[test]
fn idempotence_goes_off_in_silence_only_where_it_was_not_asked_for() {
    assert!(producer(&[]).unwrap().enable_idempotence());
    for (key, value) in [("acks", "1"), ("acks", "0"), ("retries", "0")] {
        assert!(!producer(&[(key, value)]).unwrap().enable_idempotence());
        contradicts(&[(key, value), ("enable.idempotence", "true")], "enable.idempotence", key);
    }
    let window = "max.in.flight.requests.per.connection";
    contradicts(&[(window, "6")], "enable.idempotence", window);
    contradicts(&[(window, "6"), ("acks", "1")], "enable.idempotence", window);
    assert!(producer(&[(window, "6"), ("enable.idempotence", "false")]).is_ok());
}

/// Java 4.4.0 judges each of these so.
#[test]
fn transactions_need_idempotence() {
    let id = ("transactional.id", "t");
    contradicts(&[id, ("enable.idempotence", "false")], "transactional.id", "enable.idempotence");
    contradicts(&[id, ("acks", "1")], "transactional.id", "acks");
    contradicts(&[id, ("retries", "0")], "transactional.id", "retries");
    let two_phase = ("transaction.two.phase.commit.enable", "true");
    contradicts(
        &[id, two_phase, ("transaction.timeout.ms", "5")],
        "transaction.timeout.ms",
        two_phase.0,
    );
    assert_eq!(producer(&[id]).unwrap().transactional_id(), Some("t"));
    assert!(producer(&[("transaction.timeout.ms", "2147483648")]).is_err());
}

#[test]
fn a_rack_is_preferred_only_where_it_is_named() {
    let aware = ("partitioner.rack.aware", "true");
    contradicts(&[aware], aware.0, "client.rack");
    assert!(producer(&[aware, ("client.rack", "a")]).unwrap().partitioner_rack_aware());
}

#[test]
fn a_partitioner_is_known_by_javas_name_or_librdkafkas() {
    use milena_engine::producer::Partitioning;
    let named =
        |name| producer(&[("partitioner.class", name)]).map(|config| config.partitioner().clone());
    let round_robin = named("org.apache.kafka.clients.producer.RoundRobinPartitioner");
    assert_eq!(round_robin, Ok(Partitioning::RoundRobin));
    assert_eq!(named("consistent_random"), Ok(Partitioning::ConsistentRandom));
    let error = named("com.example.Ours").unwrap_err().to_string();
    assert!(error.contains("handed to the builder"), "{error}");
}

#[test]
fn a_delivery_timeout_below_its_parts_fails_only_where_it_was_set() {
    let error = producer(&[("delivery.timeout.ms", "30004")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "configs \"delivery.timeout.ms\" and \"request.timeout.ms\" contradict each other: \
         delivery.timeout.ms must be at least linger.ms + request.timeout.ms"
    );
    let raised = producer(&[("linger.ms", "100000")]).unwrap();
    assert_eq!(raised.delivery_timeout().as_millis(), 130_000);
}

#[test]
fn nothing_is_committed_without_a_group() {
    assert!(!consumer(&[]).unwrap().enable_auto_commit());
    assert!(consumer(&[("group.id", "g")]).unwrap().enable_auto_commit());
    let error = consumer(&[("enable.auto.commit", "true")]).unwrap_err().to_string();
    assert!(error.contains("enable.auto.commit") && error.contains("group.id"), "{error}");
}

#[test]
fn the_other_rules_of_a_consumer_name_both_settings() {
    let error = consumer(&[("heartbeat.interval.ms", "45000")]).unwrap_err().to_string();
    assert!(error.contains("heartbeat.interval.ms") && error.contains("session.timeout.ms"));
    let cooperative = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
    let strategies = |text: &str| {
        let config = consumer(&[("partition.assignment.strategy", text)]).ok()?;
        Some(config.partition_assignment_strategy().to_vec())
    };
    use AssignmentStrategy::{CooperativeSticky, Range, RoundRobin, Sticky};
    assert_eq!(strategies(cooperative), Some(vec![CooperativeSticky]));
    let all = "org.apache.kafka.clients.consumer.RoundRobinAssignor, sticky,RangeAssignor";
    assert_eq!(strategies(all), Some(vec![RoundRobin, Sticky, Range]));
    for wrong in ["", "range,range", "com.example.OwnAssignor", "range,StickyAssignor,sticky"] {
        assert_eq!(strategies(wrong), None, "{wrong}");
    }
    let default = consumer(&[]).unwrap().partition_assignment_strategy().to_vec();
    assert_eq!(default, [Range, CooperativeSticky]);
    let named = consumer(&[("group.id", "g"), ("group.instance.id", "one")]).unwrap();
    assert_eq!(named.group_instance_id(), Some("one"));
    let reset = consumer(&[("auto.offset.reset", "earliest")]).unwrap().auto_offset_reset();
    assert_eq!(reset, OffsetReset::Earliest);
}

/// Counts the warnings of a consumer's rules.
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().ends_with("config::consumer")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, SeqCst);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// With fewer than three to a session, two that are lost put a healthy member out.
#[test]
fn heartbeats_rarer_than_three_to_a_session_are_warned_of() {
    let warned = |interval: &str, session: &str| {
        let count = Arc::new(AtomicUsize::new(0));
        let pairs = [("heartbeat.interval.ms", interval), ("session.timeout.ms", session)];
        let config = tracing::subscriber::with_default(Warnings(Arc::clone(&count)), || {
            consumer(&pairs).unwrap()
        });
        assert_eq!(config.heartbeat_interval().as_millis().to_string(), interval, "it holds");
        count.load(SeqCst)
    };
    assert_eq!(warned("15000", "45000"), 0);
    assert_eq!(warned("15001", "45000"), 1);
    assert_eq!(warned("3000", "8999"), 1);
}

/// Java lets the longest wait alone stand, and says so in its log.
#[test]
fn a_first_wait_raises_the_longest_unless_both_were_set() {
    for (first, most) in [
        ("retry.backoff.ms", "retry.backoff.max.ms"),
        ("reconnect.backoff.ms", "reconnect.backoff.max.ms"),
        ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.max.ms"),
    ] {
        let settle = |pairs: &[_]| settings(Scope::Client, pairs).unwrap().common.settle();
        let values = settle(&[(first, "99000")]).unwrap().values();
        assert!(values.contains(&(most, "99000".to_owned())), "{most}");
        let error = settle(&[(first, "99000"), (most, "98000")]).unwrap_err().to_string();
        assert!(error.contains(first) && error.contains(most), "{error}");
        assert!(settle(&[(most, "1")]).is_err(), "{first} is longer by default");
    }
    let error = Settings::default().common.settle().unwrap_err().to_string();
    assert!(error.starts_with("config \"bootstrap.servers\" is missing"), "{error}");
}
