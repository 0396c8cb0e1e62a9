//! The settings of brokers that they may be told while they run (`DynamicBrokerConfig`), those that they read when they start alone,
//! and what is known of each.

use crate::release::Release;
use crate::topic::{ConfigKind, Definition, broker_synonyms};

use self::ConfigKind::{Boolean, Class, Double, Int, List, Long, Password, Short, String as Text};

/// One name that brokers may be told while they run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerDefinition {
    pub(crate) kind: ConfigKind,
    default: Option<&'static str>,
    limits: (Option<i64>, Option<i64>),
    /// Whether each broker is told by itself, never all at once.
    is_own: bool,
    topic: Option<&'static Definition>,
}

/// The same of one that is no default of topics.
#[derive(Clone, Copy, Debug)]
struct Other {
    name: &'static str,
    since: Release,
    until: Option<Release>,
    definition: BrokerDefinition,
}

impl BrokerDefinition {
    /// The names that brokers may be told in a release, but for those of listeners.
    pub(crate) fn names(release: Release) -> impl Iterator<Item = &'static str> {
        let of_topics = Definition::all(release).filter_map(Definition::broker_name);
        let of_topics =
            of_topics.filter(move |name| Definition::of_broker(name, release).is_some());
        of_topics.chain(OTHERS.iter().filter(move |one| one.is_of(release)).map(|one| one.name))
    }

    /// The definition of a name that brokers may be told while they run; for one of a listener that of the rest of its name.
    pub(crate) fn of(name: &str, release: Release) -> Option<Self> {
        let name = base(name).unwrap_or(name);
        if let Some(topic) = Definition::of_broker(name, release) {
            let limits = limits_of(name, release);
            let default = default(name, release);
            return Some(Self {
                kind: topic.kind,
                default,
                limits,
                is_own: false,
                topic: Some(topic),
            });
        }
        let other = OTHERS.iter().find(|one| one.name == name && one.is_of(release));
        other.map(|one| one.definition)
    }

    /// What it is where nobody was told otherwise.
    pub(crate) fn default(&self) -> &'static str {
        self.default.unwrap_or_default()
    }

    /// Whether only one broker at a time may be told this name.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        // Of listeners all that is not a limit of connections or threads.
        self.is_own || base(name).is_some_and(|base| !OF_ALL_LISTENERS.contains(&base))
    }

    /// Why the value is not taken under this name.
    pub(crate) fn check(&self, name: &str, value: &str) -> Result<(), String> {
        let name = base(name).unwrap_or(name);
        let (kind, trimmed) = (self.kind, value.trim());
        let wrong =
            |what: &str| Err(format!("Invalid value {value} for configuration {name}: {what}"));
        kind.check(name, value)?;
        if kind == Class && self.default != Some(trimmed) {
            // Nobody's classes are here.
            return wrong(&format!("Class {value} could not be found."));
        }
        let (least, most) = self.limits;
        if let Some(least) = least.filter(|least| is_below(trimmed, *least)) {
            return wrong(&format!("Value must be at least {least}"));
        }
        if let Some(most) = most.filter(|most| is_above(trimmed, *most)) {
            return wrong(&format!("Value must be no more than {most}"));
        }
        if let Some(known) = words_of(name).filter(|known| !known.contains(&trimmed)) {
            return wrong(&format!("String must be one of: {}", known.join(", ")));
        }
        self.topic.map_or(Ok(()), |topic| topic.check_words(name, value))
    }
}

impl Other {
    fn is_of(&self, release: Release) -> bool {
        self.since <= release && self.until.is_none_or(|until| release < until)
    }

    const fn at_least(mut self, least: i64) -> Self {
        self.definition.limits.0 = Some(least);
        self
    }

    const fn since(self, major: u8, minor: u8) -> Self {
        Self { since: Release::of(major, minor), ..self }
    }

