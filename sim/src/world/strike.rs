//! Faults as they strike and pass.

use std::time::Duration;

use bytes::Bytes;
use milena_broker::{Condition, FaultId, FaultRule, on};
use milena_types::{ApiKey, ErrorCode, NodeId, Offset, TopicPartition};

use super::{End, TOPIC, World};
use crate::fault::{Api, Fault, Garbling, RULE_LASTS};
use crate::history::{Call, Send};
use crate::host::{Host, User};
use crate::network::{LinkId, Side, Weather};

/// What ends a fault that lasts.
#[derive(Debug, PartialEq)]
pub enum Relief {
    /// The node takes connections.
    Accept(NodeId),
    /// The node is seen.
    Show(NodeId),
    /// A client and a node hear each other.
    Hear(usize, NodeId, Side),
    /// The weather is as it was.
    Weather,
    /// The node runs again.
    Restart(NodeId),
    /// The node goes on.
    Resume(NodeId),
    /// No answer of the node is lost any more.
    Answer(NodeId),
    /// No record from the node, or to it, is damaged any more.
    Damage(NodeId, Side),
    /// No answer of this kind is broken any more.
    Spoil(ApiKey),
    /// The node tells what is.
    Stale(NodeId),
    /// A client writes to a node again.
    Unclog(usize, NodeId),
    /// The node knows all versions of an API again.
    Renew(NodeId, ApiKey),
    /// A node comes to a request whose connection is gone.
    Carried(NodeId, Bytes),
    /// Metadata knows the topic again.
    Present,
    /// No request of this kind is held up any more.
    HoldUp(ApiKey),
    /// A rule that did not use up its count.
    Rule(FaultId),
}

impl World {
    /// Begins the faults and ends those whose time is over.
    pub(super) fn strike_what_is_due(&mut self) {
        let now = self.clock.elapsed();
        while self.faults.front().is_some_and(|timed| timed.at <= now)
            && let Some(timed) = self.faults.pop_front()
        {
            self.say(|| format!("fault {:?}", timed.fault));
            self.strike(timed.fault);
            self.note_shares();
        }
        let mut due = Vec::new();
        self.reliefs.retain_mut(|(at, relief)| {
            if *at > now {
                return true;
            }
            due.push(std::mem::replace(relief, Relief::Weather));
            false
        });
        for relief in due {
            self.say(|| format!("relief {relief:?}"));
            self.relieve(relief);
            self.note_shares();
        }
    }

