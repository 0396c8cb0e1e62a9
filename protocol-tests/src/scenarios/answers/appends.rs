//! Produce: what is stored, where, and of what is refused nothing.

use milena_types::ErrorCode as E;

use super::answers;
use super::log::{LOG_APPEND_TIME, PRODUCE, TRANSACTIONAL};
use crate::raw::{Batch, timestamp};

answers! { "appends", |_| true;
    a_batch_is_stored_under_the_next_offsets: |stage| {
        assert_eq!(stage.append(&Batch::of(&["a", "b", "c"])).await?, 0);
        assert_eq!(stage.append(&Batch::of(&["d"])).await?, 3);
        let stored = stage.stored(0).await?;
        let offsets: Vec<_> = stored.iter().map(|batch| (batch.base_offset, batch.last_offset)).collect();
        assert_eq!(offsets, [(0, 2), (3, 3)]);
        Ok(())
    }
    a_batch_keeps_its_producer_epoch_and_sequence: |stage| {
        let id = stage.producer().await?.id;
        stage.append(&Batch::of(&["a", "b"]).of_producer(id, 4, 0)).await?;
        stage.append(&Batch::of(&["c"]).of_producer(id, 4, 2)).await?;
        let stored = stage.stored(0).await?;
        let kept: Vec<_> = stored.iter().map(|b| (b.producer_id, b.producer_epoch, b.base_sequence)).collect();
        assert_eq!(kept, [(id, 4, 0), (id, 4, 2)]);
        Ok(())
    }
    the_leader_writes_its_epoch_into_each_batch: |stage| {
        stage.append(&Batch::of(&["a"])).await?;
        assert_eq!(stage.stored(0).await?[0].leader_epoch, 0, "that of a new topic");
        Ok(())
    }
    the_answer_tells_where_the_log_begins: |stage| {
        for value in ["a", "b", "c"] {
            stage.append(&Batch::of(&[value])).await?;
        }
        stage.delete_before(2).await?;
        let ask = stage.producing(&[(0, &Batch::of(&["d"]))]);
        let told = stage.produced(PRODUCE, ask).await?;
        assert_eq!((told[0].base_offset, told[0].log_start_offset), (3, 2));
        Ok(())
    }
    a_batch_that_came_twice_is_stored_once_and_told_its_place: |stage| {
        let id = stage.producer().await?.id;
        let batch = |sequence| Batch::of(&["x"]).of_producer(id, 0, sequence);
        for sequence in 0..3 {
            assert_eq!(stage.append(&batch(sequence)).await?, i64::from(sequence));
        }
        assert_eq!(stage.append(&batch(1)).await?, 1, "the first time's");
        assert_eq!(stage.ends().await?, (0, 3));
        Ok(())
    }
    of_the_last_five_batches_each_may_come_twice: |stage| {
        let id = stage.producer().await?.id;
        let batch = |sequence| Batch::of(&["x"]).of_producer(id, 0, sequence);
        for sequence in 0..6 {
            stage.append(&batch(sequence)).await?;
        }
        for sequence in 1..6 {
            assert_eq!(stage.append(&batch(sequence)).await?, i64::from(sequence));
        }
        let ask = stage.producing(&[(0, &batch(0))]);
        let told = stage.produced(PRODUCE, ask).await?;
        assert_eq!(told[0].error_code, E::OUT_OF_ORDER_SEQUENCE_NUMBER, "the sixth to last");
        assert_eq!(stage.ends().await?, (0, 6));
        Ok(())
    }
    each_partition_has_sequences_of_its_own: |stage| {
        stage.topic_of(2).await?;
        let id = stage.producer().await?.id;
        let batch = |sequence| Batch::of(&["x"]).of_producer(id, 0, sequence);
        for sequence in 0..2 {
            let ask = stage.producing(&[(0, &batch(sequence)), (1, &batch(sequence))]);
            let told = stage.produced(PRODUCE, ask).await?;
            let told: Vec<_> = told.iter().map(|one| (one.index, one.error_code, one.base_offset)).collect();
            let at = i64::from(sequence);
            assert_eq!(told, [(0, E::NONE, at), (1, E::NONE, at)]);
        }
        Ok(())
    }
    a_new_epoch_begins_its_sequences_anew: |stage| {
        let id = stage.producer().await?.id;
        stage.append(&Batch::of(&["a", "b"]).of_producer(id, 0, 0)).await?;
        assert_eq!(stage.append(&Batch::of(&["c"]).of_producer(id, 1, 0)).await?, 2);
        Ok(())
    }
    a_producer_that_nobody_knows_in_mid_sequence_is_refused_by_old_brokers: |stage| {
        let id = stage.producer().await?.id;
        let ask = stage.producing(&[(0, &Batch::of(&["x"]).of_producer(id, 0, 7))]);
        let told = stage.produced(PRODUCE, ask).await?;
        // KIP-360: whoever comes after it was forgotten may go on.
        let code = if stage.is_since(2, 5) { E::NONE } else { E::UNKNOWN_PRODUCER_ID };
        assert_eq!(told[0].error_code, code);
        Ok(())
    }
    a_gap_in_sequences_stores_nothing: |stage| {
        let id = stage.producer().await?.id;
        stage.append(&Batch::of(&["x"]).of_producer(id, 0, 0)).await?;
        let ask = stage.producing(&[(0, &Batch::of(&["x"]).of_producer(id, 0, 2))]);
        stage.leader(PRODUCE, ask, E::OUT_OF_ORDER_SEQUENCE_NUMBER).await?;
        assert_eq!(stage.ends().await?, (0, 1));
        assert_eq!(stage.append(&Batch::of(&["y"]).of_producer(id, 0, 1)).await?, 1, "as before it");
        Ok(())
    }
    of_two_partitions_the_known_one_is_stored: |stage| {
        let batch = Batch::of(&["x"]);
        let ask = stage.producing(&[(0, &batch), (9, &batch)]);
        let told = stage.produced(PRODUCE, ask).await?;
        let told: Vec<_> = told.iter().map(|one| (one.index, one.error_code, one.base_offset)).collect();
        assert_eq!(told, [(0, E::NONE, 0), (9, E::UNKNOWN_TOPIC_OR_PARTITION, -1)]);
        assert_eq!(stage.ends().await?, (0, 1));
        Ok(())
    }
    a_batch_that_is_too_large_stores_nothing_and_stops_no_other: |stage| {
        stage.topic_of(2).await?;
        let (large, small) = (Batch::of(&[&"x".repeat(1_100_000)]), Batch::of(&["x"]));
        let ask = stage.producing(&[(0, &large), (1, &small)]);
        let told = stage.produced(PRODUCE, ask).await?;
        let told: Vec<_> = told.iter().map(|one| one.error_code).collect();
        assert_eq!(told, [E::MESSAGE_TOO_LARGE, E::NONE]);
        assert_eq!(stage.ends().await?, (0, 0));
        Ok(())
    }
    a_wrong_checksum_stores_nothing: |stage| {
        let mut bytes = Batch::of(&["x"]).bytes().to_vec();
        bytes[20] ^= 0x55;
        let mut ask = stage.producing(&[(0, &Batch::of(&["x"]))]);
        ask.topic_data[0].partition_data[0].records = Some(bytes::Bytes::from(bytes).into());
        stage.leader(PRODUCE, ask, E::CORRUPT_MESSAGE).await?;
        assert_eq!(stage.ends().await?, (0, 0));
        Ok(())
    }
    too_many_acks_store_nothing: |stage| {
        let mut ask = stage.producing(&[(0, &Batch::of(&["x"]))]);
        ask.acks = 2;
        stage.leader(PRODUCE, ask, E::INVALID_REQUIRED_ACKS).await?;
        assert_eq!(stage.ends().await?, (0, 0));
        Ok(())
    }
    more_replicas_in_sync_than_there_are_are_asked_for_by_old_brokers: |stage| {
        stage.topic_with(&[("min.insync.replicas", "2")]).await?;
        let ask = stage.producing(&[(0, &Batch::of(&["x"]))]);
        let code = if stage.is_since(3, 7) { E::NONE } else { E::NOT_ENOUGH_REPLICAS };
        stage.leader(PRODUCE, ask, code).await?;
        assert_eq!(stage.ends().await?, (0, i64::from(!code.is_error())));
        Ok(())
    }
    too_few_replicas_store_for_whoever_waits_for_the_leader: |stage| {
        stage.topic_with(&[("min.insync.replicas", "2")]).await?;
        let mut ask = stage.producing(&[(0, &Batch::of(&["x"]))]);
        ask.acks = 1;
        stage.leader(PRODUCE, ask, E::NONE).await?;
        assert_eq!(stage.ends().await?, (0, 1));
        Ok(())
    }
    a_topic_that_keeps_the_producer_s_time_tells_none: |stage| {
        let batch = Batch { timestamp: timestamp() - 5_000, ..Batch::of(&["a", "b"]) };
        let ask = stage.producing(&[(0, &batch)]);
        let told = stage.produced(PRODUCE, ask).await?;
        assert_eq!(told[0].log_append_time_ms, -1);
        let stored = &stage.stored(0).await?[0];
        assert_eq!((stored.attributes, stored.max_timestamp), (0, batch.timestamp + 1));
        Ok(())
    }
    a_topic_that_keeps_the_broker_s_time_tells_it: |stage| {
        stage.topic_with(&[("message.timestamp.type", "LogAppendTime")]).await?;
        let batch = Batch { timestamp: timestamp() - 5_000_000, ..Batch::of(&["a", "b"]) };
        let ask = stage.producing(&[(0, &batch)]);
        let told = stage.produced(PRODUCE, ask).await?;
        assert!(told[0].log_append_time_ms > batch.timestamp + 1_000_000, "{told:?}");
        let stored = &stage.stored(0).await?[0];
        assert_eq!((stored.attributes, stored.max_timestamp), (LOG_APPEND_TIME, told[0].log_append_time_ms));
        Ok(())
    }
    zstd_is_refused_of_whoever_may_not_know_it: |stage| {
        // KIP-110: version 7 says that the producer knows what it sends. The codec is looked at before the bytes are.
        let batch = Batch { attributes: 4, ..Batch::of(&["x"]) };
        let ask = stage.producing(&[(0, &batch)]);
        stage.leader(6, ask, E::UNSUPPORTED_COMPRESSION_TYPE).await?;
        assert_eq!(stage.ends().await?, (0, 0));
        Ok(())
    }
    a_record_of_a_transaction_that_nobody_began_is_refused_by_newer_brokers: |stage| {
        // Brokers ask the coordinator since KIP-890.
        let producer = stage.producer().await?;
        let batch = Batch { attributes: TRANSACTIONAL, ..Batch::of(&["x"]) };
        let mut ask = stage.producing(&[(0, &batch.of_producer(producer.id, producer.epoch, 0))]);
        ask.transactional_id = Some(stage.name.clone());
        let code = if stage.is_since(3, 6) { E::INVALID_TXN_STATE } else { E::NONE };
        stage.leader(PRODUCE, ask, code).await?;
        assert_eq!(stage.ends().await?.1, i64::from(!code.is_error()));
        Ok(())
    }
}
