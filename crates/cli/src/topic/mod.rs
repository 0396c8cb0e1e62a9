//! `milena topic`: Kafka's `kafka-topics`, with its words.

mod create;
mod delete;
mod describe;
mod list;

use clap::{Args, Subcommand};

use milena::Topic;

use crate::args::Connection;
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  milena topic create orders --partitions 3 --config retention.ms=604800000
  milena topic list
  milena topic describe orders
  milena topic delete orders";

/// Lists, creates, describes and deletes topics.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Debug, Subcommand)]
enum TopicCommand {
    /// Print the names of all topics
    List,
    /// Create a topic
    Create(create::CreateArgs),
    /// Show partitions, leaders and replicas
    Describe(describe::DescribeArgs),
    /// Delete topics
    Delete(delete::DeleteArgs),
}

/// Runs the command.
pub(crate) async fn run(connection: &Connection, args: TopicArgs) -> Result<(), Failure> {
    let admin = connection.connect().await?.admin();
    match args.command {
        TopicCommand::List => list::run(&admin).await,
        TopicCommand::Create(args) => create::run(&admin, args).await,
        TopicCommand::Describe(args) => describe::run(&admin, args).await,
        TopicCommand::Delete(args) => delete::run(&admin, args).await,
    }
}

/// The words of `kafka-topics` around what a broker said.
fn failed(problem: Failure) -> Failure {
    problem.prefixed("Error while executing topic command : ")
}

fn missing(topic: &Topic) -> Failure {
    failed(Failure::missing(format!("Topic '{topic}' does not exist as expected")))
}