    fn strike(&mut self, fault: Fault) {
        let at = self.clock.elapsed();
        let now = self.clock.now();
        let lasts = fault.lasts();
        let node = NodeId::new;
        let relief = match fault {
            Fault::Refuse { node: n, .. } => {
                self.network.refuse(node(n), true);
                Relief::Accept(node(n))
            }
            Fault::Hide { node: n, .. } => {
                self.network.hide(node(n), true);
                Relief::Show(node(n))
            }
            Fault::Reset { node: n } => return self.network.reset_node(at, node(n)),
            Fault::Cut { node: n, from_broker, bytes } => {
                return self.network.cut_after(node(n), side(from_broker), bytes);
            }
            Fault::Flip { node: n, from_broker, bytes } => {
                return self.network.flip_after(node(n), side(from_broker), bytes);
            }
            Fault::Damage { node: n, from_broker, count } => {
                let (node, side) = (node(n), side(from_broker));
                self.tamper.damage_next(node, side, count);
                return self.relieve_later(Relief::Damage(node, side));
            }
            Fault::Stale { node: n, .. } => {
                self.tamper.hold_back(node(n));
                Relief::Stale(node(n))
            }
            Fault::Absent { count } => {
                self.tamper.leave_out_next(count);
                return self.relieve_later(Relief::Present);
            }
            Fault::Recreate => return self.recreate(),
            Fault::Deny { api, code, count } => {
                return self.rule(first(api, count).error(ErrorCode::from_wire(code)));
            }
            Fault::Forbid { api, code, count } => {
                return self.rule(first(api, count).error(ErrorCode::from_wire(code)));
            }
            Fault::Freeze { client, lasts } => return self.freeze(client, at + lasts),
            Fault::MoveGroups => return self.move_coordinators(OFFSETS),
            Fault::AddPartitions { count } => return self.add_partitions(count),
            Fault::Reap { node: n } => return self.reap(node(n)),
            Fault::Clog { client, node: n, .. } => {
                self.network.clog(client, node(n), true);
                Relief::Unclog(client, node(n))
            }
            Fault::DeleteRecords { partition, percent } => {
                return self.delete_records(partition, percent);
            }
            Fault::LoseRecords { partition, count } => return self.lose_records(partition, count),
            Fault::Withdraw { node: n, api, version, .. } => {
                self.tamper.withdraw(node(n), key(api), version);
                self.network.reset_node(at, node(n));
                Relief::Renew(node(n), key(api))
            }
            Fault::ForgetOffsets => return self.forget_offsets(),
            Fault::Jump { seconds } => return self.clock.skew(seconds * 1_000),
            Fault::TransactionVersion { level } => {
                return self.cluster.set_transaction_version(level);
            }
            Fault::Die { client, lasts } => return self.kill(client, at + lasts),
            Fault::MoveCoordinator => return self.move_coordinators(TRANSACTIONS),
            Fault::Silence { client, node: n, from_broker, .. } => {
                self.network.silence(client, node(n), side(from_broker), true);
                Relief::Hear(client, node(n), side(from_broker))
            }
            Fault::Stall { client, node: n, lasts } => {
                return self.network.stall(client, node(n), at + lasts);
            }
            Fault::Crawl { .. } => {
                let latency = (Duration::from_millis(20), Duration::from_millis(400));
                self.network.change_weather(Weather { latency, segment_bytes: 24 });
                Relief::Weather
            }
            Fault::ApplyThenDrop { api, count } => {
                return self.rule(first(api, count).apply_then_drop());
            }
            Fault::Hang { api, count } => return self.rule(first(api, count).hang()),
            Fault::Delay { api, count, by } => {
                return self.rule(first(api, count).delay_answer(by));
            }
            Fault::Late { api, count, by } => {
                self.tamper.hold_up_next(key(api), by, count);
                return self.relieve_later(Relief::HoldUp(key(api)));
            }
            Fault::Garble { api, count, how: Garbling::CorrelationId } => {
                return self.rule(first(api, count).wrong_correlation());
            }
            Fault::Garble { api, count, how: Garbling::Half } => {
                return self.rule(first(api, count).truncate());
            }
            Fault::Garble { api, count, how } => {
                self.tamper.spoil_next(key(api), how, count);
                return self.relieve_later(Relief::Spoil(key(api)));
            }
            Fault::Error { api, count, code, applied } => {
                let code = ErrorCode::from_wire(code);
                let condition = first(api, count);
                let rule =
                    if applied { condition.apply_then_error(code) } else { condition.error(code) };
                return self.rule(rule);
            }
            Fault::Swallow { node: n, count } => {
                self.swallowed.insert(node(n), count);
                return self.relieve_later(Relief::Answer(node(n)));
            }
            Fault::Throttle { api, count, by } => {
                return self.rule(first(api, count).throttle(by));
            }
            Fault::MoveLeader { partition } => {
                let tp = TopicPartition::new(TOPIC, partition);
                let to = node(self.rng.i32(1..=self.scenario.nodes));
                self.cluster.move_leader(now, &tp, to);
                return;
            }
            Fault::Crash { node: n, .. } => {
                self.cluster.crash_node(now, node(n));
                self.network.reset_node(at, node(n));
                self.network.refuse(node(n), true);
                Relief::Restart(node(n))
            }
            Fault::Pause { node: n, .. } => {
                self.cluster.pause_node(now, node(n));
                Relief::Resume(node(n))
            }
        };
        self.reliefs.push((at + lasts, relief));
    }

    fn relieve(&mut self, relief: Relief) {
        let now = self.clock.now();
        match relief {
            Relief::Accept(node) => self.network.refuse(node, false),
            Relief::Show(node) => self.network.hide(node, false),
            Relief::Hear(client, node, side) => self.network.silence(client, node, side, false),
            Relief::Weather => self.network.change_weather(self.scenario.weather.clone()),
            Relief::Restart(node) => {
                self.network.refuse(node, false);
                self.cluster.restart_node(now, node);
                self.note_commits();
            }
            Relief::Resume(node) => {
                self.cluster.resume_node(now, node);
                self.note_commits();
            }
            Relief::Answer(node) => {
                self.swallowed.remove(&node);
            }
            Relief::Damage(node, side) => self.tamper.damage_next(node, side, 0),
            Relief::Spoil(api) => self.tamper.spoil_no_more(api),
            Relief::Stale(node) => self.tamper.let_go(node),
            Relief::Unclog(client, node) => {
                self.network.clog(client, node, false);
                self.hosts.iter_mut().for_each(Host::stir);
            }
            Relief::Renew(node, api) => {
                self.tamper.renew(node, api);
                self.network.reset_node(self.clock.elapsed(), node);
            }
            Relief::Carried(node, frame) => self.carry_out(node, frame),
            Relief::Present => self.tamper.leave_out_next(0),
            Relief::HoldUp(api) => self.tamper.hold_up_no_more(api),
            Relief::Rule(id) => {
                self.cluster.remove_fault(id);
            }
        }
    }

