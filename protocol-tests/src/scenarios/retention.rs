//! Commits that are too old (`offsets.retention.minutes`).

use std::sync::Arc;
use std::time::Duration;

use milena_wire::Response;
use milena_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use milena_wire::messages::{OffsetCommitRequest, OffsetFetchRequest};
use tokio::time::{Instant, sleep};

use super::offsets::Log;
use crate::Result;
use crate::raw::{Connection, coordinator, message};
use crate::target::Target;

/// Two minutes of a real cluster, which keeps commits in minutes.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

const PATIENCE: Duration = Duration::from_secs(50);

const PAUSE: Duration = Duration::from_millis(100);

/// A commit's time is that of the broker, and it was made before it was answered.
const HASTE: Duration = Duration::from_secs(1);

pub(super) async fn commits_expire_after_they_were_made_or_their_group_was_left(
    on: Arc<Target>,
) -> Result {
    let kept = Duration::from_secs(if on.embedded().is_some() { 4 } else { 60 });
    let on = Arc::new(Target::keeping_commits(on.choice(), kept).await?);
    let log = Log::of(Arc::clone(&on), "expiring", 3).await?;
    let begun = Instant::now();
    commit(&on, "alone", &log.topic).await?;
    let member = log.kafka.consumer("together").subscribe([log.topic.as_str()]);
    let member = member.set("group.protocol", "classic")?.set("enable.auto.commit", "false")?;
    let mut member = member.set("auto.offset.reset", "earliest")?.build().await?;
    member.poll(PATIENCE).await?.commit().await?;
    await_expiry(&on, "alone").await?;
    assert!(begun.elapsed() + HASTE >= kept, "gone after {:?}", begun.elapsed());
    // Longer than the other one's were kept, by a member that is still there.
    sleep(kept / 2).await;
    assert_eq!(commits(&on, "together").await?, 1);
    let left = Instant::now();
    member.close(PATIENCE).await?;
    sleep(kept / 2).await;
    assert_eq!(commits(&on, "together").await?, 1, "as old as it is");
    await_expiry(&on, "together").await?;
    assert!(left.elapsed() + HASTE >= kept, "gone after {:?}", left.elapsed());
    Ok(())
}

async fn await_expiry(on: &Target, group: &str) -> Result {
    while commits(on, group).await? > 0 {
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn commit(on: &Target, group: &str, topic: &str) -> Result {
    let partition = message!(OffsetCommitRequestPartition { committed_offset: 1 });
    let topic =
        message!(OffsetCommitRequestTopic { name: topic.into(), partitions: vec![partition] });
    let ask = message!(OffsetCommitRequest {
        group_id: group.into(),
        generation_id_or_member_epoch: -1,
        topics: vec![topic],
    });
    let mut there = Connection::open(&coordinator(on.address(), group).await?).await?;
    let Response::OffsetCommit(told) = there.call(ask, 6).await? else {
        return Err("another answer than OffsetCommit's".into());
    };
    let mut partitions = told.topics.iter().flat_map(|topic| &topic.partitions);
    assert!(partitions.all(|partition| !partition.error_code.is_error()), "{told:?}");
    Ok(())
}

/// For how many partitions the group has a commit.
async fn commits(on: &Target, group: &str) -> Result<usize> {
    let ask = message!(OffsetFetchRequest { group_id: group.into(), topics: None });
    let mut there = Connection::open(&coordinator(on.address(), group).await?).await?;
    let Response::OffsetFetch(told) = there.call(ask, 5).await? else {
        return Err("another answer than OffsetFetch's".into());
    };
    assert!(!told.error_code.is_error(), "{told:?}");
    Ok(told.topics.iter().map(|topic| topic.partitions.len()).sum())
}
