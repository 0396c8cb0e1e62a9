//! Settings by the names that they have in a `server.properties` of Kafka.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};
use std::str::FromStr;
use std::time::Duration;

use crate::broker_definition::check_static;
use crate::settings::Settings;

/// A property that a cluster cannot be given, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidProperty {
    why: String,
}

impl Settings {
    /// Sets what a `server.properties` of Kafka calls so: what topics have where they do not say otherwise, as
    /// `log.retention.ms`, `log.retention.bytes` or `message.max.bytes`, and of the rest what a field here names.
    ///
    /// What topics have then is no setting of their own: DescribeConfigs tells where it is from, what brokers are told while they run
    /// counts before it, and after a restart with another value all topics have that. Of a time in several units
    /// `log.retention.ms` counts before `log.retention.minutes`, and that before `log.retention.hours`. Names are those of the
    /// release: [`as_version`](Self::as_version) comes before it.
    ///
    /// # Errors
    /// A name for which nothing stands here, or a value that is not of its kind.
    ///
    /// # Examples
    /// ```
    /// # use milena_broker::Settings;
    /// let mut settings = Settings::default();
    /// settings.set("log.retention.hours", "1")?;
    /// settings.set("num.partitions", "6")?;
    /// assert_eq!(settings.partitions_default, 6);
    /// assert!(settings.set("num.partitions", "many").is_err());
    /// # Ok::<(), milena_broker::InvalidProperty>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidProperty> {
        if let Some(checked) = check_static(name, value, self.release()) {
            checked.map_err(|why| InvalidProperty { why })?;
            self.broker_config.insert(name.to_owned(), value.trim().to_owned());
            return Ok(());
        }
        let ms = |unit: u64| -> Result<Duration, InvalidProperty> {
            Ok(Duration::from_millis(number::<u64>(name, value)?.saturating_mul(unit)))
        };
        match name {
            "auto.create.topics.enable" => self.auto_create_topics = number(name, value)?,
            "broker.session.timeout.ms" => self.failover = ms(1)?,
            "default.replication.factor" => {
                self.replication_factor_default =
                    i16::from(number::<NonZeroU8>(name, value)?.get());
            }
            "fetch.max.bytes" => self.fetch_bytes_max = number(name, value)?,
            "group.consumer.assignment.interval.ms" => {
                self.consumer_groups.assignment_interval = ms(1)?;
            }
            "group.consumer.heartbeat.interval.ms" => {
                self.consumer_groups.heartbeat_interval = ms(1)?;
            }
            "group.consumer.max.size" => self.consumer_groups.size_max = number(name, value)?,
            "group.consumer.session.timeout.ms" => self.consumer_groups.session_timeout = ms(1)?,
            "group.initial.rebalance.delay.ms" => self.initial_rebalance_delay = ms(1)?,
            "group.max.session.timeout.ms" => self.session_timeout_max = ms(1)?,
            "group.max.size" => self.group_size_max = number(name, value)?,
            "group.min.session.timeout.ms" => self.session_timeout_min = ms(1)?,
            "log.cleaner.backoff.ms" => self.cleaner_backoff = ms(1)?,
            "log.retention.check.interval.ms" => self.retention_check_interval = ms(1)?,
            "max.incremental.fetch.session.cache.slots" => {
                self.fetch_sessions_max = number(name, value)?;
            }
            "num.partitions" => {
                self.partitions_default = i32::from(number::<NonZeroU16>(name, value)?.get());
            }
            "offset.metadata.max.bytes" => self.offset_metadata_bytes_max = number(name, value)?,
            "offsets.retention.check.interval.ms" => {
                self.offsets_retention_check_interval = ms(1)?;
            }
            "offsets.retention.minutes" => self.offsets_retention = ms(60_000)?,
            "socket.request.max.bytes" => self.frame_bytes_max = number(name, value)?,
            "transaction.max.timeout.ms" => self.transaction_timeout_max = ms(1)?,
            "transactional.id.expiration.ms" => self.transactional_id_expiration = ms(1)?,
            _ => {
                let why = format!("{name} is no property that the embedded broker knows");
                return Err(InvalidProperty { why });
            }
        }
        Ok(())
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, InvalidProperty> {
    let why = || InvalidProperty { why: format!("{name}={value} is not a legal value") };
    value.trim().parse().map_err(|_| why())
}

impl fmt::Display for InvalidProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for InvalidProperty {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker_config::BrokerConfigs;
    use crate::topic::LogDefaults;

    fn defaults(set: &[(&str, &str)]) -> LogDefaults {
        let mut settings = Settings::default();
        for (name, value) in set {
            settings.set(name, value).expect(name);
        }
        let release = settings.release();
        BrokerConfigs::new(settings.broker_config).topic_defaults(release).all
    }

    /// Whatever comes first: `KafkaConfig.logRetentionTimeMillis`, `logRollTimeMillis` and their like.
    #[test]
    fn the_smaller_unit_counts_before_the_larger_and_less_than_none_is_for_ever() {
        let (ms, minutes, hours) = (
            ("log.retention.ms", " 7 "),
            ("log.retention.minutes", "5"),
            ("log.retention.hours", "1"),
        );
        for (set, retention_ms) in [
            (&[hours][..], "3600000"),
            (&[hours, minutes], "300000"),
            (&[minutes, hours], "300000"),
            (&[ms, minutes, hours], "7"),
            (&[hours, minutes, ms], "7"),
            (&[("log.retention.hours", "-1")], "-1"),
            (&[("log.retention.hours", "-9"), ("log.roll.ms", "9")], "-1"),
        ] {
            assert_eq!(defaults(set)["retention.ms"], retention_ms, "{set:?}");
        }
        let rolled = defaults(&[("log.roll.ms", "9"), ("log.roll.hours", "2")]);
        assert_eq!(rolled["segment.ms"], "9");
        assert_eq!(defaults(&[("log.roll.hours", "2")])["segment.ms"], "7200000");
        assert_eq!(defaults(&[("log.roll.jitter.hours", "1")])["segment.jitter.ms"], "3600000");
        let flushed = [("log.flush.scheduler.interval.ms", "3"), ("log.flush.interval.ms", "4")];
        assert_eq!(defaults(&flushed)["flush.ms"], "4");
        assert_eq!(defaults(&flushed[..1])["flush.ms"], "3");
    }

    #[test]
    fn names_and_values_that_mean_nothing_here_are_told() {
        let told = |name: &str, value: &str| {
            Settings::default().set(name, value).expect_err(name).to_string()
        };
        assert!(told("zookeeper.connect", "localhost").contains("zookeeper.connect"));
        assert!(
            told("retention.ms", "1").contains("retention.ms"),
            "a topic's name, not a broker's"
        );
        assert!(told("log.retention.ms", "soon").contains("soon"));
        assert!(told("num.partitions", "many").contains("num.partitions=many"));
    }
}
