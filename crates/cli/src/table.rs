//! Kafka's tables, column for column.

use std::fmt;
use std::fmt::Write as _;

/// A group's offsets, as `kafka-consumer-groups --describe` lays them out.
#[derive(Debug, Default)]
pub(crate) struct OffsetTable {
    pub(crate) rows: Vec<OffsetRow>,
}

/// One partition of a group; what is not known is shown as `-`.
#[derive(Debug)]
pub(crate) struct OffsetRow {
    pub(crate) group: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) committed: Option<i64>,
    pub(crate) log_end: Option<i64>,
    pub(crate) member: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) client_id: Option<String>,
}

impl OffsetRow {
    fn lag(&self) -> Option<i64> {
        Some(self.log_end?.saturating_sub(self.committed?))
    }
}

impl fmt::Display for OffsetTable {
    /// `ConsumerGroupCommand.printOffsets`: text columns are as wide as their longest entry and 15 at least.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let header = [
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ];
        let mut lines = vec![header.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| {
            [
                row.group.clone(),
                row.topic.clone(),
                row.partition.to_string(),
                known(row.committed),
                known(row.log_end),
                known(row.lag()),
                text(&row.member),
                text(&row.host),
                text(&row.client_id),
            ]
        }));
        let longest =
            |of: fn(&OffsetRow) -> usize| self.rows.iter().map(of).fold(TEXT_WIDTH_MIN, usize::max);
        let length = |value: &Option<String>| value.as_deref().map_or(1, str::len);
        let (group, topic) = (longest(|row| row.group.len()), longest(|row| row.topic.len()));
        let member =
            self.rows.iter().map(|row| length(&row.member)).fold(TEXT_WIDTH_MIN, usize::max);
        let host = self.rows.iter().map(|row| length(&row.host)).fold(TEXT_WIDTH_MIN, usize::max);
        let widths = [group, topic, 10, 15, 15, 15, member, host, 0];
        for line in lines {
            let mut shown = String::new();
            for (cell, width) in line.iter().zip(widths) {
                write!(shown, "{cell:<width$} ")?;
            }
            // The last column is as long as its text; one space stands before it, none after.
            writeln!(f, "{}", shown.strip_suffix(' ').unwrap_or(&shown))?;
        }
        Ok(())
    }
}

/// What Kafka gives a text column at least.
const TEXT_WIDTH_MIN: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `kafka-consumer-groups` 4.3.1.
    #[test]
    fn the_layout_is_kafkas() {
        let table = OffsetTable {
            rows: vec![OffsetRow {
                group: "parallel-group".into(),
                topic: "parallel-test".into(),
                partition: 0,
                committed: Some(10),
                log_end: Some(10),
                member: Some("console-consumer-3bffe3b9-32f1-4d6d-bf22-6106b7755a93".into()),
                host: Some("/127.0.0.1".into()),
                client_id: Some("console-consumer".into()),
            }],
        };
        let golden = "\
GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID                                           HOST            CLIENT-ID
parallel-group  parallel-test   0          10              10              0               console-consumer-3bffe3b9-32f1-4d6d-bf22-6106b7755a93 /127.0.0.1      console-consumer
";
        assert_eq!(table.to_string(), golden);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let row = OffsetRow {
            group: "g".into(),
            topic: "t".into(),
            partition: 1,
            committed: None,
            log_end: Some(3),
            member: None,
            host: None,
            client_id: None,
        };
        let shown = OffsetTable { rows: vec![row] }.to_string();
        let cells: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(cells, ["g", "t", "1", "-", "3", "-", "-", "-", "-"]);
    }
}
