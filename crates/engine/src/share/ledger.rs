//! What was acquired, and how far each record is on its way from the broker's lock to its acknowledgement.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;

use milena_types::{NodeId, Offset, TopicPartition, Uuid};

use super::acknowledge::Acknowledge;
use super::runs::Runs;

/// Names what one answer brought of one partition.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AcquisitionId(pub(super) u64);

/// Whose lock it is: a broker, and the session there, which ends with everything it acquired.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Holder {
    pub(super) broker: NodeId,
    pub(super) session: u64,
}

/// Everything that is acquired.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    acquisitions: BTreeMap<AcquisitionId, Acquisition>,
    dealt: u64,
}

#[derive(Debug)]
struct Acquisition {
    holder: Holder,
    partition: TopicPartition,
    topic_id: Uuid,
    records: Runs<Standing>,
}

/// How one record stands, and when its lock runs out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Standing {
    phase: Phase,
    until: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Not handed out yet.
    Waiting,
    /// In the user's hand.
    InHand,
    /// To be told to the broker.
    Said(Acknowledge),
    /// On its way.
    Sent(Acknowledge),
    /// A renewal is on its way, and the user has said this since.
    SentThen(Acknowledge),
}

/// Acknowledgements of one acquisition on their way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) id: AcquisitionId,
    pub(super) partition: TopicPartition,
    pub(super) topic_id: Uuid,
    pub(super) batches: Vec<(RangeInclusive<i64>, Acknowledge)>,
}

impl Parcel {
    pub(super) fn renews(&self) -> bool {
        self.batches.iter().any(|(_, what)| *what == Acknowledge::Renew)
    }

    /// Its renewals, and the rest of it; either may be nothing.
    pub(super) fn part_renewals(self) -> (Self, Self) {
        let is_renewal = |one: &(_, Acknowledge)| one.1 == Acknowledge::Renew;
        let (renewals, others) = self.batches.iter().cloned().partition(is_renewal);
        (Self { batches: renewals, ..self.clone() }, Self { batches: others, ..self })
    }

    /// The offsets that the user, rather than the reader, said something about.
    pub(super) fn offsets(&self) -> Vec<RangeInclusive<Offset>> {
        let of_user = self.batches.iter().filter(|(_, what)| *what != Acknowledge::Gap);
        of_user.filter_map(|(range, _)| offsets(range)).collect()
    }
}

fn offsets(range: &RangeInclusive<i64>) -> Option<RangeInclusive<Offset>> {
    Some(Offset::new(*range.start())?..=Offset::new(*range.end())?)
}

/// What had been said of records that are gone.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) broker: NodeId,
    pub(super) partition: TopicPartition,
    pub(super) offsets: Vec<RangeInclusive<Offset>>,
}

/// What the broker made of a parcel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// It stands; a renewed lock lasts until then.
    Taken(Instant),
    /// To be said again.
    Again,
    /// It does not stand.
    Refused,
}

/// What is left to say of a parcel once its verdict is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Remainder {
    Nothing,
    /// What the user said while it was on its way.
    News,
    /// The same again, which the broker would not take yet.
    Again,
}

impl Ledger {
    pub(super) fn acquire(
        &mut self,
        holder: Holder,
        partition: TopicPartition,
        topic_id: Uuid,
        ranges: impl IntoIterator<Item = RangeInclusive<i64>>,
        until: Instant,
    ) -> AcquisitionId {
        self.dealt += 1;
        let id = AcquisitionId(self.dealt);
        let mut records = Runs::new();
        for range in ranges {
            records.insert(range, Standing { phase: Phase::Waiting, until });
        }
        self.acquisitions.insert(id, Acquisition { holder, partition, topic_id, records });
        id
    }

    pub(super) fn is_held(&self, id: AcquisitionId) -> bool {
        self.acquisitions.contains_key(&id)
    }

    /// Whether anything is acquired of this session.
    pub(super) fn holds(&self, holder: Holder) -> bool {
        self.acquisitions.values().any(|acquisition| acquisition.holder == holder)
    }

    /// When the record's lock runs out, which is from here on in the user's hand; `None` if it is no longer his to have.
    pub(super) fn hand_out(&mut self, id: AcquisitionId, offset: i64) -> Option<Instant> {
        let acquisition = self.acquisitions.get_mut(&id)?;
        let standing = acquisition.records.get(offset)?;
        if standing.phase != Phase::Waiting {
            return None;
        }
        acquisition.records.insert(offset..=offset, Standing { phase: Phase::InHand, ..standing });
        Some(standing.until)
    }

    /// Says `what` of records that were never handed out.
    pub(super) fn settle(
        &mut self,
        id: AcquisitionId,
        range: RangeInclusive<i64>,
        what: Acknowledge,
    ) -> bool {
        self.say(id, range, |phase| (phase == Phase::Waiting).then_some(Phase::Said(what)))
    }

    /// Takes the user's word about one record; false where the record is no longer his to decide.
    pub(super) fn acknowledge(
        &mut self,
        id: AcquisitionId,
        offset: i64,
        what: Acknowledge,
    ) -> bool {
        self.say(id, offset..=offset, |phase| match phase {
            Phase::InHand | Phase::Said(Acknowledge::Renew) => Some(Phase::Said(what)),
            Phase::Sent(Acknowledge::Renew) if what == Acknowledge::Renew => Some(phase),
            Phase::Sent(Acknowledge::Renew) => Some(Phase::SentThen(what)),
            Phase::Waiting | Phase::Said(_) | Phase::Sent(_) | Phase::SentThen(_) => None,
        })
    }

