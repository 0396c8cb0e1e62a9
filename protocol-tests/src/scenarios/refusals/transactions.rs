//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn, and what describes producers.

use milena_types::{ApiKey, ErrorCode as E};
use milena_wire::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use milena_wire::messages::describe_producers_request::TopicRequest;
use milena_wire::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use milena_wire::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, TxnOffsetCommitRequest,
};

use super::refusals;
use crate::raw::message;
use crate::scenarios::stage::{Producer, Stage};
use crate::target::Version;

const INIT: i16 = 1;
const ADD: i16 = 1;
const END: i16 = 1;
const COMMIT: i16 = 2;

/// An id that no coordinator deals.
const STRANGER: Producer = Producer { id: 1 << 60, epoch: 0 };

refusals! { "transactions", |_| true;
    begin_with_an_empty_id: |stage| {
        let mut ask = stage.initializing();
        ask.transactional_id = Some("".into());
        stage.any(INIT, ask, E::INVALID_REQUEST).await
    }
    begin_with_too_long_a_time: |stage| {
        let mut ask = stage.initializing();
        ask.transaction_timeout_ms = i32::MAX;
        stage.transactions(INIT, ask, E::INVALID_TRANSACTION_TIMEOUT).await
    }
    begin_with_no_time: |stage| {
        let mut ask = stage.initializing();
        ask.transaction_timeout_ms = 0;
        stage.transactions(INIT, ask, E::INVALID_TRANSACTION_TIMEOUT).await
    }
    begin_with_less_than_no_time: |stage| {
        let mut ask = stage.initializing();
        ask.transaction_timeout_ms = -1;
        stage.transactions(INIT, ask, E::INVALID_TRANSACTION_TIMEOUT).await
    }
    add_partitions_of_an_unknown_id: |stage| {
        stage.topic().await?;
        stage.transactions(ADD, add(stage, STRANGER), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    add_partitions_of_another_producer: |stage| {
        stage.topic().await?;
        stage.producer().await?;
        stage.transactions(ADD, add(stage, STRANGER), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    add_partitions_in_an_epoch_to_come: |stage| {
        stage.topic().await?;
        let later = later(stage.producer().await?);
        stage.transactions(ADD, add(stage, later), E::INVALID_PRODUCER_EPOCH).await
    }
    add_partitions_of_one_that_was_fenced: |stage| {
        stage.topic().await?;
        let old = stage.producer().await?;
        stage.producer().await?;
        stage.transactions(ADD, add(stage, old), E::INVALID_PRODUCER_EPOCH).await
    }
    add_an_unknown_partition: |stage| {
        let producer = stage.producer().await?;
        stage.transactions(ADD, add(stage, producer), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    add_offsets_of_an_unknown_id: |stage| {
        stage.transactions(ADD, offsets(stage, STRANGER), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    add_offsets_of_another_producer: |stage| {
        stage.producer().await?;
        stage.transactions(ADD, offsets(stage, STRANGER), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    add_offsets_in_an_epoch_to_come: |stage| {
        let later = later(stage.producer().await?);
        stage.transactions(ADD, offsets(stage, later), E::INVALID_PRODUCER_EPOCH).await
    }
    end_one_of_an_unknown_id: |stage| {
        stage.transactions(END, end(stage, STRANGER, true), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    end_one_of_another_producer: |stage| {
        stage.producer().await?;
        stage.transactions(END, end(stage, STRANGER, true), E::INVALID_PRODUCER_ID_MAPPING).await
    }
    commit_what_was_not_begun: |stage| {
        let producer = stage.producer().await?;
        stage.transactions(END, end(stage, producer, true), E::INVALID_TXN_STATE).await
    }
    abort_what_was_not_begun: |stage| {
        let producer = stage.producer().await?;
        stage.transactions(END, end(stage, producer, false), E::INVALID_TXN_STATE).await
    }
    abort_what_was_committed: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        stage.transactions(END, end(stage, producer, false), E::INVALID_TXN_STATE).await
    }
    commit_what_was_committed_is_no_error: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        stage.transactions(ADD, add(stage, producer), E::NONE).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await?;
        stage.transactions(END, end(stage, producer, true), E::NONE).await
    }
    commit_offsets_of_an_unknown_topic: |stage| {
        let producer = stage.producer().await?;
        stage.transactions(ADD, offsets(stage, producer), E::NONE).await?;
        let ask = commit(stage, producer);
        stage.coordinator(COMMIT, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    commit_offsets_with_too_long_a_note: |stage| {
        stage.topic().await?;
        let producer = stage.producer().await?;
        stage.transactions(ADD, offsets(stage, producer), E::NONE).await?;
        let mut ask = commit(stage, producer);
        ask.topics[0].partitions[0].committed_metadata = Some("x".repeat(5_000).into());
        stage.coordinator(COMMIT, ask, E::OFFSET_METADATA_TOO_LARGE).await
    }
}

/// Of producers that say who they were (KIP-360, 588), and of members (KIP-447). 2.1 looks at the state of a transaction
/// before its epoch.
pub(super) mod since_members {
    use super::*;

    refusals! { "transactions", |on| *on.version() >= Version::of(3, 9, 0);
        begin_again_as_a_stranger: |stage| {
            stage.producer().await?;
            let mut ask = stage.initializing();
            (ask.producer_id, ask.producer_epoch) = (STRANGER.id, STRANGER.epoch);
            stage.transactions(4, ask, E::PRODUCER_FENCED).await
        }
        begin_again_as_one_that_was_fenced: |stage| {
            let old = stage.producer().await?;
            stage.producer().await?;
            stage.producer().await?;
            let mut ask = stage.initializing();
            (ask.producer_id, ask.producer_epoch) = (old.id, old.epoch);
            stage.transactions(4, ask, E::PRODUCER_FENCED).await
        }
        begin_again_with_half_an_identity: |stage| {
            let mut ask = stage.initializing();
            (ask.producer_id, ask.producer_epoch) = (1, -1);
            stage.transactions(4, ask, E::INVALID_REQUEST).await
        }
        commit_offsets_as_nobody: |stage| {
            stage.topic().await?;
            let producer = stage.producer().await?;
            let member = stage.member().await?;
            stage.transactions(ADD, offsets(stage, producer), E::NONE).await?;
            let mut ask = commit(stage, producer);
            ask.member_id = "nobody".into();
            ask.generation_id_or_member_epoch = member.generation;
            stage.coordinator(3, ask, E::UNKNOWN_MEMBER_ID).await
        }
        commit_offsets_in_an_old_generation: |stage| {
            stage.topic().await?;
            let producer = stage.producer().await?;
            let member = stage.member().await?;
            stage.transactions(ADD, offsets(stage, producer), E::NONE).await?;
            let mut ask = commit(stage, producer);
            ask.member_id = member.id;
            ask.generation_id_or_member_epoch = member.generation - 1;
            stage.coordinator(3, ask, E::ILLEGAL_GENERATION).await
        }
        commit_offsets_by_a_name_that_nobody_has: |stage| {
            stage.topic().await?;
            let producer = stage.producer().await?;
            let member = stage.member().await?;
            stage.transactions(ADD, offsets(stage, producer), E::NONE).await?;
            let mut ask = commit(stage, producer);
            ask.member_id = member.id;
            ask.generation_id_or_member_epoch = member.generation;
            ask.group_instance_id = Some("name".into());
            stage.coordinator(3, ask, E::UNKNOWN_MEMBER_ID).await
        }
        end_one_in_an_epoch_to_come: |stage| {
            let later = later(stage.producer().await?);
            stage.transactions(END, end(stage, later, true), E::INVALID_PRODUCER_EPOCH).await
        }
        end_one_in_an_old_epoch: |stage| {
            let old = stage.producer().await?;
            stage.producer().await?;
            stage.transactions(2, end(stage, old, true), E::PRODUCER_FENCED).await
        }
        add_partitions_in_an_old_epoch: |stage| {
            stage.topic().await?;
            let old = stage.producer().await?;
            stage.producer().await?;
            stage.transactions(2, add(stage, old), E::PRODUCER_FENCED).await
        }
        add_offsets_in_an_old_epoch: |stage| {
            let old = stage.producer().await?;
            stage.producer().await?;
            stage.transactions(2, offsets(stage, old), E::PRODUCER_FENCED).await
        }
    }
}

/// What tells of producers and transactions (KIP-664).
pub(super) mod seen {
    use super::*;

    refusals! { "transactions", |on| *on.version() >= Version::of(3, 9, 0)
            && on.speaks(ApiKey::DESCRIBE_TRANSACTIONS) && on.speaks(ApiKey::DESCRIBE_PRODUCERS);
        describe_an_unknown_id: |stage| {
            let ids = vec![stage.name.clone()];
            let ask = message!(DescribeTransactionsRequest { transactional_ids: ids });
            stage.transactions(0, ask, E::TRANSACTIONAL_ID_NOT_FOUND).await
        }
        describe_producers_of_an_unknown_topic: |stage| {
            stage.any(0, describe(stage, 0), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        describe_producers_of_an_unknown_partition: |stage| {
            let ask = describe(stage, 9);
            stage.leader(0, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
        describe_producers_of_an_impossible_topic: |stage| {
            let mut ask = describe(stage, 0);
            ask.topics[0].name = "no topic!".into();
            stage.any(0, ask, E::INVALID_TOPIC_EXCEPTION).await
        }
    }

    fn describe(stage: &Stage, index: i32) -> DescribeProducersRequest {
        let topic =
            message!(TopicRequest { name: stage.name.clone(), partition_indexes: vec![index] });
        message!(DescribeProducersRequest { topics: vec![topic] })
    }
}

fn later(producer: Producer) -> Producer {
    Producer { epoch: producer.epoch + 1, ..producer }
}

fn add(stage: &Stage, producer: Producer) -> AddPartitionsToTxnRequest {
    let topic = message!(AddPartitionsToTxnTopic { name: stage.name.clone(), partitions: vec![0] });
    message!(AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: stage.name.clone(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
    })
}

fn offsets(stage: &Stage, producer: Producer) -> AddOffsetsToTxnRequest {
    message!(AddOffsetsToTxnRequest {
        transactional_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        group_id: stage.name.clone(),
    })
}

fn end(stage: &Stage, producer: Producer, committed: bool) -> EndTxnRequest {
    message!(EndTxnRequest {
        transactional_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed: committed,
    })
}

fn commit(stage: &Stage, producer: Producer) -> TxnOffsetCommitRequest {
    let partition = message!(TxnOffsetCommitRequestPartition { committed_offset: 1 });
    let topic = message!(TxnOffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    message!(TxnOffsetCommitRequest {
        transactional_id: stage.name.clone(),
        group_id: stage.name.clone(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        topics: vec![topic],
    })
}
