//! `milena topic list`.

use milena::Admin;

use crate::failure::Failure;

/// Runs the command: one name a line, sorted.
pub(super) async fn run(admin: &Admin) -> Result<(), Failure> {
    for topic in admin.list_topics().await? {
        println!("{}", topic.name());
    }
    Ok(())
}
