//! The topology as the topics of the cluster let it be: how many partitions each internal topic gets, how many tasks each
//! subtopology has, and what is missing (`InternalTopicManager`).

use std::collections::{BTreeMap, BTreeSet};

use milena_types::ErrorCode;

use super::topology::{InternalTopic, Subtopology, Topology};
use crate::state::Refused;
use crate::topic::TopicImage;

/// A topology beside the topics that there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configured {
    /// `None` where it cannot be said how many tasks there are.
    pub(crate) subtopologies: Option<BTreeMap<String, ConfiguredSubtopology>>,
    /// Internal topics to be made.
    pub(crate) missing: Vec<InternalTopic>,
    /// Why nobody can work yet.
    pub(crate) problem: Option<Status>,
}

/// A subtopology of which all numbers are known.
#[derive(Clone, Debug)]
pub(crate) struct ConfiguredSubtopology {
    pub(crate) tasks: i32,
    pub(crate) source_topics: BTreeSet<String>,
    pub(crate) repartition_sinks: BTreeSet<String>,
    pub(crate) repartition_sources: BTreeMap<String, InternalTopic>,
    pub(crate) changelogs: BTreeMap<String, InternalTopic>,
}

/// What a group says about itself besides its assignments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Status {
    pub(crate) code: StatusCode,
    pub(crate) detail: String,
}

/// As `StreamsGroupHeartbeatResponse.Status` counts them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StatusCode {
    StaleTopology = 0,
    MissingSourceTopics = 1,
    IncorrectlyPartitioned = 2,
    MissingInternalTopics = 3,
    ShutdownApplication = 4,
    AssignmentDelayed = 5,
    MissingClientTags = 6,
}

/// Why a topology cannot be configured.
#[derive(Debug)]
enum Obstacle {
    /// Members wait until it is put right.
    Problem(Status),
    /// No topics could put it right.
    Refused(Refused),
}

impl Configured {
    /// Looks at the topology with the topics that there are.
    pub(super) fn new(topology: &Topology, image: &TopicImage<'_>) -> Result<Self, Refused> {
        match configure(topology, image) {
            Ok(configured) => Ok(configured),
            Err(Obstacle::Problem(status)) => Ok(Self { problem: Some(status), ..Self::default() }),
            Err(Obstacle::Refused(refused)) => Err(refused),
        }
    }

    /// Its subtopologies, if members can work on them.
    pub(crate) fn ready(&self) -> Option<&BTreeMap<String, ConfiguredSubtopology>> {
        self.subtopologies.as_ref().filter(|_| self.problem.is_none())
    }
}

impl ConfiguredSubtopology {
    pub(super) fn is_stateful(&self) -> bool {
        !self.changelogs.is_empty()
    }
}

fn configure(topology: &Topology, image: &TopicImage<'_>) -> Result<Configured, Obstacle> {
    if topology.subtopologies.len() > SUBTOPOLOGIES_MAX {
        return Err(broken());
    }
    let all = topology.subtopologies.values();
    let copartitioned: Vec<_> = all.map(copartitioned).collect::<Result<_, _>>()?;
    let sources = topology.subtopologies.values().flat_map(|one| &one.source_topics);
    let missing: BTreeSet<_> = sources.filter(|name| image.id(name).is_none()).collect();
    if !missing.is_empty() {
        let names = summary(missing.iter().map(|name| name.as_str()));
        let detail = format!("Source topics {names} are missing.");
        return Err(problem(StatusCode::MissingSourceTopics, detail));
    }
    let mut counts = Counts { image, decided: BTreeMap::new() };
    counts.decide_repartition_topics(topology)?;
    let repartition = Repartition::new(topology);
    for group in copartitioned.iter().flatten() {
        counts.enforce(&repartition, group)?;
    }
    counts.decide_changelogs(topology)?;
    let configured = |(id, one): (&String, &Subtopology)| Ok((id.clone(), counts.configured(one)?));
    let subtopologies: BTreeMap<_, _> =
        topology.subtopologies.iter().map(configured).collect::<Result<_, Obstacle>>()?;
    let tasks = subtopologies.values().map(|one| i64::from(one.tasks)).sum::<i64>();
    if tasks > TASKS_MAX {
        return Err(broken());
    }
    let missing = missing_topics(&subtopologies, image)?;
    let status = |names| Status {
        code: StatusCode::MissingInternalTopics,
        detail: format!("Internal topics are missing: {names}"),
    };
    let names = summary(missing.iter().map(|topic| topic.name.as_str()));
    let problem = (!missing.is_empty()).then(|| status(names));
    Ok(Configured { subtopologies: Some(subtopologies), missing, problem })
}

