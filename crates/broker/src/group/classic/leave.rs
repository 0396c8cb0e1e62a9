//! LeaveGroup: members go, of their own will or removed by an administrator.

use std::time::Instant;

use milena_types::ErrorCode;

use super::group::ClassicGroup;

/// One member that leaves; a static one may be named by its instance id alone.
#[derive(Clone, Debug)]
pub(crate) struct LeaveRequest {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl ClassicGroup {
    /// Takes one member out.
    pub(crate) fn leave(&mut self, now: Instant, request: &LeaveRequest) -> ErrorCode {
        let id = match &request.instance_id {
            None if self.pending.remove(&request.member_id).is_some() => {
                self.try_complete_join(now);
                return ErrorCode::NONE;
            }
            None => &request.member_id,
            Some(instance_id) => match self.statics.get(instance_id) {
                None => return ErrorCode::UNKNOWN_MEMBER_ID,
                Some(holder) if !request.member_id.is_empty() && *holder != request.member_id => {
                    return ErrorCode::FENCED_INSTANCE_ID;
                }
                Some(holder) => holder,
            },
        };
        if !self.members.contains_key(id) {
            return ErrorCode::UNKNOWN_MEMBER_ID;
        }
        let id = id.clone();
        self.remove(now, &id, ErrorCode::UNKNOWN_MEMBER_ID);
        ErrorCode::NONE
    }
}
