//! Changes of the rules about who may do what.

use milena_types::ErrorCode;

use super::{Refused, State};
use crate::acl::{Acl, CLUSTER_NAME, ResourceType};
use crate::store::Entry;

impl State {
    /// Adds a rule; one that is there already is left as it is.
    pub(crate) fn add_acl(&mut self, acl: Acl) -> Result<(), Refused> {
        check(&acl)?;
        if self.acls.contains(&acl) {
            return Ok(());
        }
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

/// Refuses a name that nothing of its kind may have; `None` is a kind that is unknown.
pub(crate) fn check_name(kind: Option<ResourceType>, name: &str) -> Result<(), Refused> {
    if kind == Some(ResourceType::Cluster) && name != CLUSTER_NAME {
        return Err(invalid(format!(
            "The only valid name for the CLUSTER resource is {CLUSTER_NAME}"
        )));
    }
    if name.is_empty() {
        return Err(invalid("Invalid empty resource name".to_owned()));
    }
    Ok(())
}

fn check(acl: &Acl) -> Result<(), Refused> {
    let Acl { resource, principal, host, .. } = acl;
    check_name(Some(resource.kind), &resource.name)?;
    if !principal.contains(':') {
        return Err(invalid(format!(
            "Could not parse principal from `{principal}` (no colon is present separating the principal type from the \
             principal name)"
        )));
    }
    let texts = [("resource name", &resource.name), ("principal", principal), ("host", host)];
    match texts.iter().find(|(_, text)| text.len() > TEXT_BYTES_MAX) {
        Some((what, _)) => {
            Err(invalid(format!("The {what} is longer than {TEXT_BYTES_MAX} bytes")))
        }
        None => Ok(()),
    }
}

fn invalid(why: String) -> Refused {
    Refused::new(ErrorCode::INVALID_REQUEST, why)
}

/// How many rules there may be (Kafka: no limit).
pub(crate) const ACLS_MAX: usize = 10_000;

/// What older versions of DescribeAcls can tell.
const TEXT_BYTES_MAX: usize = 32_767;
