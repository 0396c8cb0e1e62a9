//! ShareFetch and ShareAcknowledge.

use milena_types::{ApiKey, Uuid};
use milena_wire::messages::ShareFetchRequest;
use milena_wire::messages::share_fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};

use super::produce::to;
use super::share_groups::{GROUP, TOPIC};
use super::share_reader::{ACCEPT, REJECT, RELEASE, RENEW, Reader, Said};
use crate::Result;
use crate::compare::recorder::Recorder;
use crate::raw::{Batch, message};

/// With a group of which `member` is one.
pub(super) async fn run(on: &mut Recorder, member: &Reader) -> Result {
    let topic = member.topic;
    for values in [&["a0", "a1", "a2"][..], &["b0", "b1", "b2", "b3", "b4"], &["c0", "c1"]] {
        on.quietly(9, to(TOPIC, topic, 0, Some(Batch::of(values).bytes()))).await?;
    }
    let mut reader = Reader::new(GROUP, "share-a", topic);
    sessions(on, &reader).await?;
    deliveries(on, &mut reader).await?;
    member.stay(on).await?;
    wrong(on, &mut reader).await?;
    renewals(on, &mut reader).await?;
    member.stay(on).await?;
    two_members(on, &mut reader).await?;
    limits(on, &mut reader).await?;
    member.stay(on).await?;
    partitions(on, &mut reader).await?;
    on.ask("the end of a session", on.newest(ApiKey::SHARE_FETCH), {
        let mut ask = reader.fetch(&[]);
        ask.share_session_epoch = -1;
        ask
    })
    .await?;
    Ok(())
}

/// For what is there, or soon is: a real leader loads a partition at the first request, takes records back after it has
/// answered, and lets go of a partition after it has answered; who does not wait gets nothing meanwhile.
fn waiting(mut ask: ShareFetchRequest) -> ShareFetchRequest {
    (ask.max_wait_ms, ask.min_bytes) = (10_000, 1);
    ask
}

async fn sessions(on: &mut Recorder, reader: &Reader) -> Result {
    let (fetch, acknowledge) =
        (on.newest(ApiKey::SHARE_FETCH), on.newest(ApiKey::SHARE_ACKNOWLEDGE));
    for epoch in [3, -1] {
        let mut ask = reader.fetch(&[0]);
        ask.share_session_epoch = epoch;
        on.ask(&format!("no session, epoch {epoch}"), fetch, ask).await?;
    }
    for epoch in [0, 3, -1] {
        let mut ask = reader.acknowledging(0, &[(0, 0, &[ACCEPT])]);
        ask.share_session_epoch = epoch;
        on.ask(&format!("no session, epoch {epoch}"), acknowledge, ask).await?;
    }
    let mut ask = reader.fetch(&[0]);
    ask.group_id = None;
    on.ask("no group", fetch, ask).await?;
    for member in [None, Some(""), Some("a member id that is longer than a UUID")] {
        let mut ask = reader.fetch(&[0]);
        ask.member_id = member.map(Into::into);
        on.ask("an illegal member", fetch, ask).await?;
    }
    let ask = reader.fetch_with(&[(0, 0, &[ACCEPT])]);
    on.ask("a new session with acknowledgements", fetch, ask).await?;
    let ask = Reader { group: "script-share-none", ..reader.clone() };
    let ask = ask.fetch(&[0]);
    on.ask("a group that keeps no offset", fetch, waiting(ask)).await?;
    Ok(())
}

/// Three batches, offsets 0 to 9: accepted, released, rejected and delivered again.
async fn deliveries(on: &mut Recorder, reader: &mut Reader) -> Result {
    let mut ask = reader.fetch(&[0]);
    (ask.max_records, ask.batch_size) = (4, 4);
    reader.ask_fetch(on, "four records, to the end of the batch", waiting(ask)).await?;
    reader.ask_fetch(on, "the rest", waiting(reader.fetch(&[]))).await?;
    let mut ask = reader.fetch(&[]);
    (ask.max_wait_ms, ask.min_bytes) = (50, 1);
    reader.ask_fetch(on, "nothing is left", ask).await?;
    reader.ask_acknowledge(on, "two are accepted", &[(0, 1, &[ACCEPT])]).await?;
    reader.ask_acknowledge(on, "they are done with", &[(0, 1, &[ACCEPT])]).await?;
    let said: &[i8] = &[ACCEPT, RELEASE, REJECT, 0, ACCEPT, RELEASE];
    reader.ask_acknowledge(on, "one of each", &[(2, 7, said)]).await?;
    reader.ask_fetch(on, "released ones again", waiting(reader.fetch(&[]))).await?;
    // What a real leader is given back it does not give out to the same request, or just so.
    let ask = reader.fetch_with(&[(3, 3, &[ACCEPT])]);
    reader.ask_fetch(on, "acknowledgements come along", ask).await?;
    reader.ask_acknowledge(on, "three are released", &[(7, 9, &[RELEASE])]).await?;
    reader.ask_fetch(on, "they come again", waiting(reader.fetch(&[]))).await?;
    let ask = reader.fetch_with(&[(0, 3, &[ACCEPT])]);
    reader.ask_fetch(on, "acknowledgements that are refused come along", ask).await?;
    Ok(())
}

