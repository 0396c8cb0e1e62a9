//! The shipped consumer against every broker: where it begins, what it commits, and where it goes on.

use std::sync::Arc;
use std::time::Duration;

use milena::{
    CommittedOffset, Consumer, ErrorKind, Kafka, Offset, Producer, Record, TopicPartition,
};
use milena_types::{ErrorCode, Timestamp};
use milena_wire::Response;
use milena_wire::messages::DeleteRecordsRequest;
use milena_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use tokio::time::{Instant, sleep, timeout};

use crate::Result;
use crate::raw::{Connection, message};
use crate::target::Target;
use crate::user::{connect, create};

/// The first wait of a group: its coordinator may have to be made.
const PATIENCE: Duration = Duration::from_secs(50);

const CLOSE: Duration = Duration::from_secs(30);

/// In which nothing comes, where nothing may.
const QUIET: Duration = Duration::from_millis(500);

/// A topic of one partition with records whose values are their offsets.
pub(super) struct Log {
    pub(super) on: Arc<Target>,
    pub(super) kafka: Kafka,
    pub(super) topic: String,
}

impl Log {
    pub(super) async fn of(on: Arc<Target>, name: &str, records: i64) -> Result<Self> {
        let kafka = connect(&on).await?;
        let topic = on.unique(name);
        create(&kafka, &on, &topic, 1).await?;
        let log = Self { on, kafka, topic };
        log.fill(0, records).await?;
        Ok(log)
    }

    /// Appends the records from `first` to `end`, exclusively.
    pub(super) async fn fill(&self, first: i64, end: i64) -> Result {
        let producer = self.kafka.producer().build().await?;
        let mut deliveries = Vec::new();
        for number in first..end {
            let record = Record::to(self.topic.as_str()).partition(0).value(number.to_string());
            deliveries.push(producer.send(record).enqueue().await?);
        }
        for delivery in deliveries {
            delivery.await?;
        }
        Ok(producer.close(CLOSE).await?)
    }

    pub(super) fn tp(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), 0)
    }

    /// A reader without a group that begins by this rule.
    pub(super) async fn reader(&self, reset: &str) -> Result<Consumer> {
        let builder = self.kafka.consumer_without_group().assign([self.tp()]);
        Ok(builder.set("auto.offset.reset", reset)?.build().await?)
    }

    /// One that commits as its user says, in a group of this topic's name.
    async fn committer(&self, most: usize) -> Result<Consumer> {
        let builder = self.kafka.consumer(self.topic.as_str()).assign([self.tp()]);
        let builder = builder.set("enable.auto.commit", "false")?;
        let builder = builder.set("max.poll.records", &most.to_string())?;
        Ok(builder.set("auto.offset.reset", "earliest")?.build().await?)
    }

    /// Deletes everything before `offset`.
    pub(super) async fn delete_before(&self, offset: i64) -> Result {
        let partition = message!(DeleteRecordsPartition { partition_index: 0, offset: offset });
        let topic = message!(DeleteRecordsTopic {
            name: self.topic.as_str().into(),
            partitions: vec![partition],
        });
        let ask = message!(DeleteRecordsRequest { topics: vec![topic], timeout_ms: 30_000 });
        let mut leader = Connection::open(&self.on.leader_address(&self.topic).await?).await?;
        let Response::DeleteRecords(told) = leader.call(ask, 1).await? else {
            return Err("another answer than DeleteRecords'".into());
        };
        let told = &told.topics[0].partitions[0];
        assert_eq!((told.error_code, told.low_watermark), (ErrorCode::NONE, offset));
        Ok(())
    }
}

/// Takes the records from `first` to `end`, exclusively, each where it belongs.
pub(super) async fn expect(consumer: &mut Consumer, first: i64, end: i64) -> Result {
    for number in first..end {
        let next = timeout(PATIENCE, consumer.try_next()).await;
        let next =
            next.map_err(|_| format!("record {number} of {first} to {end} never comes"))??;
        let next = next.ok_or("the consumer was closed")?;
        assert_eq!(next.offset().get(), number);
        assert_eq!(next.value(), Some(number.to_string().as_bytes()));
    }
    Ok(())
}

/// What the next call fails with.
async fn failure(consumer: &mut Consumer) -> Result<ErrorKind> {
    match timeout(PATIENCE, consumer.try_next()).await? {
        Ok(record) => Err(format!("{record:?} and no error").into()),
        Err(error) => Ok(error.kind()),
    }
}

async fn committed(consumer: &Consumer, tp: TopicPartition) -> Result<Option<i64>> {
    let committed = consumer.handle().committed([tp.clone()]).await?;
    Ok(committed.get(&tp).map(|committed| committed.offset.get()))
}

