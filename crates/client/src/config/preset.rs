//! Settings that belong together, for a purpose.

use std::fmt;

use crate::producer::ProducerBuilder;

/// What a producer is to be good at, and the settings that make it so.
///
/// Printed, it lists its settings with the reason for each.
///
/// # Examples
/// ```
/// use milena::config::Preset;
///
/// let printed = Preset::Latency.to_string();
/// assert!(printed.starts_with("# Latency"));
/// assert!(printed.contains("linger.ms=0"));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Preset {
    /// No record is lost, doubled or out of order, through restarts of brokers that take minutes.
    Reliability,
    /// As many records a second as the machine and the brokers allow.
    Throughput,
    /// Each record acknowledged as soon as can be.
    Latency,
}

/// One setting of a [`Preset`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PresetSetting {
    /// Java's name of the key.
    pub key: &'static str,
    /// The value, as Java writes it.
    pub value: &'static str,
    /// What it is good for.
    pub reason: &'static str,
}

const fn set(key: &'static str, value: &'static str, reason: &'static str) -> PresetSetting {
    PresetSetting { key, value, reason }
}

impl Preset {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Reliability, Self::Throughput, Self::Latency];

    /// Its settings; some are the defaults, said aloud so that a contradiction to them fails.
    pub const fn settings(self) -> &'static [PresetSetting] {
        match self {
            Self::Reliability => RELIABILITY,
            Self::Throughput => THROUGHPUT,
            Self::Latency => LATENCY,
        }
    }

    /// What it is for, in one sentence.
    pub const fn purpose(self) -> &'static str {
        match self {
            Self::Reliability => {
                "No record is lost, doubled or out of order, through restarts of brokers that take minutes."
            }
            Self::Throughput => "As many records a second as the machine and the brokers allow.",
            Self::Latency => "Each record acknowledged as soon as can be.",
        }
    }
}

const RELIABILITY: &[PresetSetting] = &[
    set(
        "acks",
        "all",
        "a record counts once every in-sync replica has it (with min.insync.replicas of 2 or more)",
    ),
    set("enable.idempotence", "true", "a retry is stored once and in its place"),
    set(
        "max.in.flight.requests.per.connection",
        "5",
        "the most that keeps order under idempotence",
    ),
    set("retries", "2147483647", "the time below is the bound, not a count"),
    set(
        "delivery.timeout.ms",
        "300000",
        "longer than a broker's restart and the election after it",
    ),
];

const THROUGHPUT: &[PresetSetting] = &[
    set("batch.size", "262144", "fewer, larger batches: less work for each record on both sides"),
    set("linger.ms", "20", "time for a batch to fill where records come slowly"),
    set(
        "compression.type",
        "lz4",
        "fewer bytes for the network and the brokers' disks at little CPU",
    ),
    set("buffer.memory", "67108864", "room for batches while brokers are behind"),
];

const LATENCY: &[PresetSetting] = &[
    set(
        "linger.ms",
        "0",
        "a record leaves at once; batches fill only while the connection is busy",
    ),
    set("compression.type", "none", "nothing is waited for but the network and the brokers"),
    set(
        "partitioner.availability.timeout.ms",
        "1000",
        "records without a key avoid a broker that has taken nothing for a second",
    ),
];

/// A heading and one `key=value` a line, each under its reason: a `.properties` text.
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {self:?}: {}", self.purpose())?;
        self.settings().iter().try_for_each(|setting| {
            let PresetSetting { key, value, reason } = setting;
            writeln!(f, "# {reason}\n{key}={value}")
        })
    }
}

impl ProducerBuilder {
    /// Sets what makes the producer good at one thing; print the [`Preset`] to see what that is. What was set before
    /// gives way, what is set after it holds, and contradictions fail in `build` as always.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(kafka: milena::Kafka) -> milena::Result<()> {
    /// use milena::config::Preset;
    ///
    /// let producer = kafka.producer().preset(Preset::Throughput).batch_size(1 << 20).build().await?;
    /// println!("{}", producer.config());
    /// # Ok(()) }
    /// ```
    pub fn preset(mut self, preset: Preset) -> Self {
        for PresetSetting { key, value, .. } in preset.settings() {
            let set = self.config_mut().set(key, value);
            debug_assert_eq!(set, Ok(true), "{key}={value}");
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Acks, CommonConfig, ProducerConfig};

    fn preset(preset: Preset) -> ProducerConfig {
        let mut config = ProducerConfig::default();
        for PresetSetting { key, value, .. } in preset.settings() {
            assert_eq!(config.set(key, value), Ok(true), "{key}={value}");
        }
        config.settle(&CommonConfig::default()).unwrap()
    }

    #[test]
    fn every_preset_can_be_built_and_is_in_force() {
        for name in Preset::ALL {
            let values = preset(name).values();
            for PresetSetting { key, value, .. } in name.settings() {
                assert!(values.contains(&(key, (*value).to_owned())), "{name:?}: {key}");
            }
        }
        assert_eq!(preset(Preset::Reliability).acks(), Acks::All);
        assert!(preset(Preset::Latency).enable_idempotence(), "no preset trades safety for speed");
        assert!(preset(Preset::Throughput).enable_idempotence());
    }

    /// What is printed can be pasted into a file.
    #[test]
    fn a_printed_preset_is_a_properties_text() {
        for name in Preset::ALL {
            let pairs = crate::config::parse_properties(&name.to_string()).unwrap();
            let expected: Vec<_> = name
                .settings()
                .iter()
                .map(|setting| (setting.key.to_owned(), setting.value.to_owned()))
                .collect();
            assert_eq!(pairs, expected);
        }
    }

    /// Reliability was asked for by name: it is not given up in silence.
    #[test]
    fn what_contradicts_a_preset_fails() {
        let mut config = preset(Preset::Reliability);
        assert_eq!(config.set("acks", "1"), Ok(true));
        let error = config.settle(&CommonConfig::default()).unwrap_err().to_string();
        assert!(error.contains("enable.idempotence") && error.contains("acks"), "{error}");
    }
}
