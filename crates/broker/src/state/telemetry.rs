//! Changes of subscriptions to clients' metrics, and who asks for them.

use std::collections::BTreeMap;

use milena_types::{ErrorCode, Uuid};

use super::{Refused, State};
use crate::api::Call;
use crate::store::Entry;
use crate::telemetry::{Attribute, Attributes, Instance, Subscription};

impl State {
    /// Sets all that is configured of a subscription, or only sees whether it could be; what comes to nothing removes it.
    pub(crate) fn set_subscription(
        &mut self,
        name: &str,
        set: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refused> {
        let known = self.subscriptions.get(name);
        if known.map_or(set.is_empty(), |known| *known.set() == set) {
            // What is as it was is no news for clients.
            return Ok(());
        }
        if known.is_none() && self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(Refused::without_reason(ErrorCode::POLICY_VIOLATION));
        }
        let subscription = Subscription::new(set)?;
        if !validate_only {
            let set = subscription.set().clone();
            self.subscriptions.set(name, subscription);
            self.note(Entry::Subscription(name.to_owned(), set));
        }
        Ok(())
    }

    /// The client that calls, as its node knows it by this id.
    pub(crate) fn telemetry_client(&mut self, call: &Call<'_>, id: Uuid) -> Option<&mut Instance> {
        let Self { nodes, subscriptions, .. } = self;
        let node = nodes.get_mut(call.node)?;
        let attributes = || {
            let (name, version) = call.software;
            Attributes::new([
                (Attribute::InstanceId, &*id.to_string()),
                (Attribute::ClientId, call.client_id),
                (Attribute::SoftwareName, name),
                (Attribute::SoftwareVersion, version),
                (Attribute::Address, call.host),
            ])
        };
        Some(node.telemetry.find(call.now, id, call.connection, attributes, subscriptions))
    }
}

/// How many subscriptions there may be (Kafka: no limit).
const SUBSCRIPTIONS_MAX: usize = 100;
