//! Clients that go beyond their quotas: ShareFetch.

use milena_types::ApiKey;
use milena_wire::messages as m;
use milena_wire::messages::create_topics_request::CreatableTopic;

use super::produce::to;
use super::quotas::wishing;
use super::share_reader::{ACCEPT, Reader, configuring};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

/// What this script calls itself.
const CLIENT: (&str, Option<&str>) = ("client-id", Some("protocol-tests"));

const SHARED: &str = "script-limited";

pub(super) async fn run(on: &mut Recorder) -> Result {
    share_fetch(on).await
}

/// Sets or removes a quota of this client, and waits until it counts.
async fn limit(on: &mut Recorder, quota: &str, value: Option<f64>) -> Result {
    let newest = on.newest(ApiKey::ALTER_CLIENT_QUOTAS);
    on.quietly(newest, wishing(&[(&[CLIENT], quota, value)])).await?;
    // The first tells that the broker has learned of it, the second that it is done with what it learned.
    on.await_metadata("script-placed").await?;
    on.await_metadata("script-placed").await
}

async fn create(on: &mut Recorder, name: &str) -> Result {
    let topic =
        message!(CreatableTopic { name: name.into(), num_partitions: 1, replication_factor: 1 });
    let make = message!(m::CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000 });
    on.quietly(5, make).await?;
    Ok(())
}

/// Each batch has six seconds' worth of a quota of which ten are free.
async fn share_fetch(on: &mut Recorder) -> Result {
    create(on, SHARED).await?;
    let topic = on.await_topic(SHARED).await?;
    let from_start = configuring(SHARED, "share.auto.offset.reset", Some("earliest"));
    on.quietly(1, from_start).await?;
    on.await_metadata("script-placed").await?;
    let mut reader = Reader::new(SHARED, "limited-a", topic);
    reader.await_partitions(on, &[SHARED]).await?;
    limit(on, "consumer_byte_rate", Some(100_000.0)).await?;
    let large = "x".repeat(600_000);
    let mut ask = reader.fetch(&[0]);
    for (what, said) in [
        ("within the quota", None),
        ("beyond the quota", None),
        ("beyond the quota, with an acknowledgement", Some((0, 0, &[ACCEPT][..]))),
    ] {
        on.quietly(9, to(SHARED, topic, 0, Some(Batch::of(&[&large]).bytes()))).await?;
        if let Some(said) = said {
            ask = reader.fetch_with(&[said]);
        }
        (ask.max_wait_ms, ask.min_bytes) = (10_000, 1);
        reader.ask_fetch(on, what, ask).await?;
        ask = reader.fetch(&[]);
    }
    reader.ask_acknowledge(on, "what nobody was told of", &[(1, 2, &[ACCEPT])]).await?;
    limit(on, "consumer_byte_rate", None).await?;
    ask = reader.fetch(&[]);
    ask.share_session_epoch = -1;
    on.ask("the end of a limited session", on.newest(ApiKey::SHARE_FETCH), ask).await?;
    on.quietly(1, reader.beat(-1, None)).await?;
    Ok(())
}
