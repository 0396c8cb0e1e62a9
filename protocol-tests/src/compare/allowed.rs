//! Differences that are meant.

use super::allowed_of_2_8::ALLOWED_OF_2_8;
use super::differences::Allowed;
use crate::target::{NEWEST, Version};

/// Those from a release, each with its reason; one that no answer needs is an error.
pub(super) fn allowed(of: &Version, judges: bool) -> Vec<&'static Allowed> {
    let is_from = |major, minor| *of >= Version::of(major, minor, 0);
    let of_its_own = match of {
        _ if judges => return ALLOWED_OF_RIGHTS.iter().collect(),
        of if *of == NEWEST => Some(ALLOWED),
        _ if is_from(3, 9) && !is_from(4, 0) => Some(ALLOWED_OF_3_9),
        _ if is_from(2, 8) && !is_from(3, 0) => Some(ALLOWED_OF_2_8),
        _ if !is_from(2, 2) => Some(ALLOWED_OF_2_1),
        // Nobody has looked at the others yet.
        _ => None,
    };
    let controllers = if is_from(3, 3) { KRAFT } else { ZOOKEEPER };
    let before_4 = (!is_from(4, 0)).then_some(BEFORE_4);
    let lists = [Some(EVERYWHERE), Some(controllers), before_4, of_its_own];
    lists.into_iter().flatten().flatten().collect()
}

/// In every release.
const EVERYWHERE: &[Allowed] = &[
    Allowed {
        request: "ApiVersions",
        path: "SaslAuthenticate.*",
        reason: "the embedded broker has no users who log in",
    },
    Allowed {
        request: "ApiVersions",
        path: "SaslHandshake.*",
        reason: "the embedded broker has no users who log in",
    },
    Allowed {
        request: "ListGroups",
        path: "groups[script-wrong]*",
        reason: "a real coordinator keeps the empty group that a refused join made",
    },
    Allowed {
        request: "DescribeLogDirs",
        path: "results[*].log_dir",
        reason: "the name of a directory on this machine",
    },
];

/// Where there is no ZooKeeper.
const KRAFT: &[Allowed] = &[
    Allowed {
        request: "Produce",
        path: "responses[*].partition_responses[*].error_message",
        reason: "the embedded broker says why it refuses a batch; a real one writes it to its log",
    },
    Allowed {
        request: "DescribeLogDirs",
        path: "results[*].total_bytes",
        reason: "the embedded broker keeps logs in memory, whose size nobody gave it",
    },
    Allowed {
        request: "DescribeLogDirs",
        path: "results[*].usable_bytes",
        reason: "as for the size",
    },
    Allowed {
        request: "ApiVersions",
        path: "finalized_features_epoch",
        reason: "an offset of the metadata log, which differs from one start to the next",
    },
    Allowed {
        request: "ApiVersions",
        path: "supported_features[kraft.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "DescribeQuorum",
        path: "topics[*].partitions[*].current_voters[*].last_*",
        reason: "times",
    },
    Allowed {
        request: "DescribeQuorum",
        path: "topics[*].partitions[*].current_voters[*].log_end_offset",
        reason: "the embedded broker has no log of metadata; it counts changes of topics",
    },
    Allowed {
        request: "DescribeQuorum",
        path: "topics[*].partitions[*].high_watermark",
        reason: "as for the end of the log",
    },
    Allowed {
        request: "DescribeQuorum",
        path: "topics[*].partitions[*].leader_epoch",
        reason: "how many elections there were, of which the embedded broker has none",
    },
    Allowed {
        request: "DescribeQuorum",
        path: "nodes[*].listeners[*].port",
        reason: "a real controller has a port of its own",
    },
];

/// Before 4.0.
const BEFORE_4: &[Allowed] = &[
    Allowed {
        request: "ApiVersions",
        path: "CreateDelegationToken.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DescribeDelegationToken.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "ExpireDelegationToken.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "RenewDelegationToken.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "AlterReplicaLogDirs.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "CreateAcls.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "CreateTopics.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DeleteAcls.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DeleteTopics.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DescribeAcls.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DescribeConfigs.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "DescribeLogDirs.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "Fetch.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "ListOffsets.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "OffsetCommit.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "OffsetFetch.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "OffsetForLeaderEpoch.min",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "ApiVersions",
        path: "WriteTxnMarkers.min",
        reason: "what went with Kafka 4.0 is not served",
    },
];

/// Where there is ZooKeeper.
const ZOOKEEPER: &[Allowed] = &[
    Allowed { request: "ApiVersions", path: "4.*", reason: "LeaderAndIsr, asked by controllers" },
    Allowed { request: "ApiVersions", path: "5.*", reason: "StopReplica, asked by controllers" },
    Allowed { request: "ApiVersions", path: "6.*", reason: "UpdateMetadata, asked by controllers" },
    Allowed {
        request: "ApiVersions",
        path: "7.*",
        reason: "ControlledShutdown, asked by brokers alone",
    },
    Allowed { request: "CreateTopics", path: "topics[*].error_message", reason: OTHER_WORDS },
    Allowed { request: "CreatePartitions", path: "results[*].error_message", reason: OTHER_WORDS },
    Allowed { request: "CreateAcls", path: "results[*].error_message", reason: OTHER_WORDS },
    Allowed { request: "DeleteAcls", path: "filter_results[*].error_message", reason: OTHER_WORDS },
];