/// The topics of each group of a subtopology that are to have equally many partitions.
fn copartitioned(of: &Subtopology) -> Result<Vec<BTreeSet<&str>>, Obstacle> {
    let at = |index: &i16| usize::try_from(*index).map_err(|_| broken());
    let groups = of.copartitioned.iter().map(|group| {
        let source =
            |index| of.source_topics.get(at(index)?).map(String::as_str).ok_or_else(broken);
        let repartition = |index| {
            let topic = of.repartition_sources.get(at(index)?);
            topic.map(|topic| topic.name.as_str()).ok_or_else(broken)
        };
        let sources = group.sources.iter().map(source);
        sources.chain(group.repartition_sources.iter().map(repartition)).collect()
    });
    groups.collect()
}

/// The repartition topics of all subtopologies.
struct Repartition<'a> {
    /// Those whose number of partitions the application says.
    fixed: BTreeMap<&'a str, i32>,
    flexible: BTreeSet<&'a str>,
    /// Whether it says the same of all of them.
    is_one_number: bool,
}

impl<'a> Repartition<'a> {
    fn new(topology: &'a Topology) -> Self {
        let all = topology.subtopologies.values().flat_map(|one| &one.repartition_sources);
        let (flexible, fixed): (Vec<_>, Vec<_>) = all.partition(|topic| topic.partitions == 0);
        let fixed: BTreeMap<_, _> =
            fixed.iter().map(|topic| (topic.name.as_str(), topic.partitions)).collect();
        let first = fixed.values().next();
        Self {
            is_one_number: fixed.values().all(|count| Some(count) == first),
            flexible: flexible.iter().map(|topic| topic.name.as_str()).collect(),
            fixed,
        }
    }
}

/// How many partitions topics have, or are to have.
struct Counts<'a> {
    image: &'a TopicImage<'a>,
    decided: BTreeMap<String, i32>,
}

impl Counts<'_> {
    fn of(&self, name: &str) -> Option<i32> {
        let there = self.image.id(name).map(|id| self.image.partitions(id));
        there.or_else(|| self.decided.get(name).copied())
    }

    fn of_known(&self, name: &str) -> Result<i32, Obstacle> {
        self.of(name).ok_or_else(broken)
    }

    /// A repartition topic has as many partitions as what its writer reads (`RepartitionTopics`).
    fn decide_repartition_topics(&mut self, topology: &Topology) -> Result<(), Obstacle> {
        let all = topology.subtopologies.values();
        let fixed =
            all.flat_map(|one| &one.repartition_sources).filter(|topic| topic.partitions != 0);
        let mut decided: BTreeMap<String, i32> =
            fixed.map(|topic| (topic.name.clone(), topic.partitions)).collect();
        loop {
            let (mut is_open, mut has_progress) = (false, false);
            for one in topology.subtopologies.values() {
                let inner = one.repartition_sources.iter();
                let inner = inner.filter_map(|topic| decided.get(&topic.name).copied());
                let outer = one.source_topics.iter().filter_map(|name| self.of(name));
                // One of its own sinks that is decided here has just this many.
                let count = inner.chain(outer).max();
                for sink in &one.repartition_sinks {
                    match (decided.contains_key(sink), count) {
                        (true, _) => {}
                        (false, Some(count)) => {
                            decided.insert(sink.clone(), count);
                            has_progress = true;
                        }
                        (false, None) => is_open = true,
                    }
                }
            }
            if !is_open {
                break;
            }
            if !has_progress {
                return Err(invalid(
                    "Failed to compute number of partitions for all repartition topics. There may be loops in the \
                     topology that cannot be resolved.",
                ));
            }
        }
        let mut sources = topology.subtopologies.values().flat_map(|one| &one.repartition_sources);
        if sources.any(|topic| !decided.contains_key(&topic.name)) {
            return Err(invalid(
                "Failed to compute number of partitions for all repartition topics, because a repartition source \
                 topic is never used as a sink topic.",
            ));
        }
        self.decided = decided;
        Ok(())
    }

    /// Gives repartition topics the number of partitions that their neighbours have (`CopartitionedTopicsEnforcer`).
    fn enforce(&mut self, all: &Repartition<'_>, group: &BTreeSet<&str>) -> Result<(), Obstacle> {
        let (inner, outer): (Vec<_>, Vec<_>) = group
            .iter()
            .partition(|name| all.flexible.contains(*name) || all.fixed.contains_key(*name));
        let counts = |names: &[&str]| -> Result<BTreeMap<String, i32>, Obstacle> {
            let count = |name: &&str| Ok(((*name).to_owned(), self.of_known(name)?));
            names.iter().map(count).collect()
        };
        let (inner, outer) = (counts(&inner)?, counts(&outer)?);
        let wanted = match outer.values().next() {
            Some(first) if outer.values().all(|count| count == first) => Some(*first),
            Some(_) => return Err(uneven(&outer)),
            None if all.fixed.is_empty() => inner.values().max().copied(),
            // All that are fixed must agree, whichever group they are in.
            None if all.is_one_number => all.fixed.values().next().copied(),
            None => return Err(uneven(&inner)),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        for (name, count) in inner {
            if all.fixed.contains_key(&*name) && count != wanted {
                let detail = format!(
                    "Number of partitions [{count}] of repartition topic [{name}] doesn't match number of partitions \
                     [{wanted}] of the source topic."
                );
                return Err(problem(StatusCode::IncorrectlyPartitioned, detail));
            }
            self.decided.insert(name, wanted);
        }
        Ok(())
    }

    /// A changelog has a partition for each task (`ChangelogTopics`).
    fn decide_changelogs(&mut self, topology: &Topology) -> Result<(), Obstacle> {
        for (id, one) in &topology.subtopologies {
            let counts: Vec<_> =
                one.inputs().map(|name| self.of_known(name)).collect::<Result<_, _>>()?;
            let none = || invalid(format!("No source topics found for subtopology {id}"));
            let most = counts.into_iter().max().ok_or_else(none)?;
            for changelog in &one.changelogs {
                self.decided.insert(changelog.name.clone(), most);
            }
        }
        Ok(())
    }

    fn configured(&self, of: &Subtopology) -> Result<ConfiguredSubtopology, Obstacle> {
        let counts: Vec<_> =
            of.inputs().map(|name| self.of_known(name)).collect::<Result<_, _>>()?;
        let topics = |list: &[InternalTopic]| {
            let topic = |topic: &InternalTopic| Ok((topic.name.clone(), self.topic(topic)?));
            list.iter().map(topic).collect::<Result<BTreeMap<_, _>, Obstacle>>()
        };
        Ok(ConfiguredSubtopology {
            tasks: counts.into_iter().max().filter(|tasks| *tasks > 0).ok_or_else(broken)?,
            source_topics: of.source_topics.iter().cloned().collect(),
            repartition_sinks: of.repartition_sinks.iter().cloned().collect(),
            repartition_sources: topics(&of.repartition_sources)?,
            changelogs: topics(&of.changelogs)?,
        })
    }

    /// The same with its number of partitions.
    fn topic(&self, topic: &InternalTopic) -> Result<InternalTopic, Obstacle> {
        let partitions = match topic.partitions {
            0 => self.decided.get(&topic.name).copied(),
            fixed => Some(fixed),
        };
        let partitions = partitions.filter(|count| *count > 0).ok_or_else(broken)?;
        Ok(InternalTopic { partitions, ..topic.clone() })
    }
}

