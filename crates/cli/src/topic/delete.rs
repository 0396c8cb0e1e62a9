//! `milena topic delete`.

use clap::Args;
use milena::{Admin, ErrorKind};

use super::failed;
use crate::failure::Failure;

/// Deletes topics.
#[derive(Args, Debug)]
pub(super) struct DeleteArgs {
    /// The topics to delete
    #[arg(required = true)]
    topics: Vec<String>,

    /// Succeed where one does not exist
    #[arg(long)]
    if_exists: bool,
}

/// Runs the command; silent where it succeeds.
pub(super) async fn run(admin: &Admin, args: DeleteArgs) -> Result<(), Failure> {
    for (topic, deleted) in admin.delete_topics(args.topics.iter().map(String::as_str)).await? {
        match deleted {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnknownTopic => {
                if !args.if_exists {
                    return Err(failed(format_args!("Topic '{topic}' does not exist as expected")));
                }
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}
