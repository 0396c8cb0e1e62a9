//! CreateTopics, DeleteTopics, CreatePartitions, Metadata, DescribeConfigs: what there is of a topic, and what is told of it.

use std::collections::BTreeSet;

use milena_types::ErrorCode as E;
use milena_wire::ByteString;
use milena_wire::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use milena_wire::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use milena_wire::messages::describe_configs_request::DescribeConfigsResource;
use milena_wire::messages::describe_configs_response::DescribeConfigsResult;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::metadata_response::{MetadataResponse, MetadataResponseTopic};
use milena_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    MetadataRequest,
};
use tokio::time::sleep;

use super::answers;
use crate::Result;
use crate::raw::{Batch, message};
use crate::scenarios::stage::{PAUSE, Role, Stage, answer};

const CREATE: i16 = 3;
const DELETE: i16 = 3;
const PARTITIONS: i16 = 1;
const METADATA: i16 = 7;
const DESCRIBE: i16 = 1;

answers! { "topics", |_| true;
    a_new_one_has_as_many_partitions_as_were_asked_for: |stage| {
        stage.topic_of(3).await?;
        assert_eq!(indexes(&known(stage, 3).await?), [0, 1, 2]);
        Ok(())
    }
    a_new_one_has_a_leader_that_is_its_only_replica: |stage| {
        stage.topic().await?;
        let told = known(stage, 1).await?;
        let partition = &told.partitions[0];
        assert_eq!(partition.replica_nodes, [partition.leader_id]);
        assert_eq!(partition.isr_nodes, [partition.leader_id]);
        assert_eq!((partition.leader_epoch, &partition.offline_replicas), (0, &vec![]));
        Ok(())
    }
    one_that_was_assigned_is_where_it_was_assigned: |stage| {
        let assignment = |index| message!(CreatableReplicaAssignment { partition_index: index, broker_ids: vec![1] });
        let topic = message!(CreatableTopic {
            name: stage.name.clone(), num_partitions: -1, replication_factor: -1,
            assignments: vec![assignment(0), assignment(1)],
        });
        let ask = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000 });
        stage.controller(CREATE, ask, E::NONE).await?;
        let told = known(stage, 2).await?;
        assert!(told.partitions.iter().all(|partition| partition.replica_nodes == [1]), "{told:?}");
        Ok(())
    }
    of_two_the_one_that_is_not_there_is_made: |stage| {
        stage.topic().await?;
        let other = ByteString::from(format!("{}-new", stage.name));
        let topic = |name: &ByteString| message!(CreatableTopic { name: name.clone(), num_partitions: 1, replication_factor: 1 });
        let topics = vec![topic(&stage.name), topic(&other)];
        let ask = message!(CreateTopicsRequest { topics: topics, timeout_ms: 30_000 });
        let told = answer!(CreateTopics of stage.told(Role::Controller, CREATE, ask).await?);
        let told: BTreeSet<_> = told.topics.iter().map(|topic| (&topic.name, topic.error_code)).collect();
        assert_eq!(told, BTreeSet::from([(&stage.name, E::TOPIC_ALREADY_EXISTS), (&other, E::NONE)]));
        stage.on.await_topic(&other).await
    }
    of_two_the_one_that_is_there_is_deleted: |stage| {
        stage.topic().await?;
        let other = ByteString::from(format!("{}-not", stage.name));
        let names = vec![stage.name.clone(), other.clone()];
        let ask = message!(DeleteTopicsRequest { topic_names: names, timeout_ms: 30_000 });
        let told = answer!(DeleteTopics of stage.told(Role::Controller, DELETE, ask).await?);
        let told: BTreeSet<_> = told.responses.iter().map(|one| (one.name.clone(), one.error_code)).collect();
        assert_eq!(told, BTreeSet::from([
            (Some(stage.name.clone()), E::NONE), (Some(other), E::UNKNOWN_TOPIC_OR_PARTITION),
        ]));
        gone(stage).await
    }
    one_that_is_made_anew_is_empty: |stage| {
        stage.append(&Batch::of(&["a", "b"])).await?;
        let ask = message!(DeleteTopicsRequest { topic_names: vec![stage.name.clone()], timeout_ms: 30_000 });
        stage.controller(DELETE, ask, E::NONE).await?;
        gone(stage).await?;
        let mut again = Stage::new(std::sync::Arc::clone(&stage.on), "unused");
        again.name = stage.name.clone();
        // ZooKeeper forgets it later than brokers do.
        loop {
            let topic = message!(CreatableTopic { name: stage.name.clone(), num_partitions: 1, replication_factor: 1 });
            let ask = message!(CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000 });
            let told = answer!(CreateTopics of stage.told(Role::Controller, CREATE, ask).await?);
            match told.topics[0].error_code {
                E::TOPIC_ALREADY_EXISTS => sleep(PAUSE).await,
                code => break assert_eq!(code, E::NONE),
            }
        }
        assert_eq!(again.append(&Batch::of(&["c"])).await?, 0);
        assert_eq!(again.ends().await?, (0, 1));
        Ok(())
    }
    partitions_that_are_added_come_behind_and_are_empty: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        let leader = known(stage, 1).await?.partitions[0].leader_id;
        let there = message!(CreatePartitionsAssignment { broker_ids: vec![leader] });
        let mut ask = grow(stage, 3);
        ask.topics[0].assignments = Some(vec![there.clone(), there]);
        stage.controller(PARTITIONS, ask, E::NONE).await?;
        assert_eq!(indexes(&known(stage, 3).await?), [0, 1, 2]);
        assert_eq!(stage.ends().await?, (0, 1), "the first is as it was");
        let batch = Batch::of(&["b"]);
        let ask = stage.producing(&[(2, &batch)]);
        assert_eq!(stage.produced(7, ask).await?[0].base_offset, 0);
        Ok(())
    }
    partitions_that_are_only_checked_are_not_added: |stage| {
        stage.topic().await?;
        let mut ask = grow(stage, 3);
        ask.validate_only = true;
        stage.controller(PARTITIONS, ask, E::NONE).await?;
        stage.controller(PARTITIONS, grow(stage, 2), E::NONE).await?;
        assert_eq!(indexes(&known(stage, 2).await?), [0, 1]);
        Ok(())
    }
    whoever_asks_for_none_is_told_of_brokers_alone: |stage| {
        stage.topic().await?;
        let told = metadata(stage, Some(vec![])).await?;
        assert_eq!(told.topics, []);
        assert_eq!(told.brokers.len(), stage.on.choice().brokers as usize);
        Ok(())
    }
    whoever_asks_for_all_is_told_of_each: |stage| {
        stage.topic().await?;
        let told = metadata(stage, None).await?;
        let own: Vec<_> = told.topics.iter().filter(|topic| topic.name.as_ref() == Some(&stage.name)).collect();
        assert_eq!((own.len(), own[0].error_code), (1, E::NONE));
        Ok(())
    }
    the_controller_is_a_broker_and_the_cluster_has_one_name: |stage| {
        let first = metadata(stage, Some(vec![])).await?;
        assert!(first.brokers.iter().any(|broker| broker.node_id == first.controller_id), "{first:?}");
        let second = metadata(stage, Some(vec![])).await?;
        assert_eq!(first.cluster_id, second.cluster_id);
        assert!(first.cluster_id.is_some_and(|name| !name.is_empty()));
        Ok(())
    }
    a_user_s_is_not_internal_and_that_of_the_commits_is: |stage| {
        stage.topic().await?;
        stage.member().await?;
        assert!(!known(stage, 1).await?.is_internal);
        let all = metadata(stage, None).await?;
        let internal = all.topics.iter().find(|topic| topic.name.as_deref() == Some("__consumer_offsets"));
        assert!(internal.is_some_and(|topic| topic.is_internal), "{all:?}");
        Ok(())
    }
    asking_for_an_unknown_one_may_make_it: |stage| {
        let topic = message!(MetadataRequestTopic { name: Some(stage.name.clone()) });
        let ask = message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: true });
        stage.told(Role::Any, METADATA, ask).await?;
        stage.on.await_topic(&stage.name).await
    }
    a_setting_is_told_with_where_it_comes_from: |stage| {
        stage.topic_with(&[("retention.ms", "5000000")]).await?;
        let told = described(stage, &["retention.ms", "cleanup.policy"]).await?;
        let mut told: Vec<_> = told.configs.iter().map(|one| (&*one.name, one.value.as_deref(), one.config_source)).collect();
        told.sort_unstable();
        assert_eq!(told, [("cleanup.policy", Some("delete"), DEFAULT), ("retention.ms", Some("5000000"), OF_TOPIC)]);
        Ok(())
    }
    only_the_settings_that_are_asked_for_are_told: |stage| {
        stage.topic().await?;
        let told = described(stage, &["retention.ms", "no.such.setting"]).await?;
        let told: Vec<_> = told.configs.iter().map(|one| &*one.name).collect();
        assert_eq!(told, ["retention.ms"]);
        Ok(())
    }
}

