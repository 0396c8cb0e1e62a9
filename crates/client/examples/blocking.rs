//! A program without async: a producer shared by threads.
//!
//! ```text
//! cargo run -p milena --example blocking [SERVERS]
//! ```

use std::error::Error;
use std::time::Duration;

use milena::{Record, blocking};
use milena_broker::Broker;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(servers) = std::env::args().nth(1) {
        return Ok(send_from_threads(&servers)?);
    }
    // The embedded broker is async; the client beside it knows nothing of that.
    let runtime = tokio::runtime::Runtime::new()?;
    let broker = runtime.block_on(Broker::builder().topic("lines", 3).start())?;
    Ok(send_from_threads(&broker.bootstrap_servers())?)
}

fn send_from_threads(servers: &str) -> milena::Result<()> {
    let kafka = blocking::connect(servers)?;
    let producer = kafka.build_producer(kafka.producer().linger(Duration::from_millis(1)))?;
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let producer = producer.clone();
            scope.spawn(move || {
                let line = format!("a line of thread {thread}");
                match producer.send(Record::to("lines").value(&line)) {
                    Ok(stored) => println!("{line}: partition {}", stored.partition()),
                    Err(error) => eprintln!("{line}: {error}"),
                }
            });
        }
    });
    let many = (0..10).map(|number| Record::to("lines").value(number.to_string()));
    let outcomes = producer.send_all(many)?;
    println!("{} stored", outcomes.iter().filter(|outcome| outcome.is_ok()).count());
    producer.close(Duration::from_secs(10))
}

#[cfg(test)]
#[test]
fn thirteen_lines_are_stored() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let broker = runtime.block_on(Broker::builder().topic("lines", 3).start());
    let broker = broker.expect("a free port");
    send_from_threads(&broker.bootstrap_servers()).expect("nothing is wrong");
    let stored: usize = (0..3).map(|partition| broker.records("lines", partition).len()).sum();
    assert_eq!(stored, 13);
}
