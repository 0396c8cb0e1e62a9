//! A program that holds every file descriptor it may have, and produces once it has let go of them.
//!
//! It says on its standard output why it could not produce before, and then the offset of its record.

use std::error::Error;
use std::fs::File;
use std::time::Duration;

use clap::Args;
use milena::Record;

use crate::Result;

/// What is to be produced.
#[derive(Args, Clone, Debug)]
pub(crate) struct Plan {
    /// Where the brokers are.
    #[arg(long)]
    pub(crate) bootstrap_servers: String,
    /// To which topic.
    #[arg(long)]
    pub(crate) topic: String,
}

/// Time for some attempts to connect.
const BLOCK: &str = "2000";

/// Produces one record that nothing can carry at first.
pub(crate) async fn hoard(plan: &Plan) -> Result {
    let kafka = milena::connect(plan.bootstrap_servers.as_str()).await?;
    let hoard = every_descriptor();
    // A connection for metadata may have been there before, so that what waits is the record.
    let hasty = kafka.producer().set("max.block.ms", BLOCK)?.set("delivery.timeout.ms", BLOCK)?;
    let hasty = hasty.set("request.timeout.ms", "1000")?.build().await?;
    let patient = kafka.producer().build().await?;
    let record = || Record::to(plan.topic.as_str()).value("carried");
    let waiting = patient.send(record());
    let refused = async {
        let refused = hasty.send(record()).await;
        drop(hoard);
        refused
    };
    let (stored, refused) = tokio::join!(waiting, refused);
    let refused = refused.err().ok_or("a record was carried without a descriptor")?;
    let cause = refused.source().map(ToString::to_string).unwrap_or_default();
    println!("{refused}: {cause}");
    println!("{}", stored?.offset().ok_or("no offset")?);
    patient.close(Duration::from_secs(30)).await?;
    Ok(())
}

/// As many as the limit leaves, which must be a low one.
fn every_descriptor() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
