//! The heartbeat: joining with a topology, saying what one has, and hearing what one is to work on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milena_types::{ErrorCode, MemberEpoch, Uuid};

use super::config::StreamsConfig;
use super::configured::{Configured, Status, StatusCode};
use super::endpoints::EndpointPartitions;
use super::group::StreamsGroup;
use super::holders::Holders;
use super::member::{About, Endpoint, Member};
use super::offsets::TaskOffsets;
use super::reconciliation::Reconciliation;
use super::tasks::{Assignment, Held, Owned};
use super::topology::Topology;
use crate::group::Surroundings;
use crate::group::consumer::{AWAY, MemberState, next};
use crate::state::Refused;

pub(crate) use crate::group::consumer::Step;

/// A StreamsGroupHeartbeat as the group sees it; `None` is what did not change since the last one.
#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) step: Step,
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) rack_id: Option<String>,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topology: Option<Topology>,
    pub(crate) process_id: Option<String>,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) client_tags: Option<BTreeMap<String, String>>,
    /// What the member has.
    pub(crate) owned: Option<Owned>,
    pub(crate) reached: Option<BTreeMap<(String, i32), i64>>,
    pub(crate) ends: Option<BTreeMap<(String, i32), i64>>,
    /// Whether the whole application is to end.
    pub(crate) wants_shutdown: bool,
    /// What the member knows of the others' endpoints.
    pub(crate) endpoint_epoch: i32,
    /// Whether its version has words for missing tags.
    pub(crate) knows_tags: bool,
}

/// What a heartbeat is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    /// `None` where the member leaves.
    pub(crate) epoch: Option<MemberEpoch>,
    /// What the member works on; `None` where that did not change.
    pub(crate) assigned: Option<Held>,
    pub(crate) statuses: Vec<Status>,
    pub(crate) endpoint_epoch: i32,
    pub(crate) endpoints: Option<Vec<EndpointPartitions>>,
    /// The internal topics that are to be made.
    pub(crate) topology: Option<Arc<Configured>>,
    pub(crate) config: Option<StreamsConfig>,
}

/// Whom a heartbeat is from.
struct Standing {
    /// The member as it was before.
    member: Member,
    /// The static member whose place it takes.
    replaces: Option<String>,
}

/// What a heartbeat makes of the topology.
struct Look {
    topology: Arc<Topology>,
    metadata: BTreeMap<String, (Uuid, i32)>,
    configured: Arc<Configured>,
}

impl Beat {
    /// What a member is answered that leaves.
    pub(super) fn of_leaving(member_id: String) -> Self {
        Self {
            member_id,
            epoch: None,
            assigned: None,
            statuses: Vec::new(),
            endpoint_epoch: 0,
            endpoints: None,
            topology: None,
            config: None,
        }
    }
}

impl Heartbeat {
    /// The member as this heartbeat describes it.
    fn describe(&self, before: &About) -> About {
        let or =
            |said: &Option<String>, known: &Option<String>| said.clone().or_else(|| known.clone());
        let joins = self.step == Step::Join;
        let known_endpoint = || before.endpoint.clone().filter(|_| !joins);
        let epoch = self.topology.as_ref().map(|topology| topology.epoch);
        About {
            instance_id: or(&self.instance_id, &before.instance_id),
            rack_id: or(&self.rack_id, &before.rack_id),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout.unwrap_or(before.rebalance_timeout),
            topology_epoch: epoch.or(before.topology_epoch),
            process_id: self.process_id.clone().unwrap_or_else(|| before.process_id.clone()),
            endpoint: self.endpoint.clone().or_else(known_endpoint),
            client_tags: self.client_tags.clone().unwrap_or_else(|| before.client_tags.clone()),
        }
    }
}

