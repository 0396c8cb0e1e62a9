//! Whether all replicas are in sync: until then, what one more broker takes down with it may be the only copy.

use std::time::Duration;

use milena_types::ErrorCode;
use milena_wire::messages::MetadataResponse;
use milena_wire::messages::metadata_request::MetadataRequestTopic;
use milena_wire::messages::metadata_response::MetadataResponsePartition;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Result;
use crate::raw::message;
use crate::target::metadata_of;

/// Waits until every broker knows each replica of each partition of `topics`, and of the coordinators' own, to be in sync.
///
/// # Errors
/// What is not in sync after two minutes, and by whose account.
pub(crate) async fn await_in_sync(bootstrap_servers: &str, topics: &[&str]) -> Result {
    let deadline = Instant::now() + LIMIT;
    for address in bootstrap_servers.split(',') {
        loop {
            let lacking = match timeout_at(deadline, lacking(address, topics)).await {
                Ok(Ok(None)) => break,
                Ok(Ok(Some(lacking))) => lacking,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if Instant::now() >= deadline {
                let limit = LIMIT.as_secs();
                return Err(format!("not in sync after {limit} s, by {address}: {lacking}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// The first partition of `topics`, or of the coordinators' own, that lacks a replica by what the broker at `address` knows.
async fn lacking(address: &str, topics: &[&str]) -> Result<Option<String>> {
    let named = |topic: &&str| message!(MetadataRequestTopic { name: Some((*topic).into()) });
    let asked = topics.iter().chain(COORDINATORS_OWN).map(named);
    Ok(first_lacking(&metadata_of(address, Some(asked.collect()), 4).await?))
}

fn first_lacking(told: &MetadataResponse) -> Option<String> {
    told.topics.iter().find_map(|topic| {
        let name = topic.name.as_deref().unwrap_or_default();
        let is_absent = topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        if is_absent && COORDINATORS_OWN.contains(&name) {
            return None;
        }
        if topic.error_code.is_error() {
            return Some(format!("{name}: {}", topic.error_code));
        }
        topic.partitions.iter().find(lacks).map(|partition| {
            let (index, code) = (partition.partition_index, partition.error_code);
            let (replicas, in_sync) = (&partition.replica_nodes, &partition.isr_nodes);
            format!("{name}-{index}: {code}, replicas {replicas:?}, in sync {in_sync:?}")
        })
    })
}

fn lacks(partition: &&MetadataResponsePartition) -> bool {
    partition.error_code.is_error() || partition.isr_nodes.len() < partition.replica_nodes.len()
}

/// Where coordinators keep what they know; made at the first question for one.
const COORDINATORS_OWN: &[&str] = &["__consumer_offsets", "__transaction_state"];

/// Many times what a broker needs that was away for seconds, on a machine that is busy with others.
const LIMIT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use milena_wire::messages::metadata_response::MetadataResponseTopic;

    use super::*;
    use crate::target::Target;

    fn topic(name: &str, error_code: ErrorCode, in_sync: &[i32]) -> MetadataResponseTopic {
        let partition = message!(MetadataResponsePartition {
            replica_nodes: vec![1, 2, 3],
            isr_nodes: in_sync.to_vec(),
        });
        let partitions = if error_code.is_error() { vec![] } else { vec![partition] };
        message!(MetadataResponseTopic {
            name: Some(name.into()),
            error_code: error_code,
            partitions: partitions,
        })
    }

    #[test]
    fn what_lacks_a_replica_is_told() {
        let told = |topic| first_lacking(&message!(MetadataResponse { topics: vec![topic] }));
        let (none, unknown) = (ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(told(topic("orders", none, &[3, 1, 2])), None);
        let lacks = told(topic("orders", none, &[3, 1])).unwrap();
        assert!(lacks.starts_with("orders-0") && lacks.ends_with("in sync [3, 1]"), "{lacks}");
        assert!(told(topic("__consumer_offsets", none, &[1])).is_some());
        assert!(told(topic("orders", unknown, &[])).is_some());
        assert_eq!(told(topic("__consumer_offsets", unknown, &[])), None);
    }

    /// In each state that a storm may leave a broker in.
    #[tokio::test]
    async fn brokers_that_were_brought_back_are_in_sync() {
        let on = Target::start(&"embedded-x3".parse().unwrap()).await.unwrap();
        let kafka = milena::connect(on.bootstrap_servers()).await.unwrap();
        let orders = kafka.admin().create_topic("orders").partitions(6);
        orders.replication_factor(3).await.unwrap();
        on.pause_broker(1).await.unwrap();
        on.kill_broker(2).await.unwrap();
        on.bring_back().await.unwrap();
        on.await_in_sync(&["orders"]).await.unwrap();
    }
}
