//! Every API in every version that is listed.

use std::collections::BTreeSet;

use milena_broker::{Settings, TopicSettings, on_any};
use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::messages as m;
use milena_wire::{ByteString, Request, Response};

use crate::producer::{ID, Producer, V1};
use crate::world::{World, batch, fetch, node, produce};

/// A field that a version lacks would make the answer impossible to write: the client would see its connection close.
#[test]
fn an_answer_and_an_error_can_be_written_in_every_version() {
    let mut left: BTreeSet<_> = listed().into_iter().collect();
    let asker = Asker::new(&mut one_node());
    let others = newer_group_requests(asker.topic_id).into_iter().chain(administration());
    for request in requests(&asker).into_iter().chain(others) {
        for (key, version) in listed().into_iter().filter(|(key, _)| *key == request.api_key()) {
            if !encodes(&request, version) {
                continue;
            }
            left.remove(&(key, version));
            let name = format!("{request:?} in version {version}");
            for fault in [None, Some(ErrorCode::UNKNOWN_SERVER_ERROR)] {
                let mut world = one_node();
                Asker::new(&mut world);
                if let Some(code) = fault {
                    world.cluster.add_fault(on_any().error(code));
                }
                let connection = world.connect(node(1));
                world.send(connection, version, request.clone());
                assert!(!world.is_closed(connection), "{name}");
                assert_eq!(world.garbage(connection), 0, "{name}");
                let answer = format!("{:?}", world.answer(connection).expect(&name));
                // Groups and transactions are at home here, so that more is answered than where they are.
                let elsewhere = format!("{:?}", ErrorCode::NOT_COORDINATOR);
                assert!(!answer.contains(&elsewhere), "{answer} to {name}");
            }
        }
    }
    assert!(left.is_empty(), "never asked: {left:?}");
}