impl StreamsGroup {
    /// Takes a heartbeat of a member that joins or goes on. Where it is refused, nothing has changed.
    pub(crate) fn heartbeat(
        &mut self,
        now: Instant,
        request: &Heartbeat,
        is_new: bool,
        around: &Surroundings<'_>,
    ) -> Result<Beat, Refused> {
        let joins = request.step == Step::Join;
        if joins {
            self.check_room(request, around.streams.size_max)?;
        }
        let config = StreamsConfig::new(around.streams, around.group_config);
        let Standing { member: before, replaces } = self.standing(request)?;
        let about = request.describe(&before.about);
        let look = self.look(request, around)?;
        check_tasks(&look.configured, request.owned.as_ref())?;

        let mut statuses = Vec::new();
        statuses.extend(stale(&about, self.topology()));
        let must_bump = self.must_bump(request, &before.about, &about, &look, &config);
        // Members with endpoints cannot be told of them while it is unknown what there is to work on.
        let undone = look.configured.subtopologies.is_none().then(|| self.clone());
        let was_empty = self.members.is_empty();
        let endpoint_changes = about.endpoint != before.about.endpoint;
        let mut member = Member { about, ..before.clone() };
        member.offsets = TaskOffsets {
            reached: request.reached.clone().unwrap_or(member.offsets.reached),
            ends: request.ends.clone().unwrap_or(member.offsets.ends),
        };
        self.accept(member, replaces.as_deref(), look, must_bump.then_some(&config));
        self.metadata_version = Some(around.image.version());
        if was_empty && !config.initial_rebalance_delay.is_zero() {
            self.delayed_until.get_or_insert(now + config.initial_rebalance_delay);
        }
        let configured = self.configured.clone().unwrap_or_default();
        statuses.extend(self.update_target(now, &config, &configured));
        let mut member = self.reconcile(now, &before.id, request.owned.as_ref());
        member.session_deadline = Some(now + config.session_timeout);
        if request.wants_shutdown {
            self.shutdown_by.get_or_insert_with(|| before.id.clone());
        }

        let is_changed = member.assigned != before.assigned;
        if endpoint_changes || (is_changed && member.about.endpoint.is_some()) {
            self.endpoint_epoch = self.endpoint_epoch.wrapping_add(1);
        }
        let tags = missing_tags(&member.about, &config).filter(|_| request.knows_tags);
        let assigned = (joins || is_changed).then(|| member.assigned.clone());
        let epoch = member.epoch;
        self.put(member);
        let is_behind = self.endpoint_epoch != request.endpoint_epoch;
        let endpoints = is_behind.then(|| self.endpoints(&before.id, &around.image)).transpose();
        let endpoints = match (endpoints, undone) {
            (Err(refused), Some(undone)) => {
                *self = undone;
                return Err(refused);
            }
            (endpoints, _) => endpoints?,
        };
        statuses.extend(configured.problem.clone());
        statuses.extend(self.shutdown_by.as_deref().map(shutdown));
        statuses.extend(tags);
        let beat = Beat {
            member_id: before.id,
            epoch,
            assigned,
            statuses,
            // The first heartbeat of a group ends before there is one that could count.
            endpoint_epoch: if is_new { 0 } else { self.endpoint_epoch },
            endpoints,
            topology: Some(configured),
            config: Some(config),
        };
        if is_new {
            self.forget_first_impressions();
        }
        Ok(beat)
    }

    /// What is not written down of a group is lost to Kafka's coordinator when the group's first heartbeat ends.
    fn forget_first_impressions(&mut self) {
        self.configured = None;
        self.metadata_version = None;
        self.endpoint_epoch = 0;
        self.shutdown_by = None;
    }

