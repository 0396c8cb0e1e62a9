//! Who may do what: access control lists, and how they are judged.

mod authorizer;
mod binding;
mod filter;

pub use authorizer::AuthorizerSettings;
pub(crate) use authorizer::{Acls, Asker, Resource, Sight};
pub use binding::{Acl, AclOperation, AclPermission, AclResource};
pub(crate) use binding::{CLUSTER_NAME, PatternType, ResourceType};
pub(crate) use filter::{AclFilter, RawFilter};
