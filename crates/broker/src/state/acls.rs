//! Changes of the rules about who may do what.

use milena_types::ErrorCode;

use super::{Refused, State};
use crate::acl::Acl;
use crate::store::Entry;

impl State {
    /// Adds a rule; one that is there already is left as it is.
    pub(crate) fn add_acl(&mut self, acl: Acl) -> Result<(), Refused> {
        if self.acls.len() >= ACLS_MAX {
            return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
        }
        if self.acls.add(acl.clone()) {
            self.note(Entry::Acl(acl));
        }
        Ok(())
    }

    /// Removes a rule; false if there is none.
    pub(crate) fn remove_acl(&mut self, acl: &Acl) -> bool {
        let was_there = self.acls.remove(acl);
        if was_there {
            self.note(Entry::AclGone(acl.clone()));
        }
        was_there
    }
}

/// How many rules there may be (Kafka: no limit).
const ACLS_MAX: usize = 10_000;
