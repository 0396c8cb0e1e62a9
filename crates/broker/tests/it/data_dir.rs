//! A cluster in a directory: what is left of it, and of what was torn or harmed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use milena_broker::{Broker, NewRecord, TopicSettings};

/// A directory of the test's own, empty.
fn fresh(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Of an earlier run, if there was one.
    let _ = fs::remove_dir_all(&path);
    path
}

async fn start(path: &PathBuf) -> io::Result<Broker> {
    Broker::builder().topic("t", 1).data_dir(path).start_in_memory().await
}

fn values(broker: &Broker) -> Vec<String> {
    let records = broker.records("t", 0).into_iter();
    records.map(|one| String::from_utf8_lossy(&one.value.unwrap_or_default()).into()).collect()
}

#[tokio::test]
async fn a_cluster_goes_on_where_it_was_left() {
    let path = fresh("a_cluster_goes_on");
    for expected in 0..3 {
        let broker = start(&path).await.expect("starts");
        assert_eq!(values(&broker).len(), expected);
        let offset = broker.append("t", 0, [NewRecord::new(format!("{expected}"))]).expect("taken");
        assert_eq!(offset.get(), expected as i64);
    }
}

#[tokio::test]
async fn two_clusters_do_not_share_a_directory() {
    let path = fresh("two_clusters");
    let first = start(&path).await.expect("starts");
    let second = start(&path).await.expect_err("it is taken");
    assert_eq!(second.kind(), io::ErrorKind::AddrInUse, "{second}");
    drop(first);
}

/// Wherever a write was cut off: what was whole is there, and what comes next is kept.
#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let path = fresh("a_torn_tail");
    let journal = path.join("journal");
    let mut lengths = Vec::new();
    {
        let broker = start(&path).await.expect("starts");
        for value in ["a", "b", "c"] {
            broker.append("t", 0, [NewRecord::new(value)]).expect("taken");
            lengths.push(fs::metadata(&journal).expect("there").len());
        }
    }
    let whole = fs::read(&journal).expect("there");
    let torn = usize::try_from(lengths[1]).expect("short");
    for end in (torn..whole.len()).step_by(7).chain([0, 3, 8, 12]) {
        fs::write(&journal, &whole[..end]).expect("written");
        let expected: &[&str] = if end < torn { &[] } else { &["a", "b"] };
        let broker = start(&path).await.expect("starts");
        assert_eq!(values(&broker), expected, "cut off at {end}");
        broker.append("t", 0, [NewRecord::new("d")]).expect("taken");
        drop(broker);
        let broker = start(&path).await.expect("starts");
        assert_eq!(values(&broker).last().map(String::as_str), Some("d"), "cut off at {end}");
    }
    // Torn by a machine that lost power: of full length, with other bytes.
    let mut harmed = whole.clone();
    *harmed.last_mut().expect("long") ^= 1;
    fs::write(&journal, &harmed).expect("written");
    assert_eq!(values(&start(&path).await.expect("starts")), ["a", "b"]);
}

/// Cutting off there would silently lose what was acknowledged after.
#[tokio::test]
async fn damage_in_the_middle_is_refused() {
    let path = fresh("damage");
    let broker = start(&path).await.expect("starts");
    broker.append("t", 0, [NewRecord::new("a")]).expect("taken");
    drop(broker);
    let journal = path.join("journal");
    let mut bytes = fs::read(&journal).expect("there");
    bytes[20] ^= 1;
    fs::write(&journal, &bytes).expect("written");
    let refused = start(&path).await.expect_err("it is harmed");
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");
    fs::write(&journal, "something else").expect("written");
    assert!(start(&path).await.is_err(), "it is no journal");
}

/// A length that is too long looks like a piece that was cut off, and all behind it would be lost without a word.
#[tokio::test]
async fn a_damaged_length_is_no_torn_tail() {
    let path = fresh("damaged_length");
    let journal = path.join("journal");
    let broker = start(&path).await.expect("starts");
    let second = usize::try_from(fs::metadata(&journal).expect("there").len()).expect("short");
    for value in ["a", "b"] {
        broker.append("t", 0, [NewRecord::new(value)]).expect("taken");
    }
    drop(broker);
    let whole = fs::read(&journal).expect("there");
    // Length and checksums of the second piece.
    for bit in 0..12 * 8 {
        let mut bytes = whole.clone();
        bytes[second + bit / 8] ^= 1 << (bit % 8);
        fs::write(&journal, &bytes).expect("written");
        let refused = start(&path).await.expect_err("it is harmed");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "bit {bit}: {refused}");
    }
    fs::write(&journal, &whole).expect("written");
    assert_eq!(values(&start(&path).await.expect("starts")), ["a", "b"]);
}

/// A partition that keeps about 1 MB, so that little is left of a long journal.
async fn start_keeping_little(path: &PathBuf) -> Broker {
    let mut topic = TopicSettings::new("t", 1);
    topic.config.insert("retention.bytes".to_owned(), (1 << 20).to_string());
    let broker = Broker::builder().topic_with(topic).data_dir(path).start_in_memory().await;
    broker.expect("starts")
}

/// Appends megabytes, and says how long the journal was at its longest.
fn append_megabytes(broker: &Broker, path: &Path, count: u8) -> u64 {
    let append = |round| {
        broker.append("t", 0, [NewRecord::new(vec![round; 1_000_000])]).expect("taken");
        length(path)
    };
    (0..count).map(append).max().unwrap_or_default()
}

fn length(path: &Path) -> u64 {
    fs::metadata(path.join("journal")).expect("there").len()
}

#[tokio::test]
async fn the_journal_is_written_anew_when_it_tells_little_that_is_still_so() {
    let path = fresh("written_anew");
    let broker = start_keeping_little(&path).await;
    let longest = append_megabytes(&broker, &path, 200);
    let before = broker.batches("t", 0);
    assert!(longest < 70 << 20, "{longest}");
    drop(broker);
    let broker = start_keeping_little(&path).await;
    assert_eq!(broker.batches("t", 0), before);
    let next = broker.append("t", 0, [NewRecord::new("next")]).expect("taken");
    assert_eq!(next.get(), 200);
}

/// As on a disk that has room for the journal and not for two.
#[tokio::test]
async fn a_journal_that_cannot_be_written_anew_goes_on_as_it_is() {
    let path = fresh("not_written_anew");
    let broker = start_keeping_little(&path).await;
    let in_the_way = path.join("journal.new");
    fs::create_dir(&in_the_way).expect("made");
    let long = append_megabytes(&broker, &path, 80);
    assert!(long > 75 << 20, "{long}");
    fs::remove_dir(&in_the_way).expect("there");
    let before = broker.batches("t", 0);
    drop(broker);
    // What was left half written by a process that was killed is of no use.
    fs::write(&in_the_way, "half").expect("written");
    let broker = start_keeping_little(&path).await;
    assert!(!in_the_way.exists(), "left where it was");
    assert_eq!(broker.batches("t", 0), before);
    broker.append("t", 0, [NewRecord::new("next")]).expect("taken");
    assert!(length(&path) > long, "a start is no reason to write it anew");
    append_megabytes(&broker, &path, 80);
    assert!(length(&path) < 70 << 20, "{}", length(&path));
}
