//! How far members say that the copies of their state are, by which standby tasks find who has seen them before.

use std::collections::BTreeMap;

use milena_types::ErrorCode;

use crate::state::Refused;

/// Offsets of tasks, summed up over their changelogs, as a member told them last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TaskOffsets {
    pub(crate) reached: BTreeMap<(String, i32), i64>,
    pub(crate) ends: BTreeMap<(String, i32), i64>,
}

impl TaskOffsets {
    /// Offsets by their tasks; none may be told twice.
    pub(crate) fn read(
        told: impl Iterator<Item = (String, i32, i64)>,
    ) -> Result<BTreeMap<(String, i32), i64>, Refused> {
        let mut offsets = BTreeMap::new();
        for (subtopology, partition, offset) in told {
            let message = format!(
                "Task offsets contain a duplicate entry for subtopology {subtopology} and partition {partition}."
            );
            if offsets.insert((subtopology, partition), offset).is_some() {
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
            }
        }
        Ok(offsets)
    }
}
