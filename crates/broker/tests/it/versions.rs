//! Every API in every version that is listed.

use milena_broker::on_any;
use milena_types::ErrorCode;
use milena_wire::Request;
use milena_wire::messages as m;

use crate::world::{World, batch, fetch, node, produce};

/// A field that a version lacks would make the answer impossible to write: the client would see its connection close.
#[test]
fn an_answer_and_an_error_can_be_written_in_every_version() {
    for request in requests() {
        for (min, max, key) in listed() {
            if key != request.api_key().get() {
                continue;
            }
            for version in min..=max {
                for fault in [None, Some(ErrorCode::UNKNOWN_SERVER_ERROR)] {
                    let mut world = World::new();
                    if let Some(code) = fault {
                        world.cluster.add_fault(on_any().error(code));
                    }
                    let connection = world.connect(node(1));
                    if encodes(&request, version) {
                        world.send(connection, version, request.clone());
                        assert!(!world.is_closed(connection), "{request:?} in version {version}");
                        assert_eq!(
                            world.garbage(connection),
                            0,
                            "{request:?} in version {version}"
                        );
                        assert!(
                            world.answer(connection).is_some(),
                            "{request:?} in version {version}"
                        );
                    }
                }
            }
        }
    }
}

fn encodes(request: &Request, version: i16) -> bool {
    let id = milena_types::CorrelationId::FIRST;
    milena_wire::encode_request(request, version, id, None).is_ok()
}

fn listed() -> Vec<(i16, i16, i16)> {
    let mut world = World::new();
    let connection = world.connect(node(1));
    let answer = world.ask(connection, 0, m::ApiVersionsRequest::default());
    let milena_wire::Response::ApiVersions(answer) = answer else { panic!("{answer:?}") };
    let range = |api: &m::api_versions_response::ApiVersion| {
        // Of Produce 0 to 2 are listed for show.
        let min = if api.api_key == 0 { 3 } else { api.min_version };
        (min, api.max_version, api.api_key)
    };
    answer.api_keys.iter().map(range).collect()
}

fn adding() -> m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
    m::add_partitions_to_txn_request::AddPartitionsToTxnTopic {
        name: "t".into(),
        partitions: vec![0],
    }
}

/// Requests about things that are there and that are not, in the forms that old and new versions have.
fn requests() -> Vec<Request> {
    let coordinator_key = || vec!["g".into()];
    vec![
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
        m::OffsetDeleteRequest { group_id: "g".into(), ..Default::default() }.into(),
        m::DescribeClusterRequest::default().into(),
    ]
}