/// Of partitions' places, clients' quotas and rights.
fn administration() -> Vec<Request> {
    let (t, of_t): (ByteString, _) = ("t".into(), vec![0]);
    let moved = m::alter_replica_log_dirs_request::AlterReplicaLogDirTopic {
        name: t.clone(),
        partitions: of_t.clone(),
    };
    let moved = m::alter_replica_log_dirs_request::AlterReplicaLogDir {
        path: "/elsewhere".into(),
        topics: vec![moved],
    };
    let elected = m::elect_leaders_request::TopicPartitions { topic: t.clone(), partitions: of_t };
    let reassigned = m::alter_partition_reassignments_request::ReassignableTopic {
        name: t.clone(),
        partitions: vec![Default::default()],
    };
    let quorum = m::describe_quorum_request::TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![Default::default()],
    };
    let entity = m::alter_client_quotas_request::EntityData {
        entity_type: "user".into(),
        entity_name: Some("u".into()),
    };
    let entry = m::alter_client_quotas_request::EntryData {
        entity: vec![entity],
        ops: vec![Default::default()],
    };
    let user = m::describe_user_scram_credentials_request::UserName { name: "u".into() };
    let named = m::describe_topic_partitions_request::TopicRequest { name: t };
    vec![
        m::DescribeLogDirsRequest { topics: None }.into(),
        m::AlterReplicaLogDirsRequest { dirs: vec![moved] }.into(),
        m::ElectLeadersRequest { topic_partitions: Some(vec![elected]), ..Default::default() }
            .into(),
        m::AlterPartitionReassignmentsRequest { topics: vec![reassigned], ..Default::default() }
            .into(),
        m::ListPartitionReassignmentsRequest::default().into(),
        m::DescribeQuorumRequest { topics: vec![quorum] }.into(),
        m::DescribeQuorumRequest::default().into(),
        m::AlterClientQuotasRequest { entries: vec![entry], validate_only: false }.into(),
        m::DescribeClientQuotasRequest::default().into(),
        m::DescribeUserScramCredentialsRequest { users: Some(vec![user]) }.into(),
        m::AlterUserScramCredentialsRequest {
            deletions: vec![Default::default()],
            upsertions: vec![m::alter_user_scram_credentials_request::ScramCredentialUpsertion {
                name: "u".into(),
                ..Default::default()
            }],
        }
        .into(),
        m::CreateDelegationTokenRequest::default().into(),
        m::RenewDelegationTokenRequest::default().into(),
        m::ExpireDelegationTokenRequest::default().into(),
        m::DescribeDelegationTokenRequest::default().into(),
        m::CreateAclsRequest { creations: vec![Default::default()] }.into(),
        m::DescribeAclsRequest::default().into(),
        m::DeleteAclsRequest { filters: vec![Default::default()] }.into(),
        m::ListConfigResourcesRequest::default().into(),
        m::UnregisterControllerRequest { controller_id: 2 }.into(),
        m::AddRaftVoterRequest { voter_id: -1, ..Default::default() }.into(),
        m::RemoveRaftVoterRequest { voter_id: -1, ..Default::default() }.into(),
        m::UnregisterBrokerRequest { broker_id: 9 }.into(),
        m::GetTelemetrySubscriptionsRequest::default().into(),
        m::PushTelemetryRequest::default().into(),
        m::UpdateFeaturesRequest {
            feature_updates: vec![Default::default()],
            ..Default::default()
        }
        .into(),
        m::UpdateFeaturesRequest {
            feature_updates: vec![m::update_features_request::FeatureUpdateKey {
                feature: "group.version".into(),
                max_version_level: 1,
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        m::DescribeTopicPartitionsRequest { topics: vec![named], ..Default::default() }.into(),
    ]
}

/// Who asks: the only member of the group `g` and the producer of the transaction `payments`, which is open.
struct Asker {
    member_id: ByteString,
    generation: i32,
    producer_id: i64,
    producer_epoch: i16,
    topic_id: Uuid,
}

impl Asker {
    /// The same in each fresh world.
    fn new(world: &mut World) -> Self {
        let connection = world.connect(node(1));
        let keys =
            m::FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
        world.ask(connection, 4, keys);
        let answer = world.ask(connection, 3, join("".into()));
        let Response::JoinGroup(joined) = answer else { panic!("{answer:?}") };
        assert_eq!(joined.error_code, ErrorCode::NONE);
        let producer = Producer::begin(world, V1);
        assert_eq!(producer.add(world), ErrorCode::NONE);
        let asker = Self {
            member_id: joined.member_id,
            generation: joined.generation_id,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            topic_id: world.cluster.topic_id("t").expect("there"),
        };
        world.ask(connection, 3, asker.sync());
        asker
    }

    fn sync(&self) -> m::SyncGroupRequest {
        m::SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            ..Default::default()
        }
    }

    fn commit(&self, name: &str, topic_id: Uuid) -> m::OffsetCommitRequest {
        m::OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.member_id.clone(),
            topics: vec![m::offset_commit_request::OffsetCommitRequestTopic {
                name: name.into(),
                topic_id,
                partitions: vec![Default::default()],
            }],
            ..Default::default()
        }
    }

    /// Requests that only it can make, and what it has committed.
    fn requests(&self) -> Vec<Request> {
        let member = m::leave_group_request::MemberIdentity {
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        let leave = || m::LeaveGroupRequest { group_id: "g".into(), ..Default::default() };
        vec![
            join(self.member_id.clone()).into(),
            self.sync().into(),
            m::SyncGroupRequest {
                protocol_type: Some("consumer".into()),
                protocol_name: Some("range".into()),
                ..self.sync()
            }
            .into(),
            m::HeartbeatRequest {
                group_id: "g".into(),
                generation_id: self.generation,
                member_id: self.member_id.clone(),
                ..Default::default()
            }
            .into(),
            self.commit("t", Uuid::ZERO).into(),
            self.commit("", self.topic_id).into(),
            m::OffsetFetchRequest {
                group_id: "g".into(),
                topics: Some(vec![m::offset_fetch_request::OffsetFetchRequestTopic {
                    name: "t".into(),
                    partition_indexes: vec![0],
                }]),
                ..Default::default()
            }
            .into(),
            m::LeaveGroupRequest { member_id: self.member_id.clone(), ..leave() }.into(),
            m::LeaveGroupRequest { members: vec![member], ..leave() }.into(),
            m::AddOffsetsToTxnRequest {
                transactional_id: ID.into(),
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
                group_id: "g".into(),
            }
            .into(),
            m::TxnOffsetCommitRequest {
                transactional_id: ID.into(),
                group_id: "g".into(),
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
                topics: vec![m::txn_offset_commit_request::TxnOffsetCommitRequestTopic {
                    name: "t".into(),
                    partitions: vec![Default::default()],
                    ..Default::default()
                }],
                ..Default::default()
            }
            .into(),
            m::EndTxnRequest {
                transactional_id: ID.into(),
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
                committed: true,
            }
            .into(),
        ]
    }
}

fn join(member_id: ByteString) -> m::JoinGroupRequest {
    let protocol = m::join_group_request::JoinGroupRequestProtocol {
        name: "range".into(),
        ..Default::default()
    };
    m::JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    }
}

/// It leads and coordinates all there is.
fn one_node() -> World {
    World::with(|settings| {
        *settings = Settings::with_nodes(1);
        settings.topics = vec![TopicSettings::new("t", 1)];
    })
}

fn encodes(request: &Request, version: i16) -> bool {
    let id = milena_types::CorrelationId::FIRST;
    milena_wire::encode_request(request, version, id, None).is_ok()
}

