use crate::program::{broker, milena};

#[tokio::test]
async fn the_summaries_have_kafkas_shape() {
    let broker = broker().await;
    let produce = ["perf", "produce", "orders", "--num-records", "1000", "--record-size", "100"];
    let sent = milena(&broker, &produce, "").await.done();
    let last = sent.lines().last().unwrap_or_default();
    assert!(last.starts_with("1000 records sent, "), "{sent}");
    assert!(last.ends_with(" ms 99.9th."), "{sent}");
    let stored: usize = (0..3).map(|partition| broker.records("orders", partition).len()).sum();
    assert_eq!(stored, 1000);

    let consume = ["perf", "consume", "orders", "--num-records", "1000"];
    let read = milena(&broker, &consume, "").await.done();
    let lines: Vec<&str> = read.lines().collect();
    assert!(lines[0].starts_with("start.time, end.time, data.consumed.in.MB, MB.sec"), "{read}");
    let columns: Vec<&str> = lines[1].split(", ").collect();
    assert_eq!((columns.len(), columns[4]), (10, "1000"), "{read}");
}
