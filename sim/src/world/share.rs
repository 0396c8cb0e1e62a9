//! What a world notes of its share group, and when the group is done with everything.

use std::collections::BTreeMap;
use std::time::Instant;

use milena_broker::{Cluster, RecordState, SharePartitionView, SharedRecords};
use milena_types::{CorrelationId, NodeId, Offset, TopicPartition};
use milena_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use milena_wire::{Request, encode_request};

use super::World;
use crate::host::User;
use crate::share::{Done, SHARE_GROUP, ShareEvent};

/// What was noted last.
#[derive(Default)]
pub(super) struct Noted {
    /// How many acknowledgements of the brokers' journal.
    acknowledgements: usize,
    views: BTreeMap<TopicPartition, SharePartitionView>,
}

impl World {
    /// Notes what brokers have done with the group's records since the last time.
    pub(super) fn note_shares(&mut self) {
        let Some(shares) = &mut self.history.share else { return };
        let at = self.clock.elapsed();
        let acknowledgements = self.cluster.journal().acknowledgements();
        for one in acknowledgements.skip(self.noted.acknowledgements) {
            self.noted.acknowledgements += 1;
            for offset in offsets(one.first, one.last) {
                shares.events.push(ShareEvent {
                    at,
                    member: one.member_id.clone(),
                    of: one.partition.clone(),
                    offset,
                    what: Done::Took(one.said),
                });
            }
        }
        for of in self.partitions() {
            let Some(view) = self.cluster.share_partition(SHARE_GROUP, &of) else { continue };
            let before = self.noted.views.get(&of);
            if before == Some(&view) {
                continue;
            }
            let before = before.map(|before| &*before.records).unwrap_or_default();
            let Some(shares) = &mut self.history.share else { return };
            let held = view.records.iter().filter(|one| one.state == RecordState::Acquired);
            for run in held {
                let Some(member) = &run.member_id else { continue };
                for offset in offsets(run.first, run.last) {
                    let is_known = find(before, offset).is_some_and(|known| {
                        known.member_id == run.member_id
                            && known.delivery_count == run.delivery_count
                    });
                    if !is_known {
                        shares.events.push(ShareEvent {
                            at,
                            member: member.clone(),
                            of: of.clone(),
                            offset,
                            what: Done::Acquired(run.delivery_count),
                        });
                    }
                }
            }
            self.noted.views.insert(of, view);
        }
    }

    /// Whether the group is done with every record, and no member has anything left to do.
    pub(super) fn is_share_settled(&self) -> bool {
        self.history.share.is_none()
            || (self.share_ends().values().all(|(start, end)| is_done(*start, *end))
                && self.hosts.iter().all(|host| match host.user() {
                    User::Sharer(sharer) => sharer.is_done(),
                    User::Producer(_) | User::Consumer(_) | User::Member(_) => true,
                }))
    }

    /// Notes how far the group is at the end.
    pub(super) fn note_share_ends(&mut self) {
        let ends = self.share_ends();
        if let Some(shares) = &mut self.history.share {
            shares.ends = ends;
        }
    }

    fn share_ends(&self) -> BTreeMap<TopicPartition, (Option<Offset>, Offset)> {
        let end = |of: TopicPartition| {
            let end = self.cluster.partition(&of)?.high_watermark;
            let view = self.cluster.share_partition(SHARE_GROUP, &of);
            Some((of, (view.and_then(|view| done_until(&view)), end)))
        };
        self.partitions().into_iter().filter_map(end).collect()
    }
}

/// Everything below is done with. Where the log was cut off from below the group may stand still before what it was done
/// with by then, as with Kafka's brokers, until something else is acknowledged.
fn done_until(view: &SharePartitionView) -> Option<Offset> {
    let is_over = |run: &&SharedRecords| {
        matches!(run.state, RecordState::Acknowledged | RecordState::Archived)
    };
    let over = view.records.iter().filter(is_over);
    let next = |until: Offset, run: &SharedRecords| {
        let is_next = run.first <= until && until <= run.last;
        if is_next { run.last.next() } else { until }
    };
    view.start.map(|start| over.fold(start, next))
}

/// Whether nothing is left below `end`.
pub(crate) fn is_done(start: Option<Offset>, end: Offset) -> bool {
    end == Offset::ZERO || start == Some(end)
}

/// Has the group begin with the first record, and read what is committed where the others do.
pub(super) fn configure(cluster: &mut Cluster, now: Instant, read_committed: bool) {
    let config = |name: &str, value: &str| AlterableConfig {
        name: name.into(),
        config_operation: 0,
        value: Some(value.into()),
    };
    let isolation = if read_committed { "read_committed" } else { "read_uncommitted" };
    let resource = AlterConfigsResource {
        resource_type: GROUP_RESOURCE,
        resource_name: SHARE_GROUP.into(),
        configs: vec![
            config("share.auto.offset.reset", "earliest"),
            config("share.isolation.level", isolation),
        ],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let request = Request::IncrementalAlterConfigs(request);
    let frame = encode_request(&request, 1, CorrelationId::FIRST, None);
    let connection = cluster.open(now, NodeId::new(1));
    let (Ok(frame), Ok(connection)) = (frame, connection) else {
        unreachable!("a new cluster takes connections and known requests")
    };
    // Without its length.
    cluster.handle(now, connection, frame.into_bytes().slice(4..));
    cluster.close(now, connection);
    while cluster.poll_output(now).is_some() {}
}

fn find(runs: &[SharedRecords], offset: Offset) -> Option<&SharedRecords> {
    let at = runs.partition_point(|run| run.last < offset);
    runs.get(at).filter(|run| run.first <= offset && run.state == RecordState::Acquired)
}

fn offsets(first: Offset, last: Offset) -> impl Iterator<Item = Offset> {
    (first.get()..=last.get()).filter_map(Offset::new)
}

/// What Kafka calls `ConfigResource.Type.GROUP`.
const GROUP_RESOURCE: i8 = 32;