fn listed() -> Vec<(ApiKey, i16)> {
    let mut world = World::with(|settings| settings.client_telemetry = true);
    let connection = world.connect(node(1));
    let answer = world.ask(connection, 0, m::ApiVersionsRequest::default());
    let Response::ApiVersions(answer) = answer else { panic!("{answer:?}") };
    let versions = |api: &m::api_versions_response::ApiVersion| {
        let key = ApiKey::from_wire(api.api_key);
        // Of Produce 0 to 2 are listed for show.
        let min = if key == ApiKey::PRODUCE { 3 } else { api.min_version };
        (min..=api.max_version).map(move |version| (key, version))
    };
    answer.api_keys.iter().flat_map(versions).collect()
}

fn adding() -> m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
    m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: "t".into(),
        partitions: vec![0],
    }
}

/// Requests about things that are there and that are not, in the forms that old and new versions have.
fn requests(asker: &Asker) -> Vec<Request> {
    let coordinator_key = || vec!["g".into()];
    let mut requests = asker.requests();
    requests.extend([
        produce(-1, batch(&["a"], None)).into(),
        produce(7, batch(&["a"], None)).into(),
        fetch(0, 0, 0).into(),
        fetch(9, 0, 0).into(),
        m::ListOffsetsRequest {
            replica_id: -1,
            topics: vec![m::list_offsets_request::ListOffsetsTopic {
                name: "t".into(),
                partitions: vec![Default::default(), Default::default()],
            }],
            ..Default::default()
        }
        .into(),
        m::MetadataRequest { topics: None, ..Default::default() }.into(),
        m::MetadataRequest {
            topics: Some(vec![m::metadata_request::MetadataRequestTopic {
                name: Some("nope".into()),
                ..Default::default()
            }]),
            ..Default::default()
        }
        .into(),
        m::OffsetCommitRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::OffsetFetchRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::OffsetFetchRequest {
            groups: vec![m::offset_fetch_request::OffsetFetchRequestGroup {
                group_id: "g".into(),
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        m::FindCoordinatorRequest { key: "g".into(), ..Default::default() }.into(),
        m::FindCoordinatorRequest { coordinator_keys: coordinator_key(), ..Default::default() }
            .into(),
        m::JoinGroupRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::HeartbeatRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::LeaveGroupRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::SyncGroupRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::DescribeGroupsRequest { groups: coordinator_key(), ..Default::default() }.into(),
        m::ListGroupsRequest::default().into(),
        m::ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..Default::default()
        }
        .into(),
        m::CreateTopicsRequest {
            topics: vec![
                m::create_topics_request::CreatableTopic {
                    name: "new".into(),
                    num_partitions: 2,
                    replication_factor: 1,
                    ..Default::default()
                },
                m::create_topics_request::CreatableTopic { name: "t".into(), ..Default::default() },
            ],
            ..Default::default()
        }
        .into(),
        m::DeleteTopicsRequest {
            topic_names: vec!["t".into(), "nope".into()],
            ..Default::default()
        }
        .into(),
        m::DeleteTopicsRequest {
            topics: vec![m::delete_topics_request::DeleteTopicState {
                name: Some("nope".into()),
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        m::DeleteRecordsRequest {
            topics: vec![m::delete_records_request::DeleteRecordsTopic {
                name: "t".into(),
                partitions: vec![Default::default()],
            }],
            ..Default::default()
        }
        .into(),
        m::InitProducerIdRequest { transactional_id: None, ..Default::default() }.into(),
        m::InitProducerIdRequest { transactional_id: Some("tx".into()), ..Default::default() }
            .into(),
        m::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: "tx".into(),
            v3_and_below_topics: vec![adding()],
            ..Default::default()
        }
        .into(),
        m::AddPartitionsToTxnRequest {
            transactions: vec![m::add_partitions_to_txn_request::AddPartitionsToTxnTransaction {
                transactional_id: "tx".into(),
                topics: vec![adding()],
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        m::AddOffsetsToTxnRequest { transactional_id: "tx".into(), ..Default::default() }.into(),
        m::EndTxnRequest { transactional_id: "tx".into(), ..Default::default() }.into(),
        m::DescribeProducersRequest {
            topics: vec![m::describe_producers_request::TopicRequest {
                name: "t".into(),
                partition_indexes: vec![0, 9],
            }],
        }
        .into(),
        m::TxnOffsetCommitRequest {
            transactional_id: "tx".into(),
            group_id: "g".into(),
            topics: vec![m::txn_offset_commit_request::TxnOffsetCommitRequestTopic {
                name: "t".into(),
                partitions: vec![Default::default()],
                ..Default::default()
            }],
            ..Default::default()
        }
        .into(),
        m::WriteTxnMarkersRequest {
            markers: vec![m::write_txn_markers_request::WritableTxnMarker {
                topics: vec![m::write_txn_markers_request::WritableTxnMarkerTopic {
                    name: "t".into(),
                    partition_indexes: vec![0],
                }],
                ..Default::default()
            }],
        }
        .into(),
        m::DescribeTransactionsRequest { transactional_ids: vec!["tx".into()] }.into(),
        m::ListTransactionsRequest::default().into(),
        m::OffsetForLeaderEpochRequest {
            topics: vec![m::offset_for_leader_epoch_request::OffsetForLeaderTopic {
                topic: "t".into(),
                partitions: vec![Default::default()],
            }],
            ..Default::default()
        }
        .into(),
        m::DescribeConfigsRequest {
            resources: vec![m::describe_configs_request::DescribeConfigsResource {
                resource_type: 2,
                resource_name: "t".into(),
                configuration_keys: None,
            }],
            ..Default::default()
        }
        .into(),
        m::CreatePartitionsRequest {
            topics: vec![m::create_partitions_request::CreatePartitionsTopic {
                name: "t".into(),
                count: 3,
                assignments: None,
            }],
            ..Default::default()
        }
        .into(),
        m::DeleteGroupsRequest { groups_names: coordinator_key() }.into(),
        m::IncrementalAlterConfigsRequest {
            resources: vec![Default::default()],
            ..Default::default()
        }
        .into(),
        m::AlterConfigsRequest { resources: vec![Default::default()], ..Default::default() }.into(),
        m::OffsetDeleteRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::DescribeClusterRequest::default().into(),
        m::ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: "m".into(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(vec!["t".into()]),
            topic_partitions: Some(Vec::new()),
            ..Default::default()
        }
        .into(),
        m::ConsumerGroupDescribeRequest { group_ids: coordinator_key(), ..Default::default() }
            .into(),
    ]);
    requests
}

/// A share group's, and what it is refused for wants; a streams group's.
fn newer_group_requests(topic_id: Uuid) -> Vec<Request> {
    let group = || Some(ByteString::from_static("s"));
    let member = || Some(ByteString::from_static("member"));
    let offsets =
        |topics| m::describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup {
            group_id: "s".into(),
            topics,
        };
    vec![
        m::ShareGroupHeartbeatRequest {
            group_id: "s".into(),
            member_id: "member".into(),
            subscribed_topic_names: Some(vec!["t".into()]),
            ..Default::default()
        }
        .into(),
        m::ShareGroupHeartbeatRequest {
            group_id: "s".into(),
            member_id: "member".into(),
            member_epoch: 7,
            ..Default::default()
        }
        .into(),
        streams_joining().into(),
        m::StreamsGroupDescribeRequest {
            group_ids: vec!["k".into(), "g".into()],
            ..Default::default()
        }
        .into(),
        m::StreamsGroupTopologyDescriptionUpdateRequest {
            group_id: "k".into(),
            ..Default::default()
        }
        .into(),
        m::ShareGroupDescribeRequest {
            group_ids: vec!["s".into(), "g".into()],
            ..Default::default()
        }
        .into(),
        m::ShareFetchRequest {
            group_id: group(),
            member_id: member(),
            max_bytes: 1 << 20,
            max_records: 1,
            topics: vec![m::share_fetch_request::FetchTopic {
                topic_id,
                partitions: vec![Default::default()],
            }],
            ..Default::default()
        }
        .into(),
        m::ShareAcknowledgeRequest { group_id: group(), member_id: member(), ..Default::default() }
            .into(),
        m::DescribeShareGroupOffsetsRequest {
            groups: vec![offsets(None), offsets(Some(vec![Default::default()]))],
        }
        .into(),
        m::AlterShareGroupOffsetsRequest {
            group_id: "s".into(),
            topics: vec![
                m::alter_share_group_offsets_request::AlterShareGroupOffsetsRequestTopic {
                    topic_name: "t".into(),
                    partitions: vec![Default::default()],
                },
            ],
        }
        .into(),
        m::DeleteShareGroupOffsetsRequest {
            group_id: "s".into(),
            topics: vec![Default::default()],
        }
        .into(),
    ]
}

fn streams_joining() -> m::StreamsGroupHeartbeatRequest {
    let one = m::streams_group_heartbeat_request::Subtopology {
        subtopology_id: "0".into(),
        source_topics: vec!["t".into()],
        ..Default::default()
    };
    m::StreamsGroupHeartbeatRequest {
        group_id: "k".into(),
        member_id: "member".into(),
        rebalance_timeout_ms: 1000,
        endpoint_information_epoch: -1,
        topology: Some(m::streams_group_heartbeat_request::Topology {
            epoch: 0,
            subtopologies: vec![one],
        }),
        ..Default::default()
    }
}
