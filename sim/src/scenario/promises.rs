//! What a world is held to, and in what time.

use std::time::Duration;

use milena_engine::producer::Acks;

use super::{ProducerPlan, SLOW, Scenario};
use crate::fault::{Api, Fault, Garbling, RULE_LASTS};
use crate::group::{Commits, GroupPlan, Strategy};
use crate::history::Promises;

impl Scenario {
    /// What the checker is to hold it to.
    pub fn promises(&self) -> Promises {
        let buffer = self.producers.iter().map(|plan| plan.buffer_bytes).max().unwrap_or_default();
        let wait = self.producers.iter().map(|plan| plan.delivery_timeout + plan.max_block).max();
        let is_there = |which: fn(&Fault) -> bool| self.is_there(which);
        let acknowledged = match self.acks {
            Acks::All => true,
            Acks::Leader => {
                !is_there(|fault| matches!(fault, Fault::Crash { .. } | Fault::Pause { .. }))
            }
            // A batch that is too large cannot be split where nobody says so.
            Acks::None => self.faults.is_empty() && self.message_bytes_max.is_none(),
        };
        let settles = self.group.as_ref().map(GroupPlan::settles);
        let records = self.producers.iter().map(ProducerPlan::records_in_all).sum();
        let shares = self.share.as_ref().map(|group| group.settles(records, self.round_trip()));
        let settles = settles.max(shares);
        let copies = self.copies().map(|plan| COPIES + 2 * plan.timeout).unwrap_or_default();
        let mut ids: Vec<&str> = self.transactions().map(|plan| plan.id.as_str()).collect();
        ids.sort_unstable();
        let rivals = ids.windows(2).any(|pair| matches!(pair, [one, other] if one == other));
        let one_at_a_time = self.producers.iter().all(|plan| plan.in_flight == 1);
        let denials = is_there(|fault| matches!(fault, Fault::Deny { .. }));
        let forbidden = is_there(|fault| {
            matches!(fault, Fault::Forbid { api: Api::Produce | Api::Metadata, .. })
        });
        // What was sent on a connection that is given up may arrive after what was sent on the next one.
        let stalls = is_there(|fault| {
            matches!(fault, Fault::Stall { .. } | Fault::Clog { .. } | Fault::Crawl { .. })
        }) || self.weather.latency.1 >= SLOW;
        let mut names: Vec<_> =
            self.members().filter_map(|(_, plan)| plan.instance.as_ref()).collect();
        names.sort_unstable();
        let reads_on = self.group.as_ref().is_some_and(|group| {
            matches!(group.strategy, Strategy::Consumer | Strategy::Cooperative)
        });
        let commits = self.group.as_ref().map(|group| group.commits);
        let strays = is_there(|fault| {
            matches!(fault, Fault::Flip { .. } | Fault::Garble { how: Garbling::Other, .. })
        });
        Promises {
            idempotent: self.idempotent,
            first_sequence: self.first_sequence,
            ordered: self.idempotent || (one_at_a_time && acknowledged),
            acknowledged,
            truthful: !denials,
            refusals: denials || rivals || forbidden,
            commits_in_order: !stalls,
            commits_what_is_done: matches!(commits, Some(Commits::Auto(_))),
            knows_its_session: self.faults.is_empty() || !reads_on,
            fenced_members: names.windows(2).any(|pair| pair.first() == pair.last()),
            even_shares: true,
            read_committed: self.read_committed,
            copies_once: self.copies().is_some()
                && !denials
                // Under the first protocol what a transaction sent late may arrive in the next one (KIP-890).
                && (!stalls || (self.transaction_version == 2 && !is_there(|fault| matches!(fault, Fault::TransactionVersion { .. })))),
            rivals,
            bytes_arrive_whole: !strays,
            counts_every_delivery: !is_there(|fault| {
                matches!(
                    fault,
                    Fault::ApplyThenDrop { api: Api::ShareFetch, .. }
                        | Fault::Garble { api: Api::ShareFetch, .. }
                        | Fault::Pause { .. }
                )
            }),
            records_arrive_whole: !is_there(|fault| matches!(fault, Fault::Damage { .. })),
            splits: self.message_bytes_max.is_some(),
            buffer_memory: buffer as u64,
            fetched_memory: self.fetched_memory(),
            in_flight: 5,
            faultless: self.faults.is_empty(),
            healed: self.healed(),
            ample: self.ample(),
            // What was sent just before the end of the faults may still take its time to be given up.
            calm: CALM
                + wait.unwrap_or_default()
                + self.work()
                + settles.unwrap_or_default()
                + copies,
            spin: (5_000, 2_000),
        }
    }

