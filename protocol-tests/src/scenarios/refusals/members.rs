//! ConsumerGroupHeartbeat and ShareGroupHeartbeat, what describes such groups, and share sessions.

use milena_types::ErrorCode as E;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest,
    OffsetCommitRequest, ShareAcknowledgeRequest, ShareFetchRequest, ShareGroupDescribeRequest,
    ShareGroupHeartbeatRequest,
};

use super::refusals;
use crate::raw::message;
use crate::scenarios::consumer_groups::is_spoken;
use crate::scenarios::share;
use crate::scenarios::stage::Stage;

const BEAT: i16 = 0;
const COMMIT: i16 = 9;

refusals! { "consumer_groups", is_spoken;
    join_without_a_group: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.group_id = "".into();
        stage.any(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_without_topics: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.subscribed_topic_names = None;
        stage.coordinator(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_without_a_rebalance_timeout: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.rebalance_timeout_ms = -1;
        stage.coordinator(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_with_partitions_unsaid: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.topic_partitions = None;
        stage.coordinator(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_by_an_empty_name: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.instance_id = Some("".into());
        stage.coordinator(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_by_an_empty_rack: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.rack_id = Some("".into());
        stage.coordinator(BEAT, ask, E::INVALID_REQUEST).await
    }
    join_with_an_unknown_assignor: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.server_assignor = Some("other".into());
        stage.coordinator(BEAT, ask, E::UNSUPPORTED_ASSIGNOR).await
    }
    join_by_a_pattern_that_is_none: |stage| {
        let mut ask = beat(stage, "m", 0);
        ask.subscribed_topic_regex = Some("[".into());
        stage.coordinator(1, ask, E::INVALID_REGULAR_EXPRESSION).await
    }
    join_in_an_epoch_below_all: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", -3), E::INVALID_REQUEST).await
    }
    go_on_in_a_group_that_never_was: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 1), E::GROUP_ID_NOT_FOUND).await
    }
    go_on_as_nobody: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(BEAT, beat(stage, "nobody", 1), E::UNKNOWN_MEMBER_ID).await
    }
    go_on_in_an_epoch_to_come: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(BEAT, beat(stage, "m", 99), E::FENCED_MEMBER_EPOCH).await
    }
    leave_as_nobody: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(BEAT, beat(stage, "nobody", -1), E::UNKNOWN_MEMBER_ID).await
    }
    leave_for_a_while_without_a_name: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(BEAT, beat(stage, "m", -2), E::INVALID_REQUEST).await
    }
    join_by_a_name_that_is_taken: |stage| {
        let named = |member: &str| {
            let mut ask = beat(stage, member, 0);
            ask.instance_id = Some("name".into());
            ask
        };
        stage.coordinator(BEAT, named("m"), E::NONE).await?;
        stage.coordinator(BEAT, named("other"), E::UNRELEASED_INSTANCE_ID).await
    }
    go_on_by_anothers_name: |stage| {
        let named = |member: &str, epoch: i32| {
            let mut ask = beat(stage, member, epoch);
            ask.instance_id = Some("name".into());
            ask
        };
        stage.coordinator(BEAT, named("m", 0), E::NONE).await?;
        stage.coordinator(BEAT, named("other", 1), E::FENCED_INSTANCE_ID).await
    }
    commit_in_an_epoch_to_come: |stage| {
        stage.topic().await?;
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(COMMIT, commit(stage, "m", 99), E::STALE_MEMBER_EPOCH).await
    }
    commit_as_nobody: |stage| {
        stage.topic().await?;
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(COMMIT, commit(stage, "nobody", 1), E::UNKNOWN_MEMBER_ID).await
    }
    commit_in_an_epoch_to_come_of_old: |stage| {
        stage.topic().await?;
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        stage.coordinator(8, commit(stage, "m", 99), E::UNSUPPORTED_VERSION).await
    }
    delete_one_with_members: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        let ask = message!(DeleteGroupsRequest { groups_names: vec![stage.name.clone()] });
        stage.coordinator(1, ask, E::NON_EMPTY_GROUP).await
    }
    describe_one_that_never_was: |stage| {
        let ask = message!(ConsumerGroupDescribeRequest { group_ids: vec![stage.name.clone()] });
        stage.coordinator(0, ask, E::GROUP_ID_NOT_FOUND).await
    }
    describe_a_classic_one: |stage| {
        stage.member().await?;
        let ask = message!(ConsumerGroupDescribeRequest { group_ids: vec![stage.name.clone()] });
        stage.coordinator(0, ask, E::GROUP_ID_NOT_FOUND).await
    }
    join_by_a_classic_strategy_where_consumers_are: |stage| {
        stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
        let mut ask = stage.joining("");
        ask.protocol_type = "connect".into();
        stage.coordinator(3, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
    }
}

