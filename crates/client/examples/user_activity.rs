//! Four kinds of events as JSON, keyed by user, each kind in its own topic.
//!
//! ```text
//! cargo run -p milena --example user_activity --features json [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::format::Json;
use milena_broker::Broker;
use serde::Serialize;

const TOPICS: [&str; 4] = ["user-activities", "system-metrics", "error-logs", "notifications"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        Some(servers) => send_events(&servers).await?,
        None => {
            let broker = TOPICS.into_iter().fold(Broker::builder(), |b, topic| b.topic(topic, 3));
            send_events(&broker.start().await?.bootstrap_servers()).await?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserActivity<'a> {
    user_id: &'a str,
    action: &'a str,
    page: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SystemMetric<'a> {
    metric_name: &'a str,
    value: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorLog<'a> {
    level: &'a str,
    message: &'a str,
    stack: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    user_id: &'a str,
    channel: &'a str,
    text: &'a str,
}

async fn send_events(servers: &str) -> milena::Result<()> {
    let kafka = milena::connect(servers).await?;
    let producer = kafka.producer().build().await?;
    let user_id = "user-001";

    // One producer beneath them all: batches for one broker share requests, whatever their topics.
    let activities = producer.typed::<str, UserActivity<'_>>().value_format(Json);
    let activity = UserActivity { user_id, action: "login", page: "/home" };
    let stored = activities.send("user-activities", user_id, &activity).await?;
    println!("user-activities: partition {}", stored.partition());

    let metrics = producer.typed::<str, SystemMetric<'_>>().value_format(Json);
    let metric = SystemMetric { metric_name: "cpu", value: 0.75 };
    metrics.send("system-metrics", user_id, &metric).detach();

    let errors = producer.typed::<str, ErrorLog<'_>>().value_format(Json);
    let error = ErrorLog { level: "error", message: "timeout", stack: None };
    errors.send("error-logs", user_id, &error).detach();

    let notifications = producer.typed::<str, Notification<'_>>().value_format(Json);
    let notification = Notification { user_id, channel: "email", text: "Welcome" };
    notifications.send("notifications", user_id, &notification).detach();

    producer.close(Duration::from_secs(10)).await
}

#[cfg(test)]
#[tokio::test]
async fn a_user_has_one_partition_in_every_topic() {
    let broker = TOPICS.into_iter().fold(Broker::builder(), |b, topic| b.topic(topic, 3));
    let broker = broker.start().await.expect("a free port");
    send_events(&broker.bootstrap_servers()).await.expect("nothing is wrong");
    let values = TOPICS.map(|topic| {
        // Java's hash sends user-001 to partition 2 of 3.
        let record = broker.records(topic, 2).remove(0);
        String::from_utf8(record.value.expect("a value").to_vec()).expect("text")
    });
    let activity = r#"{"userId":"user-001","action":"login","page":"/home"}"#;
    let metric = r#"{"metricName":"cpu","value":0.75}"#;
    let error = r#"{"level":"error","message":"timeout","stack":null}"#;
    let notification = r#"{"userId":"user-001","channel":"email","text":"Welcome"}"#;
    assert_eq!(values, [activity, metric, error, notification]);
}