    fn check_room(&self, request: &Heartbeat, max: usize) -> Result<(), Refused> {
        let instance_id = request.instance_id.as_deref();
        let returns = instance_id.is_some_and(|id| self.statics.contains_key(id));
        if returns || self.members.contains_key(&request.member_id) || self.members.len() < max {
            return Ok(());
        }
        let message =
            format!("The streams group has reached its maximum capacity of {max} members.");
        Err(Refused::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message))
    }

    fn standing(&self, request: &Heartbeat) -> Result<Standing, Refused> {
        let (id, joins) = (request.member_id.as_str(), request.step == Step::Join);
        let known = |id: &str| self.members.get(id).cloned();
        let Some(instance_id) = request.instance_id.as_deref() else {
            let member = match known(id) {
                Some(member) => member,
                None if joins => Member::new(id),
                None => return Err(self.member(id).err().unwrap_or_else(broken)),
            };
            check_epoch(&member, request)?;
            return Ok(Standing { member, replaces: None });
        };
        if !joins {
            let member = self.holder(instance_id, id)?;
            check_epoch(member, request)?;
            return Ok(Standing { member: member.clone(), replaces: None });
        }
        let Some(holder) = self.static_member(instance_id) else {
            let member = known(id).unwrap_or_else(|| Member::new(id));
            return Ok(Standing { member, replaces: None });
        };
        if holder.epoch.is_some() {
            let message = format!(
                "Static member {id} with instance id {instance_id} cannot join the group because the instance id is \
                 owned by {} member.",
                holder.id
            );
            return Err(Refused::new(ErrorCode::UNRELEASED_INSTANCE_ID, message));
        }
        let member = Member {
            id: id.to_owned(),
            epoch: Some(MemberEpoch::ZERO),
            previous_epoch: Some(MemberEpoch::ZERO),
            ..holder.clone()
        };
        Ok(Standing { member, replaces: Some(holder.id.clone()) })
    }

    /// Looks at the topology, anew where topics may have changed.
    fn look(&self, request: &Heartbeat, around: &Surroundings<'_>) -> Result<Look, Refused> {
        let topology = match (&request.topology, &self.topology) {
            (Some(said), None) if said.epoch < 0 => return Err(broken()),
            (Some(said), None) => Arc::new(said.clone()),
            (Some(said), Some(known)) if known.epoch <= said.epoch && **known != *said => {
                let message = "Topology updates are not supported yet.";
                return Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
            }
            (_, Some(known)) => known.clone(),
            (None, None) => return Err(broken()),
        };
        let image = &around.image;
        let known = self.configured.as_ref();
        if let Some(configured) = known.filter(|_| self.metadata_version == Some(image.version())) {
            let (metadata, configured) = (self.metadata.clone(), configured.clone());
            return Ok(Look { topology, metadata, configured });
        }
        let there =
            |name: &str| image.id(name).map(|id| (name.to_owned(), (id, image.partitions(id))));
        let metadata = topology.required().into_iter().filter_map(there).collect();
        let configured = Arc::new(Configured::new(&topology, image)?);
        Ok(Look { topology, metadata, configured })
    }

    /// Whether the tasks may have to be shared out anew.
    fn must_bump(
        &self,
        request: &Heartbeat,
        before: &About,
        about: &About,
        look: &Look,
        config: &StreamsConfig,
    ) -> bool {
        let is_otherwise = match request.instance_id {
            None => about != before || !self.members.contains_key(&request.member_id),
            Some(_) => about.is_assigned_otherwise(before),
        };
        is_otherwise
            || look.metadata != self.metadata
            || validated(look) != self.validated_epoch
            || self.assigned_by.as_ref() != Some(&config.assignment)
    }

    fn accept(
        &mut self,
        member: Member,
        replaces: Option<&str>,
        look: Look,
        bumped: Option<&StreamsConfig>,
    ) {
        if let Some(old) = replaces {
            // What it was to have stays its own.
            let shutdown_by = self.shutdown_by.take();
            if let Some(target) = self.take(old) {
                self.targets.insert(member.id.clone(), target);
            }
            self.shutdown_by = shutdown_by;
        }
        self.put(member);
        if let Some(config) = bumped {
            self.epoch = next(self.epoch);
            self.validated_epoch = validated(&look);
            self.assigned_by = Some(config.assignment.clone());
        }
        self.metadata = look.metadata;
        self.configured = Some(look.configured);
        if self.topology.is_none() {
            self.set_topology(look.topology);
        }
    }

    /// Brings the member nearer to what it is to have.
    fn reconcile(&self, now: Instant, id: &str, owned: Option<&Owned>) -> Member {
        let Some(member) = self.members.get(id) else { return Member::new(id) };
        if member.is_reconciled_to(self.assignment_epoch) {
            return member.clone();
        }
        let none = Assignment::default();
        // Whoever waits for the first target has none, whatever there was before.
        let target = self.targets.get(id).filter(|_| self.delayed_until.is_none());
        let reconciliation = Reconciliation {
            member,
            target_epoch: self.assignment_epoch,
            target: target.unwrap_or(&none),
            owned,
            holders: &Holders::new(self.members.values()),
        };
        let mut next = reconciliation.next();
        if next != *member {
            let gives_up = next.state == MemberState::Unrevoked;
            next.revocation_deadline = gives_up.then(|| now + member.about.rebalance_timeout);
        }
        next
    }
}

