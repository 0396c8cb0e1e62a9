//! The target: what each member is to have, computed anew where the group's epoch went ahead of it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::assignor::{Work, Worker, assign};
use super::config::StreamsConfig;
use super::configured::{Configured, Status, StatusCode};
use super::group::StreamsGroup;
use super::tasks::Assignment;

impl StreamsGroup {
    /// Computes the target for the group's epoch; says why if it is not time to.
    pub(super) fn update_target(
        &mut self,
        now: Instant,
        config: &StreamsConfig,
        configured: &Configured,
    ) -> Option<Status> {
        let delayed = |why: &str| {
            let detail = format!("Assignment delayed due to the configured {why}.");
            Some(Status { code: StatusCode::AssignmentDelayed, detail })
        };
        if self.delayed_until.is_some() {
            return delayed("initial rebalance delay");
        }
        if self.assignment_epoch >= self.epoch {
            return None;
        }
        if self.assigned_at.is_some_and(|at| now < at + config.assignment_interval) {
            return delayed("assignment interval");
        }
        self.assign(now, config.assignment.standby_replicas, configured);
        None
    }

    /// The time for members to come together is over. Kafka's coordinator does not know then what a group's very first
    /// heartbeat made of its topology: whoever is heard of next brings about the target.
    pub(super) fn assign_delayed(&mut self, now: Instant) {
        let replicas = self.assigned_by.as_ref().map_or(0, |config| config.standby_replicas);
        let configured = self.configured.clone();
        let is_due = self.epoch > self.assignment_epoch && !self.members.is_empty();
        if let Some(configured) = configured.filter(|_| is_due) {
            self.assign(now, replicas, &configured);
        }
    }

    fn assign(&mut self, now: Instant, standby_replicas: usize, configured: &Configured) {
        self.targets = match configured.ready() {
            None => self.members.keys().map(|id| (id.clone(), Assignment::default())).collect(),
            Some(subtopologies) => {
                let work: Vec<_> = subtopologies
                    .iter()
                    .map(|(id, one)| Work {
                        subtopology: id,
                        tasks: one.tasks,
                        is_stateful: one.is_stateful(),
                    })
                    .collect();
                let workers: Vec<_> = self
                    .members
                    .values()
                    .map(|member| Worker {
                        process: &member.about.process_id,
                        held: &member.assigned,
                        reached: &member.offsets.reached,
                    })
                    .collect();
                let targets = assign(&work, &workers, standby_replicas);
                self.members.keys().cloned().zip(targets).collect::<BTreeMap<_, _>>()
            }
        };
        self.assignment_epoch = self.epoch;
        self.assigned_at = Some(now);
    }
}
