//! What somebody needs to be allowed to for a request as a whole, and what is asked of the rest of it.
//!
//! A request that Kafka refuses as a whole is refused here, before its own file sees it. What is refused topic by topic, group
//! by group or id by id is up to that file.

use milena_types::{ErrorCode, Topic};
use milena_wire::messages::InitProducerIdRequest;
use milena_wire::{ByteString, Request, Response};

use crate::acl::{AclOperation, Asker, Resource};
use crate::api::{self, AUTHORIZED_CLUSTER, Call};
use crate::fetch::TopicKey;
use crate::state::{Refused, State};

impl<'a> Call<'a> {
    /// Whether the client may do this. Everyone may everything where nobody judges.
    pub(crate) fn may(
        &self,
        state: &State,
        operation: AclOperation,
        resource: Resource<'_>,
    ) -> bool {
        let settings = state.settings.authorizer.as_ref();
        settings.is_none_or(|settings| state.acls.may(settings, self.asker(), operation, resource))
    }

    /// Refuses what the client may not do.
    pub(crate) fn check(
        &self,
        state: &State,
        operation: AclOperation,
        resource: Resource<'_>,
    ) -> Result<(), ErrorCode> {
        if self.may(state, operation, resource) { Ok(()) } else { Err(resource.refusal()) }
    }

    /// The topic of this key, if the client may do this with it. A name is judged before it is looked up, so that nobody learns
    /// which topics there are.
    pub(crate) fn topic(
        &self,
        state: &State,
        operation: AclOperation,
        key: &TopicKey,
    ) -> Result<Topic, ErrorCode> {
        if let TopicKey::Name(name) = key {
            self.check(state, operation, Resource::Topic(name.as_str()))?;
        }
        let name = state.resolve(key)?;
        self.check(state, operation, Resource::Topic(name.as_str()))?;
        Ok(name)
    }

    /// Which of these operations, a bit for each, the client may carry out.
    pub(crate) fn operations(&self, state: &State, all: i32, resource: Resource<'_>) -> i32 {
        let codes = (0..31_i8).filter(|code| all & (1 << code) != 0);
        let may = codes.filter(|code| {
            let operation = AclOperation::from_code(*code);
            operation.is_some_and(|operation| self.may(state, operation, resource))
        });
        may.fold(0, |bits, code| bits | (1 << code))
    }

    /// What the client may do with the cluster; nothing is told to whom may not see it.
    pub(crate) fn cluster_operations(&self, state: &State) -> i32 {
        match self.may(state, AclOperation::Describe, Resource::Cluster) {
            true => self.operations(state, AUTHORIZED_CLUSTER, Resource::Cluster),
            false => 0,
        }
    }

    pub(crate) fn asker(&self) -> Asker<'a> {
        Asker { principal: self.principal, host: self.host }
    }
}

/// The answer to a request that the client has no right to.
pub(crate) fn refuse(state: &State, call: &Call<'_>, request: &Request) -> Option<Response> {
    state.settings.authorizer.as_ref()?;
    let code = check(state, call, request).err()?;
    let mut response = api::error(request, code)?;
    complete(&mut response, call.version, code);
    Some(response)
}

/// Says what Kafka says besides where a right is missing.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others say the code alone")]
fn complete(response: &mut Response, version: i16, code: ErrorCode) {
    let why = || refused(code).into_told().1;
    match response {
        Response::JoinGroup(r) if version >= 7 => r.protocol_name = None,
        Response::AlterShareGroupOffsets(r) => r.error_message = why(),
        Response::DeleteShareGroupOffsets(r) => r.error_message = why(),
        Response::DescribeQuorum(r) => r.error_message = why(),
        Response::DescribeUserScramCredentials(r) => r.error_message = None,
        Response::AlterClientQuotas(r) => {
            r.entries.iter_mut().for_each(|entry| entry.error_message = why());
        }
        Response::AlterUserScramCredentials(r) => {
            r.results.iter_mut().for_each(|result| result.error_message = why());
        }
        Response::ElectLeaders(r) if version >= 1 => r.error_code = code,
        Response::AlterPartitionReassignments(r) => r.error_code = code,
        _ => {}
    }
}

