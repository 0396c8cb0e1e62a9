//! Share groups beside Kafka's own programs: one group of Java's members and ours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use milena::Record;
use tokio::time::{sleep, timeout};

use super::share::{set_up_group, text, write};
use crate::Result;
use crate::target::Target;
use crate::user::{connect, create};

/// JVMs start slowly.
const PATIENCE: Duration = Duration::from_secs(90);

/// Both get some, and nobody gets what the other has.
pub(super) async fn java_and_we_share_the_work(on: Arc<Target>) -> Result {
    const JAVAS: usize = 40;
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("share-both"), on.unique("share-group"));
    create(&kafka, &on, &topic, 1).await?;
    set_up_group(&on, &group).await?;
    let max = JAVAS.to_string();
    let args = ["--topic", &topic, "--group", &group, "--max-messages", &max];
    let args = [&args[..], &["--timeout-ms", "60000"]].concat();
    let java = on.tool("kafka-console-share-consumer", &args, "");
    let jobs = kafka.share_consumer(&group).subscribe([&*topic]).max_poll_records(5);
    let mut ours = jobs.build().await?;
    // Written bit by bit while both wait for it, until Java has its share.
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn({
        let (kafka, topic) = (kafka.clone(), topic.clone());
        async move {
            let producer = kafka.producer().build().await?;
            let mut written = 0_usize;
            while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
                producer.send(Record::to(&*topic).value(written.to_string())).await?;
                written += 1;
            }
            producer.close(PATIENCE).await?;
            Result::Ok(written)
        }
    });
    let mut seen = BTreeSet::new();
    let of_java = timeout(PATIENCE, async {
        tokio::pin!(java);
        loop {
            tokio::select! {
                told = &mut java => return told,
                polled = ours.poll(PATIENCE) => for message in polled? {
                    assert!(seen.insert(text(&message)), "{} twice", text(&message));
                },
            }
        }
    });
    let of_java = of_java.await.map_err(|_| "Java got too little")??;
    drop(stop);
    let written = writer.await??;
    let of_java: Vec<_> = of_java.lines().map(str::to_owned).collect();
    assert_eq!(of_java.len(), JAVAS, "{of_java:?}");
    // What Java gave back when it ended, and what nobody had yet.
    let rest = timeout(PATIENCE, async {
        let mut all: BTreeSet<_> = of_java.iter().cloned().chain(seen).collect();
        while all.len() < written {
            for message in ours.poll(Duration::from_secs(1)).await? {
                assert!(all.insert(text(&message)), "{} twice", text(&message));
            }
        }
        Result::Ok(())
    });
    rest.await.map_err(|_| "not all came")??;
    assert!(written > JAVAS, "the rest was ours");
    ours.close(PATIENCE).await?;
    Ok(())
}

/// Members by id and topic partitions with the lag, as `kafka-share-groups` sees them.
pub(super) async fn java_describes_our_members_and_lag(on: Arc<Target>) -> Result {
    let kafka = connect(&on).await?;
    let (topic, group) = (on.unique("share-described"), on.unique("share-group"));
    create(&kafka, &on, &topic, 1).await?;
    set_up_group(&on, &group).await?;
    write(&kafka, &topic, 0..7).await?;
    let consumer = kafka.share_consumer(&group).subscribe([&*topic]).max_poll_records(1);
    let consumer = consumer.set("share.acquire.mode", "record_limit")?;
    let mut consumer = consumer.set("share.acknowledgement.mode", "explicit")?.build().await?;
    for expected in 0..4 {
        let messages = consumer.poll(PATIENCE).await?;
        assert_eq!(messages.iter().map(text).collect::<Vec<_>>(), [expected.to_string()]);
        messages.into_iter().for_each(milena::ShareMessage::accept);
    }
    consumer.commit().await?;
    let member_id = consumer.handle().member_id().await?;
    let members = ["--describe", "--group", &group, "--members"];
    let told = on.tool("kafka-share-groups", &members, "").await?;
    let row = told.lines().find(|line| line.contains(&member_id)).ok_or_else(|| told.clone())?;
    assert!(row.contains(&format!("{topic}:0")), "{told}");
    let lag = timeout(PATIENCE, async {
        loop {
            let told =
                on.tool("kafka-share-groups", &["--describe", "--group", &group], "").await?;
            // GROUP TOPIC PARTITION START-OFFSET LAG; the start is as it was before the last acknowledgement.
            let mut rows = told.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            if rows.any(|row| row.starts_with(&[&*group, &*topic, "0"]) && row.last() == Some(&"3"))
            {
                return Result::Ok(());
            }
            // The offsets are told as the share coordinator has stored them.
            sleep(Duration::from_millis(200)).await;
        }
    });
    lag.await.map_err(|_| "no such lag")??;
    consumer.close(PATIENCE).await?;
    let told = on.try_tool("kafka-share-groups", &members, "").await?;
    assert!(!told.stdout.contains(&member_id), "{told:?}");
    Ok(())
}
