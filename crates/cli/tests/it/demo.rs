use std::time::Duration;

use tokio::time::Instant;

use crate::program::{alone, broker, milena};

fn check(shown: &str) {
    let mut records: Vec<&str> = shown.lines().filter(|line| line.contains(" => ")).collect();
    records.sort_unstable();
    let places = |line: &&str| {
        let mut words = line.split(' ');
        (words.next().map(str::to_owned), words.nth(1).map(str::to_owned))
    };
    let expected = [
        ("0", "project_100"),
        ("1", "task_200"),
        ("1", "user_003"),
        ("2", "user_001"),
        ("2", "user_002"),
    ];
    let mut shown_places: Vec<_> = records.iter().map(places).collect();
    shown_places.sort_unstable();
    let owned = |text: &str| Some(text.to_owned());
    assert_eq!(shown_places, expected.map(|(partition, key)| (owned(partition), owned(key))));
    let lags = shown.lines().filter(|line| line.starts_with("demo-group"));
    let lags: Vec<_> = lags.map(|line| line.split_whitespace().nth(5)).collect();
    assert_eq!(lags, [Some("0"); 3], "{shown}");
}

#[tokio::test]
async fn the_demo_needs_no_broker() {
    check(&alone(&["demo"], "").await.done());
}

/// It takes a tenth of that; on a machine that is busy with other things one of three runs counts.
#[tokio::test]
async fn the_demo_is_over_in_five_seconds() {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        check(&alone(&["demo"], "").await.done());
        fastest = fastest.min(begun.elapsed());
        if fastest < Duration::from_secs(5) {
            return;
        }
    }
    panic!("the fastest of three took {fastest:?}");
}

#[tokio::test]
async fn the_demo_runs_twice_on_one_cluster() {
    let broker = broker().await;
    check(&milena(&broker, &["demo"], "").await.done());
    check(&milena(&broker, &["demo"], "").await.done());
}

#[tokio::test]
async fn a_setting_names_the_cluster_of_the_demo_too() {
    let broker = broker().await;
    let setting = format!("bootstrap.servers={}", broker.bootstrap_servers());
    check(&alone(&["demo", "-X", &setting], "").await.done());
    assert_eq!(broker.committed("demo-group").len(), 3);
}
