use crate::program::{broker, milena};

/// The words are those of Kafka's `kafka-topics` 4.3.1.
#[tokio::test]
async fn topics_are_created_listed_described_and_deleted_in_kafkas_words() {
    let broker = broker().await;
    let run = async |args: &[&str]| milena(&broker, &[&["topic"], args].concat(), "").await;
    let create =
        ["create", "json-messages", "--partitions", "2", "--config", "retention.ms=604800000"];
    assert_eq!(run(&create).await.done(), "Created topic json-messages.\n");
    assert_eq!(run(&["list"]).await.done(), "json-messages\norders\n");

    let described = run(&["describe", "json-messages"]).await.done();
    let lines: Vec<&str> = described.lines().collect();
    assert!(lines[0].starts_with("Topic: json-messages\tTopicId: "), "{described}");
    assert!(lines[0].contains("\tPartitionCount: 2\tReplicationFactor: 1\tConfigs: "));
    assert!(lines[0].contains("retention.ms=604800000"), "{described}");
    let partition = "\tTopic: json-messages\tPartition: 1\tLeader: ";
    assert!(lines[2].starts_with(partition) && lines.len() == 3, "{described}");

    let again = run(&create).await;
    let exists = "Error while executing topic command : Topic 'json-messages' already exists.";
    assert!(again.status == 1 && again.stderr.contains(exists), "{}", again.stderr);
    assert_eq!(run(&["create", "json-messages", "--if-not-exists"]).await.done(), "");

    assert_eq!(run(&["delete", "json-messages"]).await.done(), "");
    let missing = run(&["delete", "json-messages"]).await;
    let words = "Topic 'json-messages' does not exist as expected";
    assert!(missing.status == 4 && missing.stderr.contains(words), "{}", missing.stderr);
    let twice = run(&["describe", "orders", "orders"]).await.done();
    assert_eq!(twice.lines().count(), 4, "one topic of three partitions: {twice}");
}
