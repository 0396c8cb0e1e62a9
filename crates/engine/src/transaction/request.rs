//! The requests of transactions.

use milena_types::NodeId;
use milena_wire::ByteString;
use milena_wire::messages::{AddOffsetsToTxnRequest, EndTxnRequest, InitProducerIdRequest};

use super::end::TransactionOutcome;
use super::machine::{Asked, Begun, Transactions};
use super::version::TransactionVersion;
use crate::request::{Lane, Outbound, RequestId, Target};

/// What a coordinator is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// For a producer id and epoch, or a new epoch (InitProducerId).
    Init,
    /// To enrol partitions (AddPartitionsToTxn).
    Partitions,
    /// To enrol a group (AddOffsetsToTxn).
    Group,
    /// To take offsets, which is for the group's coordinator (TxnOffsetCommit).
    Offsets,
    /// To commit or abort (EndTxn).
    End,
}

impl Transactions {
    /// Makes the request for `what` to `node`, and notes that it is under way.
    pub(super) fn request(&mut self, what: What, id: RequestId, node: NodeId) -> Option<Outbound> {
        let body = match what {
            What::Init => self.init().into(),
            What::Partitions => self.enrollment.request(&self.id, self.identity?).into(),
            What::Group => self.add_group()?.into(),
            What::Offsets => self.offsets.first()?.request(&self.id, self.identity?).into(),
            What::End => self.end_txn()?.into(),
        };
        let timeout = self.settings.request_timeout;
        let mut request: Outbound =
            Outbound::new(id, Target::Broker(node), Lane::Control, timeout, body);
        match what {
            // No other version asks for it, and brokers speak that one only where unstable ones are switched on.
            What::Init if self.settings.is_two_phase => request.version_min = 6,
            What::Init => request.version_max = 5,
            // From version 4 on it is the brokers' own.
            What::Partitions => request.version_max = 3,
            What::Group | What::End => {}
            What::Offsets => {
                // From version 6 on topics go by id only.
                request.version_max = 5;
                // Without it the coordinator could not tell a zombie from a member (KIP-447).
                let of_member = self.offsets.first()?.group.generation.is_some();
                request.version_min = if of_member { 3 } else { 0 };
            }
        }
        self.version.bound(&mut request);
        self.asked = Some(Asked { id, what, node, begun_before: self.begun });
        match what {
            What::Init => {}
            What::Partitions | What::Group => self.begun = self.begun.max(Begun::Maybe),
            What::Offsets if self.version == TransactionVersion::Two => {
                self.begun = self.begun.max(Begun::Maybe);
            }
            What::Offsets => {}
            What::End => self.end.is_sent = true,
        }
        Some(request)
    }

    /// With an identity it asks for a new epoch, and proves that nobody else has taken over (KIP-360).
    fn init(&self) -> InitProducerIdRequest {
        let timeout = self.settings.timeout.as_millis();
        let request = InitProducerIdRequest {
            transactional_id: Some(self.id.clone()),
            transaction_timeout_ms: i32::try_from(timeout).unwrap_or(i32::MAX),
            enable2_pc: self.settings.is_two_phase,
            ..InitProducerIdRequest::default()
        };
        match self.identity {
            Some(identity) => InitProducerIdRequest {
                producer_id: identity.producer_id.get(),
                producer_epoch: identity.epoch.get(),
                ..request
            },
            None => request,
        }
    }

    fn add_group(&self) -> Option<AddOffsetsToTxnRequest> {
        let identity = self.identity?;
        Some(AddOffsetsToTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: identity.producer_id.get(),
            producer_epoch: identity.epoch.get(),
            group_id: ByteString::from(&*self.offsets.first()?.group.group_id),
        })
    }

    fn end_txn(&self) -> Option<EndTxnRequest> {
        let identity = self.identity?;
        Some(EndTxnRequest {
            transactional_id: self.id.clone(),
            producer_id: identity.producer_id.get(),
            producer_epoch: identity.epoch.get(),
            committed: self.end.outcome == TransactionOutcome::Committed,
        })
    }
}
