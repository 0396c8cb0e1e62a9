use crate::program::{broker, milena};

/// The keys and places of Kafka's own console producer: murmur2 must agree to the bit.
#[tokio::test]
async fn keyed_lines_land_where_kafka_puts_them() {
    let broker = broker().await;
    let lines = "user_001:{\"a\":1}\nuser_002:{\"b\":2}\nuser_003:{\"c\":3}\nproject_100:{\"d\":4}\ntask_200:{\"e\":5}\n";
    milena(&broker, &["produce", "orders", "-K", ":"], lines).await.done();
    let stored = |partition| -> Vec<(String, String)> {
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let records = broker.records("orders", partition);
        records.iter().map(|r| (text(r.key.as_deref()), text(r.value.as_deref()))).collect()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(stored(0), [pair("project_100", "{\"d\":4}")]);
    assert_eq!(stored(1), [pair("user_003", "{\"c\":3}"), pair("task_200", "{\"e\":5}")]);
    assert_eq!(stored(2), [pair("user_001", "{\"a\":1}"), pair("user_002", "{\"b\":2}")]);
}

#[tokio::test]
async fn a_line_without_separator_is_named_with_its_number() {
    let broker = broker().await;
    let run = milena(&broker, &["produce", "orders", "-K", ":"], "k:v\nnokeyhere\n").await;
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("No key separator found on line number 2: 'nokeyhere'"));
}

#[tokio::test]
async fn partition_key_header_and_codec_are_those_asked_for() {
    let broker = broker().await;
    let flags = ["-p", "1", "-k", "key", "-H", "trace=a=b", "--compression", "zstd", "--acks", "1"];
    let args = [&["produce", "orders"][..], &flags].concat();
    milena(&broker, &args, "one\ntwo").await.done();
    let args = ["consume", "orders", "-e", "-f", "%p %o %k %s %h\\n"];
    let shown = milena(&broker, &args, "").await.done();
    assert_eq!(shown, "1 0 key one trace=a=b\n1 1 key two trace=a=b\n");
}