/// While offsets 7 to 9 are acquired.
async fn wrong(on: &mut Recorder, reader: &mut Reader) -> Result {
    for (what, said) in [
        ("an end before the beginning", &[(9, 8, &[ACCEPT][..])][..]),
        ("backwards", &[(8, 9, &[ACCEPT]), (7, 7, &[ACCEPT])]),
        ("nothing said", &[(7, 8, &[])]),
        ("too much said", &[(7, 7, &[ACCEPT, ACCEPT])]),
        ("too little said", &[(7, 9, &[ACCEPT, ACCEPT])]),
        ("said what is no word", &[(7, 7, &[5])]),
        ("a renewal among others", &[(7, 7, &[RENEW])]),
        ("an end too far", &[(9, 10, &[ACCEPT])]),
        ("far too far", &[(20, 21, &[ACCEPT])]),
        ("one good, one too far", &[(7, 7, &[ACCEPT]), (20, 21, &[ACCEPT])]),
        ("nothing", &[]),
    ] {
        reader.ask_acknowledge(on, what, said).await?;
    }
    let acknowledge = on.newest(ApiKey::SHARE_ACKNOWLEDGE);
    on.ask("an unknown partition", acknowledge, reader.acknowledging(9, &[(0, 0, &[ACCEPT])]))
        .await?;
    reader.epoch += 1;
    on.ask(
        "one that was never fetched",
        acknowledge,
        reader.acknowledging(1, &[(0, 0, &[ACCEPT])]),
    )
    .await?;
    reader.epoch += 1;
    let other = Reader { topic: Uuid::from_bytes([7; 16]), ..reader.clone() };
    on.ask("an unknown topic", acknowledge, other.acknowledging(0, &[(0, 0, &[ACCEPT])])).await?;
    reader.epoch += 1;
    for epoch in [0, reader.epoch + 1, reader.epoch - 1] {
        let mut ask = reader.acknowledging(0, &[(7, 7, &[ACCEPT])]);
        ask.share_session_epoch = epoch;
        on.ask("a wrong epoch", acknowledge, ask).await?;
        let mut ask = reader.fetch(&[]);
        ask.share_session_epoch = epoch.max(1);
        on.ask("a wrong epoch", on.newest(ApiKey::SHARE_FETCH), ask).await?;
    }
    Ok(())
}

/// While offsets 7 to 9 are acquired.
async fn renewals(on: &mut Recorder, reader: &mut Reader) -> Result {
    let (fetch, acknowledge) =
        (on.newest(ApiKey::SHARE_FETCH), on.newest(ApiKey::SHARE_ACKNOWLEDGE));
    let mut ask = reader.acknowledging(0, &[(7, 9, &[RENEW])]);
    ask.is_renew_ack = true;
    on.ask("all are renewed", acknowledge, ask).await?;
    reader.epoch += 1;
    let mut ask = reader.acknowledging(0, &[(7, 8, &[RENEW, ACCEPT])]);
    ask.is_renew_ack = true;
    on.ask("one is renewed, one accepted", acknowledge, ask).await?;
    reader.epoch += 1;
    let mut ask = reader.fetch_with(&[(7, 7, &[RENEW])]);
    ask.is_renew_ack = true;
    on.ask("a renewal that fetches", fetch, ask.clone()).await?;
    (ask.max_bytes, ask.max_records) = (0, 0);
    reader.ask_fetch(on, "a renewal", ask).await?;
    let mut ask = reader.acknowledging(0, &[(8, 8, &[RENEW])]);
    ask.is_renew_ack = true;
    on.ask("too late", acknowledge, ask).await?;
    reader.epoch += 1;
    on.ask("in version 1", 1, reader.acknowledging(0, &[(7, 7, &[RENEW])])).await?;
    reader.epoch += 1;
    Ok(())
}