const OF_TOPIC: i8 = 1;
const DEFAULT: i8 = 5;

async fn metadata(
    stage: &Stage,
    topics: Option<Vec<MetadataRequestTopic>>,
) -> Result<MetadataResponse> {
    let ask = message!(MetadataRequest { topics: topics, allow_auto_topic_creation: false });
    Ok(answer!(Metadata of stage.told(Role::Any, METADATA, ask).await?))
}

/// The stage's topic, once every broker knows so many of its partitions; brokers learn of them one by one.
async fn known(stage: &Stage, partitions: usize) -> Result<MetadataResponseTopic> {
    stage.on.await_topic(&stage.name).await?;
    loop {
        let topic = message!(MetadataRequestTopic { name: Some(stage.name.clone()) });
        let told = metadata(stage, Some(vec![topic])).await?.topics.remove(0);
        let has_leaders = told.partitions.iter().all(|one| one.error_code == E::NONE);
        if told.partitions.len() >= partitions && has_leaders {
            return Ok(told);
        }
        sleep(PAUSE).await;
    }
}

/// Waits until no broker knows the topic.
async fn gone(stage: &Stage) -> Result {
    for address in stage.on.bootstrap_servers().split(',') {
        let mut there = crate::raw::Connection::open(address).await?;
        loop {
            let topic = message!(MetadataRequestTopic { name: Some(stage.name.clone()) });
            let topics = Some(vec![topic]);
            let ask =
                message!(MetadataRequest { topics: topics, allow_auto_topic_creation: false });
            let told = answer!(Metadata of there.call(ask, METADATA).await?);
            if told.topics[0].error_code == E::UNKNOWN_TOPIC_OR_PARTITION {
                break;
            }
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

fn indexes(topic: &MetadataResponseTopic) -> Vec<i32> {
    let mut all: Vec<_> = topic.partitions.iter().map(|one| one.partition_index).collect();
    all.sort_unstable();
    all
}

fn grow(stage: &Stage, count: i32) -> CreatePartitionsRequest {
    let topic = message!(CreatePartitionsTopic {
        name: stage.name.clone(),
        count: count,
        assignments: None,
    });
    message!(CreatePartitionsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

async fn described(stage: &Stage, names: &[&str]) -> Result<DescribeConfigsResult> {
    let resource = message!(DescribeConfigsResource {
        resource_type: 2,
        resource_name: stage.name.clone(),
        configuration_keys: Some(names.iter().map(|name| ByteString::from(*name)).collect()),
    });
    let ask = message!(DescribeConfigsRequest { resources: vec![resource] });
    let mut told = answer!(DescribeConfigs of stage.told(Role::Any, DESCRIBE, ask).await?);
    assert_eq!(told.results[0].error_code, E::NONE, "{told:?}");
    Ok(told.results.remove(0))
}