/// Of share groups (KIP-932).
pub(super) mod shares {
    use super::*;

    refusals! { "share_groups", share::fits;
        join_without_a_group: |stage| {
            let mut ask = share(stage, "m", 0);
            ask.group_id = "".into();
            stage.any(1, ask, E::INVALID_REQUEST).await
        }
        join_without_topics: |stage| {
            let mut ask = share(stage, "m", 0);
            ask.subscribed_topic_names = None;
            stage.coordinator(1, ask, E::INVALID_REQUEST).await
        }
        join_by_an_empty_rack: |stage| {
            let mut ask = share(stage, "m", 0);
            ask.rack_id = Some("".into());
            stage.coordinator(1, ask, E::INVALID_REQUEST).await
        }
        go_on_in_a_group_that_never_was: |stage| {
            stage.coordinator(1, share(stage, "m", 1), E::GROUP_ID_NOT_FOUND).await
        }
        go_on_as_nobody: |stage| {
            stage.coordinator(1, share(stage, "m", 0), E::NONE).await?;
            stage.coordinator(1, share(stage, "nobody", 1), E::UNKNOWN_MEMBER_ID).await
        }
        go_on_in_an_epoch_to_come: |stage| {
            stage.coordinator(1, share(stage, "m", 0), E::NONE).await?;
            stage.coordinator(1, share(stage, "m", 99), E::FENCED_MEMBER_EPOCH).await
        }
        leave_as_nobody: |stage| {
            stage.coordinator(1, share(stage, "m", 0), E::NONE).await?;
            stage.coordinator(1, share(stage, "nobody", -1), E::UNKNOWN_MEMBER_ID).await
        }
        join_a_group_of_consumers: |stage| {
            stage.coordinator(BEAT, beat(stage, "m", 0), E::NONE).await?;
            stage.coordinator(1, share(stage, "m", 0), E::GROUP_ID_NOT_FOUND).await
        }
        describe_one_that_never_was: |stage| {
            let ask = message!(ShareGroupDescribeRequest { group_ids: vec![stage.name.clone()] });
            stage.coordinator(1, ask, E::GROUP_ID_NOT_FOUND).await
        }
        fetch_in_an_unknown_session: |stage| {
            let ask = message!(ShareFetchRequest {
                group_id: Some(stage.name.clone()),
                member_id: Some(MEMBER.into()),
                share_session_epoch: 5,
                max_bytes: 1 << 20,
                max_records: 10,
                batch_size: 10,
            });
            stage.leader(1, ask, E::SHARE_SESSION_NOT_FOUND).await
        }
        acknowledge_in_an_unknown_session: |stage| {
            let ask = message!(ShareAcknowledgeRequest {
                group_id: Some(stage.name.clone()),
                member_id: Some(MEMBER.into()),
                share_session_epoch: 5,
            });
            stage.leader(1, ask, E::SHARE_SESSION_NOT_FOUND).await
        }
        acknowledge_in_a_new_session: |stage| {
            let ask = message!(ShareAcknowledgeRequest {
                group_id: Some(stage.name.clone()),
                member_id: Some(MEMBER.into()),
                share_session_epoch: 0,
            });
            stage.leader(1, ask, E::INVALID_SHARE_SESSION_EPOCH).await
        }
    }

    /// Members of share groups are named by UUIDs.
    const MEMBER: &str = "AAAAAAAAAAAAAAAAAAAAAQ";
}

fn beat(stage: &Stage, member: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    message!(ConsumerGroupHeartbeatRequest {
        group_id: stage.name.clone(),
        member_id: member.into(),
        member_epoch: epoch,
        rebalance_timeout_ms: 30_000,
        subscribed_topic_names: Some(vec![stage.name.clone()]),
        topic_partitions: Some(Vec::new()),
    })
}

fn share(stage: &Stage, member: &str, epoch: i32) -> ShareGroupHeartbeatRequest {
    message!(ShareGroupHeartbeatRequest {
        group_id: stage.name.clone(),
        member_id: member.into(),
        member_epoch: epoch,
        subscribed_topic_names: Some(vec![stage.name.clone()]),
    })
}

fn commit(stage: &Stage, member: &str, epoch: i32) -> OffsetCommitRequest {
    let partition = message!(OffsetCommitRequestPartition { committed_offset: 1 });
    let topic = message!(OffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    message!(OffsetCommitRequest {
        group_id: stage.name.clone(),
        member_id: member.into(),
        generation_id_or_member_epoch: epoch,
        topics: vec![topic],
    })
}
