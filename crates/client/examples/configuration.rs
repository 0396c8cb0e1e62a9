//! Prints the reference of every configuration key as Markdown: `docs/configuration.md`.
//!
//! Run with `cargo run --package milena --example configuration`; `cargo xtask config` puts it in its place.

use milena::config::{Key, Preset, Scope, Support, keys};

fn main() {
    println!("{HEAD}");
    for (scope, title, words) in SECTIONS {
        println!("## {title}\n\n{words}\n");
        println!("| key, and the builder's method | type | default | values | what it does |");
        println!("| --- | --- | --- | --- | --- |");
        for key in of(scope).filter(|key| key.support == Support::Implemented) {
            let Key { name, setter, kind, default, valid, doc, .. } = key;
            let (default, values) = (code(default), values(valid));
            println!("| `{name}`<br>`{setter}` | {kind} | {default} | {values} | {} |", prose(doc));
        }
        println!();
    }
    println!("{PRESETS}");
    for preset in Preset::ALL {
        println!("### `Preset::{preset:?}`\n\n{}\n", preset.purpose());
        println!("| setting | why |\n| --- | --- |");
        for setting in preset.settings() {
            println!("| `{}={}` | {} |", setting.key, setting.value, setting.reason);
        }
        println!();
    }
    println!("{WITHOUT_EFFECT}");
    println!("| key | type | whose | taken? | why |\n| --- | --- | --- | --- | --- |");
    for (scope, ..) in SECTIONS {
        for key in of(scope) {
            let (taken, why) = match key.support {
                Support::Implemented => continue,
                Support::Ignored(why) => ("ignored, with a note".to_owned(), why),
                Support::Refused(why) => ("**refused**".to_owned(), why),
                Support::Only { value: "", why } => ("only empty".to_owned(), why),
                Support::Only { value, why } => (format!("only as `{value}`"), why),
                _ => (String::new(), ""),
            };
            println!("| `{}` | {} | {scope} | {taken} | {why} |", key.name, key.kind);
        }
    }
}

const HEAD: &str = "\
# Configuration

<!-- Written by `cargo xtask config` from the table that the parser uses; edit `crates/client/src/config`. -->

Every key of Kafka 4.4's producer and consumer is known by its Java name. It is set by name, from a `.properties` file or
by the method of a builder:

```rust
let kafka = milena::Kafka::builder()
    .from_properties_file(\"client.properties\")?  // keys of all three sections
    .request_timeout(Duration::from_secs(20))     // the same as \"request.timeout.ms\", \"20000\"
    .connect().await?;
let producer = kafka.producer().set(\"linger.ms\", \"20\")?.batch_size(128 * 1024).build().await?;
println!(\"{}\", producer.config());                // every key with its value
```

- A `Kafka` handle takes the keys of producers and consumers too, as defaults of those that it builds. A producer or
  consumer takes its own keys, and of the common ones `request.timeout.ms`, `default.api.timeout.ms`, `retry.backoff.ms`
  and `retry.backoff.max.ms`: the others hold for connections that are shared.
- What is set later holds. A `long` in milliseconds is a `Duration` in the builder.
- A key that is not known is an error that suggests the nearest one; so is a value that cannot be read or is out of range.
- Types, defaults and ranges are those of `kafka-clients` 4.4.0, and a test holds them against it; where a default
  differs, the key's text says why. Where Java takes any number, some keys have a range here.

## Rules between keys

A contradiction fails in `build()`, or in `connect()` for what a handle was given, and names both keys. What was left at
its default gives way instead.

| keys | rule | where the first was left at its default |
| --- | --- | --- |
| `delivery.timeout.ms`, `linger.ms`, `request.timeout.ms` | the first is at least the sum of the others | it is raised to the sum |
| `enable.idempotence`, `acks`, `retries` | `true` needs `acks=all` and at least one retry | it goes off |
| `enable.idempotence`, `max.in.flight.requests.per.connection` | `true` needs 5 or fewer | an error all the same, as in Java |
| `transactional.id`, `enable.idempotence` | transactions need idempotence, and so `acks=all` and retries | there are no transactions |
| `transaction.timeout.ms`, `transaction.two.phase.commit.enable` | under two-phase commit there is no time-out | it has no effect |
| `partitioner.rack.aware`, `client.rack` | the rack must be named | leaders of all racks are alike |
| `enable.auto.commit`, `group.id` | offsets are committed for a group | it goes off |
| `session.timeout.ms`, `heartbeat.interval.ms` | the first exceeds the second | an error all the same |
| `partition.assignment.strategy`, `session.timeout.ms`, `heartbeat.interval.ms`, `group.protocol` | none of the first three with `consumer`, where the coordinator decides them | they have no effect |
| `group.remote.assignor`, `group.protocol` | not with `classic`, where the members share out | it has no effect |
| `retry.backoff.max.ms`, `retry.backoff.ms` | the first is not below the second | it is raised |
| `reconnect.backoff.max.ms`, `reconnect.backoff.ms` | the first is not below the second | it is raised |
| `socket.connection.setup.timeout.max.ms`, `socket.connection.setup.timeout.ms` | the first is not below the second | it is raised |

`batch.size`, `buffer.memory` and `max.request.size` are not held against each other, as in Java: a batch is never larger
than the buffer, and a record larger than the buffer or a request is refused when it is sent.
";

const SECTIONS: [(Scope, &str, &str); 4] = [
    (
        Scope::Client,
        "Common keys",
        "Set on `Kafka::builder()`; all producers, consumers and admin calls of the handle share them.",
    ),
    (
        Scope::Producer,
        "Producer keys",
        "Set on `kafka.producer()`, or on `Kafka::builder()` for every producer of the handle.",
    ),
    (
        Scope::Consumer,
        "Consumer keys",
        "Set on `kafka.consumer(group)`, or on `Kafka::builder()` for every consumer of the handle.",
    ),
    (
        Scope::ShareConsumer,
        "Share consumer keys",
        "Set on `kafka.share_consumer(group)`, or on `Kafka::builder()` for every share consumer of the handle.",
    ),
];

const PRESETS: &str = "\
## Presets of a producer

`kafka.producer().preset(Preset::Throughput)` sets several keys for a purpose; printed, a preset lists them. What is set
after it holds.
";

const WITHOUT_EFFECT: &str = "\
## Keys without effect

Java's files load as they are. A key that only a JVM has a use for, or that merely tunes what there is not, is ignored,
and a log line of level `info` says so. A key that would do harm if it were ignored is refused.
";

fn of(scope: Scope) -> impl Iterator<Item = &'static Key> {
    keys().filter(move |key| key.scope == scope)
}

fn code(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { format!("`{text}`") }
}

/// A range as people write it.
fn values(valid: &str) -> String {
    match valid.split_once("..") {
        Some((least, "")) => format!("{least} or more"),
        Some((least, most)) => format!("{least} to {}", most.trim_start_matches('=')),
        None => valid.to_owned(),
    }
}

/// One line of a doc comment's text, with its links to code as plain code.
fn prose(doc: &str) -> String {
    let text = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`]").unwrap_or((after, ""));
        plain.push_str(&format!("{before}`{name}`"));
        let target = after.strip_prefix('(').and_then(|target| target.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    plain + rest
}