    /// Whether a request is to be carried out late: then its connection is silent from here on.
    pub(super) fn is_held_up(&mut self, link: LinkId, frame: &Bytes) -> bool {
        let Some((_, node)) = self.network.ends(link) else { return false };
        let Some(by) = self.tamper.holds_up(frame) else { return false };
        self.say(|| format!("a request on link {} is held up for {by:?}", link.0));
        self.forget(link);
        self.reliefs.push((self.clock.elapsed() + by, Relief::Carried(node, frame.clone())));
        true
    }

    /// The node carries out a request that nobody waits for.
    fn carry_out(&mut self, node: NodeId, frame: Bytes) {
        let now = self.clock.now();
        // A node that is down has lost it.
        if let Ok(connection) = self.cluster.open(now, node) {
            self.cluster.handle(now, connection, frame);
            self.note_commits();
        }
    }

    /// The topic ends and begins again; whoever reads it hears of that, and begins anew too.
    fn recreate(&mut self) {
        if self.is_a_node_down() {
            // There are too few nodes for its replicas: it would be deleted only.
            return;
        }
        self.end_life();
        self.history.recreated.push(self.clock.elapsed());
        self.cluster.recreate_topic(self.clock.now(), TOPIC);
        for host in &mut self.hosts {
            if let User::Consumer(consumer) = host.user_mut() {
                let later = Duration::from_millis(self.rng.u64(1..3_000));
                consumer.rewind_at(self.clock.elapsed() + later);
            }
        }
    }

    pub(super) fn is_a_node_down(&self) -> bool {
        let is_down = |relief: &Relief| matches!(relief, Relief::Restart(_) | Relief::Resume(_));
        self.reliefs.iter().any(|(_, relief)| is_down(relief))
    }

    /// What strikes the next so many ends after a while, and no sooner for one that began before it.
    fn relieve_later(&mut self, relief: Relief) {
        self.reliefs.retain(|(_, earlier)| *earlier != relief);
        self.reliefs.push((self.clock.elapsed() + RULE_LASTS, relief));
    }

    /// The client's process ends; what takes its place acts from `returns` on.
    fn kill(&mut self, client: usize, returns: Duration) {
        if !self.hosts.get(client).is_some_and(|host| !matches!(host.user(), User::Consumer(_))) {
            return;
        }
        self.network.reset_client(self.clock.elapsed(), client);
        let mut host = self.hosts.remove(client);
        let rng = host.rng();
        let user = match host.into_user() {
            User::Producer(old) => {
                let new = old.die(&self.clock, &mut self.history, &self.scenario, returns);
                User::Producer(Box::new(new))
            }
            User::Member(mut member) => {
                member.die(&self.clock, &mut self.history, returns);
                User::Member(member)
            }
            User::Sharer(mut sharer) => {
                sharer.die(&self.clock, &mut self.history, returns);
                User::Sharer(sharer)
            }
            User::Consumer(consumer) => User::Consumer(consumer),
        };
        let place = (client, self.scenario.nodes);
        let max_age = self.scenario.metadata_max_age();
        let host = Host::new(place, max_age, self.clock.now(), rng, user);
        self.hosts.insert(client, host);
    }

    /// The process of a member stands still; what it has called takes that much longer.
    fn freeze(&mut self, client: usize, until: Duration) {
        let Some(host) = self.hosts.get_mut(client) else { return };
        if !matches!(host.user(), User::Member(_) | User::Sharer(_)) {
            return;
        }
        host.freeze(until);
        let lasts = until.saturating_sub(self.clock.elapsed());
        let is_open = |call: &&mut Call| call.client == client && call.returned.is_none();
        for call in self.history.calls.iter_mut().filter(is_open) {
            call.deadline += lasts;
        }
        let is_open = |send: &&mut Send| send.producer == client && send.returned.is_empty();
        for send in self.history.sends.iter_mut().filter(is_open) {
            send.deadline += lasts;
        }
    }

    fn add_partitions(&mut self, count: i32) {
        let now = self.clock.now();
        let before = self.cluster.topics().get(TOPIC).copied().unwrap_or_default();
        let after = i32::try_from(before).unwrap_or(i32::MAX).saturating_add(count);
        // Too many, or brokers that are down: then there are none.
        let _ = self.cluster.add_partitions(now, TOPIC, after);
    }

    fn reap(&mut self, node: NodeId) {
        let is_idle = |(link, end): (&LinkId, &End)| {
            let is_its = self.network.ends(*link).is_some_and(|(_, at)| at == node);
            (is_its && end.unanswered.is_empty()).then_some(*link)
        };
        let idle: Vec<LinkId> = self.ends.iter().filter_map(is_idle).collect();
        for link in idle {
            self.forget(link);
            self.network.close(self.clock.elapsed(), link, Side::Broker);
        }
    }