fn offset(raw: i64) -> Result<Offset> {
    Ok(Offset::new(raw).ok_or("a negative offset")?)
}

pub(super) async fn earliest_begins_at_the_first_record(on: Arc<Target>) -> Result {
    let log = Log::of(on, "earliest", 10).await?;
    let mut consumer = log.reader("earliest").await?;
    expect(&mut consumer, 0, 10).await?;
    Ok(consumer.close(CLOSE).await?)
}

pub(super) async fn latest_begins_behind_the_last_record(on: Arc<Target>) -> Result {
    let log = Log::of(on, "latest", 10).await?;
    let mut consumer = log.reader("latest").await?;
    // It has a position once it knows where the end is.
    while consumer.handle().positions().get(&log.tp()).copied().flatten().is_none() {
        assert!(consumer.poll(Duration::from_millis(50)).await?.is_empty());
    }
    log.fill(10, 13).await?;
    expect(&mut consumer, 10, 13).await?;
    Ok(consumer.close(CLOSE).await?)
}

pub(super) async fn none_tells_that_there_is_no_offset_and_waits_for_a_seek(
    on: Arc<Target>,
) -> Result {
    let log = Log::of(on, "none", 10).await?;
    let mut consumer = log.reader("none").await?;
    assert_eq!(failure(&mut consumer).await?, ErrorKind::NoOffset);
    consumer.handle().seek(log.tp(), offset(4)?).await?;
    expect(&mut consumer, 4, 10).await?;
    consumer.handle().seek(log.tp(), offset(99)?).await?;
    assert_eq!(failure(&mut consumer).await?, ErrorKind::OffsetOutOfRange);
    consumer.handle().seek(log.tp(), offset(8)?).await?;
    expect(&mut consumer, 8, 10).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// Two hours, one hour and no time ago; before that nothing, and the end where there is nothing so young.
pub(super) async fn by_duration_begins_at_that_age(on: Arc<Target>) -> Result {
    let log = Log::of(on, "by-duration", 0).await?;
    let producer = log.kafka.producer().build().await?;
    let now = now_ms(&log, &producer).await?;
    for (number, hours) in [2, 1, 0].into_iter().enumerate() {
        let time = Timestamp::from_millis(now - hours * HOUR_MS);
        let record = Record::to(log.topic.as_str()).partition(0).value(number.to_string());
        producer.send(record.timestamp(time)).await?;
    }
    producer.close(CLOSE).await?;
    for (age, first) in [("PT5H", 0), ("PT1H30M", 1), ("PT30M", 2)] {
        let mut consumer = log.reader(&format!("by_duration:{age}")).await?;
        expect(&mut consumer, first, 3).await?;
        consumer.close(CLOSE).await?;
    }
    Ok(())
}

const HOUR_MS: i64 = 3_600_000;

/// The time by the client's clock, which is that of a record that says none.
async fn now_ms(log: &Log, producer: &Producer) -> Result<i64> {
    let other = log.on.unique("clock");
    create(&log.kafka, &log.on, &other, 1).await?;
    let stored = producer.send(Record::to(other).value("now")).await?;
    Ok(stored.timestamp().millis())
}

pub(super) async fn an_offset_beyond_the_end_resets_as_configured(on: Arc<Target>) -> Result {
    let log = Log::of(on, "beyond", 10).await?;
    let mut consumer = log.reader("earliest").await?;
    consumer.handle().seek(log.tp(), offset(99)?).await?;
    expect(&mut consumer, 0, 10).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// The group was last where the log no longer is.
pub(super) async fn a_committed_offset_that_was_deleted_resets_as_configured(
    on: Arc<Target>,
) -> Result {
    let log = Log::of(on, "deleted", 10).await?;
    let consumer = log.committer(10).await?;
    consumer.handle().commit_offsets([(log.tp(), offset(2)?)]).await?;
    consumer.close(CLOSE).await?;
    log.delete_before(6).await?;
    let mut consumer = log.committer(10).await?;
    expect(&mut consumer, 6, 10).await?;
    let first = consumer.handle().beginning_offsets([log.tp()]).await?;
    assert_eq!(first.get(&log.tp()), Some(&offset(6)?));
    Ok(consumer.close(CLOSE).await?)
}

/// What was fetched before it is not handed out any more.
pub(super) async fn a_seek_reads_on_from_there(on: Arc<Target>) -> Result {
    let log = Log::of(on, "seek", 20).await?;
    let mut consumer = log.reader("earliest").await?;
    let handle = consumer.handle();
    expect(&mut consumer, 0, 3).await?;
    handle.seek(log.tp(), offset(15)?).await?;
    expect(&mut consumer, 15, 20).await?;
    handle.seek_to_beginning([log.tp()]).await?;
    expect(&mut consumer, 0, 2).await?;
    handle.seek_to_end([log.tp()]).await?;
    assert!(consumer.poll(QUIET).await?.is_empty());
    while handle.positions().get(&log.tp()).copied().flatten().is_none() {
        assert!(consumer.poll(Duration::from_millis(50)).await?.is_empty());
    }
    log.fill(20, 22).await?;
    expect(&mut consumer, 20, 22).await?;
    Ok(consumer.close(CLOSE).await?)
}

pub(super) async fn times_find_their_records(on: Arc<Target>) -> Result {
    let log = Log::of(on, "times", 0).await?;
    let producer = log.kafka.producer().build().await?;
    let begun = now_ms(&log, &producer).await? - HOUR_MS;
    for number in 0..5 {
        let record = Record::to(log.topic.as_str()).partition(0).value(number.to_string());
        producer.send(record.timestamp(Timestamp::from_millis(begun + 1000 * number))).await?;
    }
    producer.close(CLOSE).await?;
    let consumer = log.reader("earliest").await?;
    let handle = consumer.handle();
    for (late_ms, found) in
        [(-5, Some(0)), (0, Some(0)), (1, Some(1)), (4000, Some(4)), (4001, None)]
    {
        let asked = [(log.tp(), Timestamp::from_millis(begun + late_ms))];
        let told = handle.offsets_for_times(asked).await?;
        let told = told.get(&log.tp()).map(|told| {
            assert_eq!(
                told.timestamp.map(|time| time.millis()),
                Some(begun + 1000 * told.offset.get())
            );
            told.offset.get()
        });
        assert_eq!(told, found, "{late_ms} ms after the first");
    }
    let (first, end) =
        (handle.beginning_offsets([log.tp()]).await?, handle.end_offsets([log.tp()]).await?);
    assert_eq!((first[&log.tp()].get(), end[&log.tp()].get()), (0, 5));
    Ok(consumer.close(CLOSE).await?)
}

pub(super) async fn a_paused_partition_is_silent_until_it_is_resumed(on: Arc<Target>) -> Result {
    let log = Log::of(on, "paused", 20).await?;
    let mut consumer = log.reader("earliest").await?;
    let handle = consumer.handle();
    expect(&mut consumer, 0, 5).await?;
    handle.pause([log.tp()]).await?;
    log.fill(20, 25).await?;
    assert!(consumer.poll(QUIET).await?.is_empty());
    handle.resume([log.tp()]).await?;
    expect(&mut consumer, 5, 25).await?;
    Ok(consumer.close(CLOSE).await?)
}

/// The lag comes with the records: nobody is asked for it.
pub(super) async fn positions_and_lag_follow_the_reader(on: Arc<Target>) -> Result {
    let log = Log::of(on, "lag", 20).await?;
    let mut consumer = log.reader("earliest").await?;
    let handle = consumer.handle();
    for (read, lag) in [(5, 15), (20, 0)] {
        let first = handle.positions().get(&log.tp()).copied().flatten();
        expect(&mut consumer, first.map_or(0, Offset::get), read).await?;
        assert_eq!(handle.positions().get(&log.tp()), Some(&Some(offset(read)?)));
        assert_eq!(handle.lag().get(&log.tp()), Some(&Some(lag)));
    }
    Ok(consumer.close(CLOSE).await?)
}

/// Who reads committed records is told another end while a transaction is open.
pub(super) async fn an_open_transaction_ends_what_committed_readers_see(on: Arc<Target>) -> Result {
    let log = Log::of(on, "open-end", 3).await?;
    let producer = log.kafka.producer().transactional_id(log.topic.as_str());
    let mut producer = producer.build_transactional().await?;
    let transaction = producer.begin().await?;
    transaction.send(Record::to(log.topic.as_str()).partition(0).value("open")).enqueue().await?;
    transaction.flush().await?;
    for (level, end) in [("read_committed", 3), ("read_uncommitted", 4)] {
        let builder = log.kafka.consumer_without_group().assign([log.tp()]);
        let consumer = builder.set("isolation.level", level)?.build().await?;
        let told = consumer.handle().end_offsets([log.tp()]).await?;
        assert_eq!(told[&log.tp()].get(), end, "{level}");
        consumer.close(CLOSE).await?;
    }
    transaction.abort().await?;
    Ok(producer.close(CLOSE).await?)
}

/// With the epoch of the leader and a text, which whoever comes next is told too.
pub(super) async fn an_offset_is_committed_with_its_epoch_and_text(on: Arc<Target>) -> Result {
    let log = Log::of(on, "commit", 10).await?;
    let mut consumer = log.committer(4).await?;
    let handle = consumer.handle();
    assert_eq!(committed(&consumer, log.tp()).await?, None);
    let batch = poll(&mut consumer).await?;
    assert_eq!(batch, 4);
    handle.commit().await?;
    let told = handle.committed([log.tp()]).await?.remove(&log.tp()).ok_or("nothing committed")?;
    assert_eq!((told.offset.get(), &*told.metadata), (4, ""));
    let epoch = told.leader_epoch;
    let noted = CommittedOffset::new(offset(7)?).with_leader_epoch(epoch).with_metadata("run 7");
    handle.commit_offsets([(log.tp(), noted.clone())]).await?;
    consumer.close(CLOSE).await?;

    let mut next = log.committer(10).await?;
    expect(&mut next, 7, 10).await?;
    let told = next.handle().committed([log.tp()]).await?;
    assert_eq!(told.get(&log.tp()), Some(&noted));
    next.handle().seek(log.tp(), noted).await?;
    expect(&mut next, 7, 10).await?;
    Ok(next.close(CLOSE).await?)
}

/// How many records the next poll that has some brings.
async fn poll(consumer: &mut Consumer) -> Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let batch = consumer.poll(Duration::from_secs(1)).await?;
        if !batch.is_empty() {
            return Ok(batch.len());
        }
        assert!(Instant::now() < deadline, "nothing comes");
    }
}

