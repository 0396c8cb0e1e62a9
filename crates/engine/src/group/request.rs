//! The requests of a member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use milena_types::{Generation, NodeId};
use milena_wire::ByteString;
use milena_wire::Request;
use milena_wire::messages::join_group_request::JoinGroupRequestProtocol;
use milena_wire::messages::leave_group_request::MemberIdentity;
use milena_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use milena_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
};

use super::action::Identity;
use super::assignor::AssignmentStrategy;
use super::message::{MemberAssignment, MemberSubscription, PROTOCOL_TYPE};
use super::settings::GroupSettings;
use crate::request::{Lane, Outbound, RequestId, Target};

/// What all requests of one member share.
#[derive(Debug)]
pub(crate) struct Requests {
    group_id: ByteString,
    instance_id: Option<ByteString>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    /// The coordinator answers JoinGroup only when every member has joined (trap 35).
    join_timeout: Duration,
    timeout: Duration,
}

impl Requests {
    pub(crate) fn new(settings: &GroupSettings, timeout: Duration) -> Self {
        let text = |text: &Arc<str>| ByteString::from(&**text);
        Self {
            group_id: text(&settings.group_id),
            instance_id: settings.instance_id.as_ref().map(text),
            session_timeout_ms: millis(settings.session_timeout),
            rebalance_timeout_ms: millis(settings.max_poll_interval),
            join_timeout: timeout.max(settings.max_poll_interval + JOIN_MARGIN),
            timeout,
        }
    }

    pub(crate) fn join(
        &self,
        id: RequestId,
        coordinator: NodeId,
        sender: &Identity,
        subscriptions: &[(AssignmentStrategy, MemberSubscription)],
        reason: &str,
    ) -> Outbound {
        let protocols = subscriptions.iter().map(|(strategy, subscription)| {
            let name = ByteString::from_static(strategy.name());
            JoinGroupRequestProtocol { name, metadata: subscription.encode() }
        });
        let request = JoinGroupRequest {
            group_id: self.group_id.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: ByteString::from_static(PROTOCOL_TYPE),
            protocols: protocols.collect(),
            reason: (!reason.is_empty()).then(|| ByteString::from(reason)),
        };
        self.outbound(id, coordinator, self.join_timeout, request)
    }

    pub(crate) fn sync(
        &self,
        id: RequestId,
        coordinator: NodeId,
        sender: &Identity,
        strategy: AssignmentStrategy,
        shares: &BTreeMap<String, MemberAssignment>,
    ) -> Outbound {
        let assignments = shares.iter().map(|(member, assignment)| SyncGroupRequestAssignment {
            member_id: ByteString::from(member.as_str()),
            assignment: assignment.encode(),
        });
        let request = SyncGroupRequest {
            group_id: self.group_id.clone(),
            generation_id: generation(sender),
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some(ByteString::from_static(PROTOCOL_TYPE)),
            protocol_name: Some(ByteString::from_static(strategy.name())),
            assignments: assignments.collect(),
        };
        self.outbound(id, coordinator, self.timeout, request)
    }

    pub(crate) fn heartbeat(
        &self,
        id: RequestId,
        coordinator: NodeId,
        sender: &Identity,
    ) -> Outbound {
        let request = HeartbeatRequest {
            group_id: self.group_id.clone(),
            generation_id: generation(sender),
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
        };
        self.outbound(id, coordinator, self.timeout, request)
    }

    pub(crate) fn leave(
        &self,
        id: RequestId,
        coordinator: NodeId,
        sender: &Identity,
        reason: &'static str,
    ) -> Outbound {
        let member = MemberIdentity {
            member_id: sender.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            reason: Some(ByteString::from_static(reason)),
        };
        let request = LeaveGroupRequest {
            group_id: self.group_id.clone(),
            members: vec![member],
            ..Default::default()
        };
        self.outbound(id, coordinator, self.timeout, request)
    }

    fn outbound(
        &self,
        id: RequestId,
        coordinator: NodeId,
        timeout: Duration,
        request: impl Into<Request>,
    ) -> Outbound {
        Outbound::new(id, Target::Broker(coordinator), Lane::Group, timeout, request.into())
    }
}

fn generation(sender: &Identity) -> i32 {
    sender.generation.map_or(-1, Generation::get)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// What Java adds to the rebalance timeout.
const JOIN_MARGIN: Duration = Duration::from_secs(5);
