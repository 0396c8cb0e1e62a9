//! Which instance of the application answers questions about which partitions (Interactive Queries).

use std::collections::{BTreeMap, BTreeSet};

use milena_types::ErrorCode;

use super::configured::ConfiguredSubtopology;
use super::group::StreamsGroup;
use super::member::{Endpoint, Member};
use super::tasks::{Tasks, undated};
use crate::state::Refused;
use crate::topic::TopicImage;

/// What one member reads, at its instance's endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EndpointPartitions {
    pub(crate) endpoint: Endpoint,
    pub(crate) active: Vec<(String, Vec<i32>)>,
    pub(crate) standby: Vec<(String, Vec<i32>)>,
}

impl StreamsGroup {
    /// What members with an endpoint read, the one that asks last.
    pub(super) fn endpoints(
        &self,
        asking: &str,
        image: &TopicImage<'_>,
    ) -> Result<Vec<EndpointPartitions>, Refused> {
        let others = self.members.values().filter(|member| member.id != asking);
        let members = others.chain(self.members.get(asking));
        let with_endpoint = members.filter_map(|m| Some((m, m.about.endpoint.as_ref()?)));
        with_endpoint.map(|(member, endpoint)| self.of_member(member, endpoint, image)).collect()
    }

    fn of_member(
        &self,
        member: &Member,
        endpoint: &Endpoint,
        image: &TopicImage<'_>,
    ) -> Result<EndpointPartitions, Refused> {
        let subtopologies = self.configured().and_then(|one| one.subtopologies.as_ref());
        let broken = || Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR);
        let subtopologies = subtopologies.ok_or_else(broken)?;
        Ok(EndpointPartitions {
            endpoint: endpoint.clone(),
            active: partitions(&undated(&member.assigned.active), subtopologies, image),
            standby: partitions(&member.assigned.standby, subtopologies, image),
        })
    }
}

fn partitions(
    tasks: &Tasks,
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    image: &TopicImage<'_>,
) -> Vec<(String, Vec<i32>)> {
    let mut all = Vec::new();
    for (subtopology, indexes) in tasks {
        let Some(one) = subtopologies.get(subtopology) else { continue };
        let topics: BTreeSet<_> =
            one.source_topics.iter().chain(one.repartition_sources.keys()).collect();
        for topic in topics {
            let count = image.id(topic).map_or(0, |id| image.partitions(id));
            let read: Vec<_> = indexes.iter().copied().filter(|index| *index < count).collect();
            if !read.is_empty() {
                all.push((topic.clone(), read));
            }
        }
    }
    all
}