    const fn until(self, major: u8, minor: u8) -> Self {
        Self { until: Some(Release::of(major, minor)), ..self }
    }
}

fn is_below(value: &str, least: i64) -> bool {
    value.parse::<i64>().map_or_else(|_| is_float(value, |n| n < least as f64), |n| n < least)
}

fn is_above(value: &str, most: i64) -> bool {
    value.parse::<i64>().map_or_else(|_| is_float(value, |n| n > most as f64), |n| n > most)
}

fn is_float(value: &str, is_wrong: impl Fn(f64) -> bool) -> bool {
    value.parse::<f64>().is_ok_and(is_wrong)
}

/// From where to where a value of this name may go with brokers.
pub(crate) fn limits_of(name: &str, release: Release) -> (Option<i64>, Option<i64>) {
    match name {
        // KIP-1030.
        "log.segment.bytes" if release >= Release::of(4, 0) => (Some(1 << 20), None),
        "log.segment.bytes" => (Some(14), None),
        _ => {
            let limits = LIMITS.iter().find(|(limited, ..)| *limited == name);
            limits.map_or((None, None), |(_, least, most)| (Some(*least), *most))
        }
    }
}

/// Which words a value of this name may be, where there are only some.
pub(crate) fn words_of(name: &str) -> Option<&'static [&'static str]> {
    ONE_OF.iter().find(|(limited, _)| *limited == name).map(|(_, known)| *known)
}

/// What of the name of a listener's setting is behind the listener's own.
pub(crate) fn base(name: &str) -> Option<&str> {
    name.strip_prefix("listener.name.")?.split_once('.').map(|(_, base)| base)
}

/// The names that stand for the same as this one, each counting before the next.
pub(crate) fn synonyms(name: &str) -> impl Iterator<Item = &str> {
    broker_synonyms(name).chain(base(name))
}

/// What a setting is where nobody says anything of it. Times have one of them in hours alone.
pub(crate) fn default(name: &str, release: Release) -> Option<&'static str> {
    match name {
        "log.retention.hours" | "log.roll.hours" => return Some("168"),
        "log.roll.jitter.hours" => return Some("0"),
        "log.flush.scheduler.interval.ms" => return Some("9223372036854775807"),
        _ if broker_synonyms(name).nth(1).is_some() => return None,
        _ => {}
    }
    let topic = Definition::all(release).find(|one| one.broker_name() == Some(name));
    let other = || OTHERS.iter().find(|one| one.name == name && one.is_of(release));
    topic.map(|one| one.default).or_else(|| other()?.definition.default)
}

/// What Kafka asks of the time for which brokers keep logs.
pub(crate) const RETENTION: &str =
    "log.retention.ms must be unlimited (-1) or, greater than or equal to 1";

/// Why brokers cannot be started with this, if it is about what topics have of them at all.
pub(crate) fn check_static(
    name: &str,
    value: &str,
    release: Release,
) -> Option<Result<(), String>> {
    // As a topic's own it would be taken.
    if matches!(name, "log.retention.ms" | "log.retention.minutes" | "log.retention.hours")
        && value.trim().parse() == Ok(0)
    {
        return Some(Err(format!("{RETENTION}: {name} is 0")));
    }
    if Definition::of_broker(name, release).is_some() {
        return Some(BrokerDefinition::of(name, release)?.check(name, value));
    }
    let least: i64 = match name {
        "log.retention.hours" | "log.retention.minutes" => i64::MIN,
        "log.roll.hours" => 1,
        "log.roll.jitter.hours" | "log.flush.scheduler.interval.ms" => 0,
        _ => return None,
    };
    let too_little = || {
        Err(format!(
            "Invalid value {value} for configuration {name}: Value must be at least {least}"
        ))
    };
    let checked = fixed_kind(name).check(name, value);
    Some(checked.and_then(|()| if is_below(value.trim(), least) { too_little() } else { Ok(()) }))
}

