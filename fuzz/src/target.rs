//! What is fuzzed.

use std::fmt;

use crate::targets;

/// A function over bytes that must cope with any.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// Frames off a stream that arrives in any pieces.
    Frame,
    /// A response of any API and version.
    Response,
    /// A request of any API and version.
    Request,
    /// Record batches of all formats, as fetched.
    RecordSet,
    /// One codec's data, under a cap.
    Decompress,
    /// What members of a group tell each other.
    ConsumerProtocol,
    /// Java's `.properties` text and the keys in it.
    Properties,
    /// The requests of one connection, with any calls, frames and times.
    Connection,
    /// A leader that shares partitions out by what its members say.
    GroupAssignor,
    /// Simulated worlds with scripted faults.
    ClusterScript,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Frame,
        Self::Response,
        Self::Request,
        Self::RecordSet,
        Self::Decompress,
        Self::ConsumerProtocol,
        Self::Properties,
        Self::Connection,
        Self::GroupAssignor,
        Self::ClusterScript,
    ];

    /// Its name on the command line and in folders.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frame => "frame",
            Self::Response => "response",
            Self::Request => "request",
            Self::RecordSet => "record_set",
            Self::Decompress => "decompress",
            Self::ConsumerProtocol => "consumer_protocol",
            Self::Properties => "properties",
            Self::Connection => "connection",
            Self::GroupAssignor => "group_assignor",
            Self::ClusterScript => "cluster_script",
        }
    }

    /// The target of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Runs it over one input.
    ///
    /// # Panics
    /// Where the code under test is wrong about it; see [`check`](crate::check).
    pub fn run(self, data: &[u8]) {
        match self {
            Self::Frame => targets::frame::run(data),
            Self::Response => targets::response::run(data),
            Self::Request => targets::request::run(data),
            Self::RecordSet => targets::record_set::run(data),
            Self::Decompress => targets::decompress::run(data),
            Self::ConsumerProtocol => targets::consumer_protocol::run(data),
            Self::Properties => targets::properties::run(data),
            Self::Connection => targets::connection::run(data),
            Self::GroupAssignor => targets::group_assignor::run(data),
            Self::ClusterScript => targets::cluster_script::run(data),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
