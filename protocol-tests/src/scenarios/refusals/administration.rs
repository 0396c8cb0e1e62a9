//! Rights, tokens, passwords, quotas, coordinators, the places and leaders of partitions, and what describes the cluster.

use milena_types::{ApiKey, ErrorCode as E};
use milena_wire::ByteString;
use milena_wire::messages as m;

use super::refusals;
use crate::raw::message;
use crate::target::{Target, Version};

const ACLS: i16 = 1;
const TOKENS: i16 = 1;
const DIRS: i16 = 1;
const FIND: i16 = 2;

refusals! { "administration", |on| !on.choice().acl;
    describe_rights_where_nobody_judges: |stage| {
        let ask = message!(m::DescribeAclsRequest {
            resource_type_filter: 1, pattern_type_filter: 1, operation: 1, permission_type: 1,
        });
        stage.any(ACLS, ask, E::SECURITY_DISABLED).await
    }
    grant_a_right_where_nobody_judges: |stage| {
        let acl = message!(m::create_acls_request::AclCreation {
            resource_type: 2, resource_name: stage.name.clone(), resource_pattern_type: 3,
            principal: "User:alice".into(), host: "*".into(), operation: 3, permission_type: 3,
        });
        let ask = message!(m::CreateAclsRequest { creations: vec![acl] });
        stage.controller(ACLS, ask, E::SECURITY_DISABLED).await
    }
    take_a_right_where_nobody_judges: |stage| {
        let filter = message!(m::delete_acls_request::DeleteAclsFilter {
            resource_type_filter: 2, resource_name_filter: Some(stage.name.clone()),
            pattern_type_filter: 3, operation: 1, permission_type: 1,
        });
        let ask = message!(m::DeleteAclsRequest { filters: vec![filter] });
        stage.controller(ACLS, ask, E::SECURITY_DISABLED).await
    }
    a_token_for_whoever_did_not_log_in: |stage| {
        let ask = message!(m::CreateDelegationTokenRequest { max_lifetime_ms: 60_000 });
        stage.controller(TOKENS, ask, E::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED).await
    }
    renew_the_token_of_whoever_did_not_log_in: |stage| {
        let ask = message!(m::RenewDelegationTokenRequest { hmac: vec![7; 32].into() });
        stage.controller(TOKENS, ask, E::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED).await
    }
    end_the_token_of_whoever_did_not_log_in: |stage| {
        let ask = message!(m::ExpireDelegationTokenRequest { hmac: vec![7; 32].into() });
        stage.controller(TOKENS, ask, E::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED).await
    }
    tokens_told_to_whoever_did_not_log_in: |stage| {
        let ask = message!(m::DescribeDelegationTokenRequest { owners: None });
        stage.any(TOKENS, ask, E::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED).await
    }
    move_a_replica_to_no_directory: |stage| {
        let ask = moved(&stage.name, 0, "/not/there");
        stage.leader(DIRS, ask, E::LOG_DIR_NOT_FOUND).await
    }
    logs_of_an_unknown_topic_are_no_error: |stage| {
        let topic = message!(m::describe_log_dirs_request::DescribableLogDirTopic {
            topic: stage.name.clone(), partitions: vec![0],
        });
        let ask = message!(m::DescribeLogDirsRequest { topics: Some(vec![topic]) });
        stage.any(DIRS, ask, E::NONE).await
    }
    logs_of_a_topic_are_no_error: |stage| {
        let topic = message!(m::describe_log_dirs_request::DescribableLogDirTopic {
            topic: stage.name.clone(), partitions: vec![0, 99],
        });
        let ask = message!(m::DescribeLogDirsRequest { topics: Some(vec![topic]) });
        stage.leader(DIRS, ask, E::NONE).await
    }
    a_coordinator_for_a_producer_without_an_id: |stage| {
        let ask = message!(m::FindCoordinatorRequest { key: stage.name.clone(), key_type: 1 });
        stage.any(FIND, ask, E::NONE).await
    }
    a_coordinator_for_a_group: |stage| {
        let ask = message!(m::FindCoordinatorRequest { key: stage.name.clone(), key_type: 0 });
        stage.any(FIND, ask, E::NONE).await
    }
    describe_a_group_that_never_was_is_no_error: |stage| {
        let ask = message!(m::DescribeGroupsRequest { groups: vec![stage.name.clone()] });
        stage.coordinator(2, ask, E::NONE).await
    }
    describe_a_group_with_a_member_is_no_error: |stage| {
        stage.member().await?;
        let ask = message!(m::DescribeGroupsRequest { groups: vec![stage.name.clone()] });
        stage.coordinator(2, ask, E::NONE).await
    }
    list_groups_is_no_error: |stage| {
        stage.member().await?;
        stage.coordinator(2, message!(m::ListGroupsRequest {}), E::NONE).await
    }
    a_producer_id_without_transactions: |stage| {
        let ask = message!(m::InitProducerIdRequest {
            transactional_id: None, transaction_timeout_ms: 60_000,
        });
        stage.any(1, ask, E::NONE).await
    }
    create_with_replicas_that_differ_in_number: |stage| {
        let ask = assigned(&stage.name, &[(0, &[1]), (1, &[1, 99])]);
        stage.controller(3, ask, E::INVALID_REPLICA_ASSIGNMENT).await
    }
    create_with_a_negative_limit: |stage| {
        let mut ask = assigned(&stage.name, &[(0, &[1])]);
        let config = message!(m::create_topics_request::CreatableTopicConfig {
            name: "max.message.bytes".into(), value: Some("-1".into()),
        });
        ask.topics[0].configs.push(config);
        stage.controller(3, ask, E::INVALID_CONFIG).await
    }
    create_with_no_replica_in_sync: |stage| {
        let mut ask = assigned(&stage.name, &[(0, &[1])]);
        let config = message!(m::create_topics_request::CreatableTopicConfig {
            name: "min.insync.replicas".into(), value: Some("0".into()),
        });
        ask.topics[0].configs.push(config);
        stage.controller(3, ask, E::INVALID_CONFIG).await
    }
    create_with_an_unknown_kind_of_time: |stage| {
        let mut ask = assigned(&stage.name, &[(0, &[1])]);
        let config = message!(m::create_topics_request::CreatableTopicConfig {
            name: "message.timestamp.type".into(), value: Some("Now".into()),
        });
        ask.topics[0].configs.push(config);
        stage.controller(3, ask, E::INVALID_CONFIG).await
    }
    create_on_an_assigned_broker_is_no_error: |stage| {
        stage.controller(3, assigned(&stage.name, &[(0, &[1]), (1, &[1])]), E::NONE).await
    }
    delete_a_topic_without_a_name: |stage| {
        let ask = message!(m::DeleteTopicsRequest { topic_names: vec!["".into()], timeout_ms: 30_000 });
        stage.controller(3, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    delete_an_impossible_topic: |stage| {
        let ask = message!(m::DeleteTopicsRequest { topic_names: vec!["no topic!".into()], timeout_ms: 30_000 });
        stage.controller(3, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
}

/// Of the group without a name, which has a coordinator like any other.
pub(super) mod nameless {
    use super::*;

    refusals! { "administration", |on| on.choice().brokers == 1;
        describe_a_group_without_a_name_is_no_error: |stage| {
            let ask = message!(m::DescribeGroupsRequest { groups: vec!["".into()] });
            stage.any(2, ask, E::NONE).await
        }
        delete_a_group_without_a_name: |stage| {
            let ask = message!(m::DeleteGroupsRequest { groups_names: vec!["".into()] });
            stage.any(1, ask, E::GROUP_ID_NOT_FOUND).await
        }
    }
}

/// What brokers have been asked since 2.4 to 2.7, of which 3.9 is looked at.
pub(super) mod since_controllers {
    use super::*;

    refusals! { "administration", is_newer;
        create_on_an_unknown_broker: |stage| {
            stage.controller(3, assigned(&stage.name, &[(0, &[99])]), E::INVALID_REPLICA_ASSIGNMENT).await
        }
        create_on_a_negative_broker: |stage| {
            stage.controller(3, assigned(&stage.name, &[(0, &[-1])]), E::INVALID_REPLICA_ASSIGNMENT).await
        }
        create_a_second_partition_without_the_first: |stage| {
            stage.controller(3, assigned(&stage.name, &[(1, &[1])]), E::INVALID_REPLICA_ASSIGNMENT).await
        }
        elect_for_an_unknown_topic: |stage| {
            stage.controller(2, elect(0, &stage.name, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        elect_for_an_unknown_partition: |stage| {
            stage.topic().await?;
            stage.controller(2, elect(0, &stage.name, 99), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        elect_who_leads_already: |stage| {
            stage.topic().await?;
            stage.controller(2, elect(0, &stage.name, 0), E::ELECTION_NOT_NEEDED).await
        }
        elect_whoever_runs_where_somebody_leads: |stage| {
            stage.topic().await?;
            stage.controller(2, elect(1, &stage.name, 0), E::ELECTION_NOT_NEEDED).await
        }
        move_an_unknown_topic: |stage| {
            let ask = reassign(&stage.name, 0, Some(&[1]));
            stage.controller(0, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        move_an_unknown_partition: |stage| {
            stage.topic().await?;
            let ask = reassign(&stage.name, 99, Some(&[1]));
            stage.controller(0, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        move_to_an_unknown_broker: |stage| {
            stage.topic().await?;
            let ask = reassign(&stage.name, 0, Some(&[99]));
            stage.controller(0, ask, E::INVALID_REPLICA_ASSIGNMENT).await
        }
        move_to_one_broker_twice: |stage| {
            stage.topic().await?;
            let ask = reassign(&stage.name, 0, Some(&[1, 1]));
            stage.controller(0, ask, E::INVALID_REPLICA_ASSIGNMENT).await
        }
        move_to_nobody: |stage| {
            stage.topic().await?;
            let ask = reassign(&stage.name, 0, Some(&[]));
            stage.controller(0, ask, E::INVALID_REPLICA_ASSIGNMENT).await
        }
        call_off_a_move_that_is_none: |stage| {
            stage.topic().await?;
            let ask = reassign(&stage.name, 0, None);
            stage.controller(0, ask, E::NO_REASSIGNMENT_IN_PROGRESS).await
        }
        moves_of_an_unknown_topic_are_no_error: |stage| {
            let topic = message!(m::list_partition_reassignments_request::ListPartitionReassignmentsTopics {
                name: stage.name.clone(), partition_indexes: vec![0],
            });
            let ask = message!(m::ListPartitionReassignmentsRequest { topics: Some(vec![topic]) });
            stage.controller(0, ask, E::NONE).await
        }
        a_password_of_nobody: |stage| {
            stage.controller(0, password("", 1, 4096), E::UNACCEPTABLE_CREDENTIAL).await
        }
        a_password_with_too_few_iterations: |stage| {
            stage.controller(0, password(&stage.name, 1, 4095), E::UNACCEPTABLE_CREDENTIAL).await
        }
        a_password_with_too_many_iterations: |stage| {
            stage.controller(0, password(&stage.name, 1, 16_385), E::UNACCEPTABLE_CREDENTIAL).await
        }
        a_password_of_an_unknown_mechanism: |stage| {
            stage.controller(0, password(&stage.name, 9, 4096), E::UNSUPPORTED_SASL_MECHANISM).await
        }
        a_password_set_twice: |stage| {
            let mut ask = password(&stage.name, 1, 4096);
            ask.upsertions.extend_from_within(..);
            stage.controller(0, ask, E::DUPLICATE_RESOURCE).await
        }
        a_password_away_that_is_not_there: |stage| {
            let gone = message!(m::alter_user_scram_credentials_request::ScramCredentialDeletion {
                name: stage.name.clone(), mechanism: 1,
            });
            let ask = message!(m::AlterUserScramCredentialsRequest { deletions: vec![gone] });
            stage.controller(0, ask, E::RESOURCE_NOT_FOUND).await
        }
        passwords_of_an_unknown_user: |stage| {
            stage.any(0, passwords(&[&stage.name]), E::RESOURCE_NOT_FOUND).await
        }
        passwords_of_one_user_twice: |stage| {
            let ask = passwords(&[&stage.name, &stage.name]);
            stage.any(0, ask, E::DUPLICATE_RESOURCE).await
        }
        a_quota_that_nobody_knows: |stage| {
            let ask = quota(&[("client-id", &stage.name)], "no_such_quota", 1.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        a_quota_of_nobody: |stage| {
            stage.controller(0, quota(&[], "producer_byte_rate", 1.0), E::INVALID_REQUEST).await
        }
        a_quota_of_a_nation: |stage| {
            let ask = quota(&[("nation", &stage.name)], "producer_byte_rate", 1.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        a_quota_of_an_empty_name: |stage| {
            let ask = quota(&[("user", &"".into())], "producer_byte_rate", 1.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        a_quota_of_nothing: |stage| {
            let ask = quota(&[("client-id", &stage.name)], "producer_byte_rate", 0.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        a_quota_of_half_a_byte: |stage| {
            let ask = quota(&[("client-id", &stage.name)], "producer_byte_rate", 0.5);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        a_quota_of_a_user_at_an_address: |stage| {
            let ask = quota(&[("user", &stage.name), ("ip", &"10.0.0.1".into())], "producer_byte_rate", 1.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        an_address_quota_of_a_client: |stage| {
            let ask = quota(&[("client-id", &stage.name)], "connection_creation_rate", 1.0);
            stage.controller(0, ask, E::INVALID_REQUEST).await
        }
        quotas_of_no_kind: |stage| {
            stage.any(0, quotas(&[("", 0, Some(&stage.name))]), E::INVALID_REQUEST).await
        }
        quotas_of_an_exact_nothing: |stage| {
            stage.any(0, quotas(&[("user", 0, None)]), E::INVALID_REQUEST).await
        }
        quotas_of_a_default_with_a_name: |stage| {
            stage.any(0, quotas(&[("user", 1, Some(&stage.name))]), E::INVALID_REQUEST).await
        }
        quotas_of_a_kind_twice: |stage| {
            let ask = quotas(&[("user", 2, None), ("user", 1, None)]);
            stage.any(0, ask, E::INVALID_REQUEST).await
        }
        quotas_in_no_known_way: |stage| {
            stage.any(0, quotas(&[("user", 9, None)]), E::INVALID_REQUEST).await
        }
        quotas_of_an_unknown_user_are_no_error: |stage| {
            stage.any(0, quotas(&[("user", 0, Some(&stage.name))]), E::NONE).await
        }
        the_quorum_of_a_topic: |stage| {
            stage.any(0, quorum(&stage.name, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        the_quorum_of_another_partition: |stage| {
            stage.any(0, quorum(&"__cluster_metadata".into(), 1), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        partitions_of_an_unknown_topic: |stage| {
            stage.any(0, partitions(&stage.name), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        partitions_of_an_impossible_topic: |stage| {
            stage.any(0, partitions(&"no topic!".into()), E::INVALID_TOPIC_EXCEPTION).await
        }
        transactions_in_an_unknown_state_are_no_error: |stage| {
            let ask = message!(m::ListTransactionsRequest { state_filters: vec!["Nonsense".into()] });
            stage.transactions(0, ask, E::NONE).await
        }
        replace_a_setting_by_nothing: |stage| {
            stage.topic().await?;
            let config = message!(m::alter_configs_request::AlterableConfig {
                name: "retention.ms".into(), value: None,
            });
            let resource = message!(m::alter_configs_request::AlterConfigsResource {
                resource_type: 2, resource_name: stage.name.clone(), configs: vec![config],
            });
            let ask = message!(m::AlterConfigsRequest { resources: vec![resource] });
            stage.any(1, ask, E::INVALID_REQUEST).await
        }
        change_what_brokers_read_at_their_start: |stage| {
            stage.any(0, told("", "num.partitions", 0, Some("3")), E::INVALID_REQUEST).await
        }
        change_a_number_of_brokers_to_a_word: |stage| {
            stage.any(0, told("", "log.retention.ms", 0, Some("long")), E::INVALID_REQUEST).await
        }
        change_another_broker: |stage| {
            stage.any(0, told("99", "log.retention.ms", 0, Some("1")), E::INVALID_REQUEST).await
        }
        change_a_broker_that_is_no_number: |stage| {
            stage.any(0, told("one", "log.retention.ms", 0, Some("1")), E::INVALID_REQUEST).await
        }
        change_a_setting_of_brokers_to_nothing: |stage| {
            stage.any(0, told("", "log.retention.ms", 0, None), E::INVALID_REQUEST).await
        }
        append_to_what_is_no_list_of_brokers: |stage| {
            stage.any(0, told("", "log.retention.ms", 2, Some("1")), E::INVALID_CONFIG).await
        }
    }

    fn is_newer(on: &Target) -> bool {
        *on.version() >= Version::of(3, 9, 0) && on.speaks(ApiKey::DESCRIBE_TOPIC_PARTITIONS)
    }
}

fn moved(topic: &ByteString, partition: i32, path: &str) -> m::AlterReplicaLogDirsRequest {
    let topic = message!(m::alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
        name: topic.clone(),
        partitions: vec![partition],
    });
    let dir = message!(m::alter_replica_log_dirs_request::AlterReplicaLogDir {
        path: path.into(),
        topics: vec![topic],
    });
    message!(m::AlterReplicaLogDirsRequest { dirs: vec![dir] })
}

fn assigned(topic: &ByteString, brokers: &[(i32, &[i32])]) -> m::CreateTopicsRequest {
    let assignment = |(index, brokers): &(i32, &[i32])| {
        message!(m::create_topics_request::CreatableReplicaAssignment {
            partition_index: *index,
            broker_ids: brokers.to_vec(),
        })
    };
    let topic = message!(m::create_topics_request::CreatableTopic {
        name: topic.clone(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: brokers.iter().map(assignment).collect(),
    });
    message!(m::CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

fn elect(election: i8, topic: &ByteString, partition: i32) -> m::ElectLeadersRequest {
    let topic = message!(m::elect_leaders_request::TopicPartitions {
        topic: topic.clone(),
        partitions: vec![partition],
    });
    let topics = Some(vec![topic]);
    message!(m::ElectLeadersRequest {
        election_type: election,
        topic_partitions: topics,
        timeout_ms: 30_000
    })
}

fn reassign(
    topic: &ByteString,
    partition: i32,
    nodes: Option<&[i32]>,
) -> m::AlterPartitionReassignmentsRequest {
    let partition = message!(m::alter_partition_reassignments_request::ReassignablePartition {
        partition_index: partition,
        replicas: nodes.map(<[i32]>::to_vec),
    });
    let topic = message!(m::alter_partition_reassignments_request::ReassignableTopic {
        name: topic.clone(),
        partitions: vec![partition],
    });
    message!(m::AlterPartitionReassignmentsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

fn password(user: &str, mechanism: i8, iterations: i32) -> m::AlterUserScramCredentialsRequest {
    let upsertion = message!(m::alter_user_scram_credentials_request::ScramCredentialUpsertion {
        name: user.into(),
        mechanism: mechanism,
        iterations: iterations,
        salt: "salt".into(),
        salted_password: vec![7; 32].into(),
    });
    message!(m::AlterUserScramCredentialsRequest { upsertions: vec![upsertion] })
}

fn passwords(users: &[&ByteString]) -> m::DescribeUserScramCredentialsRequest {
    let user = |name: &&ByteString| {
        message!(m::describe_user_scram_credentials_request::UserName { name: (*name).clone() })
    };
    let users = users.iter().map(user).collect();
    message!(m::DescribeUserScramCredentialsRequest { users: Some(users) })
}

fn quota(entity: &[(&str, &ByteString)], key: &str, value: f64) -> m::AlterClientQuotasRequest {
    let part = |(kind, name): &(&str, &ByteString)| {
        message!(m::alter_client_quotas_request::EntityData {
            entity_type: (*kind).into(),
            entity_name: Some((*name).clone()),
        })
    };
    let op = message!(m::alter_client_quotas_request::OpData { key: key.into(), value: value });
    let entry = message!(m::alter_client_quotas_request::EntryData {
        entity: entity.iter().map(part).collect(),
        ops: vec![op],
    });
    message!(m::AlterClientQuotasRequest { entries: vec![entry] })
}

fn quotas(filter: &[(&str, i8, Option<&ByteString>)]) -> m::DescribeClientQuotasRequest {
    let component = |(kind, how, name): &(&str, i8, Option<&ByteString>)| {
        message!(m::describe_client_quotas_request::ComponentData {
            entity_type: (*kind).into(),
            match_type: *how,
            r#match: name.cloned(),
        })
    };
    message!(m::DescribeClientQuotasRequest { components: filter.iter().map(component).collect() })
}

fn quorum(topic: &ByteString, partition: i32) -> m::DescribeQuorumRequest {
    let partition =
        message!(m::describe_quorum_request::PartitionData { partition_index: partition });
    let topic = message!(m::describe_quorum_request::TopicData {
        topic_name: topic.clone(),
        partitions: vec![partition],
    });
    message!(m::DescribeQuorumRequest { topics: vec![topic] })
}

fn partitions(topic: &ByteString) -> m::DescribeTopicPartitionsRequest {
    let topic =
        message!(m::describe_topic_partitions_request::TopicRequest { name: topic.clone() });
    message!(m::DescribeTopicPartitionsRequest {
        topics: vec![topic],
        response_partition_limit: 10
    })
}

fn told(
    broker: &str,
    name: &str,
    operation: i8,
    value: Option<&str>,
) -> m::IncrementalAlterConfigsRequest {
    let config = message!(m::incremental_alter_configs_request::AlterableConfig {
        name: name.into(),
        config_operation: operation,
        value: value.map(Into::into),
    });
    let resource = message!(m::incremental_alter_configs_request::AlterConfigsResource {
        resource_type: 4,
        resource_name: broker.into(),
        configs: vec![config],
    });
    message!(m::IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: true })
}