/// The internal topics that are not there; those that are must have the right number of partitions.
fn missing_topics(
    subtopologies: &BTreeMap<String, ConfiguredSubtopology>,
    image: &TopicImage<'_>,
) -> Result<Vec<InternalTopic>, Obstacle> {
    let all = subtopologies.values();
    let all = all.flat_map(|one| one.repartition_sources.values().chain(one.changelogs.values()));
    let wanted: BTreeMap<_, _> = all.map(|topic| (&topic.name, topic)).collect();
    let mut missing = Vec::new();
    for (name, topic) in wanted {
        match image.id(name).map(|id| image.partitions(id)) {
            None => missing.push(topic.clone()),
            Some(found) if found != topic.partitions => {
                let detail = format!(
                    "Existing topic {name} has different number of partitions: expected {}, found {found}",
                    topic.partitions
                );
                return Err(problem(StatusCode::IncorrectlyPartitioned, detail));
            }
            Some(_) => {}
        }
    }
    Ok(missing)
}

/// The first names, and how many more there are.
fn summary<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} additional topics"),
    }
}

fn uneven(counts: &BTreeMap<String, i32>) -> Obstacle {
    let told: Vec<_> = counts.iter().map(|(name, count)| format!("{name}={count}")).collect();
    let detail = format!(
        "Following topics do not have the same number of partitions: [{{{}}}]",
        told.join(", ")
    );
    problem(StatusCode::IncorrectlyPartitioned, detail)
}

fn problem(code: StatusCode, detail: String) -> Obstacle {
    Obstacle::Problem(Status { code, detail })
}

fn invalid(why: impl Into<String>) -> Obstacle {
    Obstacle::Refused(Refused::new(ErrorCode::STREAMS_INVALID_TOPOLOGY, why))
}

/// Where Kafka's coordinator falls over the topology.
fn broken() -> Obstacle {
    Obstacle::Refused(Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR))
}

/// To say how many partitions repartition topics get, all topics are looked at as often at worst (Kafka: no limit).
const SUBTOPOLOGIES_MAX: usize = 1000;

/// Kafka writes a member's tasks into one record, which takes about as many (`message.max.bytes`).
const TASKS_MAX: i64 = 250_000;