/// 2, 5, and never 2 again: the tutorials' way to lose one's place.
pub(super) async fn an_older_commit_never_replaces_a_newer_one(on: Arc<Target>) -> Result {
    let log = Log::of(on, "commits", 40).await?;
    let mut consumer = log.committer(2).await?;
    let mut read = 0;
    while read < 40 {
        read += poll(&mut consumer).await?;
        consumer.handle().commit_async();
        if read < 40 {
            read += poll(&mut consumer).await?;
        }
        consumer.commit().await?;
        assert_eq!(committed(&consumer, log.tp()).await?, Some(i64::try_from(read)?));
    }
    consumer.close(CLOSE).await?;
    let consumer = log.committer(2).await?;
    assert_eq!(committed(&consumer, log.tp()).await?, Some(40));
    Ok(consumer.close(CLOSE).await?)
}

/// In whatever order records are done with.
pub(super) async fn the_furthest_mark_is_committed(on: Arc<Target>) -> Result {
    let log = Log::of(on, "marks", 10).await?;
    let mut consumer = log.committer(10).await?;
    let handle = consumer.handle();
    let mut records = Vec::new();
    while records.len() < 10 {
        records.extend(timeout(PATIENCE, consumer.try_next()).await??);
    }
    for number in [3, 6, 1] {
        handle.mark(&records[number]);
    }
    handle.commit_marked().await?;
    assert_eq!(committed(&consumer, log.tp()).await?, Some(7));
    consumer.close(CLOSE).await?;
    let mut next = log.committer(10).await?;
    expect(&mut next, 7, 10).await?;
    Ok(next.close(CLOSE).await?)
}

