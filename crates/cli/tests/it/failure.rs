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
