//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, DeleteGroups of the classic protocol.

use milena_types::{ApiKey, ErrorCode as E};
use milena_wire::ByteString;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use milena_wire::messages::{
    DeleteGroupsRequest, HeartbeatRequest, LeaveGroupRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest,
};

use super::refusals;
use crate::raw::message;
use crate::scenarios::stage::{Member, Stage};
use crate::target::Version;

const JOIN: i16 = 3;
const SYNC: i16 = 2;
const BEAT: i16 = 2;
const LEAVE: i16 = 2;
const COMMIT: i16 = 6;
const DELETE: i16 = 1;

refusals! { "groups", |_| true;
    join_without_a_name: |stage| {
        let mut ask = stage.joining("");
        ask.group_id = "".into();
        stage.any(JOIN, ask, E::INVALID_GROUP_ID).await
    }
    join_as_nobody: |stage| {
        stage.coordinator(JOIN, stage.joining("nobody"), E::UNKNOWN_MEMBER_ID).await
    }
    join_as_nobody_where_somebody_is: |stage| {
        stage.member().await?;
        stage.coordinator(JOIN, stage.joining("nobody"), E::UNKNOWN_MEMBER_ID).await
    }
    join_with_a_session_too_short: |stage| {
        let mut ask = stage.joining("");
        ask.session_timeout_ms = 1;
        stage.coordinator(JOIN, ask, E::INVALID_SESSION_TIMEOUT).await
    }
    join_with_a_session_too_long: |stage| {
        let mut ask = stage.joining("");
        ask.session_timeout_ms = i32::MAX;
        stage.coordinator(JOIN, ask, E::INVALID_SESSION_TIMEOUT).await
    }
    join_without_a_strategy: |stage| {
        let mut ask = stage.joining("");
        ask.protocols.clear();
        stage.coordinator(JOIN, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
    }
    join_without_a_kind: |stage| {
        let mut ask = stage.joining("");
        ask.protocol_type = "".into();
        stage.coordinator(JOIN, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
    }
    join_as_another_kind: |stage| {
        stage.member().await?;
        let mut ask = stage.joining("");
        ask.protocol_type = "connect".into();
        stage.coordinator(JOIN, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
    }
    join_without_a_common_strategy: |stage| {
        stage.member().await?;
        let mut ask = stage.joining("");
        ask.protocols = vec![message!(JoinGroupRequestProtocol { name: "other".into() })];
        stage.coordinator(JOIN, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
    }
    sync_in_a_group_that_never_was: |stage| {
        stage.coordinator(SYNC, stage.syncing(&nobody(1)), E::UNKNOWN_MEMBER_ID).await
    }
    sync_as_nobody: |stage| {
        let member = stage.member().await?;
        let ask = stage.syncing(&nobody(member.generation));
        stage.coordinator(SYNC, ask, E::UNKNOWN_MEMBER_ID).await
    }
    sync_in_a_generation_to_come: |stage| {
        let mut member = stage.member().await?;
        member.generation += 1;
        stage.coordinator(SYNC, stage.syncing(&member), E::ILLEGAL_GENERATION).await
    }
    sync_without_a_group: |stage| {
        let mut ask = stage.syncing(&nobody(1));
        ask.group_id = "".into();
        stage.any(SYNC, ask, E::INVALID_GROUP_ID).await
    }
    sync_again_is_no_error: |stage| {
        let member = stage.member().await?;
        stage.coordinator(SYNC, stage.syncing(&member), E::NONE).await
    }
    heartbeat_in_a_group_that_never_was: |stage| {
        stage.coordinator(BEAT, beat(stage, &nobody(1)), E::UNKNOWN_MEMBER_ID).await
    }
    heartbeat_without_a_group: |stage| {
        let mut ask = beat(stage, &nobody(1));
        ask.group_id = "".into();
        stage.any(BEAT, ask, E::INVALID_GROUP_ID).await
    }
    heartbeat_of_nobody: |stage| {
        let member = stage.member().await?;
        let ask = beat(stage, &nobody(member.generation));
        stage.coordinator(BEAT, ask, E::UNKNOWN_MEMBER_ID).await
    }
    heartbeat_in_an_old_generation: |stage| {
        let mut member = stage.member().await?;
        member.generation -= 1;
        stage.coordinator(BEAT, beat(stage, &member), E::ILLEGAL_GENERATION).await
    }
    heartbeat_in_a_generation_to_come: |stage| {
        let mut member = stage.member().await?;
        member.generation += 1;
        stage.coordinator(BEAT, beat(stage, &member), E::ILLEGAL_GENERATION).await
    }
    heartbeat_after_leaving: |stage| {
        let member = stage.member().await?;
        stage.coordinator(LEAVE, leave(stage, &member), E::NONE).await?;
        stage.coordinator(BEAT, beat(stage, &member), E::UNKNOWN_MEMBER_ID).await
    }
    leave_a_group_that_never_was: |stage| {
        stage.coordinator(LEAVE, leave(stage, &nobody(1)), E::UNKNOWN_MEMBER_ID).await
    }
    leave_as_nobody: |stage| {
        stage.member().await?;
        stage.coordinator(LEAVE, leave(stage, &nobody(1)), E::UNKNOWN_MEMBER_ID).await
    }
    leave_twice: |stage| {
        let member = stage.member().await?;
        stage.coordinator(LEAVE, leave(stage, &member), E::NONE).await?;
        stage.coordinator(LEAVE, leave(stage, &member), E::UNKNOWN_MEMBER_ID).await
    }
    leave_without_a_group: |stage| {
        let mut ask = leave(stage, &nobody(1));
        ask.group_id = "".into();
        stage.any(LEAVE, ask, E::INVALID_GROUP_ID).await
    }
    commit_as_nobody: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        let ask = commit(stage, &nobody(member.generation));
        stage.coordinator(COMMIT, ask, E::UNKNOWN_MEMBER_ID).await
    }
    commit_in_an_old_generation: |stage| {
        stage.topic().await?;
        let mut member = stage.member().await?;
        member.generation -= 1;
        stage.coordinator(COMMIT, commit(stage, &member), E::ILLEGAL_GENERATION).await
    }
    commit_in_a_generation_to_come: |stage| {
        stage.topic().await?;
        let mut member = stage.member().await?;
        member.generation += 1;
        stage.coordinator(COMMIT, commit(stage, &member), E::ILLEGAL_GENERATION).await
    }
    commit_as_an_outsider_where_somebody_is: |stage| {
        stage.topic().await?;
        stage.member().await?;
        let ask = commit(stage, &Member { id: ByteString::new(), generation: -1 });
        stage.coordinator(COMMIT, ask, E::UNKNOWN_MEMBER_ID).await
    }
    commit_in_a_group_that_never_was: |stage| {
        stage.topic().await?;
        stage.coordinator(COMMIT, commit(stage, &nobody(1)), E::ILLEGAL_GENERATION).await
    }
    commit_of_an_unknown_topic: |stage| {
        let member = stage.member().await?;
        stage.coordinator(COMMIT, commit(stage, &member), E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    commit_of_an_unknown_partition: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        let mut ask = commit(stage, &member);
        ask.topics[0].partitions[0].partition_index = 9;
        stage.coordinator(COMMIT, ask, E::UNKNOWN_TOPIC_OR_PARTITION).await
    }
    commit_with_too_long_a_note: |stage| {
        stage.topic().await?;
        let member = stage.member().await?;
        let mut ask = commit(stage, &member);
        ask.topics[0].partitions[0].committed_metadata = Some("x".repeat(5_000).into());
        stage.coordinator(COMMIT, ask, E::OFFSET_METADATA_TOO_LARGE).await
    }
    committed_offsets_of_a_group_that_never_was_are_no_error: |stage| {
        let ask = message!(OffsetFetchRequest { group_id: stage.name.clone(), topics: None });
        stage.coordinator(5, ask, E::NONE).await
    }
    delete_a_group_that_never_was: |stage| {
        stage.coordinator(DELETE, delete(stage), E::GROUP_ID_NOT_FOUND).await
    }
    delete_a_group_with_members: |stage| {
        stage.member().await?;
        stage.coordinator(DELETE, delete(stage), E::NON_EMPTY_GROUP).await
    }
    delete_a_group_twice: |stage| {
        let member = stage.member().await?;
        stage.coordinator(LEAVE, leave(stage, &member), E::NONE).await?;
        stage.coordinator(DELETE, delete(stage), E::NONE).await?;
        stage.coordinator(DELETE, delete(stage), E::GROUP_ID_NOT_FOUND).await
    }
}

/// What newer requests have: ids before membership (KIP-394), names of members (KIP-345), checks of the kind (KIP-559).
pub(super) mod since_known_ids {
    use super::*;

    refusals! { "members", |on| *on.version() >= Version::of(3, 9, 0) && on.speaks(ApiKey::OFFSET_DELETE);
        join_for_the_first_time: |stage| {
            stage.coordinator(4, stage.joining(""), E::MEMBER_ID_REQUIRED).await
        }
        join_by_an_unknown_name_with_an_id: |stage| {
            let mut ask = stage.joining("nobody");
            ask.group_instance_id = Some("name".into());
            stage.coordinator(5, ask, E::UNKNOWN_MEMBER_ID).await
        }
        join_by_anothers_name: |stage| {
            let mut ask = stage.joining("");
            ask.group_instance_id = Some("name".into());
            stage.coordinator(5, ask, E::NONE).await?;
            let mut ask = stage.joining("nobody");
            ask.group_instance_id = Some("name".into());
            stage.coordinator(5, ask, E::FENCED_INSTANCE_ID).await
        }
        sync_as_another_kind: |stage| {
            let member = stage.member().await?;
            let mut ask = stage.syncing(&member);
            ask.protocol_type = Some("connect".into());
            ask.protocol_name = Some("range".into());
            stage.coordinator(5, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
        }
        sync_by_another_strategy: |stage| {
            let member = stage.member().await?;
            let mut ask = stage.syncing(&member);
            ask.protocol_type = Some("consumer".into());
            ask.protocol_name = Some("other".into());
            stage.coordinator(5, ask, E::INCONSISTENT_GROUP_PROTOCOL).await
        }
        heartbeat_by_a_name_that_nobody_has: |stage| {
            let member = stage.member().await?;
            let mut ask = beat(stage, &member);
            ask.group_instance_id = Some("name".into());
            stage.coordinator(3, ask, E::UNKNOWN_MEMBER_ID).await
        }
        commit_by_a_name_that_nobody_has: |stage| {
            stage.topic().await?;
            let member = stage.member().await?;
            let mut ask = commit(stage, &member);
            ask.group_instance_id = Some("name".into());
            stage.coordinator(7, ask, E::UNKNOWN_MEMBER_ID).await
        }
        remove_a_name_that_nobody_has: |stage| {
            stage.member().await?;
            let gone = message!(MemberIdentity { group_instance_id: Some("name".into()) });
            let ask =
                message!(LeaveGroupRequest { group_id: stage.name.clone(), members: vec![gone] });
            stage.coordinator(4, ask, E::UNKNOWN_MEMBER_ID).await
        }
        forget_offsets_of_a_group_that_never_was: |stage| {
            stage.coordinator(0, forget(stage), E::GROUP_ID_NOT_FOUND).await
        }
        forget_offsets_of_an_unknown_topic: |stage| {
            let member = stage.member().await?;
            stage.coordinator(LEAVE, leave(stage, &member), E::NONE).await?;
            stage.coordinator(0, forget(stage), E::UNKNOWN_TOPIC_OR_PARTITION).await
        }
    }
}

fn nobody(generation: i32) -> Member {
    Member { id: "nobody".into(), generation }
}

fn beat(stage: &Stage, member: &Member) -> HeartbeatRequest {
    message!(HeartbeatRequest {
        group_id: stage.name.clone(),
        generation_id: member.generation,
        member_id: member.id.clone(),
    })
}

fn leave(stage: &Stage, member: &Member) -> LeaveGroupRequest {
    message!(LeaveGroupRequest { group_id: stage.name.clone(), member_id: member.id.clone() })
}

fn commit(stage: &Stage, member: &Member) -> OffsetCommitRequest {
    let partition = message!(OffsetCommitRequestPartition { committed_offset: 1 });
    let topic = message!(OffsetCommitRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    message!(OffsetCommitRequest {
        group_id: stage.name.clone(),
        member_id: member.id.clone(),
        generation_id_or_member_epoch: member.generation,
        topics: vec![topic],
    })
}

fn delete(stage: &Stage) -> DeleteGroupsRequest {
    message!(DeleteGroupsRequest { groups_names: vec![stage.name.clone()] })
}

fn forget(stage: &Stage) -> OffsetDeleteRequest {
    let partition = message!(OffsetDeleteRequestPartition { partition_index: 0 });
    let topic = message!(OffsetDeleteRequestTopic {
        name: stage.name.clone(),
        partitions: vec![partition],
    });
    message!(OffsetDeleteRequest { group_id: stage.name.clone(), topics: vec![topic] })
}