    /// The budget of a consumer, of which no broker's share is too small for a few answers; and of each broker a batch that
    /// began within its share. What a poll decompresses has a limit of its own, which is more than a world holds.
    fn fetched_memory(&self) -> u64 {
        let batch = self.producers.iter().map(|plan| plan.batch_bytes + plan.value_bytes_max).max();
        let each = SHARE_BYTES_MIN + batch.unwrap_or_default();
        let brokers = usize::try_from(self.nodes).unwrap_or(1);
        self.fetched_bytes.unwrap_or(FETCHED_BYTES).max(brokers * each) as u64
    }

    /// How long takes what is left to do when nothing stands in its way any more, one thing after the other:
    /// transactions, each with some round trips; what waits in a producer's buffer; and all that is to be read, at
    /// worst from the start.
    fn work(&self) -> Duration {
        let transactions = self.producers.iter().filter_map(|plan| {
            let each = plan.transaction.as_ref()?.records.max(1);
            u32::try_from(plan.records / each + 2).ok()
        });
        let transactions = self.weather.latency.1 * ROUNDS * transactions.max().unwrap_or_default();
        transactions + self.drains() + self.reads()
    }

    /// A round trip at its longest: brokers answer at once, and what is torn arrives no later than its last segment.
    fn round_trip(&self) -> Duration {
        self.weather.latency.1 * 2
    }

    /// How long the fullest queue takes at worst: each record in a batch of its own, as many in flight as may be. A batch
    /// that is too large is refused before its parts are taken: there are fewer such than records.
    fn drains(&self) -> Duration {
        let rounds = self.producers.iter().map(|plan| {
            let in_flight = u32::try_from(plan.in_flight).unwrap_or(u32::MAX).max(1);
            plan.records_in_all().div_ceil(in_flight)
        });
        let requests = if self.message_bytes_max.is_some() { 2 } else { 1 };
        self.round_trip() * rounds.max().unwrap_or_default() * requests
    }

    /// How long it takes at worst to read all there is, where a reader wants so few bytes that an answer brings one batch,
    /// of one record or one marker.
    fn reads(&self) -> Duration {
        let readers = self.consumers.iter().map(|plan| plan.partition_bytes);
        let members = self.members().map(|(_, plan)| plan.partition_bytes);
        if readers.chain(members).all(|bytes| bytes > 1) {
            return Duration::ZERO;
        }
        let batches = self.producers.iter().map(|plan| {
            let markers = if plan.transaction.is_some() { 2 } else { 1 };
            plan.records_in_all() * markers
        });
        self.round_trip() * batches.sum()
    }

    /// In what time a record is stored where nothing stands in its way: its producer connects and learns of the topic,
    /// or recovers, and then sends what may have come before.
    fn ample(&self) -> Duration {
        HEALS.max(SETTLES + self.drains())
    }

    /// When nothing stands in the way of a record any more.
    pub fn healed(&self) -> Duration {
        let last = self.faults.iter().map(|timed| timed.at + timed.fault.lasts()).max();
        // A rule strikes late, and a request that is never answered is given up later still.
        let timeout = self.producers.iter().map(|plan| plan.request_timeout).max();
        // What a client left open is aborted by time.
        let open = self.transactions().map(|plan| plan.timeout);
        let open = open.chain(self.copies().map(|plan| plan.timeout)).max().unwrap_or_default();
        match last {
            Some(last) => last + RULE_LASTS + timeout.unwrap_or_default() + open + self.ample(),
            None => SETTLES,
        }
    }
}

impl ProducerPlan {
    /// Its records, and those of the transaction that comes when all is well.
    fn records_in_all(&self) -> u32 {
        let last = self.transaction.as_ref().map_or(0, |plan| plan.records);
        u32::try_from(self.records + last).unwrap_or(u32::MAX)
    }
}

/// What a consumer may hold of what it fetched, unless it is told otherwise.
const FETCHED_BYTES: usize = 16 << 20;

/// What a consumer may hold of one broker's answers, however small its budget is.
const SHARE_BYTES_MIN: usize = 128 << 10;

/// After the last fault: reconnects, elections and a few retries. A record that has this long is sent in time, unless the
/// network is too slow for those before it.
const HEALS: Duration = Duration::from_secs(30);

/// Where nothing goes wrong: connecting and learning of the topic, over the slowest network.
const SETTLES: Duration = Duration::from_secs(5);

/// Enrolment, records, offsets, their end: there and back.
const ROUNDS: u32 = 12;

/// How long takes what members are still to copy, some hundred records at worst one by one.
const COPIES: Duration = Duration::from_secs(60);

/// How long after the last fault a world may take to come to rest.
const CALM: Duration = Duration::from_secs(60);
