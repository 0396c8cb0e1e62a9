//! Which values settings of topics may have.

use milena_types::ApiKey;
use milena_wire::messages::CreateTopicsRequest;
use milena_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// At the ends of what there is, and beyond; the least that brokers know by themselves or not.
const VALUES: &[(&str, &[&str])] = &[
    (
        "cleanup.policy",
        &["", "compact,compact", "compact,,delete", "Compact", " compact , delete "],
    ),
    ("compression.gzip.level", &["-1", "0", "9", "10"]),
    ("compression.lz4.level", &["0", "17", "18"]),
    ("compression.type", &["foo", " zstd ", "ZSTD", "uncompressed"]),
    ("compression.zstd.level", &["-131073", "22", "23"]),
    ("delete.retention.ms", &["-1", "0"]),
    ("errors.deadletterqueue.group.enable", &["maybe", "True"]),
    ("file.delete.delay.ms", &["-1", "0"]),
    ("flush.messages", &["-1", "0", "1"]),
    ("flush.ms", &["-1", "0"]),
    ("follower.replication.throttled.replicas", &["0:1,1:1", "0-1", "a, b", "", "0:1,*"]),
    ("index.interval.bytes", &["-1", "0"]),
    ("internal.segment.bytes", &["-1", "1", "x"]),
    ("leader.replication.throttled.replicas", &["*", "1", "1:"]),
    ("local.retention.bytes", &["-3", "-2"]),
    ("local.retention.ms", &["-3", "-2"]),
    ("max.compaction.lag.ms", &["0", "1"]),
    ("max.decompressed.message.bytes", &["0", "1", "2147483647"]),
    ("max.message.bytes", &["-1", "0", "2147483648"]),
    ("message.downconversion.enable", &["FALSE", "no"]),
    ("message.timestamp.after.max.ms", &["-1", "0"]),
    ("message.timestamp.before.max.ms", &["-1", "0"]),
    ("message.timestamp.difference.max.ms", &["-1", "0"]),
    ("message.timestamp.type", &["createtime", " LogAppendTime"]),
    ("min.cleanable.dirty.ratio", &["-0.5", "0", "1", "7", "x"]),
    ("min.compaction.lag.ms", &["-1", "0"]),
    ("min.insync.replicas", &["0", " 1"]),
    ("preallocate", &["1", "tRuE"]),
    ("remote.copy.lag.bytes", &["-2", "-1"]),
    ("remote.copy.lag.ms", &["-2", "-1"]),
    ("remote.log.copy.disable", &["maybe", "false"]),
    ("remote.storage.enable", &["true", "TRUE", "false"]),
    ("retention.bytes", &["-5", "-1", "0"]),
    ("retention.ms", &["-2", "-1", "0", " 60000"]),
    ("segment.bytes", &["1", "13", "14", "1048575", "1048576"]),
    ("segment.index.bytes", &["-1", "3", "4"]),
    ("segment.jitter.ms", &["-1", "0"]),
    ("segment.ms", &["0", "1"]),
    ("unclean.leader.election.enable", &["TRUE", "maybe", ""]),
];

/// Of topics that are only checked.
pub(super) async fn run(on: &mut Recorder) -> Result {
    for (name, values) in VALUES {
        for value in *values {
            check(on, &[(name, value)]).await?;
        }
    }
    for lags in [["10", "5"], ["5", "5"]] {
        let [least, most] = lags;
        check(on, &[("min.compaction.lag.ms", least), ("max.compaction.lag.ms", most)]).await?;
    }
    Ok(())
}

async fn check(on: &mut Recorder, set: &[(&str, &str)]) -> Result {
    let config = |(name, value): &(&str, &str)| {
        message!(CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) })
    };
    let topic = message!(CreatableTopic {
        name: "script-checked".into(),
        num_partitions: 1,
        replication_factor: 1,
        configs: set.iter().map(config).collect(),
    });
    let ask = message!(CreateTopicsRequest {
        topics: vec![topic],
        timeout_ms: 10_000,
        validate_only: true,
    });
    let newest = on.newest(ApiKey::CREATE_TOPICS);
    let what: Vec<_> = set.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    on.ask(&format!("only checked, {}", what.join(" and ")), newest, ask).await?;
    Ok(())
}