/// Of what kind a setting is that brokers are started with alone; unknown where topics have nothing of it.
pub(crate) fn fixed_kind(name: &str) -> ConfigKind {
    match name {
        "log.flush.scheduler.interval.ms" => Long,
        _ if broker_synonyms(name).nth(1).is_some() => Int,
        _ => ConfigKind::Unknown,
    }
}

/// Whether brokers of Kafka know the name, and read it when they start alone.
pub(crate) fn is_read_at_the_start(name: &str, release: Release) -> bool {
    let mut others = OTHERS.iter().filter(|one| one.name == name);
    let is_newer = others.clone().next().is_some() && others.all(|one| one.since > release)
        || (name.starts_with("share.") && release < Release::of(4, 0));
    let is_known =
        FIXED.contains(&name) || FIXED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_known && (!is_newer || ONCE_FIXED.contains(&name))
}

/// What brokers read when they started alone, before they could be told while they run.
const ONCE_FIXED: &[&str] = &[
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.reader.threads",
];

/// What is told of TLS is told of a listener.
pub(crate) const OF_LISTENERS_ALONE: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// What of a listener all brokers may be told at once.
const OF_ALL_LISTENERS: &[&str] =
    &["max.connection.creation.rate", "max.connections", "num.network.threads"];

const ONE_OF: &[(&str, &[&str])] = &[
    ("compression.type", &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ("ssl.client.auth", &["required", "requested", "none"]),
];

/// From where to where topics' defaults go with brokers (4.4).
const LIMITS: &[(&str, i64, Option<i64>)] = &[
    ("compression.lz4.level", 1, Some(17)),
    ("compression.zstd.level", -131_072, Some(22)),
    ("log.cleaner.delete.retention.ms", 0, None),
    ("log.cleaner.max.compaction.lag.ms", 1, None),
    ("log.cleaner.min.cleanable.ratio", 0, Some(1)),
    ("log.cleaner.min.compaction.lag.ms", 0, None),
    ("log.flush.interval.messages", 1, None),
    ("log.index.interval.bytes", 0, None),
    ("log.index.size.max.bytes", 4, None),
    ("log.local.retention.bytes", -2, None),
    ("log.local.retention.ms", -2, None),
    ("log.message.timestamp.after.max.ms", 0, None),
    ("log.message.timestamp.before.max.ms", 0, None),
    ("log.message.timestamp.difference.max.ms", 0, None),
    ("log.remote.copy.lag.bytes", -1, None),
    ("log.remote.copy.lag.ms", -1, None),
    ("log.segment.delete.delay.ms", 0, None),
    ("max.decompressed.message.bytes", 1, Some(2_147_483_639)),
    ("message.max.bytes", 0, None),
    ("min.insync.replicas", 1, None),
];

const fn any(name: &'static str, kind: ConfigKind, default: Option<&'static str>) -> Other {
    let definition =
        BrokerDefinition { kind, default, limits: (None, None), is_own: false, topic: None };
    Other { name, since: Release::OLDEST, until: None, definition }
}

const fn own(name: &'static str, kind: ConfigKind, default: Option<&'static str>) -> Other {
    let mut other = any(name, kind, default);
    other.definition.is_own = true;
    other
}

/// Those that are no defaults of topics. Here they are kept and do nothing. Names, kinds, limits and for whom they are told are those of
/// 4.4.0, 4.3.1, 3.9.2 and 2.8.2, from the sources of these; what came between is known from the first of them that has it.
#[rustfmt::skip]
const OTHERS: &[Other] = &[
    own("advertised.listeners", Text, None).until(4, 0),
    any("background.threads", Int, Some("10")).at_least(1),
    any("config.providers", List, Some("")).since(4, 0),
    own("cordoned.log.dirs", List, Some("")).since(4, 0),
    any("errors.deadletterqueue.auto.create.topics.enable", Boolean, Some("false")).since(4, 4),
    any("errors.deadletterqueue.topic.name.prefix", Text, Some("dlq.")).since(4, 4),
    any("follower.fetch.last.tiered.offset.enable", Boolean, Some("false")).since(4, 0),
    any("follower.replication.throttled.rate", Long, Some("9223372036854775807")).at_least(0),
    any("group.consumer.assignment.interval.ms", Int, Some("1000")).at_least(0).since(4, 0),
    any("group.consumer.assignor.offload.enable", Boolean, Some("true")).since(4, 4),
    any("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588")).at_least(524_288).since(4, 0),
    any("group.share.assignment.interval.ms", Int, Some("1000")).at_least(0).since(4, 0),
    any("group.share.assignor.offload.enable", Boolean, Some("true")).since(4, 4),
    any("group.streams.assignment.interval.ms", Int, Some("1000")).at_least(0).since(4, 0),
    any("group.streams.assignor.offload.enable", Boolean, Some("true")).since(4, 4),
    any("leader.replication.throttled.rate", Long, Some("9223372036854775807")).at_least(0),
    own("listener.security.protocol.map", Text, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT")),
    own("listeners", List, Some("PLAINTEXT://:9092")),
    any("log.cleaner.backoff.ms", Long, Some("15000")).at_least(0),
    any("log.cleaner.dedupe.buffer.size", Long, Some("134217728")),
    any("log.cleaner.io.buffer.load.factor", Double, Some("0.9")),
    any("log.cleaner.io.buffer.size", Int, Some("524288")).at_least(0),
    any("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308")),
    any("log.cleaner.threads", Int, Some("1")).at_least(0),
    any("max.connection.creation.rate", Int, Some("2147483647")).at_least(0),
    any("max.connections", Int, Some("2147483647")).at_least(0),
    any("max.connections.per.ip", Int, Some("2147483647")).at_least(0),
    any("max.connections.per.ip.overrides", Text, Some("")),
    any("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter")),
    any("num.io.threads", Int, Some("8")).at_least(1),
    any("num.network.threads", Int, Some("3")).at_least(1),
    any("num.recovery.threads.per.data.dir", Int, Some("1")).at_least(1).until(4, 0),
    any("num.recovery.threads.per.data.dir", Int, Some("2")).at_least(1).since(4, 0),
    any("num.replica.fetchers", Int, Some("1")).at_least(1),
    own("principal.builder.class", Class, Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder")),
    any("producer.id.expiration.ms", Int, Some("86400000")).at_least(1).since(3, 9),
    any("remote.fetch.max.wait.ms", Int, Some("500")).at_least(1).since(3, 9),
    any("remote.list.offsets.request.timeout.ms", Long, Some("30000")).at_least(1).since(4, 0),
    any("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824")).at_least(1).since(3, 9),
    any("remote.log.manager.copier.thread.pool.size", Int, Some("10")).at_least(1).since(4, 0),
    any("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807")).at_least(1).since(3, 9),
    any("remote.log.manager.expiration.thread.pool.size", Int, Some("10")).at_least(1).since(4, 0),
    any("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807")).at_least(1).since(3, 9),
    any("remote.log.manager.follower.thread.pool.size", Int, Some("2")).at_least(1).since(4, 0),
    any("remote.log.reader.threads", Int, Some("10")).at_least(1).since(4, 0),
    any("replica.alter.log.dirs.io.max.bytes.per.second", Long, Some("9223372036854775807")).at_least(0),
    own("sasl.enabled.mechanisms", List, Some("GSSAPI")),
    own("sasl.jaas.config", Password, None),
    own("sasl.kerberos.kinit.cmd", Text, Some("/usr/bin/kinit")),
    own("sasl.kerberos.min.time.before.relogin", Long, Some("60000")),
    own("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT")),
    own("sasl.kerberos.service.name", Text, None),
    own("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05")),
    own("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8")),
    own("sasl.login.refresh.buffer.seconds", Short, Some("300")),
    own("sasl.login.refresh.min.period.seconds", Short, Some("60")),
    own("sasl.login.refresh.window.factor", Double, Some("0.8")),
    own("sasl.login.refresh.window.jitter", Double, Some("0.05")),
    own("sasl.mechanism.inter.broker.protocol", Text, Some("GSSAPI")),
    any("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588")).at_least(524_288).since(4, 0),
    own("ssl.cipher.suites", List, Some("")),
    own("ssl.client.auth", Text, Some("none")),
    own("ssl.enabled.protocols", List, Some("TLSv1.2, TLSv1.3")),
    own("ssl.endpoint.identification.algorithm", Text, Some("https")),
    own("ssl.engine.factory.class", Class, None),
    own("ssl.key.password", Password, None),
    own("ssl.keymanager.algorithm", Text, Some("SunX509")),
    own("ssl.keystore.certificate.chain", Password, None),
    own("ssl.keystore.key", Password, None),
    own("ssl.keystore.location", Text, None),
    own("ssl.keystore.password", Password, None),
    own("ssl.keystore.type", Text, Some("JKS")),
    own("ssl.protocol", Text, Some("TLSv1.3")),
    own("ssl.provider", Text, None),
    own("ssl.secure.random.implementation", Text, None),
    own("ssl.trustmanager.algorithm", Text, Some("PKIX")),
    own("ssl.truststore.certificates", Password, None),
    own("ssl.truststore.location", Text, None),
    own("ssl.truststore.password", Password, None),
    own("ssl.truststore.type", Text, Some("JKS")),
    any("transaction.partition.verification.enable", Boolean, Some("true")).since(3, 9),
];

