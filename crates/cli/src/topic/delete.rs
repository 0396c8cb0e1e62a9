//! `milena topic delete`.

use std::collections::BTreeSet;

use clap::Args;
use milena::{Admin, ErrorKind};

use super::{failed, missing};
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
    let topics: BTreeSet<&str> = args.topics.iter().map(String::as_str).collect();
    for (topic, deleted) in admin.delete_topics(topics).await? {
        match deleted {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnknownTopic => {
                if !args.if_exists {
                    return Err(missing(&topic));
                }
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}