    fn say(
        &mut self,
        id: AcquisitionId,
        range: RangeInclusive<i64>,
        rule: impl Fn(Phase) -> Option<Phase>,
    ) -> bool {
        self.acquisitions.get_mut(&id).is_some_and(|acquisition| {
            acquisition.records.change(range, |standing| {
                Some(Standing { phase: rule(standing.phase)?, ..standing })
            })
        })
    }

    /// The partitions of which this session has something to say, and whether a renewal is among it.
    pub(super) fn pending(&self, holder: Holder) -> Vec<(Uuid, &TopicPartition, bool)> {
        let of_session = self.acquisitions.values().filter(|one| one.holder == holder);
        of_session
            .filter_map(|one| {
                let (mut any, mut renews) = (false, false);
                for (_, standing) in one.records.iter() {
                    any |= matches!(standing.phase, Phase::Said(_));
                    renews |= standing.phase == Phase::Said(Acknowledge::Renew);
                }
                any.then_some((one.topic_id, &one.partition, renews))
            })
            .collect()
    }

    /// Everything that this session has to say, which is on its way from here on.
    pub(super) fn take(&mut self, holder: Holder) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        for (id, acquisition) in &mut self.acquisitions {
            if acquisition.holder != holder {
                continue;
            }
            let said = |standing: Standing| match standing.phase {
                Phase::Said(what) => Some(what),
                Phase::Waiting | Phase::InHand | Phase::Sent(_) | Phase::SentThen(_) => None,
            };
            let mut batches: Vec<(RangeInclusive<i64>, Acknowledge)> = Vec::new();
            for (range, standing) in acquisition.records.iter() {
                let Some(what) = said(standing) else { continue };
                match batches.last_mut() {
                    // Locks that end at other times do not part what is said alike.
                    Some((before, same))
                        if *same == what && before.end().checked_add(1) == Some(*range.start()) =>
                    {
                        *before = *before.start()..=*range.end();
                    }
                    Some(_) | None => batches.push((range, what)),
                }
            }
            if batches.is_empty() {
                continue;
            }
            for (range, _) in &batches {
                acquisition.records.change(range.clone(), |standing| {
                    Some(Standing { phase: Phase::Sent(said(standing)?), ..standing })
                });
            }
            let (partition, topic_id) = (acquisition.partition.clone(), acquisition.topic_id);
            parcels.push(Parcel { id: *id, partition, topic_id, batches });
        }
        parcels
    }

    /// Takes in what became of a parcel.
    pub(super) fn resolve(&mut self, parcel: &Parcel, verdict: Verdict) -> Remainder {
        let Some(acquisition) = self.acquisitions.get_mut(&parcel.id) else {
            return Remainder::Nothing;
        };
        let mut remainder = Remainder::Nothing;
        for (range, what) in &parcel.batches {
            let renewal = *what == Acknowledge::Renew;
            if verdict != Verdict::Again && !renewal {
                acquisition.records.remove(range.clone());
                continue;
            }
            if verdict == Verdict::Again {
                remainder = Remainder::Again;
            }
            acquisition.records.change(range.clone(), |standing| {
                let phase = match (standing.phase, verdict) {
                    (Phase::SentThen(then), _) => {
                        remainder = remainder.max(Remainder::News);
                        Phase::Said(then)
                    }
                    (Phase::Sent(what), Verdict::Again) => Phase::Said(what),
                    // A refused renewal leaves the old lock, if there is one, to whatever the user says yet.
                    (Phase::Sent(_), Verdict::Taken(_) | Verdict::Refused) => Phase::InHand,
                    (Phase::Waiting | Phase::InHand | Phase::Said(_), _) => return None,
                };
                let until = match verdict {
                    Verdict::Taken(until) => until.max(standing.until),
                    Verdict::Again | Verdict::Refused => standing.until,
                };
                Some(Standing { phase, until })
            });
        }
        self.sweep(parcel.id);
        remainder
    }

    /// Forgets records whose lock has run out; gives what had been said of them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Lost> {
        self.drop_where(|_, standing| {
            let is_out = !matches!(standing.phase, Phase::Sent(_) | Phase::SentThen(_));
            standing.until <= now && is_out
        })
    }

    /// Forgets everything of a session that is over; gives what had been said and was not on its way.
    pub(super) fn end(&mut self, holder: Holder) -> Vec<Lost> {
        self.drop_where(|of, _| of == holder)
    }

    fn drop_where(&mut self, goes: impl Fn(Holder, Standing) -> bool) -> Vec<Lost> {
        let mut lost = Vec::new();
        for acquisition in self.acquisitions.values_mut() {
            let gone: Vec<_> = acquisition
                .records
                .iter()
                .filter(|(_, standing)| goes(acquisition.holder, *standing))
                .collect();
            let mut said = Vec::new();
            for (range, standing) in gone {
                if let Phase::Said(what) | Phase::SentThen(what) = standing.phase
                    && what != Acknowledge::Gap
                {
                    said.extend(offsets(&range));
                }
                acquisition.records.remove(range);
            }
            if !said.is_empty() {
                let (broker, partition) =
                    (acquisition.holder.broker, acquisition.partition.clone());
                lost.push(Lost { broker, partition, offsets: said });
            }
        }
        self.acquisitions.retain(|_, acquisition| !acquisition.records.is_empty());
        lost
    }

    /// When the first lock runs out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let all = self.acquisitions.values().flat_map(|one| one.records.iter());
        let waits = |phase| !matches!(phase, Phase::Sent(_) | Phase::SentThen(_));
        all.filter(|(_, standing)| waits(standing.phase)).map(|(_, standing)| standing.until).min()
    }

    fn sweep(&mut self, id: AcquisitionId) {
        if self.acquisitions.get(&id).is_some_and(|acquisition| acquisition.records.is_empty()) {
            self.acquisitions.remove(&id);
        }
    }
}
