//! One rule: a principal, a host, an operation, and the resources it is about.

use std::fmt;

/// An access control list entry, as `kafka-acls` adds them: it allows or denies an operation on resources, to a principal
/// at a host.
///
/// # Examples
/// ```
/// use milena_broker::{Acl, AclOperation, AclResource};
///
/// let refusal = Acl::deny(AclOperation::Write, AclResource::topic("orders"));
/// let grant = Acl::allow(AclOperation::Read, AclResource::group("billing-").prefixed())
///     .principal("User:alice")
///     .host("127.0.0.1");
/// assert_ne!(refusal, grant);
/// ```
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Acl {
    pub(crate) resource: AclResource,
    pub(crate) principal: String,
    pub(crate) host: String,
    pub(crate) operation: AclOperation,
    pub(crate) permission: AclPermission,
}

/// What an [`Acl`] is about: one resource, all of a kind, or those whose names begin alike.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct AclResource {
    pub(crate) kind: ResourceType,
    pub(crate) pattern: PatternType,
    pub(crate) name: String,
}

impl Acl {
    /// Allows everyone an operation.
    pub fn allow(operation: AclOperation, resource: AclResource) -> Self {
        Self::new(AclPermission::Allow, operation, resource)
    }

    /// Denies everyone an operation, whatever else allows it.
    pub fn deny(operation: AclOperation, resource: AclResource) -> Self {
        Self::new(AclPermission::Deny, operation, resource)
    }

    fn new(permission: AclPermission, operation: AclOperation, resource: AclResource) -> Self {
        Self {
            resource,
            principal: EVERYONE.to_owned(),
            host: ANY_NAME.to_owned(),
            operation,
            permission,
        }
    }

    /// To whom, as `User:alice`. Default `User:*`, which is everyone. Every client is `User:ANONYMOUS`.
    #[must_use]
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = principal.into();
        self
    }

    /// From which address. Default `*`, which is all.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }
}

impl AclResource {
    /// The topic of this name; `*` is all topics.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::new(ResourceType::Topic, name)
    }

    /// The group of this id; `*` is all groups.
    pub fn group(id: impl Into<String>) -> Self {
        Self::new(ResourceType::Group, id)
    }

    /// The transactional id; `*` is all of them.
    pub fn transactional_id(id: impl Into<String>) -> Self {
        Self::new(ResourceType::TransactionalId, id)
    }

    /// The cluster itself.
    pub fn cluster() -> Self {
        Self::new(ResourceType::Cluster, CLUSTER_NAME)
    }

    fn new(kind: ResourceType, name: impl Into<String>) -> Self {
        Self { kind, pattern: PatternType::Literal, name: name.into() }
    }

    /// All whose names begin with the given one.
    #[must_use]
    pub fn prefixed(mut self) -> Self {
        self.pattern = PatternType::Prefixed;
        self
    }
}

/// A closed set with Kafka's codes and names.
macro_rules! codes {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$one:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        $vis enum $name {
            $($(#[$one])* $variant = $code,)*
        }

        impl $name {
            /// The code of the protocol.
            pub(crate) fn code(self) -> i8 {
                self as i8
            }

            /// `None` for what only filters say, and for what nobody knows.
            pub(crate) fn from_code(code: i8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What is done with a resource.
    #[non_exhaustive]
    pub enum AclOperation {
        /// Any of them.
        All = 2,
        /// Fetching from a topic; being a member of a group and committing.
        Read = 3,
        /// Producing to a topic; using a transactional id.
        Write = 4,
        /// Making topics: of the topic, or of the cluster for all.
        Create = 5,
        /// Deleting topics, records and groups.
        Delete = 6,
        /// Adding partitions; of the cluster, changing rights and places.
        Alter = 7,
        /// Seeing that it is there; implied by reading, writing, deleting and altering.
        Describe = 8,
        /// What only brokers do.
        ClusterAction = 9,
        /// Seeing settings; implied by changing them.
        DescribeConfigs = 10,
        /// Changing settings.
        AlterConfigs = 11,
        /// Producing with a producer id and without transactions; implied by the right to write to any topic.
        IdempotentWrite = 12,
        /// Making delegation tokens.
        CreateTokens = 13,
        /// Seeing delegation tokens.
        DescribeTokens = 14,
        /// Two-phase commit (KIP-939).
        TwoPhaseCommit = 15,
    }
}

codes! {
    /// What an [`Acl`] says.
    #[expect(clippy::exhaustive_enums, reason = "there is nothing in between")]
    pub enum AclPermission {
        /// No, whatever else says yes.
        Deny = 2,
        /// Yes, if nothing says no.
        Allow = 3,
    }
}

codes! {
    /// What kind of thing a resource is.
    pub(crate) enum ResourceType {
        Topic = 2,
        Group = 3,
        Cluster = 4,
        TransactionalId = 5,
        DelegationToken = 6,
        User = 7,
    }
}

codes! {
    /// Which resources a name stands for.
    pub(crate) enum PatternType {
        /// The one of this name, or all for `*`.
        Literal = 3,
        /// All whose names begin with it.
        Prefixed = 4,
    }
}

impl fmt::Display for Acl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, principal, host, operation, permission } = self;
        let AclResource { kind, pattern, name } = resource;
        write!(
            f,
            "{permission:?} {operation:?} of {pattern:?} {kind:?}:{name} to {principal} from {host}"
        )
    }
}

/// Stands for all names, and for all hosts.
pub(super) const ANY_NAME: &str = "*";

/// Stands for all principals.
pub(super) const EVERYONE: &str = "User:*";

/// The one resource of its kind.
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";
