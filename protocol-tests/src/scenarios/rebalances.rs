//! The classic group protocol by hand, with two members.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use milena_types::{ApiKey, ErrorCode};
use milena_wire::ByteString;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use milena_wire::{Request, Response};
use tokio::time::sleep;

use crate::Result;
use crate::raw::{Connection, coordinator, message};
use crate::target::Target;

/// Versions without member ids given beforehand, which brokers speak from 2.0 on.
const JOIN: i16 = 3;
const SYNC: i16 = 2;
const HEARTBEAT: i16 = 2;
const LEAVE: i16 = 2;

pub(super) async fn a_second_member_shares_the_work(on: Arc<Target>) -> Result {
    let group = on.unique("raw-shared");
    let mut pair = Pair::joined(&on, &group, SESSION_MS).await?;
    let answers = pair.sync().await?;
    assert_eq!(answers, [Bytes::from_static(b"0"), Bytes::from_static(b"1")]);
    assert_eq!(pair.first.heartbeat().await?, ErrorCode::NONE);
    assert_eq!(pair.second.heartbeat().await?, ErrorCode::NONE);
    Ok(())
}

pub(super) async fn a_member_that_leaves_sets_the_other_to_work(on: Arc<Target>) -> Result {
    let group = on.unique("raw-leave");
    let mut pair = Pair::joined(&on, &group, SESSION_MS).await?;
    pair.sync().await?;
    let ask = message!(LeaveGroupRequest {
        group_id: group.as_str().into(),
        member_id: pair.second.id.clone(),
    });
    let Response::LeaveGroup(told) = pair.second.connection.call(ask, LEAVE).await? else {
        return Err("another answer than LeaveGroup's".into());
    };
    assert_eq!(told.error_code, ErrorCode::NONE);
    assert_eq!(pair.first.heartbeat().await?, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(pair.second.heartbeat().await?, ErrorCode::UNKNOWN_MEMBER_ID);
    let told = pair.first.join().await?;
    assert_eq!(told.members.len(), 1);
    assert_eq!(told.generation_id, pair.first.generation);
    Ok(())
}

pub(super) async fn a_silent_member_is_put_out_after_its_session(on: Arc<Target>) -> Result {
    let group = on.unique("raw-silent");
    let mut pair = Pair::joined(&on, &group, SOON_MS).await?;
    pair.sync().await?;
    // The first beats, the second does not.
    let code = loop {
        match pair.first.heartbeat().await? {
            ErrorCode::NONE => sleep(Duration::from_millis(50)).await,
            code => break code,
        }
    };
    assert_eq!(code, ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(pair.second.heartbeat().await?, ErrorCode::UNKNOWN_MEMBER_ID);
    Ok(())
}

const SESSION_MS: i32 = 30_000;

/// A session that is waited for; joining and syncing must be done within it on a machine that stops for seconds too.
const SOON_MS: i32 = 6_000;

struct Member {
    connection: Connection,
    group: String,
    session_ms: i32,
    id: ByteString,
    generation: i32,
}

/// Two members of one generation; the first leads, and is given `SESSION_MS`.
struct Pair {
    first: Member,
    second: Member,
}

impl Pair {
    async fn joined(on: &Arc<Target>, group: &str, session_ms: i32) -> Result<Self> {
        let mut first = Member::new(on, group, SESSION_MS).await?;
        let told = first.join().await?;
        assert_eq!(told.leader, first.id);
        first.sync(vec![]).await?;

        let mut second = Member::new(on, group, session_ms).await?;
        second.send_join().await?;
        // The coordinator holds the second's join until the first has come back.
        while first.heartbeat().await? != ErrorCode::REBALANCE_IN_PROGRESS {
            sleep(Duration::from_millis(10)).await;
        }
        let told = first.join().await?;
        assert_eq!(told.members.len(), 2, "{told:?}");
        let seen = second.receive_join().await?;
        assert_eq!(seen.leader, first.id);
        assert_eq!(seen.members.len(), 0, "only the leader is told who is there");
        assert_eq!(first.generation, second.generation);
        assert!(told.members.iter().any(|member| member.member_id == second.id));
        Ok(Self { first, second })
    }

    /// What each is assigned: "0" for the first, "1" for the second.
    async fn sync(&mut self) -> Result<[Bytes; 2]> {
        let plan = [(&self.first.id, "0"), (&self.second.id, "1")].map(|(id, what)| {
            message!(SyncGroupRequestAssignment {
                member_id: id.clone(),
                assignment: Bytes::from_static(what.as_bytes()),
            })
        });
        // The follower asks first and is held until the leader has spoken.
        self.second.send_sync(vec![]).await?;
        let first = self.first.sync(plan.to_vec()).await?;
        let second = self.second.receive_sync().await?;
        Ok([first, second])
    }
}

impl Member {
    async fn new(on: &Arc<Target>, group: &str, session_ms: i32) -> Result<Self> {
        let connection = Connection::open(&coordinator(on.address(), group).await?).await?;
        let (id, generation) = (ByteString::new(), -1);
        Ok(Self { connection, group: group.to_owned(), session_ms, id, generation })
    }

    async fn join(&mut self) -> Result<JoinGroupResponse> {
        self.send_join().await?;
        self.receive_join().await
    }

    async fn send_join(&mut self) -> Result {
        let protocol = message!(JoinGroupRequestProtocol { name: "range".into() });
        let ask = message!(JoinGroupRequest {
            group_id: self.group.as_str().into(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: 10_000,
            member_id: self.id.clone(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
        });
        self.connection.send(&Request::from(ask), JOIN).await
    }

    async fn receive_join(&mut self) -> Result<JoinGroupResponse> {
        let Response::JoinGroup(told) = self.connection.receive(ApiKey::JOIN_GROUP, JOIN).await?
        else {
            return Err("another answer than JoinGroup's".into());
        };
        assert_eq!(told.error_code, ErrorCode::NONE);
        self.id = told.member_id.clone();
        self.generation = told.generation_id;
        Ok(told)
    }

    async fn sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>) -> Result<Bytes> {
        self.send_sync(assignments).await?;
        self.receive_sync().await
    }

    async fn send_sync(&mut self, assignments: Vec<SyncGroupRequestAssignment>) -> Result {
        let ask = message!(SyncGroupRequest {
            group_id: self.group.as_str().into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            assignments: assignments,
        });
        self.connection.send(&Request::from(ask), SYNC).await
    }

    async fn receive_sync(&mut self) -> Result<Bytes> {
        let Response::SyncGroup(told) = self.connection.receive(ApiKey::SYNC_GROUP, SYNC).await?
        else {
            return Err("another answer than SyncGroup's".into());
        };
        assert_eq!(told.error_code, ErrorCode::NONE);
        Ok(told.assignment)
    }

    async fn heartbeat(&mut self) -> Result<ErrorCode> {
        let ask = message!(HeartbeatRequest {
            group_id: self.group.as_str().into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
        });
        let Response::Heartbeat(told) = self.connection.call(ask, HEARTBEAT).await? else {
            return Err("another answer than Heartbeat's".into());
        };
        Ok(told.error_code)
    }
}
