//! How a topology is written down; members and what they have are not, as they join again.

use bytes::BytesMut;

use super::topology::{Copartition, InternalTopic, Subtopology, Topology};
use crate::store::{Malformed, Source, Spelled};

impl Spelled for Topology {
    fn put(&self, to: &mut BytesMut) {
        self.epoch.put(to);
        let all = self.subtopologies.iter();
        all.map(|(id, one)| (id.clone(), one.clone())).collect::<Vec<_>>().put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        let epoch = i32::take(from)?;
        let subtopologies = Vec::<(String, Subtopology)>::take(from)?.into_iter().collect();
        Ok(Self { epoch, subtopologies })
    }
}

impl Spelled for Subtopology {
    fn put(&self, to: &mut BytesMut) {
        self.source_topics.put(to);
        self.repartition_sinks.put(to);
        self.repartition_sources.put(to);
        self.changelogs.put(to);
        self.copartitioned.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            source_topics: Spelled::take(from)?,
            repartition_sinks: Spelled::take(from)?,
            repartition_sources: Spelled::take(from)?,
            changelogs: Spelled::take(from)?,
            copartitioned: Spelled::take(from)?,
        })
    }
}

impl Spelled for InternalTopic {
    fn put(&self, to: &mut BytesMut) {
        self.name.put(to);
        (self.partitions, self.replication_factor).put(to);
        self.config.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self {
            name: Spelled::take(from)?,
            partitions: Spelled::take(from)?,
            replication_factor: Spelled::take(from)?,
            config: Spelled::take(from)?,
        })
    }
}

impl Spelled for Copartition {
    fn put(&self, to: &mut BytesMut) {
        self.sources.put(to);
        self.repartition_sources.put(to);
    }

    fn take(from: &mut Source) -> Result<Self, Malformed> {
        Ok(Self { sources: Spelled::take(from)?, repartition_sources: Spelled::take(from)? })
    }
}