/// In Kafka's words why somebody may not.
pub(crate) fn refused(code: ErrorCode) -> Refused {
    let why = match code {
        ErrorCode::TOPIC_AUTHORIZATION_FAILED => "Topic authorization failed.",
        ErrorCode::GROUP_AUTHORIZATION_FAILED => "Group authorization failed.",
        ErrorCode::CLUSTER_AUTHORIZATION_FAILED => "Cluster authorization failed.",
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => {
            "Transactional Id authorization failed."
        }
        _ => "",
    };
    Refused::new(code, why)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the others are refused in parts, or never")]
fn check(state: &State, call: &Call<'_>, request: &Request) -> Result<(), ErrorCode> {
    use AclOperation::{
        Alter, AlterConfigs, ClusterAction, Delete, Describe, DescribeConfigs, Read, Write,
    };
    let cluster = |operation| call.check(state, operation, Resource::Cluster);
    let group = |operation, id: &str| call.check(state, operation, Resource::Group(id));
    let id = |id: &str| call.check(state, Write, Resource::TransactionalId(id));
    let topics = |names: Option<&Vec<ByteString>>| {
        let mut names = names.into_iter().flatten();
        names.try_for_each(|name| call.check(state, Describe, Resource::Topic(name)))
    };
    match request {
        Request::Produce(r) => r.transactional_id.as_deref().map_or(Ok(()), id),
        Request::InitProducerId(r) => init_producer_id(state, call, r),
        Request::AddPartitionsToTxn(r) if call.version < 4 => id(&r.v3_and_below_transactional_id),
        Request::AddPartitionsToTxn(_) => cluster(ClusterAction),
        Request::AddOffsetsToTxn(r) => {
            id(&r.transactional_id).and_then(|()| group(Read, &r.group_id))
        }
        Request::TxnOffsetCommit(r) => {
            id(&r.transactional_id).and_then(|()| group(Read, &r.group_id))
        }
        Request::EndTxn(r) => id(&r.transactional_id),
        Request::WriteTxnMarkers(_) => cluster(Alter).or_else(|_| cluster(ClusterAction)),
        Request::JoinGroup(r) => group(Read, &r.group_id),
        Request::SyncGroup(r) => group(Read, &r.group_id),
        Request::Heartbeat(r) => group(Read, &r.group_id),
        Request::LeaveGroup(r) => group(Read, &r.group_id),
        Request::OffsetCommit(r) => group(Read, &r.group_id),
        Request::OffsetDelete(r) => group(Delete, &r.group_id),
        Request::ConsumerGroupHeartbeat(r) => {
            group(Read, &r.group_id).and_then(|()| topics(r.subscribed_topic_names.as_ref()))
        }
        Request::ShareGroupHeartbeat(r) => {
            group(Read, &r.group_id).and_then(|()| topics(r.subscribed_topic_names.as_ref()))
        }
        Request::StreamsGroupHeartbeat(r) => group(Read, &r.group_id),
        Request::StreamsGroupTopologyDescriptionUpdate(r) => group(Read, &r.group_id),
        Request::ShareFetch(r) => group(Read, r.group_id.as_deref().unwrap_or_default()),
        Request::ShareAcknowledge(r) => group(Read, r.group_id.as_deref().unwrap_or_default()),
        Request::AlterShareGroupOffsets(r) => group(Read, &r.group_id),
        Request::DeleteShareGroupOffsets(r) => group(Delete, &r.group_id),
        Request::CreateAcls(_) | Request::DeleteAcls(_) => cluster(Alter),
        Request::DescribeAcls(_) => cluster(Describe),
        Request::ElectLeaders(_)
        | Request::AlterPartitionReassignments(_)
        | Request::AlterReplicaLogDirs(_)
        | Request::AlterUserScramCredentials(_)
        | Request::UnregisterBroker(_)
        | Request::UnregisterController(_)
        | Request::AddRaftVoter(_)
        | Request::RemoveRaftVoter(_)
        | Request::UpdateFeatures(_) => cluster(Alter),
        Request::ListPartitionReassignments(_)
        | Request::DescribeLogDirs(_)
        | Request::DescribeQuorum(_)
        | Request::DescribeUserScramCredentials(_) => cluster(Describe),
        Request::AlterClientQuotas(_) => cluster(AlterConfigs),
        Request::DescribeClientQuotas(_) | Request::ListConfigResources(_) => {
            cluster(DescribeConfigs)
        }
        _ => Ok(()),
    }
}

/// Without a transactional id, the right to write to any topic is enough (KIP-679).
fn init_producer_id(
    state: &State,
    call: &Call<'_>,
    request: &InitProducerIdRequest,
) -> Result<(), ErrorCode> {
    let Some(settings) = &state.settings.authorizer else { return Ok(()) };
    if let Some(id) = &request.transactional_id {
        return call.check(state, AclOperation::Write, Resource::TransactionalId(id));
    }
    let idempotent = call.check(state, AclOperation::IdempotentWrite, Resource::Cluster);
    match state.acls.may_with_any_topic(settings, call.asker(), AclOperation::Write) {
        true => Ok(()),
        false => idempotent,
    }
}
