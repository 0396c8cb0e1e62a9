//! `milena topic describe`.

use std::fmt::Write as _;

use clap::Args;
use milena::{Admin, ErrorKind, NodeId, TopicDescription};

use super::{failed, missing};
use crate::failure::Failure;
use crate::output;

/// Shows partitions, leaders and replicas.
#[derive(Args, Debug)]
pub(super) struct DescribeArgs {
    /// The topics to describe; none for all
    topics: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(admin: &Admin, args: DescribeArgs) -> Result<(), Failure> {
    let names = if args.topics.is_empty() {
        admin.list_topics().await?.into_iter().map(|topic| topic.name().to_string()).collect()
    } else {
        let mut names: Vec<String> = args.topics;
        names.sort();
        names.dedup();
        names
    };
    for (name, described) in admin.describe_topics(names.iter().map(String::as_str)).await? {
        match described {
            Ok(topic) => output::print(&lines(&topic))?,
            Err(error) if error.kind() == ErrorKind::UnknownTopic => {
                return Err(missing(&name));
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}

/// One line for the topic and one for each partition, with tabs where Kafka has them.
fn lines(topic: &TopicDescription) -> String {
    let configs: Vec<String> =
        topic.configs().iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!("Topic: {}", topic.name());
    if let Some(id) = topic.id() {
        let _ = write!(text, "\tTopicId: {id}");
    }
    let _ = writeln!(
        text,
        "\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
        topic.partitions().len(),
        topic.partitions().first().map_or(0, |partition| partition.replicas.len()),
        configs.join(",")
    );
    for partition in topic.partitions() {
        let leader =
            partition.leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        let _ = writeln!(
            text,
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: N/A\tLastKnownElr: N/A",
            topic.name(),
            partition.index,
            nodes(&partition.replicas),
            nodes(&partition.isr),
        );
    }
    text
}

fn nodes(ids: &[NodeId]) -> String {
    ids.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}
