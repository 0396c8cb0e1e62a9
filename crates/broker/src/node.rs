//! One broker of the cluster.

use milena_types::NodeId;

use crate::fetch::Sessions;
use crate::share::ShareSessions;
use crate::telemetry::Instances;

/// A node: where it is reached and how it is.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
    pub(crate) status: NodeStatus,
    /// Whether the controller counts it in; a node that stops is counted in a little longer.
    pub(crate) is_registered: bool,
    /// Whether an administrator had the controller forget it; it is told of again once its process starts anew.
    pub(crate) is_forgotten: bool,
    /// Whether it was unregistered as a controller, and has not run since.
    pub(crate) is_forgotten_as_controller: bool,
    pub(crate) sessions: Sessions,
    pub(crate) share_sessions: ShareSessions,
    /// Clients that it told what to push.
    pub(crate) telemetry: Instances,
}

/// How a node is; there is nothing between.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a process runs, stands still or is gone")]
pub enum NodeStatus {
    /// It answers.
    Running,
    /// It stands still as after SIGSTOP: connections stay open and nothing answers.
    Paused,
    /// It is gone: connections are closed and new ones refused.
    Crashed,
}
