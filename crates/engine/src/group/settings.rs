//! What a member of a group is told once.

use std::sync::Arc;
use std::time::Duration;

use super::assignor::AssignmentStrategy;

/// The settings of a member of a group.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupSettings {
    /// Java name `group.id`.
    pub group_id: Arc<str>,
    /// Makes the member a static one (KIP-345). Java name `group.instance.id`.
    pub instance_id: Option<Arc<str>>,
    /// Silent for this long, the member is out. Java name `session.timeout.ms`.
    pub session_timeout: Duration,
    /// How often the coordinator hears of us. Java name `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// Not polled for this long, the member leaves; also how long others wait for it to join again.
    /// Java name `max.poll.interval.ms`.
    pub max_poll_interval: Duration,
    /// By which protocol to be a member. Java name `group.protocol`.
    pub protocol: GroupProtocol,
    /// Which assignor the coordinator is to use; `None` leaves it to the coordinator. Only in the consumer protocol.
    /// Java name `group.remote.assignor`.
    pub remote_assignor: Option<Arc<str>>,
    /// How the leader may share partitions out, the most wanted first; the group takes one that all its members have.
    /// Not empty. If all are cooperative, the member keeps what stays its while the group rebalances (KIP-429).
    /// Java name `partition.assignment.strategy`.
    pub assignment_strategies: Vec<AssignmentStrategy>,
    /// Where the member is: leaders give it near partitions (KIP-881). Java name `client.rack`.
    pub rack: Option<Arc<str>>,
}

/// By which protocol a consumer is a member of its group. Java name `group.protocol`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum GroupProtocol {
    /// JoinGroup and SyncGroup: one of the members shares the partitions out.
    #[default]
    Classic,
    /// One heartbeat, and the coordinator shares them out (KIP-848).
    Consumer,
    /// `Consumer` where the group's coordinator speaks it, else `Classic`. Java has no such value.
    Auto,
}

impl GroupSettings {
    /// A member of the group `group_id` with Java's defaults.
    pub fn new(group_id: impl Into<Arc<str>>) -> Self {
        Self {
            group_id: group_id.into(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            protocol: GroupProtocol::default(),
            remote_assignor: None,
            assignment_strategies: vec![
                AssignmentStrategy::Range,
                AssignmentStrategy::CooperativeSticky,
            ],
            rack: None,
        }
    }
}

/// What a member does about its group when its consumer closes (KIP-1092).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Java's three choices")]
pub enum GroupMembershipOperation {
    /// Leaves, unless it is a static member, which is expected back under its name.
    #[default]
    Default,
    /// Leaves, whatever it is: others get its partitions at once.
    LeaveGroup,
    /// Stays until its session ends: if it is back before, nobody rebalances.
    RemainInGroup,
}
