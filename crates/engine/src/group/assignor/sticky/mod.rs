//! The sticky assignors: shares as even as can be, with as few moves as can be (KIP-54, KIP-341, KIP-429, KIP-792).
//!
//! Both are Java's `AbstractStickyAssignor`: where all members want the same topics, [`constrained`] fills everybody
//! up to the same number; else [`general`] moves partitions for as long as that makes the shares more even. The
//! cooperative one then leaves out what another member still holds: it goes to nobody, its holder gives it up and
//! joins again, and the next assignment brings it to its new owner.

mod claims;
mod constrained;
mod general;
mod movements;
mod problem;
mod racks;
mod user_data;

use std::collections::{BTreeMap, BTreeSet};

use milena_types::TopicPartition;

use self::claims::Claims;
use self::problem::{Part, Problem};
use self::racks::RackInfo;
use super::{AssignmentStrategy, Layout, Member};

pub(crate) use user_data::UserData;

/// Shares out all partitions of `layout`; a cooperative strategy keeps back those that change hands.
pub(super) fn assign(
    strategy: AssignmentStrategy,
    members: &[Member],
    layout: &Layout,
) -> BTreeMap<String, BTreeSet<TopicPartition>> {
    let problem = Problem::new(members, layout);
    let racks = RackInfo::new(&problem, layout);
    let claims = Claims::new(&problem, strategy);
    let (shares, moving) = if problem.is_uniform() {
        constrained::assign(&problem, &racks, &claims)
    } else {
        let shares = general::assign(&problem, &racks, &claims);
        let moving = changing_hands(&problem, &shares);
        (shares, moving)
    };
    let mut given = BTreeMap::new();
    for (member, share) in problem.members.iter().zip(shares) {
        let share =
            share.into_iter().filter(|part| !strategy.is_cooperative() || !moving.contains(part));
        given.insert(member.id.clone(), share.map(|part| problem.partition(part)).collect());
    }
    given
}

/// What one member gets and another has to give up first.
fn changing_hands(problem: &Problem<'_>, shares: &[Vec<Part>]) -> BTreeSet<Part> {
    let (mut added, mut revoked) = (BTreeSet::new(), BTreeSet::new());
    for (member, share) in problem.members.iter().zip(shares) {
        let owned: BTreeSet<Part> = member.owned.iter().filter_map(|tp| problem.part(tp)).collect();
        let share: BTreeSet<Part> = share.iter().copied().collect();
        added.extend(share.difference(&owned));
        revoked.extend(owned.difference(&share));
    }
    added.intersection(&revoked).copied().collect()
}