    fn delete_records(&mut self, partition: i32, percent: i64) {
        let tp = TopicPartition::new(TOPIC, partition);
        let Some(view) = self.cluster.partition(&tp) else { return };
        let (start, end) = (view.log_start_offset.get(), view.high_watermark.get());
        let Some(to) = Offset::new(start + (end - start) * percent / 100) else { return };
        let before = self.log(&tp);
        let Some(start) = self.cluster.delete_records(self.clock.now(), &tp, to) else { return };
        let gone = before.into_iter().filter(|(offset, _)| *offset < start);
        self.deleted.entry(tp.clone()).or_default().extend(gone);
        self.history.deleted.entry(tp).or_default().push((self.clock.elapsed(), start));
    }

    fn lose_records(&mut self, partition: i32, count: i64) {
        let tp = TopicPartition::new(TOPIC, partition);
        let Some(view) = self.cluster.partition(&tp) else { return };
        let end = Offset::new(view.log_end_offset.get() - count).unwrap_or(Offset::ZERO);
        self.cluster.truncate_log(self.clock.now(), &tp, end);
    }

    /// Whoever leads a partition of `topic` coordinates what belongs there.
    fn move_coordinators(&mut self, topic: &str) {
        let to = NodeId::new(self.rng.i32(1..=self.scenario.nodes));
        let partitions = self.cluster.topics().get(topic).copied().unwrap_or_default();
        for partition in 0..i32::try_from(partitions).unwrap_or_default() {
            let tp = TopicPartition::new(topic, partition);
            self.cluster.move_leader(self.clock.now(), &tp, to);
        }
    }

    fn rule(&mut self, rule: FaultRule) {
        let id = self.cluster.add_fault(rule);
        self.reliefs.push((self.clock.elapsed() + RULE_LASTS, Relief::Rule(id)));
    }
}

fn first(api: Api, count: u32) -> Condition {
    on(key(api)).first(u64::from(count))
}

fn key(api: Api) -> ApiKey {
    match api {
        Api::Produce => ApiKey::PRODUCE,
        Api::Fetch => ApiKey::FETCH,
        Api::Metadata => ApiKey::METADATA,
        Api::InitProducerId => ApiKey::INIT_PRODUCER_ID,
        Api::ListOffsets => ApiKey::LIST_OFFSETS,
        Api::ApiVersions => ApiKey::API_VERSIONS,
        Api::FindCoordinator => ApiKey::FIND_COORDINATOR,
        Api::AddPartitionsToTxn => ApiKey::ADD_PARTITIONS_TO_TXN,
        Api::AddOffsetsToTxn => ApiKey::ADD_OFFSETS_TO_TXN,
        Api::TxnOffsetCommit => ApiKey::TXN_OFFSET_COMMIT,
        Api::EndTxn => ApiKey::END_TXN,
        Api::JoinGroup => ApiKey::JOIN_GROUP,
        Api::SyncGroup => ApiKey::SYNC_GROUP,
        Api::Heartbeat => ApiKey::HEARTBEAT,
        Api::LeaveGroup => ApiKey::LEAVE_GROUP,
        Api::OffsetCommit => ApiKey::OFFSET_COMMIT,
        Api::OffsetFetch => ApiKey::OFFSET_FETCH,
        Api::ConsumerGroupHeartbeat => ApiKey::CONSUMER_GROUP_HEARTBEAT,
        Api::OffsetForLeaderEpoch => ApiKey::OFFSET_FOR_LEADER_EPOCH,
        Api::ShareFetch => ApiKey::SHARE_FETCH,
        Api::ShareAcknowledge => ApiKey::SHARE_ACKNOWLEDGE,
        Api::ShareGroupHeartbeat => ApiKey::SHARE_GROUP_HEARTBEAT,
    }
}

fn side(from_broker: bool) -> Side {
    if from_broker { Side::Broker } else { Side::Client }
}

/// Where transactional ids belong.
const TRANSACTIONS: &str = "__transaction_state";

/// Where groups belong.
const OFFSETS: &str = "__consumer_offsets";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Cast, Scenario};

    /// Else the relief of the first would end the second before its time.
    #[test]
    fn what_strikes_again_lasts_as_long_again() {
        let mut world = World::new(Scenario::draw(1, Cast::Plain), false);
        let by = Duration::from_secs(1);
        let strike = |world: &mut World| {
            world.strike(Fault::Absent { count: 1 });
            world.strike(Fault::Late { api: Api::EndTxn, count: 1, by });
        };
        strike(&mut world);
        world.clock.advance_to(RULE_LASTS / 2);
        strike(&mut world);
        let ends = RULE_LASTS + RULE_LASTS / 2;
        let reliefs = [(ends, Relief::Present), (ends, Relief::HoldUp(ApiKey::END_TXN))];
        assert_eq!(world.reliefs, reliefs);
    }
}
