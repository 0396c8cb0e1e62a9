//! `milena topic create`.

use clap::Args;
use milena::{Admin, ErrorCode};

use super::failed;
use crate::args::pair;
use crate::failure::Failure;
use crate::output;

/// Creates a topic.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// The topic's name
    topic: String,

    /// How many partitions [default: num.partitions of the brokers]
    #[arg(long)]
    partitions: Option<i32>,

    /// How many copies of each partition [default: default.replication.factor of the brokers]
    #[arg(long)]
    replication_factor: Option<i16>,

    /// A setting of the topic; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,

    /// Succeed where it exists already
    #[arg(long)]
    if_not_exists: bool,
}

/// Runs the command.
pub(super) async fn run(admin: &Admin, args: CreateArgs) -> Result<(), Failure> {
    let name = args.topic.as_str();
    if name.contains(['.', '_']) {
        eprintln!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both."
        );
    }
    let mut topic = admin.create_topic(name);
    if let Some(partitions) = args.partitions {
        topic = topic.partitions(partitions);
    }
    if let Some(factor) = args.replication_factor {
        topic = topic.replication_factor(factor);
    }
    for (key, value) in &args.config {
        topic = topic.config(key.as_str(), value.as_str());
    }
    match topic.await {
        Ok(()) => output::print(&format!("Created topic {name}.\n"))?,
        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {
            if !args.if_not_exists {
                return Err(failed(Failure::new(format!("Topic '{name}' already exists."))));
            }
        }
        Err(error) => return Err(failed(error.into())),
    }
    Ok(())
}
