//! Differences from Kafka 2.8 that are meant: mostly words, and what brokers with ZooKeeper did not look at yet.

use super::allowed::OTHER_WORDS;
use super::differences::Allowed;

const MORE_WORDS: &str = "the embedded broker says why; 2.8 leaves it at the code";
const EMPTY_WORDS: &str = "2.8 has an empty word for none";
const FALLS: &str =
    "2.8 falls over it (UNKNOWN_SERVER_ERROR); the embedded broker says what is wrong";
const LAX: &str = "2.8 does not look at it; the embedded broker refuses it as newer ones do";
const STILL_KNOWN: &str =
    "a controller with ZooKeeper knows the id of a topic that is being deleted";

pub(super) const ALLOWED_OF_2_8: &[Allowed] = &[
    Allowed { request: "ApiVersions", path: "AlterPartition.*", reason: "asked by brokers alone" },
    Allowed { request: "DescribeConfigs", path: "results[*].error_message", reason: OTHER_WORDS },
    Allowed {
        request: "Produce v9",
        path: "responses[*].partition_responses[*].error_message",
        reason: "the embedded broker says why it refuses a batch; a real one writes it to its log",
    },
    Allowed {
        request: "Produce v9: lz4 that is none",
        path: "responses[*]*",
        reason: "the embedded broker does not look into compressed batches",
    },
    Allowed {
        request: "Produce v9: a batch without records",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "told by a real broker for whatever fails once the log is open; it helps nobody",
    },
    Allowed {
        request: "Produce v9: an unknown codec",
        path: "responses[*].partition_responses[*].log_start_offset",
        reason: "as for a batch without records",
    },
    Allowed {
        request: "DescribeProducers",
        path: "topics[*].partitions[*].error_message",
        reason: MORE_WORDS,
    },
    Allowed { request: "TxnOffsetCommit v0: nobody", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v1: nobody", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v2: nobody", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v3: nobody", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v0: an empty", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v1: an empty", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v2: an empty", path: "topics[*]*", reason: OVERTAKEN },
    Allowed { request: "TxnOffsetCommit v3: an empty", path: "topics[*]*", reason: OVERTAKEN },
    Allowed {
        request: "IncrementalAlterConfigs",
        path: "responses[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "IncrementalAlterConfigs v1: an unknown setting that is no list",
        path: "responses[*].error_code",
        reason: FALLS,
    },
    Allowed {
        request: "IncrementalAlterConfigs v1: more of what is no list",
        path: "responses[*].error_code",
        reason: "INVALID_REQUEST in 2.8, INVALID_CONFIG in newer ones: a client mends neither",
    },
    Allowed {
        request: "IncrementalAlterConfigs v1: less of what is no list",
        path: "responses[*].error_code",
        reason: "as for more of it",
    },
    Allowed {
        request: "IncrementalAlterConfigs v1: an unknown operation",
        path: "responses[*].error_code",
        reason: FALLS,
    },
    Allowed { request: "AlterConfigs", path: "responses[*].error_message", reason: OTHER_WORDS },
    Allowed {
        request: "AlterConfigs v2: no value",
        path: "responses[*].error_code",
        reason: FALLS,
    },
    Allowed {
        request: "AlterConfigs v2: a setting twice",
        path: "responses[*].error_code",
        reason: LAX,
    },
    Allowed {
        request: "ElectLeaders",
        path: "replica_election_results[*].partition_result[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "ElectLeaders v1: in no known way",
        path: "replica_election_results[*].partition_result[*].error_code",
        reason: FALLS,
    },
    Allowed {
        request: "ElectLeaders v2: in no known way",
        path: "replica_election_results[*].partition_result[*].error_code",
        reason: FALLS,
    },
    Allowed { request: "ElectLeaders v1: in no known way", path: "error_code", reason: FALLS },
    Allowed { request: "ElectLeaders v2: in no known way", path: "error_code", reason: FALLS },
    Allowed { request: "AlterPartitionReassignments", path: "error_message", reason: EMPTY_WORDS },
    Allowed {
        request: "AlterPartitionReassignments",
        path: "responses[*].partitions[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed {
        request: "AlterPartitionReassignments v0: an unknown topic, called off",
        path: "responses[*].partitions[*].error_code",
        reason: "2.8 looks for the move before it looks for the topic",
    },
    Allowed { request: "ListPartitionReassignments", path: "error_message", reason: EMPTY_WORDS },
    Allowed { request: "AlterClientQuotas", path: "entries[*].error_message", reason: OTHER_WORDS },
    Allowed {
        request: "AlterClientQuotas v1: nothing at all",
        path: "entries[*].error_code",
        reason: LAX,
    },
    Allowed {
        request: "AlterClientQuotas v1: of a client twice",
        path: "entries[*].error_code",
        reason: LAX,
    },
    Allowed {
        request: "AlterClientQuotas v1: one quota twice",
        path: "entries[*].error_code",
        reason: LAX,
    },
    Allowed { request: "DescribeClientQuotas", path: "error_message", reason: OTHER_WORDS },
    Allowed {
        request: "DescribeClientQuotas v1: an exact nothing",
        path: "error_code",
        reason: FALLS,
    },
    Allowed {
        request: "DescribeClientQuotas v1: in no known way",
        path: "error_code",
        reason: FALLS,
    },
    Allowed { request: "DescribeClientQuotas v1: a default with a name", path: "e*", reason: LAX },
    Allowed { request: "DescribeClientQuotas v1: anything with a name", path: "e*", reason: LAX },
    Allowed {
        request: "AlterUserScramCredentials",
        path: "results[*].error_message",
        reason: EMPTY_WORDS,
    },
    Allowed {
        request: "AlterUserScramCredentials v0: a user t",
        path: "results[*].error_code",
        reason: "2.8 lets a user be changed by two mechanisms at once; newer ones, and the embedded broker, once",
    },
    Allowed {
        request: "DescribeUserScramCredentials",
        path: "results[*].credential_infos[*].*",
        reason: "as the user who was changed twice was changed or not",
    },
    Allowed {
        request: "DescribeUserScramCredentials",
        path: "results[*].error_message",
        reason: OTHER_WORDS,
    },
    Allowed { request: "UpdateFeatures", path: "results[*].error_message", reason: OTHER_WORDS },
    Allowed {
        request: "DeleteTopics v6: by name and by id",
        path: "responses[*]*",
        reason: STILL_KNOWN,
    },
];

const OVERTAKEN: &str = "the embedded broker writes no offsets of transactions to its log, which would know the later epoch of \
     one who committed before";
