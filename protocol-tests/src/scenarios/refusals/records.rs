//! Produce, Fetch, ListOffsets, OffsetForLeaderEpoch, DeleteRecords, Metadata.

use milena_types::{ErrorCode as E, Uuid};
use milena_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use milena_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use milena_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use milena_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use milena_wire::messages::{
    ApiVersionsRequest, DeleteRecordsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
    OffsetForLeaderEpochRequest, ProduceRequest,
};
use milena_wire::{ByteString, Records};

use super::refusals;
use crate::raw::{Batch, message};
use crate::target::Version;

const PRODUCE: i16 = 7;
const FETCH: i16 = 10;
const LIST_OFFSETS: i16 = 4;
const EPOCHS: i16 = 2;
const DELETE: i16 = 1;
const METADATA: i16 = 7;

refusals! { "records", |_| true;
    produce_to_an_unknown_topic: |stage| {
        stage.any(PRODUCE, produce(&stage.name, 0, &Batch::of(&["x"])), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    produce_to_an_impossible_topic: |stage| {
        let ask = produce(&"no topic!".into(), 0, &Batch::of(&["x"]));
        stage.any(PRODUCE, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    produce_to_an_unknown_partition: |stage| {
        let ask = produce(&stage.name, 9, &Batch::of(&["x"]));
        stage.leader(PRODUCE, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    produce_to_a_negative_partition: |stage| {
        let ask = produce(&stage.name, -1, &Batch::of(&["x"]));
        stage.leader(PRODUCE, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    produce_with_two_acks: |stage| {
        let mut ask = produce(&stage.name, 0, &Batch::of(&["x"]));
        ask.acks = 2;
        stage.leader(PRODUCE, ask, E::INVALID_REQUIRED_ACKS).await
    }
    produce_with_minus_two_acks: |stage| {
        let mut ask = produce(&stage.name, 0, &Batch::of(&["x"]));
        ask.acks = -2;
        stage.leader(PRODUCE, ask, E::INVALID_REQUIRED_ACKS).await
    }
    produce_a_wrong_checksum: |stage| {
        let mut bytes = Batch::of(&["x"]).bytes().to_vec();
        bytes[20] ^= 0x55;
        let mut ask = produce(&stage.name, 0, &Batch::of(&["x"]));
        ask.topic_data[0].partition_data[0].records = Some(Records::from(bytes::Bytes::from(bytes)));
        stage.leader(PRODUCE, ask, E::CORRUPT_MESSAGE).await
    }
    produce_a_record_that_is_too_large: |stage| {
        let large = "x".repeat(1_100_000);
        let ask = produce(&stage.name, 0, &Batch::of(&[&large]));
        stage.leader(PRODUCE, ask, E::MESSAGE_TOO_LARGE).await
    }
    produce_more_than_the_topic_takes: |stage| {
        stage.topic_with(&[("max.message.bytes", "200")]).await?;
        let large = "x".repeat(300);
        let ask = produce(&stage.name, 0, &Batch::of(&[&large]));
        stage.leader(PRODUCE, ask, E::MESSAGE_TOO_LARGE).await
    }
    produce_a_gap_in_sequences: |stage| {
        let id = stage.producer().await?.id;
        let batch = |sequence| Batch::of(&["x"]).of_producer(id, 0, sequence);
        stage.leader(PRODUCE, produce(&stage.name, 0, &batch(0)), E::NONE).await?;
        stage.leader(PRODUCE, produce(&stage.name, 0, &batch(7)), E::OUT_OF_ORDER_SEQUENCE_NUMBER).await
    }
    produce_a_new_epoch_in_mid_sequence: |stage| {
        let id = stage.producer().await?.id;
        let batch = |epoch, sequence| Batch::of(&["x"]).of_producer(id, epoch, sequence);
        stage.leader(PRODUCE, produce(&stage.name, 0, &batch(0, 0)), E::NONE).await?;
        let ask = produce(&stage.name, 0, &batch(1, 1));
        stage.leader(PRODUCE, ask, E::OUT_OF_ORDER_SEQUENCE_NUMBER).await
    }
    produce_in_an_old_epoch: |stage| {
        let id = stage.producer().await?.id;
        let batch = |epoch, sequence| Batch::of(&["x"]).of_producer(id, epoch, sequence);
        stage.leader(PRODUCE, produce(&stage.name, 0, &batch(3, 0)), E::NONE).await?;
        stage.leader(PRODUCE, produce(&stage.name, 0, &batch(2, 0)), E::INVALID_PRODUCER_EPOCH).await
    }
    produce_the_same_again_is_no_error: |stage| {
        let id = stage.producer().await?.id;
        let ask = produce(&stage.name, 0, &Batch::of(&["x"]).of_producer(id, 0, 0));
        stage.leader(PRODUCE, ask.clone(), E::NONE).await?;
        stage.leader(PRODUCE, ask, E::NONE).await
    }

    fetch_an_unknown_topic: |stage| {
        stage.any(FETCH, fetch(&stage.name, 0, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    fetch_an_unknown_partition: |stage| {
        stage.leader(FETCH, fetch(&stage.name, 9, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    fetch_beyond_the_end: |stage| {
        stage.leader(FETCH, fetch(&stage.name, 0, 1), E::OFFSET_OUT_OF_RANGE).await
    }
    fetch_before_the_start: |stage| {
        stage.leader(FETCH, fetch(&stage.name, 0, -1), E::OFFSET_OUT_OF_RANGE).await
    }
    fetch_what_was_deleted: |stage| {
        let ask = produce(&stage.name, 0, &Batch::of(&["x", "y"]));
        stage.leader(PRODUCE, ask, E::NONE).await?;
        stage.leader(DELETE, delete(&stage.name, 0, 1), E::NONE).await?;
        stage.leader(FETCH, fetch(&stage.name, 0, 0), E::OFFSET_OUT_OF_RANGE).await
    }
    fetch_in_an_epoch_to_come: |stage| {
        let mut ask = fetch(&stage.name, 0, 0);
        ask.topics[0].partitions[0].current_leader_epoch = 99;
        stage.leader(FETCH, ask, E::UNKNOWN_LEADER_EPOCH).await
    }
    fetch_in_an_unknown_session: |stage| {
        let mut ask = fetch(&stage.name, 0, 0);
        (ask.session_id, ask.session_epoch) = (12_345, 1);
        stage.leader(FETCH, ask, E::FETCH_SESSION_ID_NOT_FOUND).await
    }

    list_offsets_of_an_unknown_topic: |stage| {
        stage.any(LIST_OFFSETS, list(&stage.name, 0, -1), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    list_offsets_of_an_unknown_partition: |stage| {
        stage.leader(LIST_OFFSETS, list(&stage.name, 9, -1), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    list_offsets_in_an_epoch_to_come: |stage| {
        let mut ask = list(&stage.name, 0, -1);
        ask.topics[0].partitions[0].current_leader_epoch = 99;
        stage.leader(LIST_OFFSETS, ask, E::UNKNOWN_LEADER_EPOCH).await
    }
    list_offsets_after_the_last_record_is_no_error: |stage| {
        stage.leader(LIST_OFFSETS, list(&stage.name, 0, i64::MAX), E::NONE).await
    }

    epochs_of_an_unknown_topic: |stage| {
        stage.any(EPOCHS, epochs(&stage.name, 0, -1), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    epochs_of_an_unknown_partition: |stage| {
        stage.leader(EPOCHS, epochs(&stage.name, 9, -1), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    epochs_in_an_epoch_to_come: |stage| {
        stage.leader(EPOCHS, epochs(&stage.name, 0, 99), E::UNKNOWN_LEADER_EPOCH).await
    }

    delete_records_of_an_unknown_topic: |stage| {
        stage.any(DELETE, delete(&stage.name, 0, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    delete_records_of_an_unknown_partition: |stage| {
        stage.leader(DELETE, delete(&stage.name, 9, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    delete_records_beyond_the_end: |stage| {
        stage.leader(DELETE, delete(&stage.name, 0, 1), E::OFFSET_OUT_OF_RANGE).await
    }
    delete_records_before_the_start: |stage| {
        stage.leader(DELETE, delete(&stage.name, 0, -2), E::OFFSET_OUT_OF_RANGE).await
    }
    delete_records_of_a_compacted_topic: |stage| {
        stage.topic_with(&[("cleanup.policy", "compact")]).await?;
        stage.leader(DELETE, delete(&stage.name, 0, 0), E::POLICY_VIOLATION).await
    }

    metadata_of_an_unknown_topic: |stage| {
        stage.any(METADATA, metadata(&stage.name), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
}

/// What newer requests name by id (KIP-516), and what brokers began to look at after 2.1.
pub(super) mod since_ids {
    use super::*;

    refusals! { "records", |on| *on.version() >= Version::of(3, 9, 0);
        fetch_an_unknown_id: |stage| {
            let mut ask = fetch(&"".into(), 0, 0);
            ask.topics[0].topic_id = Uuid::from_bytes([7; 16]);
            stage.any(13, ask, E::UNKNOWN_TOPIC_ID).await
        }
        metadata_of_an_impossible_topic: |stage| {
            stage.any(METADATA, metadata(&"no topic!".into()), E::INVALID_TOPIC_EXCEPTION).await
        }
        metadata_of_a_topic_without_a_name: |stage| {
            stage.any(METADATA, metadata(&"".into()), E::INVALID_TOPIC_EXCEPTION).await
        }
        metadata_of_a_dot: |stage| {
            stage.any(METADATA, metadata(&".".into()), E::INVALID_TOPIC_EXCEPTION).await
        }
        metadata_of_a_name_that_is_too_long: |stage| {
            stage.any(METADATA, metadata(&"x".repeat(250).into()), E::INVALID_TOPIC_EXCEPTION).await
        }
        metadata_of_an_unknown_id: |stage| {
            let mut ask = metadata(&"".into());
            let topic = &mut ask.topics.get_or_insert_default()[0];
            (topic.name, topic.topic_id) = (None, Uuid::from_bytes([7; 16]));
            stage.any(12, ask, E::UNKNOWN_TOPIC_ID).await
        }
        produce_a_time_to_come: |stage| {
            stage.topic_with(&[("message.timestamp.after.max.ms", "1000")]).await?;
            let batch = Batch { timestamp: i64::MAX / 2, ..Batch::of(&["x"]) };
            stage.leader(PRODUCE, produce(&stage.name, 0, &batch), E::INVALID_TIMESTAMP).await
        }
        produce_a_time_long_ago: |stage| {
            stage.topic_with(&[("message.timestamp.before.max.ms", "1000")]).await?;
            let batch = Batch { timestamp: 1, ..Batch::of(&["x"]) };
            stage.leader(PRODUCE, produce(&stage.name, 0, &batch), E::INVALID_TIMESTAMP).await
        }
        produce_a_marker: |stage| {
            let batch = Batch { attributes: 0x20, ..Batch::of(&["x"]) };
            stage.leader(PRODUCE, produce(&stage.name, 0, &batch), E::INVALID_RECORD).await
        }
        produce_without_a_key_to_a_compacted_topic: |stage| {
            stage.topic_with(&[("cleanup.policy", "compact")]).await?;
            let ask = produce(&stage.name, 0, &Batch::of(&["x"]));
            stage.leader(PRODUCE, ask, E::INVALID_RECORD).await
        }
        a_client_without_a_name: |stage| {
            let ask = message!(ApiVersionsRequest {
                client_software_name: "".into(),
                client_software_version: "1".into(),
            });
            stage.any(3, ask, E::INVALID_REQUEST).await
        }
        a_client_with_a_blank_in_its_name: |stage| {
            let ask = message!(ApiVersionsRequest {
                client_software_name: "a b".into(),
                client_software_version: "1".into(),
            });
            stage.any(3, ask, E::INVALID_REQUEST).await
        }
    }
}

fn produce(topic: &ByteString, index: i32, batch: &Batch) -> ProduceRequest {
    let records = Some(Records::from(batch.bytes()));
    let partition = message!(PartitionProduceData { index: index, records: records });
    let topic = message!(TopicProduceData { name: topic.clone(), partition_data: vec![partition] });
    message!(ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![topic] })
}

fn fetch(topic: &ByteString, index: i32, offset: i64) -> FetchRequest {
    let partition = message!(FetchPartition {
        partition: index,
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
    });
    let topic = message!(FetchTopic { topic: topic.clone(), partitions: vec![partition] });
    message!(FetchRequest { max_bytes: 1 << 20, topics: vec![topic] })
}

fn list(topic: &ByteString, index: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = message!(ListOffsetsPartition { partition_index: index, timestamp: timestamp });
    let topic = message!(ListOffsetsTopic { name: topic.clone(), partitions: vec![partition] });
    message!(ListOffsetsRequest { replica_id: -1, topics: vec![topic] })
}

fn epochs(topic: &ByteString, index: i32, current: i32) -> OffsetForLeaderEpochRequest {
    let partition = message!(OffsetForLeaderPartition {
        partition: index,
        current_leader_epoch: current,
        leader_epoch: 0,
    });
    let topic =
        message!(OffsetForLeaderTopic { topic: topic.clone(), partitions: vec![partition] });
    message!(OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] })
}

fn delete(topic: &ByteString, index: i32, offset: i64) -> DeleteRecordsRequest {
    let partition = message!(DeleteRecordsPartition { partition_index: index, offset: offset });
    let topic = message!(DeleteRecordsTopic { name: topic.clone(), partitions: vec![partition] });
    message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 30_000 })
}

fn metadata(topic: &ByteString) -> MetadataRequest {
    let topic = message!(MetadataRequestTopic { name: Some(topic.clone()) });
    message!(MetadataRequest { topics: Some(vec![topic]), allow_auto_topic_creation: false })
}