/// The topology that can run with the topics that there are.
fn validated(look: &Look) -> Option<i32> {
    look.configured.ready().map(|_| look.topology.epoch)
}

/// Whether the member has come to the epoch that it says; it may also be one behind where an answer was lost.
fn check_epoch(member: &Member, request: &Heartbeat) -> Result<(), Refused> {
    let Step::Continue(said) = request.step else { return Ok(()) };
    let is_last = || {
        member.previous_epoch == Some(said)
            && request.owned.as_ref().is_some_and(|owned| owned.is_within(&member.assigned))
    };
    let than = match member.epoch {
        Some(epoch) if said == epoch => return Ok(()),
        Some(epoch) if said < epoch && is_last() => return Ok(()),
        Some(epoch) if said < epoch => "smaller",
        Some(_) | None => "greater",
    };
    let known = member.epoch.map_or(AWAY, MemberEpoch::get);
    let message = format!(
        "The streams group member has a {than} member epoch ({said}) than the one known by the group coordinator \
         ({known}). The member must abandon all its partitions and rejoin."
    );
    Err(Refused::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
}

/// Refuses tasks that the topology does not have.
fn check_tasks(configured: &Configured, owned: Option<&Owned>) -> Result<(), Refused> {
    let Some((subtopologies, owned)) = configured.ready().zip(owned) else { return Ok(()) };
    let refuse = |message| Err(Refused::new(ErrorCode::INVALID_REQUEST, message));
    for (subtopology, index) in owned.each() {
        let Some(one) = subtopologies.get(subtopology) else {
            return refuse(format!("Subtopology {subtopology} does not exist in the topology."));
        };
        if !(0..one.tasks).contains(&index) {
            return refuse(format!(
                "Task {index} for subtopology {subtopology} is invalid. Number of tasks for this subtopology: {}",
                one.tasks
            ));
        }
    }
    Ok(())
}

fn stale(about: &About, topology: Option<&Topology>) -> Option<Status> {
    let (epoch, ours) = (about.topology_epoch.unwrap_or(-1), topology?.epoch);
    let detail =
        format!("The member's topology epoch {epoch} is behind the group's topology epoch {ours}.");
    (epoch < ours).then_some(Status { code: StatusCode::StaleTopology, detail })
}

fn shutdown(by: &str) -> Status {
    let detail = format!(
        "Streams group member {by} encountered a fatal error and requested a shutdown for the entire application."
    );
    Status { code: StatusCode::ShutdownApplication, detail }
}

fn missing_tags(about: &About, config: &StreamsConfig) -> Option<Status> {
    let required = config.assignment.rack_tags.iter();
    let missing: Vec<_> =
        required.filter(|tag| !about.client_tags.contains_key(*tag)).map(String::as_str).collect();
    let detail = format!(
        "Missing required client tags for rack-aware standby assignment: [{}]. Configure them via \
         'client.tag.<tagKey>' in your Streams config.",
        missing.join(", ")
    );
    (!missing.is_empty()).then_some(Status { code: StatusCode::MissingClientTags, detail })
}

fn broken() -> Refused {
    Refused::without_reason(ErrorCode::UNKNOWN_SERVER_ERROR)
}
