//! What a group protocol and the consumer around it say to each other.

use std::collections::BTreeSet;
use std::time::Instant;

use milena_types::{Generation, NodeId, TopicPartition};
use milena_wire::ByteString;

use crate::metadata::Cluster;
use crate::request::{Outbound, RequestIds};
use crate::subscription::{Change, Event, Subscription};

/// What a protocol wants done.
#[derive(Debug)]
pub(crate) enum Action {
    Send(Outbound),
    /// Give up these partitions in this way, then call [`Protocol::prepared`](super::Protocol::prepared). All others
    /// are read on as if nothing had happened.
    GiveUp {
        change: Change,
        partitions: BTreeSet<TopicPartition>,
    },
    /// Take these partitions in addition to those held, then call [`Protocol::settled`](super::Protocol::settled)
    /// once the user's callback has returned.
    Take(BTreeSet<TopicPartition>),
    /// This broker does not answer, or is the coordinator no longer; `None` is whoever is it by now.
    LoseCoordinator(Option<NodeId>),
    /// The metadata does not know a topic that it should.
    RefreshMetadata,
    Tell(Event),
    /// The group knows that we go, or needs not.
    Left,
}

/// What a protocol sees of the world while it decides.
pub(crate) struct Surroundings<'a> {
    pub(crate) coordinator: Option<NodeId>,
    pub(crate) cluster: &'a Cluster,
    /// The partitions that are held, those included that are being given up.
    pub(crate) held: &'a Subscription,
    /// Since when the user does not poll.
    pub(crate) idle_since: Option<Instant>,
    pub(crate) ids: &'a mut RequestIds,
}

/// Who we are to the coordinator. A reply to what was sent as somebody else is stale: it says nothing of today.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Identity {
    /// Empty before there is one.
    pub(crate) member_id: ByteString,
    /// The member's epoch in the consumer protocol.
    pub(crate) generation: Option<Generation>,
}
