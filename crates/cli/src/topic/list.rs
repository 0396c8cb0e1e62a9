//! `milena topic list`.

use milena::Admin;

use crate::failure::Failure;
use crate::output;

/// Runs the command: one name a line, sorted.
pub(super) async fn run(admin: &Admin) -> Result<(), Failure> {
    for topic in admin.list_topics().await? {
        output::print(&format!("{}\n", topic.name()))?;
    }
    Ok(())
}
