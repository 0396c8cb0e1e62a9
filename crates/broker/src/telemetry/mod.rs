//! What clients are asked to tell of themselves, and who was asked (KIP-714).

mod instance;
mod instances;
mod subscription;
mod subscriptions;

pub(crate) use instance::{Attributes, Instance, Push};
pub(crate) use instances::Instances;
pub(crate) use subscription::{Attribute, Subscription, SubscriptionDefinition};
pub(crate) use subscriptions::{Demand, Subscriptions};
