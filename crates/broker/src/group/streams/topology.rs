//! The topology of an application as its members describe it.

use std::collections::{BTreeMap, BTreeSet};

/// Subtopologies by their ids, and which version of the application it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Topology {
    pub(crate) epoch: i32,
    pub(crate) subtopologies: BTreeMap<String, Subtopology>,
}

/// A part of the topology that shares no state with the others; there is a task for each partition of what it reads.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Subtopology {
    pub(crate) source_topics: Vec<String>,
    /// Repartition topics that it writes to.
    pub(crate) repartition_sinks: Vec<String>,
    /// Repartition topics that it reads.
    pub(crate) repartition_sources: Vec<InternalTopic>,
    pub(crate) changelogs: Vec<InternalTopic>,
    pub(crate) copartitioned: Vec<Copartition>,
}

/// A topic that the coordinator makes for the application.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct InternalTopic {
    pub(crate) name: String,
    /// 0 leaves it to the coordinator.
    pub(crate) partitions: i32,
    /// 0 leaves it to the cluster.
    pub(crate) replication_factor: i16,
    pub(crate) config: Vec<(String, String)>,
}

/// Topics that are to have equally many partitions, by their places in the lists of their subtopology.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Copartition {
    pub(crate) sources: Vec<i16>,
    pub(crate) repartition_sources: Vec<i16>,
}

impl Topology {
    /// The topics that it needs to run.
    pub(super) fn required(&self) -> BTreeSet<&str> {
        let all = self.subtopologies.values();
        all.flat_map(|one| one.inputs().chain(names(&one.changelogs))).collect()
    }

    /// Which subtopology reads each topic.
    pub(super) fn readers(&self) -> BTreeMap<String, String> {
        let inputs = |(id, one): (&String, &Subtopology)| -> Vec<_> {
            one.inputs().map(|input| (input.to_owned(), id.clone())).collect()
        };
        self.subtopologies.iter().flat_map(inputs).collect()
    }
}

impl Subtopology {
    /// The topics that it reads.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &str> {
        self.source_topics.iter().map(String::as_str).chain(names(&self.repartition_sources))
    }
}

fn names(topics: &[InternalTopic]) -> impl Iterator<Item = &str> {
    topics.iter().map(|topic| topic.name.as_str())
}
