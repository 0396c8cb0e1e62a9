//! How long a broker asks for silence.

use std::time::Duration;

use milena_wire::Response;

/// How long the broker asks this connection to be silent (KIP-219).
///
/// Only very old versions had the broker wait itself before it answered; brokers from 2.1 on have newer ones.
pub(super) fn throttle_time(response: &Response) -> Option<Duration> {
    let ms = throttle_time_ms(response)?;
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

macro_rules! throttle_time_ms {
    ($($api:ident)*) => {
        fn throttle_time_ms(response: &Response) -> Option<i32> {
            match response {
                $(Response::$api(response) => Some(response.throttle_time_ms),)*
                _ => None,
            }
        }
    };
}

throttle_time_ms! {
    Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup
    Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics
    DeleteRecords InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn
    TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls DescribeConfigs AlterConfigs
    AlterReplicaLogDirs DescribeLogDirs CreatePartitions CreateDelegationToken
    RenewDelegationToken ExpireDelegationToken DescribeDelegationToken DeleteGroups ElectLeaders
    IncrementalAlterConfigs AlterPartitionReassignments ListPartitionReassignments OffsetDelete
    DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials AlterUserScramCredentials
    UpdateFeatures DescribeCluster DescribeProducers UnregisterBroker DescribeTransactions
    ListTransactions ConsumerGroupHeartbeat ConsumerGroupDescribe GetTelemetrySubscriptions
    PushTelemetry ListConfigResources DescribeTopicPartitions ShareGroupHeartbeat
    ShareGroupDescribe ShareFetch ShareAcknowledge AddRaftVoter RemoveRaftVoter
    StreamsGroupHeartbeat StreamsGroupDescribe DescribeShareGroupOffsets AlterShareGroupOffsets
    DeleteShareGroupOffsets StreamsGroupTopologyDescriptionUpdate UnregisterController
}
