//! CreateTopics, DeleteTopics, CreatePartitions, DescribeConfigs, IncrementalAlterConfigs.

use milena_types::{ApiKey, ErrorCode as E, Uuid};
use milena_wire::ByteString;
use milena_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use milena_wire::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use milena_wire::messages::delete_topics_request::DeleteTopicState;
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest,
};

use super::refusals;
use crate::raw::message;
use crate::target::Version;

const CREATE: i16 = 3;
const DELETE: i16 = 3;
const PARTITIONS: i16 = 1;
const DESCRIBE: i16 = 2;

refusals! { "topics", |_| true;
    create_one_that_is_there: |stage| {
        stage.topic().await?;
        stage.controller(CREATE, create(&stage.name), E::TOPIC_ALREADY_EXISTS).await
    }
    validate_one_that_is_there: |stage| {
        stage.topic().await?;
        let mut ask = create(&stage.name);
        ask.validate_only = true;
        stage.controller(CREATE, ask, E::TOPIC_ALREADY_EXISTS).await
    }
    validate_a_new_one_is_no_error_and_makes_none: |stage| {
        let mut ask = create(&stage.name);
        ask.validate_only = true;
        stage.controller(CREATE, ask, E::NONE).await?;
        stage.controller(DELETE, delete(&stage.name), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    create_an_impossible_name: |stage| {
        stage.controller(CREATE, create(&"no topic!".into()), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_without_a_name: |stage| {
        stage.controller(CREATE, create(&"".into()), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_a_dot: |stage| {
        stage.controller(CREATE, create(&".".into()), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_two_dots: |stage| {
        stage.controller(CREATE, create(&"..".into()), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_a_name_that_is_too_long: |stage| {
        let name = "x".repeat(250).into();
        stage.controller(CREATE, create(&name), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_a_name_that_collides: |stage| {
        let name = |sign: &str| format!("{}{sign}one", stage.name).into();
        stage.controller(CREATE, create(&name(".")), E::NONE).await?;
        stage.controller(CREATE, create(&name("_")), E::INVALID_TOPIC_EXCEPTION).await
    }
    create_no_partition: |stage| {
        let mut ask = create(&stage.name);
        ask.topics[0].num_partitions = 0;
        stage.controller(CREATE, ask, E::INVALID_PARTITIONS).await
    }
    create_minus_five_partitions: |stage| {
        let mut ask = create(&stage.name);
        ask.topics[0].num_partitions = -5;
        stage.controller(CREATE, ask, E::INVALID_PARTITIONS).await
    }
    create_without_a_replica: |stage| {
        let mut ask = create(&stage.name);
        ask.topics[0].replication_factor = 0;
        stage.controller(CREATE, ask, E::INVALID_REPLICATION_FACTOR).await
    }
    create_more_replicas_than_brokers: |stage| {
        let mut ask = create(&stage.name);
        ask.topics[0].replication_factor = 99;
        stage.controller(CREATE, ask, E::INVALID_REPLICATION_FACTOR).await
    }
    create_with_an_unknown_setting: |stage| {
        let ask = configured(&stage.name, "no.such.setting", "1");
        stage.controller(CREATE, ask, E::INVALID_CONFIG).await
    }
    create_with_a_word_for_a_number: |stage| {
        let ask = configured(&stage.name, "retention.ms", "long");
        stage.controller(CREATE, ask, E::INVALID_CONFIG).await
    }
    create_with_an_unknown_policy: |stage| {
        let ask = configured(&stage.name, "cleanup.policy", "burn");
        stage.controller(CREATE, ask, E::INVALID_CONFIG).await
    }
    create_with_assignment_and_count: |stage| {
        let mut ask = assigned(&stage.name, &[&[1]]);
        ask.topics[0].num_partitions = 1;
        stage.controller(CREATE, ask, E::INVALID_REQUEST).await
    }
    create_on_one_broker_twice: |stage| {
        let ask = assigned(&stage.name, &[&[1, 1]]);
        stage.controller(CREATE, ask, E::INVALID_REPLICA_ASSIGNMENT).await
    }
    create_the_same_twice: |stage| {
        let mut ask = create(&stage.name);
        ask.topics.push(ask.topics[0].clone());
        stage.controller(CREATE, ask, E::INVALID_REQUEST).await
    }
    delete_an_unknown_one: |stage| {
        stage.controller(DELETE, delete(&stage.name), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    delete_one_twice: |stage| {
        stage.topic().await?;
        stage.controller(DELETE, delete(&stage.name), E::NONE).await?;
        stage.controller(DELETE, delete(&stage.name), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    add_partitions_to_an_unknown_one: |stage| {
        let ask = grow(&stage.name, 2, None);
        stage.controller(PARTITIONS, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    add_as_many_partitions_as_there_are: |stage| {
        stage.topic().await?;
        stage.controller(PARTITIONS, grow(&stage.name, 1, None), E::INVALID_PARTITIONS).await
    }
    take_partitions_away: |stage| {
        stage.topic().await?;
        stage.controller(PARTITIONS, grow(&stage.name, 0, None), E::INVALID_PARTITIONS).await
    }
    add_minus_one_partition: |stage| {
        stage.topic().await?;
        stage.controller(PARTITIONS, grow(&stage.name, -1, None), E::INVALID_PARTITIONS).await
    }
    assign_fewer_partitions_than_are_added: |stage| {
        stage.topic().await?;
        let ask = grow(&stage.name, 3, Some(&[&[1]]));
        stage.controller(PARTITIONS, ask, E::INVALID_REPLICA_ASSIGNMENT).await
    }
    assign_partitions_to_an_unknown_broker: |stage| {
        stage.topic().await?;
        let ask = grow(&stage.name, 2, Some(&[&[99]]));
        stage.controller(PARTITIONS, ask, E::INVALID_REPLICA_ASSIGNMENT).await
    }
    add_partitions_to_one_twice: |stage| {
        stage.topic().await?;
        let mut ask = grow(&stage.name, 2, None);
        ask.topics.push(ask.topics[0].clone());
        stage.controller(PARTITIONS, ask, E::INVALID_REQUEST).await
    }
    settings_of_an_unknown_topic: |stage| {
        let ask = describe(TOPIC, &stage.name);
        stage.any(DESCRIBE, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    settings_of_an_impossible_topic: |stage| {
        stage.any(DESCRIBE, describe(TOPIC, &"no topic!".into()), E::INVALID_TOPIC_EXCEPTION).await
    }
    settings_of_a_broker_that_is_no_number: |stage| {
        stage.any(DESCRIBE, describe(BROKER, &"one".into()), E::INVALID_REQUEST).await
    }
    settings_of_another_broker: |stage| {
        stage.any(DESCRIBE, describe(BROKER, &"99".into()), E::INVALID_REQUEST).await
    }
}

/// What newer requests name by id (KIP-516), settings that change one by one (KIP-339), and what 2.1 let pass.
pub(super) mod configs {
    use super::*;

    refusals! { "settings", |on| *on.version() >= Version::of(3, 9, 0)
            && on.speaks(ApiKey::INCREMENTAL_ALTER_CONFIGS);
        delete_an_unknown_id: |stage| {
            let topic = message!(DeleteTopicState { topic_id: Uuid::from_bytes([7; 16]) });
            let ask = message!(DeleteTopicsRequest { topics: vec![topic], timeout_ms: 30_000 });
            stage.controller(6, ask, E::UNKNOWN_TOPIC_ID).await
        }
        create_with_a_number_out_of_range: |stage| {
            let ask = configured(&stage.name, "retention.ms", "-7");
            stage.controller(CREATE, ask, E::INVALID_CONFIG).await
        }
        change_an_unknown_topic: |stage| {
            let ask = change(TOPIC, &stage.name, SET, "retention.ms", Some("1"));
            stage.any(0, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        change_an_unknown_setting: |stage| {
            stage.topic().await?;
            let ask = change(TOPIC, &stage.name, SET, "no.such.setting", Some("1"));
            stage.any(0, ask, E::INVALID_CONFIG).await
        }
        change_a_number_to_a_word: |stage| {
            stage.topic().await?;
            let ask = change(TOPIC, &stage.name, SET, "retention.ms", Some("long"));
            stage.any(0, ask, E::INVALID_CONFIG).await
        }
        append_to_what_is_no_list: |stage| {
            stage.topic().await?;
            let ask = change(TOPIC, &stage.name, APPEND, "retention.ms", Some("1"));
            stage.any(0, ask, E::INVALID_CONFIG).await
        }
        change_to_nothing: |stage| {
            stage.topic().await?;
            let ask = change(TOPIC, &stage.name, SET, "retention.ms", None);
            stage.any(0, ask, E::INVALID_REQUEST).await
        }
        change_a_setting_twice: |stage| {
            stage.topic().await?;
            let mut ask = change(TOPIC, &stage.name, SET, "retention.ms", Some("1"));
            let configs = &mut ask.resources[0].configs;
            configs.push(configs[0].clone());
            stage.any(0, ask, E::INVALID_REQUEST).await
        }
        change_a_topic_twice: |stage| {
            stage.topic().await?;
            let mut ask = change(TOPIC, &stage.name, SET, "retention.ms", Some("1"));
            ask.resources.push(ask.resources[0].clone());
            stage.any(0, ask, E::INVALID_REQUEST).await
        }
        change_what_is_nothing: |stage| {
            let ask = change(99, &stage.name, SET, "retention.ms", Some("1"));
            stage.any(0, ask, E::INVALID_REQUEST).await
        }
    }
}

fn create(topic: &ByteString) -> CreateTopicsRequest {
    let topic =
        message!(CreatableTopic { name: topic.clone(), num_partitions: 1, replication_factor: 1 });
    message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

fn configured(topic: &ByteString, name: &str, value: &str) -> CreateTopicsRequest {
    let mut ask = create(topic);
    let config = message!(CreatableTopicConfig { name: name.into(), value: Some(value.into()) });
    ask.topics[0].configs.push(config);
    ask
}

fn assigned(topic: &ByteString, brokers: &[&[i32]]) -> CreateTopicsRequest {
    let mut ask = create(topic);
    (ask.topics[0].num_partitions, ask.topics[0].replication_factor) = (-1, -1);
    let assignment = |(index, brokers): (i32, &&[i32])| {
        message!(CreatableReplicaAssignment {
            partition_index: index,
            broker_ids: brokers.to_vec(),
        })
    };
    ask.topics[0].assignments = (0..).zip(brokers).map(assignment).collect();
    ask
}

fn delete(topic: &ByteString) -> DeleteTopicsRequest {
    message!(DeleteTopicsRequest { topic_names: vec![topic.clone()], timeout_ms: 30_000 })
}

fn grow(topic: &ByteString, count: i32, assigned: Option<&[&[i32]]>) -> CreatePartitionsRequest {
    let assignment =
        |brokers: &&[i32]| message!(CreatePartitionsAssignment { broker_ids: brokers.to_vec() });
    let topic = message!(CreatePartitionsTopic {
        name: topic.clone(),
        count: count,
        assignments: assigned.map(|assigned| assigned.iter().map(assignment).collect()),
    });
    message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

fn describe(kind: i8, name: &ByteString) -> DescribeConfigsRequest {
    let resource =
        message!(DescribeConfigsResource { resource_type: kind, resource_name: name.clone() });
    message!(DescribeConfigsRequest { resources: vec![resource] })
}

fn change(
    kind: i8,
    resource: &ByteString,
    operation: i8,
    name: &str,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    let config = message!(AlterableConfig {
        name: name.into(),
        config_operation: operation,
        value: value.map(Into::into),
    });
    let resource = message!(AlterConfigsResource {
        resource_type: kind,
        resource_name: resource.clone(),
        configs: vec![config],
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const APPEND: i8 = 2;
