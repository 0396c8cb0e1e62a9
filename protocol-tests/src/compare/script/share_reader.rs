//! A member of a share group, played by hand.

use std::time::Duration;

use milena_types::{ApiKey, ErrorCode, Uuid};
use milena_wire::Response;
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use milena_wire::messages::share_acknowledge_request::{
    AcknowledgePartition, AcknowledgeTopic, AcknowledgementBatch,
};
use milena_wire::messages::share_fetch_request::{self, FetchPartition, FetchTopic};
use milena_wire::messages::{
    IncrementalAlterConfigsRequest, ShareAcknowledgeRequest, ShareFetchRequest,
    ShareGroupHeartbeatRequest,
};

use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::message;

/// Accept, release, reject and renew, as requests number them; a gap is 0.
pub(super) const ACCEPT: i8 = 1;
pub(super) const RELEASE: i8 = 2;
pub(super) const REJECT: i8 = 3;
pub(super) const RENEW: i8 = 4;

/// First and last offset, and what is said of them.
pub(super) type Said<'a> = (i64, i64, &'a [i8]);

/// A member and its share session.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) group: &'static str,
    pub(super) member: &'static str,
    pub(super) topic: Uuid,
    /// What the next request of the session carries.
    pub(super) epoch: i32,
    pub(super) member_epoch: i32,
}

impl Reader {
    pub(super) fn new(group: &'static str, member: &'static str, topic: Uuid) -> Self {
        Self { group, member, topic, epoch: 0, member_epoch: 0 }
    }

    pub(super) fn beat(&self, epoch: i32, topics: Option<&[&str]>) -> ShareGroupHeartbeatRequest {
        message!(ShareGroupHeartbeatRequest {
            group_id: self.group.into(),
            member_id: self.member.into(),
            member_epoch: epoch,
            subscribed_topic_names: topics.map(|t| t.iter().map(|name| (*name).into()).collect()),
        })
    }

    /// Beats until the group has partitions for the member. A real coordinator prepares them after it has answered.
    pub(super) async fn await_partitions(&mut self, on: &mut Recorder, topics: &[&str]) -> Result {
        let mut ask = self.beat(0, Some(topics));
        loop {
            let Response::ShareGroupHeartbeat(told) = on.quietly(1, ask).await? else {
                return Err("another answer than ShareGroupHeartbeat's".into());
            };
            match told.error_code {
                ErrorCode::NONE => self.member_epoch = told.member_epoch,
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR => {}
                code => return Err(format!("ShareGroupHeartbeat: {code}").into()),
            }
            let has_some = told.assignment.is_some_and(|all| !all.topic_partitions.is_empty());
            if has_some {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            ask = match self.member_epoch {
                0 => self.beat(0, Some(topics)),
                epoch => self.beat(epoch, None),
            };
        }
    }

    /// Beats, so that a machine that takes long over the script does not put the member out.
    pub(super) async fn stay(&self, on: &mut Recorder) -> Result {
        let Response::ShareGroupHeartbeat(told) =
            on.quietly(1, self.beat(self.member_epoch, None)).await?
        else {
            return Err("another answer than ShareGroupHeartbeat's".into());
        };
        match told.error_code {
            ErrorCode::NONE => Ok(()),
            code => Err(format!("ShareGroupHeartbeat: {code}").into()),
        }
    }

    /// A fetch of these partitions, beyond those of the session, with the session's next epoch.
    pub(super) fn fetch(&self, partitions: &[i32]) -> ShareFetchRequest {
        let partition = |index: &i32| message!(FetchPartition { partition_index: *index });
        let topic = message!(FetchTopic {
            topic_id: self.topic,
            partitions: partitions.iter().map(partition).collect(),
        });
        let topics = if partitions.is_empty() { vec![] } else { vec![topic] };
        message!(ShareFetchRequest {
            group_id: Some(self.group.into()),
            member_id: Some(self.member.into()),
            share_session_epoch: self.epoch,
            max_bytes: 1 << 20,
            max_records: 500,
            batch_size: 500,
            topics: topics,
        })
    }

    /// The same with acknowledgements of partition 0.
    pub(super) fn fetch_with(&self, said: &[Said<'_>]) -> ShareFetchRequest {
        let mut ask = self.fetch(&[0]);
        let batch = |(first, last, types): &Said<'_>| {
            let mut batch = share_fetch_request::AcknowledgementBatch::default();
            (batch.first_offset, batch.last_offset) = (*first, *last);
            batch.acknowledge_types = types.to_vec();
            batch
        };
        ask.topics[0].partitions[0].acknowledgement_batches = said.iter().map(batch).collect();
        ask
    }

    /// Acknowledgements of a partition.
    pub(super) fn acknowledging(
        &self,
        partition: i32,
        said: &[Said<'_>],
    ) -> ShareAcknowledgeRequest {
        let batch = |(first, last, types): &Said<'_>| {
            message!(AcknowledgementBatch {
                first_offset: *first,
                last_offset: *last,
                acknowledge_types: types.to_vec(),
            })
        };
        let partition = message!(AcknowledgePartition {
            partition_index: partition,
            acknowledgement_batches: said.iter().map(batch).collect(),
        });
        let topic =
            message!(AcknowledgeTopic { topic_id: self.topic, partitions: vec![partition] });
        message!(ShareAcknowledgeRequest {
            group_id: Some(self.group.into()),
            member_id: Some(self.member.into()),
            share_session_epoch: self.epoch,
            topics: vec![topic],
        })
    }

    /// Fetches and writes down what came; the session goes on. Gives the first and last offsets of what was acquired.
    pub(super) async fn ask_fetch(
        &mut self,
        on: &mut Recorder,
        what: &str,
        ask: ShareFetchRequest,
    ) -> Result<Vec<(i64, i64)>> {
        let told = on.ask(what, on.newest(ApiKey::SHARE_FETCH), ask).await?;
        let Some(Response::ShareFetch(told)) = told else {
            return Err("no answer to ShareFetch".into());
        };
        self.epoch += 1;
        let partitions = told.responses.iter().flat_map(|topic| &topic.partitions);
        let acquired = partitions.flat_map(|partition| &partition.acquired_records);
        Ok(acquired.map(|records| (records.first_offset, records.last_offset)).collect())
    }

    /// Acknowledges and writes down how it was taken; the session goes on.
    pub(super) async fn ask_acknowledge(
        &mut self,
        on: &mut Recorder,
        what: &str,
        said: &[Said<'_>],
    ) -> Result {
        let ask = self.acknowledging(0, said);
        on.ask(what, on.newest(ApiKey::SHARE_ACKNOWLEDGE), ask).await?;
        self.epoch += 1;
        Ok(())
    }
}

/// Sets one value of a group.
pub(super) fn configuring(
    group: &str,
    name: &str,
    value: Option<&str>,
) -> IncrementalAlterConfigsRequest {
    const GROUP: i8 = 32;
    let config = message!(AlterableConfig {
        name: name.into(),
        config_operation: 0,
        value: value.map(Into::into),
    });
    let resource = message!(AlterConfigsResource {
        resource_type: GROUP,
        resource_name: group.into(),
        configs: vec![config],
    });
    message!(IncrementalAlterConfigsRequest { resources: vec![resource] })
}