/// While offsets 7 and 9 are acquired.
async fn two_members(on: &mut Recorder, reader: &mut Reader) -> Result {
    let mut second = Reader::new(GROUP, "share-b", reader.topic);
    second.ask_fetch(on, "what another member holds", second.fetch(&[0])).await?;
    second.ask_acknowledge(on, "what another member holds", &[(7, 7, &[ACCEPT])]).await?;
    second.ask_acknowledge(on, "among others", &[(7, 9, &[ACCEPT])]).await?;
    on.ask("the session ends", on.newest(ApiKey::SHARE_ACKNOWLEDGE), {
        let mut ask = reader.acknowledging(0, &[(9, 9, &[ACCEPT])]);
        ask.share_session_epoch = -1;
        ask
    })
    .await?;
    second.ask_fetch(on, "what the other gave back", waiting(second.fetch(&[]))).await?;
    reader.epoch = 0;
    reader.ask_fetch(on, "nothing for the first", reader.fetch(&[0])).await?;
    second.ask_acknowledge(on, "done", &[(7, 7, &[ACCEPT])]).await?;
    on.ask("no session is left", on.newest(ApiKey::SHARE_FETCH), {
        let mut ask = second.fetch(&[]);
        ask.share_session_epoch = -1;
        ask
    })
    .await?;
    Ok(())
}

/// From offset 10 on: how often and how many.
async fn limits(on: &mut Recorder, reader: &mut Reader) -> Result {
    let topic = reader.topic;
    let produce = |count: usize| {
        let values: Vec<_> = (0..count).map(|n| format!("d{n}")).collect();
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        to(TOPIC, topic, 0, Some(Batch::of(&values).bytes()))
    };
    on.quietly(9, produce(10)).await?;
    for what in ["four, strictly", "four more", "two more"] {
        let mut ask = reader.fetch(&[]);
        (ask.max_records, ask.share_acquire_mode) = (4, 1);
        reader.ask_fetch(on, what, waiting(ask)).await?;
    }
    reader.ask_acknowledge(on, "all but two are accepted", &[(10, 17, &[ACCEPT])]).await?;
    reader.ask_acknowledge(on, "two are released", &[(18, 19, &[RELEASE])]).await?;
    let mut ask = reader.fetch(&[]);
    (ask.max_records, ask.share_acquire_mode) = (1, 1);
    reader.ask_fetch(on, "one of two", waiting(ask)).await?;
    reader.ask_fetch(on, "the other", waiting(reader.fetch(&[]))).await?;
    let said: &[i8] = &[ACCEPT, ACCEPT];
    reader.ask_acknowledge(on, "the last two", &[(18, 19, said)]).await?;

    on.quietly(9, produce(8)).await?;
    // Delivered again and again, in ever smaller portions, until all are given up. They are given back by a request that
    // is answered once they are: what the end of a session gives back may come later than the next fetch.
    for _ in 0..13 {
        let acquired = reader.ask_fetch(on, "again", waiting(reader.fetch(&[]))).await?;
        let said: Vec<Said<'_>> = acquired.iter().map(|at| (at.0, at.1, &[RELEASE][..])).collect();
        reader.ask_acknowledge(on, "all is given back", &said).await?;
    }

    for count in [3, 3, 3] {
        on.quietly(9, produce(count)).await?;
    }
    let mut ask = reader.fetch(&[]);
    ask.max_bytes = 0;
    reader.ask_fetch(on, "no bytes", ask).await?;
    let mut ask = reader.fetch(&[]);
    ask.max_bytes = 1;
    reader.ask_fetch(on, "one byte", waiting(ask)).await?;
    let mut ask = reader.fetch(&[]);
    (ask.max_records, ask.batch_size) = (5, 2);
    reader.ask_fetch(on, "in batches of two", waiting(ask)).await?;
    reader.ask_acknowledge(on, "all of it", &[(28, 36, &[ACCEPT])]).await?;
    Ok(())
}

async fn partitions(on: &mut Recorder, reader: &mut Reader) -> Result {
    reader.ask_fetch(on, "an unknown partition too", reader.fetch(&[9])).await?;
    reader.ask_fetch(on, "still", reader.fetch(&[])).await?;
    let forgotten = message!(ForgottenTopic { topic_id: reader.topic, partitions: vec![9] });
    let mut ask = reader.fetch(&[]);
    ask.forgotten_topics_data = vec![forgotten];
    reader.ask_fetch(on, "no more", ask).await?;
    let partition = message!(FetchPartition { partition_index: 0 });
    let nowhere =
        message!(FetchTopic { topic_id: Uuid::from_bytes([7; 16]), partitions: vec![partition] });
    let mut ask = reader.fetch(&[]);
    ask.topics = vec![nowhere];
    reader.ask_fetch(on, "an unknown topic", ask).await?;
    Ok(())
}
