//! Lists that a real broker answers in no order, sorted.

use milena_wire::Response;
use milena_wire::messages::delete_topics_response::DeletableTopicResult;

/// The answer of a release before 4 with lists besides that later ones answer in the order of numbers.
/// Its members need not have ids that sort, and go by the place that each has among those that were shown.
pub(super) fn in_order_of_older(response: Response, place: impl Fn(&str) -> usize) -> Response {
    let mut response = in_order(response);
    if let Response::JoinGroup(told) = &mut response {
        told.members.sort_by_key(|member| place(&member.member_id));
    }
    if let Response::DescribeGroups(told) = &mut response {
        for group in &mut told.groups {
            group.members.sort_by_key(|member| place(&member.member_id));
        }
    }
    if let Response::Metadata(told) = &mut response {
        for topic in &mut told.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
    }
    if let Response::DescribeLogDirs(told) = &mut response {
        for directory in &mut told.results {
            directory.topics.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }
    if let Response::OffsetDelete(told) = &mut response {
        told.topics.sort_by(|a, b| a.name.cmp(&b.name));
    }
    if let Response::OffsetCommit(told) = &mut response {
        for topic in &mut told.topics {
            topic.partitions.sort_by_key(|partition| partition.partition_index);
        }
    }
    response
}

/// The answer with such lists in the order of names and numbers.
#[expect(clippy::wildcard_enum_match_arm, reason = "most answers have none")]
pub(super) fn in_order(mut response: Response) -> Response {
    match &mut response {
        Response::AddPartitionsToTxn(told) => {
            let batched = told.results_by_transaction.iter_mut().flat_map(|t| &mut t.topic_results);
            for topic in batched.chain(&mut told.results_by_topic_v3_and_below) {
                topic.results_by_partition.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::TxnOffsetCommit(told) => {
            for topic in &mut told.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::OffsetFetch(told) => {
            for topic in told.groups.iter_mut().flat_map(|group| &mut group.topics) {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
            for topic in &mut told.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::ConsumerGroupHeartbeat(told) => {
            for topic in told.assignment.iter_mut().flat_map(|a| &mut a.topic_partitions) {
                topic.partitions.sort_unstable();
            }
        }
        Response::OffsetDelete(told) => {
            for topic in &mut told.topics {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::JoinGroup(told) => told.members.sort_by(|a, b| a.member_id.cmp(&b.member_id)),
        Response::DescribeGroups(told) => {
            for group in &mut told.groups {
                group.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            }
        }
        Response::StreamsGroupHeartbeat(told) => {
            for told in told.partitions_by_user_endpoint.iter_mut().flatten() {
                told.active_partitions.sort_by(|a, b| a.topic.cmp(&b.topic));
                told.standby_partitions.sort_by(|a, b| a.topic.cmp(&b.topic));
            }
        }
        Response::StreamsGroupDescribe(told) => {
            for group in &mut told.groups {
                group.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            }
        }
        Response::ConsumerGroupDescribe(told) => {
            for group in &mut told.groups {
                group.members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
            }
            for member in told.groups.iter_mut().flat_map(|group| &mut group.members) {
                member.subscribed_topic_names.sort();
                for assignment in [&mut member.assignment, &mut member.target_assignment] {
                    assignment.topic_partitions.sort_by(|a, b| a.topic_name.cmp(&b.topic_name));
                    for topic in &mut assignment.topic_partitions {
                        topic.partitions.sort_unstable();
                    }
                }
            }
        }
        Response::Metadata(told) => told.topics.sort_by(|a, b| a.name.cmp(&b.name)),
        Response::DescribeAcls(told) => {
            for resource in &mut told.resources {
                resource.acls.sort_by_key(|acl| format!("{acl:?}"));
            }
            told.resources.sort_by_key(|resource| format!("{resource:?}"));
        }
        Response::DeleteAcls(told) => {
            for filter in &mut told.filter_results {
                filter.matching_acls.sort_by_key(|acl| format!("{acl:?}"));
            }
        }
        Response::AlterClientQuotas(told) => {
            for entry in &mut told.entries {
                entry.entity.sort_by(|a, b| a.entity_type.cmp(&b.entity_type));
            }
        }
        Response::DescribeClientQuotas(told) => {
            for entry in told.entries.iter_mut().flatten() {
                entry.entity.sort_by(|a, b| a.entity_type.cmp(&b.entity_type));
                entry.values.sort_by(|a, b| a.key.cmp(&b.key));
            }
            if let Some(entries) = &mut told.entries {
                entries.sort_by_key(|entry| format!("{:?}", entry.entity));
            }
        }
        Response::AlterUserScramCredentials(told) => {
            told.results.sort_by(|a, b| a.user.cmp(&b.user));
        }
        Response::DescribeUserScramCredentials(told) => {
            told.results.sort_by(|a, b| a.user.cmp(&b.user));
            for user in &mut told.results {
                user.credential_infos.sort_by_key(|info| info.mechanism);
            }
        }
        Response::DescribeTransactions(told) => {
            for transaction in &mut told.transaction_states {
                transaction.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
                for topic in &mut transaction.topics {
                    topic.partitions.sort_unstable();
                }
                // When it began is the cluster's own time; whether it is told is not.
                transaction.transaction_start_time_ms =
                    transaction.transaction_start_time_ms.min(0);
            }
        }
        Response::DescribeProducers(told) => {
            for partition in told.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.active_producers.sort_by_key(|producer| producer.producer_id);
                for producer in &mut partition.active_producers {
                    // Markers are written at the cluster's own time.
                    producer.last_timestamp = producer.last_timestamp.min(0);
                }
            }
        }
        Response::ShareFetch(told) => {
            // How long a silence is asked for is a matter of when was asked; whether it is, is not.
            told.throttle_time_ms = told.throttle_time_ms.min(1);
            for topic in &mut told.responses {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::CreateTopics(told) => told.throttle_time_ms = told.throttle_time_ms.min(1),
        Response::CreatePartitions(told) => told.throttle_time_ms = told.throttle_time_ms.min(1),
        Response::DeleteTopics(told) => {
            told.throttle_time_ms = told.throttle_time_ms.min(1);
            let message = |one: &DeletableTopicResult| one.error_message.clone();
            told.responses.sort_by_key(|one| (one.name.clone(), message(one)));
        }
        Response::DescribeShareGroupOffsets(told) => {
            for topic in told.groups.iter_mut().flat_map(|group| &mut group.topics) {
                topic.partitions.sort_by_key(|partition| partition.partition_index);
            }
        }
        Response::ListTransactions(told) => {
            told.transaction_states.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
            told.unknown_state_filters.sort();
        }
        _ => {}
    }
    response
}
