//! Differences that are meant.

use super::differences::Allowed;

/// Each with its reason; one that no answer needs is an error.
pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        request: "ApiVersions",
        path: "finalized_features_epoch",
        reason: "an offset of the metadata log, which differs from one start to the next",
    },
    Allowed {
        request: "ApiVersions",
        path: "supported_features[streams.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "ApiVersions",
        path: "supported_features[eligible.leader.replicas.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "ApiVersions",
        path: "supported_features[kraft.version]*",
        reason: "stands for what the embedded broker does not play",
    },
    Allowed {
        request: "ApiVersions",
        path: "finalized_features[streams.version]*",
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
        request: "Produce",
        path: "responses[*].partition_responses[*].error_message",
        reason: "the embedded broker says why it refuses a batch; a real one writes it to its log",
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
        request: "ApiVersions",
        path: "ListTransactions",
        reason: "version 2 filters by a regular expression, which the embedded broker does not read",
    },
    Allowed {
        request: "ConsumerGroupHeartbeat v1: no regular expression",
        path: "error_message",
        reason: "what is wrong with an expression is told in other words",
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

/// The same where rights are judged.
pub(super) const ALLOWED_OF_RIGHTS: &[Allowed] = &[
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