/// Not what is in hand: a close commits that too, and without one it comes again.
pub(super) async fn automatic_commits_cover_what_was_come_back_from(on: Arc<Target>) -> Result {
    for is_closed in [true, false] {
        let log = Log::of(Arc::clone(&on), "auto-commit", 10).await?;
        let reader = async |interval: &str| {
            let builder = log.kafka.consumer(log.topic.as_str()).assign([log.tp()]);
            let builder = builder.set("auto.commit.interval.ms", interval)?;
            let builder = builder.set("max.poll.records", "3")?;
            Result::Ok(builder.set("auto.offset.reset", "earliest")?.build().await?)
        };
        let mut first = reader("50").await?;
        assert_eq!(poll(&mut first).await?, 3);
        let deadline = Instant::now() + PATIENCE;
        // The second batch comes, and the interval passes: the first is committed, the second is in hand.
        assert_eq!(poll(&mut first).await?, 3);
        while committed(&first, log.tp()).await? != Some(3) {
            assert!(Instant::now() < deadline, "nothing is committed");
            sleep(Duration::from_millis(20)).await;
        }
        let next = if is_closed {
            first.close(CLOSE).await?;
            6
        } else {
            drop(first);
            3
        };
        let mut second = reader("3600000").await?;
        expect(&mut second, next, 10).await?;
        second.close(CLOSE).await?;
    }
    Ok(())
}