pub(super) const OTHER_WORDS: &str = "what is wrong is told in other words";

/// In 4.4.
const ALLOWED: &[Allowed] = &[
    Allowed {
        request: "ApiVersions",
        path: "DeleteShareGroupState.*",
        reason: "asked by brokers alone",
    },
    Allowed {
        request: "ApiVersions",
        path: "InitializeShareGroupState.*",
        reason: "asked by brokers alone",
    },
    Allowed {
        request: "ApiVersions",
        path: "ReadShareGroupState.*",
        reason: "asked by brokers alone",
    },
    Allowed {
        request: "ApiVersions",
        path: "ReadShareGroupStateSummary.*",
        reason: "asked by brokers alone",
    },
    Allowed {
        request: "ApiVersions",
        path: "WriteShareGroupState.*",
        reason: "asked by brokers alone",
    },
    Allowed {
        request: "ApiVersions",
        path: "supported_features[eligible.leader.replicas.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "ApiVersions",
        path: "finalized_features[eligible.leader.replicas.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "CreateTopics",
        path: "topics[*].configs[min.insync.replicas].config_source",
        reason: "eligible leader replicas make it a dynamic setting of the cluster; same value",
    },
    Allowed {
        request: "DescribeConfigs",
        path: "results[*].configs[min.insync.replicas]*",
        reason: "as in CreateTopics",
    },
    Allowed {
        request: "Produce v13: lz4 that is none",
        path: "responses[*]*",
        reason: "the embedded broker does not look into compressed batches",
    },
    Allowed {
        request: "Produce v13: a batch without records",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "told by a real broker for whatever fails once the log is open; it helps nobody",
    },
    Allowed {
        request: "Produce v13: an unknown codec",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "as for a batch without records",
    },
    Allowed {
        request: "ConsumerGroupHeartbeat v1: no regular expression",
        path: "error_message",
        reason: "what is wrong with an expression is told in other words",
    },
];

/// In 3.9.
const ALLOWED_OF_3_9: &[Allowed] = &[
    Allowed {
        request: "UnregisterBroker",
        path: "error_message",
        reason: "3.9 leaves it at the code",
    },
    Allowed {
        request: "Produce v11: lz4 that is none",
        path: "responses[*]*",
        reason: "the embedded broker does not look into compressed batches",
    },
    Allowed {
        request: "Produce v11: a batch without records",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "told by a real broker for whatever fails once the log is open; it helps nobody",
    },
    Allowed {
        request: "Produce v11: an unknown codec",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "as for a batch without records",
    },
    Allowed {
        request: "DescribeTransactions v0: one that began anew",
        path: "transaction_states[*].transaction_start_time_ms",
        reason: "a real coordinator tells when the transaction before it began",
    },
];

/// In 2.1.
const ALLOWED_OF_2_1: &[Allowed] = &[
    Allowed {
        request: "ApiVersions",
        path: "WriteTxnMarkers.max",
        reason: "what went with Kafka 4.0 is not served",
    },
    Allowed {
        request: "AlterConfigs v1: a",
        path: "responses[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "DescribeConfigs v1: of",
        path: "results[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "DescribeConfigs v2: of",
        path: "results[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "Produce v7: lz4 that is none",
        path: "responses[*]*",
        reason: "the embedded broker does not look into compressed batches",
    },
    Allowed {
        request: "Produce v7: an unknown codec",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "told by a real broker for whatever fails once the log is open; it helps nobody",
    },
];

/// The same where rights are judged.
const ALLOWED_OF_RIGHTS: &[Allowed] = &[
    Allowed {
        request: "DescribeAcls v1: not to be described",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "DescribeAcls v2: not to be described",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "DescribeAcls v3: not to be described",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "ListPartitionReassignments",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "CreateAcls v1: not to be altered",
        path: "results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "CreateAcls v2: not to be altered",
        path: "results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "CreateAcls v3: not to be altered",
        path: "results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "DeleteAcls v1: not to be altered",
        path: "filter_results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "DeleteAcls v2: not to be altered",
        path: "filter_results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "DeleteAcls v3: not to be altered",
        path: "filter_results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "ElectLeaders",
        path: "replica_election_results[*].partition_result[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "AlterUserScramCredentials",
        path: "results[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "UnregisterBroker",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "UpdateFeatures",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "AlterPartitionReassignments",
        path: "error_message",
        reason: "a real broker prints the request that it refuses",
    },
    Allowed {
        request: "AlterPartitionReassignments",
        path: "responses[*].partitions[*].error_message",
        reason: "a real broker prints the request that it refuses",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A difference that another release explains is one.
    #[test]
    fn a_release_is_forgiven_only_what_is_its_own() {
        let is_forgiven = |of: (u32, u32, u32), reason: &str| {
            let allowed = allowed(&Version::of(of.0, of.1, of.2), false);
            allowed.iter().any(|allowed| allowed.reason == reason)
        };
        let own = "3.9 leaves it at the code";
        assert!(is_forgiven((3, 9, 2), own));
        for other in [(2, 8, 2), (3, 8, 1), (4, 0, 0), (4, 3, 1)] {
            assert!(!is_forgiven(other, own), "{other:?}");
        }
        let gone = "what went with Kafka 4.0 is not served";
        assert!(is_forgiven((2, 8, 2), gone) && !is_forgiven((4, 3, 1), gone));
    }
}
