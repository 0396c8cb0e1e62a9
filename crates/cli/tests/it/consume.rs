use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::program::{Run, broker, into_a_closed_pipe, milena, program};

async fn with_five(broker: &milena_broker::Broker) {
    let lines = "a\nb\nc\nd\ne\n";
    milena(broker, &["produce", "orders", "-p", "0"], lines).await.done();
}

#[tokio::test]
async fn reading_stops_at_the_end_at_a_count_and_starts_at_an_offset() {
    let broker = broker().await;
    with_five(&broker).await;
    let read = async |args: &[&str]| -> String {
        milena(&broker, &[&["consume", "orders"], args].concat(), "").await.done()
    };
    assert_eq!(read(&["-e"]).await, "a\nb\nc\nd\ne\n");
    assert_eq!(read(&["-n", "2", "--from", "beginning"]).await, "a\nb\n");
    assert_eq!(read(&["-e", "--from", "3"]).await, "d\ne\n");
    assert_eq!(read(&["-e", "--from", "end"]).await, "");
    assert_eq!(read(&["-e", "--from", "-2"]).await, "d\ne\n");
    assert_eq!(read(&["-e", "--from", "@-1h"]).await, "a\nb\nc\nd\ne\n");
    assert_eq!(read(&["-e", "--from", "@32503680000000"]).await, "", "in the year 3000");
    assert_eq!(read(&["-e", "--partition", "1-9"]).await, "");
    assert_eq!(read(&["-e", "--partition", "0,2"]).await, "a\nb\nc\nd\ne\n");
    assert_eq!(read(&["-e", "--from", "5000"]).await, "", "beyond the log there is nothing");
}

/// What was printed is what is committed, not what was fetched.
#[tokio::test]
async fn a_group_goes_on_behind_what_it_printed() {
    let broker = broker().await;
    with_five(&broker).await;
    let group = ["consume", "orders", "-g", "g", "--from", "beginning"];
    let run = milena(&broker, &[&group[..], &["-n", "2"]].concat(), "").await;
    let told: Vec<_> = run.stderr.lines().collect();
    assert!(told[0].starts_with("% group g: assigned orders[0]"), "{told:?}");
    assert!(told.last().is_some_and(|line| line.starts_with("% group g: revoked ")), "{told:?}");
    let first = run.done();
    let rest = milena(&broker, &[&group[..], &["-e"]].concat(), "").await.done();
    assert_eq!((first.as_str(), rest.as_str()), ("a\nb\n", "c\nd\ne\n"));
    let committed = broker.committed("g");
    assert!(committed.values().any(|offset| offset.offset.get() == 5), "{committed:?}");
    assert!(broker.group("g").is_none_or(|group| group.members.is_empty()), "both have left");
}

/// As `milena consume | true`: nothing was read by anybody, so nothing may be committed.
#[tokio::test]
async fn a_reader_that_has_gone_is_no_failure_and_has_read_nothing() {
    let broker = broker().await;
    with_five(&broker).await;
    let group = ["consume", "orders", "-g", "g", "--from", "beginning", "-n", "5"];
    let run = into_a_closed_pipe(&broker, &group).await;
    assert!(
        run.status == 0 && run.stderr.lines().all(|line| line.starts_with("% group g: ")),
        "{}",
        run.stderr
    );
    assert_eq!(broker.committed("g").len(), 0);
    assert_eq!(into_a_closed_pipe(&broker, &["topic", "describe"]).await.status, 0);
}

/// Reading is no reason to create a topic, though this broker would.
#[tokio::test]
async fn a_missing_topic_is_told_at_once_and_not_created() {
    let broker = broker().await;
    for args in [&["consume", "typo", "-e"][..], &["consume", "typo", "-g", "g", "-n", "1"]] {
        let run = milena(&broker, args, "").await;
        assert_eq!(run.status, 4, "{}", run.stderr);
        assert!(run.stderr.contains("typo"), "{}", run.stderr);
    }
    assert_eq!(milena(&broker, &["topic", "list"], "").await.done(), "orders\n");
}

#[tokio::test]
async fn json_lines_hold_everything() {
    let broker = broker().await;
    let args = ["produce", "orders", "-p", "2", "-k", "k", "-H", "h=x"];
    milena(&broker, &args, "say \"hi\"\n").await.done();
    let shown = milena(&broker, &["consume", "orders", "-e", "-o", "ndjson"], "").await.done();
    let json: serde_json::Value = serde_json::from_str(&shown).expect("one line of JSON");
    assert_eq!((&json["partition"], &json["offset"]), (&2.into(), &0.into()));
    assert_eq!((&json["key"], &json["value"]), (&"k".into(), &"say \"hi\"".into()));
    assert_eq!(json["headers"], serde_json::json!([["h", "x"]]));
}

#[tokio::test]
async fn a_format_that_is_not_known_is_a_usage_error() {
    let broker = broker().await;
    let Run { status, stderr, .. } = milena(&broker, &["consume", "orders", "-f", "%q"], "").await;
    assert_eq!(status, 2);
    assert!(stderr.contains("%q is not known"), "{stderr}");
}

/// The end is where it was when it was reached: who writes on does not keep it from being one.
#[tokio::test]
async fn reading_to_the_end_ends_while_somebody_writes() {
    let broker = broker().await;
    with_five(&broker).await;
    let writing = async {
        loop {
            broker.append("orders", 0, [milena_broker::NewRecord::new("more")]).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let reading = async { milena(&broker, &["consume", "orders", "-e"], "").await.done() };
    tokio::select! {
        () = writing => unreachable!("it goes on"),
        read = reading => assert!(read.starts_with("a\nb\nc\nd\ne\n"), "{read}"),
    }
}

/// Whoever asked for ten must not take five for them.
#[tokio::test]
async fn one_that_is_interrupted_before_it_was_done_says_so() {
    let broker = broker().await;
    with_five(&broker).await;
    let servers = broker.bootstrap_servers();
    let read = move |count: &[&str]| {
        let args = [&["consume", "orders", "--from", "beginning", "-b", &servers], count].concat();
        let mut run = program(&args).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(run.stdout.take().unwrap());
        assert_eq!(out.lines().take(5).map(Result::unwrap).collect::<String>(), "abcde");
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s TERM $0", &run.id().to_string()]);
        assert!(kill.status().unwrap().success());
        run.wait().unwrap().code()
    };
    let statuses = tokio::task::spawn_blocking(move || [read(&["-n", "10"]), read(&[])]);
    assert_eq!(statuses.await.unwrap(), [Some(130), Some(0)]);
}
