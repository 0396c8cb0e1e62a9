use crate::program::{alone, broker, milena};

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_what_to_do() {
    // A port that was free a moment ago: nobody listens there.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound").port()
    };
    let server = format!("127.0.0.1:{port}");
    let run = alone(&["-b", &server, "topic", "list"], "").await;
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains(&server), "{}", run.stderr);
    assert!(run.stderr.contains("start one with `milena dev`"), "{}", run.stderr);
}

#[tokio::test]
async fn a_misspelt_setting_is_told_the_right_one() {
    let broker = broker().await;
    let run = milena(&broker, &["-X", "asks=all", "topic", "list"], "").await;
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("did you mean \"acks\"?"), "{}", run.stderr);
}

/// However long it was waited for.
#[tokio::test]
async fn a_missing_topic_is_named_and_has_a_status_of_its_own() {
    let cluster = milena_broker::Broker::builder().configure(|s| s.auto_create_topics = false);
    let broker = cluster.start().await.expect("a free port");
    for command in [&["produce", "missing"][..], &["consume", "missing", "-e"]] {
        let args = [&["-X", "max.block.ms=300"][..], command].concat();
        let run = milena(&broker, &args, "v\n").await;
        assert_eq!(run.status, 4, "{}", run.stderr);
        assert!(run.stderr.contains("missing"), "{}", run.stderr);
        assert!(run.stderr.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_all_named() {
    let run = alone(&["-X", "delivery.timeout.ms=100", "produce", "t"], "").await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    for key in ["delivery.timeout.ms", "linger.ms", "request.timeout.ms"] {
        assert!(run.stderr.contains(key), "{}", run.stderr);
    }
}

#[tokio::test]
async fn security_that_is_not_there_is_refused_rather_than_ignored() {
    let run = alone(&["-X", "security.protocol=SASL_SSL", "topic", "list"], "").await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("security.protocol"), "{}", run.stderr);
}

#[tokio::test]
async fn every_command_shows_examples() {
    let commands: [&[&str]; 8] = [
        &["--help"],
        &["dev", "--help"],
        &["demo", "--help"],
        &["produce", "--help"],
        &["consume", "--help"],
        &["topic", "--help"],
        &["perf", "produce", "--help"],
        &["perf", "consume", "--help"],
    ];
    for command in commands {
        let help = alone(command, "").await.done();
        assert!(help.contains("Examples:"), "{command:?}");
    }
}