/// What begins so is read when a broker starts, unless it is above or a default of topics.
const FIXED_PREFIXES: &[&str] = &[
    "add.partitions.to.txn.",
    "alter.",
    "broker.",
    "controlled.shutdown.",
    "controller.",
    "delegation.token.",
    "delete.records.",
    "group.",
    "internal.metadata.",
    "kafka.metrics.",
    "log.",
    "metadata.",
    "offsets.",
    "password.encoder.",
    "producer.id.expiration.",
    "quota.",
    "replica.",
    "replication.quota.",
    "remote.log.",
    "sasl.",
    "share.coordinator.",
    "share.fetch.",
    "socket.",
    "ssl.allow.",
    "transaction.",
    "transactional.",
    "zookeeper.",
];

/// The others of which somebody may want to change one.
const FIXED: &[&str] = &[
    "advertised.listeners",
    "auto.create.topics.enable",
    "auto.leader.rebalance.enable",
    "authorizer.class.name",
    "client.quota.callback.class",
    "connection.failed.authentication.delay.ms",
    "connections.max.idle.ms",
    "connections.max.reauth.ms",
    "create.topic.policy.class.name",
    "default.replication.factor",
    "delete.topic.enable",
    "early.start.listeners",
    "fetch.max.bytes",
    "fetch.purgatory.purge.interval.requests",
    "initial.broker.registration.timeout.ms",
    "inter.broker.listener.name",
    "inter.broker.protocol.version",
    "leader.imbalance.check.interval.seconds",
    "leader.imbalance.per.broker.percentage",
    "max.incremental.fetch.session.cache.slots",
    "max.request.partition.size.limit",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "node.id",
    "num.partitions",
    "num.replica.alter.log.dirs.threads",
    "offset.metadata.max.bytes",
    "process.roles",
    "producer.purgatory.purge.interval.requests",
    "queued.max.request.bytes",
    "queued.max.requests",
    "reserved.broker.max.id",
    "request.timeout.ms",
    "security.inter.broker.protocol",
    "security.providers",
    "server.max.startup.time.ms",
    "ssl.principal.mapping.rules",
    "telemetry.max.bytes",
    "unclean.leader.election.interval.ms",
    "unstable.api.versions.enable",
    "unstable.feature.versions.enable",
];
