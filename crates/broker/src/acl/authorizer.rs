//! Judges who may do what, as Kafka's `StandardAuthorizer` does.

use std::collections::{BTreeMap, BTreeSet};

use milena_types::ErrorCode;

use super::binding::{
    ANY_NAME, Acl, AclOperation, AclPermission, AclResource, CLUSTER_NAME, EVERYONE, PatternType,
    ResourceType,
};

/// How rights are judged where they are: `authorizer.class.name` with Kafka's `StandardAuthorizer`.
///
/// Whoever connects is `User:ANONYMOUS` at 127.0.0.1.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AuthorizerSettings {
    /// `super.users`: they may do everything, as `User:admin`. Default none.
    pub super_users: BTreeSet<String>,
    /// `allow.everyone.if.no.acl.found`: whether everything may be done with resources that no [`Acl`] is about.
    /// Default false, as Kafka's: nobody but super users may do anything then, until somebody is allowed to.
    pub allow_everyone_if_no_acl_found: bool,
}

/// The rules there are. They stay where nobody judges by them.
#[derive(Debug, Default)]
pub(crate) struct Acls {
    by_resource: BTreeMap<AclResource, BTreeSet<Acl>>,
    len: usize,
}

/// Who wants to do something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) principal: &'a str,
    pub(crate) host: &'a str,
}

/// What somebody may see, apart from the state that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) acls: &'a Acls,
    pub(crate) settings: &'a AuthorizerSettings,
    pub(crate) asker: Asker<'a>,
}

/// What somebody wants to do something with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    TransactionalId(&'a str),
    Cluster,
}

impl Acls {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Acl> {
        self.by_resource.values().flatten()
    }

    pub(crate) fn contains(&self, acl: &Acl) -> bool {
        self.by_resource.get(&acl.resource).is_some_and(|of_resource| of_resource.contains(acl))
    }

    /// False if it is there already.
    pub(crate) fn add(&mut self, acl: Acl) -> bool {
        let is_new = self.by_resource.entry(acl.resource.clone()).or_default().insert(acl);
        self.len += usize::from(is_new);
        is_new
    }

    /// False if there is none.
    pub(crate) fn remove(&mut self, acl: &Acl) -> bool {
        let Some(of_resource) = self.by_resource.get_mut(&acl.resource) else { return false };
        let was_there = of_resource.remove(acl);
        if of_resource.is_empty() {
            self.by_resource.remove(&acl.resource);
        }
        self.len -= usize::from(was_there);
        was_there
    }

    /// Whether somebody may do something. What denies goes before what allows.
    pub(crate) fn may(
        &self,
        settings: &AuthorizerSettings,
        asker: Asker<'_>,
        operation: AclOperation,
        resource: Resource<'_>,
    ) -> bool {
        if settings.super_users.contains(asker.principal) {
            return true;
        }
        let (mut is_any, mut is_allowed) = (false, false);
        for acl in self.about(resource) {
            is_any = true;
            if !asker.is_meant_by(acl) {
                continue;
            }
            match acl.permission {
                AclPermission::Deny if is_or_all(acl, operation) => return false,
                AclPermission::Allow if implies(acl.operation, operation) => is_allowed = true,
                AclPermission::Deny | AclPermission::Allow => {}
            }
        }
        is_allowed || (!is_any && settings.allow_everyone_if_no_acl_found)
    }

    /// Whether somebody may do it with some topic at all, whichever.
    pub(crate) fn may_with_any_topic(
        &self,
        settings: &AuthorizerSettings,
        asker: Asker<'_>,
        operation: AclOperation,
    ) -> bool {
        // So does Kafka find out who may do everything, and where no rule is about all topics.
        if self.may(settings, asker, operation, Resource::Topic("hardcode")) {
            return true;
        }
        let of_topics = self.iter().filter(|acl| acl.resource.kind == ResourceType::Topic);
        let meant: Vec<&Acl> =
            of_topics.filter(|acl| asker.is_meant_by(acl) && is_or_all(acl, operation)).collect();
        let with = |permission| meant.iter().filter(move |acl| acl.permission == permission);
        let covers = |wide: &AclResource, narrow: &AclResource| match wide.pattern {
            PatternType::Literal => wide.name == ANY_NAME || wide == narrow,
            PatternType::Prefixed => narrow.name.starts_with(&wide.name),
        };
        let is_left = |allow: &Acl| {
            !with(AclPermission::Deny).any(|deny| covers(&deny.resource, &allow.resource))
        };
        with(AclPermission::Allow).any(|allow| is_left(allow))
    }

    fn about<'a>(&'a self, resource: Resource<'a>) -> impl Iterator<Item = &'a Acl> {
        let (kind, name) = (resource.kind(), resource.name());
        let at = move |pattern, name: &str| AclResource { kind, pattern, name: name.to_owned() };
        let literal = self.by_resource.get(&at(PatternType::Literal, name));
        let all = self.by_resource.get(&at(PatternType::Literal, ANY_NAME));
        let all = all.filter(|_| name != ANY_NAME);
        let prefixed = self.by_resource.range(at(PatternType::Prefixed, "")..);
        let prefixed = prefixed
            .take_while(move |(one, _)| one.kind == kind && one.pattern == PatternType::Prefixed)
            .filter(move |(one, _)| name.starts_with(&one.name));
        literal.into_iter().chain(all).chain(prefixed.map(|(_, acls)| acls)).flatten()
    }
}

impl Sight<'_> {
    pub(crate) fn has_topic(&self, name: &str) -> bool {
        self.acls.may(self.settings, self.asker, AclOperation::Describe, Resource::Topic(name))
    }
}

impl Asker<'_> {
    fn is_meant_by(self, acl: &Acl) -> bool {
        (acl.principal == self.principal || acl.principal == EVERYONE)
            && (acl.host == self.host || acl.host == ANY_NAME)
    }
}

impl<'a> Resource<'a> {
    fn kind(self) -> ResourceType {
        match self {
            Self::Topic(_) => ResourceType::Topic,
            Self::Group(_) => ResourceType::Group,
            Self::TransactionalId(_) => ResourceType::TransactionalId,
            Self::Cluster => ResourceType::Cluster,
        }
    }

    fn name(self) -> &'a str {
        match self {
            Self::Topic(name) | Self::Group(name) | Self::TransactionalId(name) => name,
            Self::Cluster => CLUSTER_NAME,
        }
    }

    /// What is answered to whom the right is missing.
    pub(crate) fn refusal(self) -> ErrorCode {
        match self {
            Self::Topic(_) => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            Self::Group(_) => ErrorCode::GROUP_AUTHORIZATION_FAILED,
            Self::TransactionalId(_) => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            Self::Cluster => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
        }
    }
}

fn is_or_all(acl: &Acl, operation: AclOperation) -> bool {
    acl.operation == operation || acl.operation == AclOperation::All
}

/// Whether who may do the one may do the other. Only what is allowed implies more; what is denied does not.
fn implies(allowed: AclOperation, operation: AclOperation) -> bool {
    use AclOperation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    allowed == All
        || allowed == operation
        || (operation == Describe && matches!(allowed, Read | Write | Delete | Alter))
        || (operation == DescribeConfigs && allowed == AlterConfigs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Asker<'_> = Asker { principal: "User:me", host: "127.0.0.1" };

    fn acls(all: impl IntoIterator<Item = Acl>) -> Acls {
        let mut acls = Acls::default();
        for acl in all {
            assert!(acls.add(acl));
        }
        acls
    }

    fn may(acls: &Acls, operation: AclOperation, resource: Resource<'_>) -> bool {
        acls.may(&AuthorizerSettings::default(), ME, operation, resource)
    }

    #[test]
    fn what_denies_goes_before_what_allows() {
        use AclOperation::{All, Read, Write};
        let allow = Acl::allow(All, AclResource::topic("*"));
        let deny = Acl::deny(Write, AclResource::topic("or").prefixed());
        let acls = acls([allow, deny]);
        assert!(may(&acls, Read, Resource::Topic("orders")));
        assert!(!may(&acls, Write, Resource::Topic("orders")));
        assert!(may(&acls, Write, Resource::Topic("bills")));
        assert!(!may(&acls, Read, Resource::Group("orders")), "another kind of the same name");
    }

    #[test]
    fn only_those_who_are_meant_are_judged_by_a_rule() {
        use AclOperation::Read;
        let rule = |acl: Acl| may(&acls([acl]), Read, Resource::Topic("t"));
        let allow = || Acl::allow(Read, AclResource::topic("t"));
        assert!(rule(allow()));
        assert!(rule(allow().principal("User:me").host("127.0.0.1")));
        assert!(!rule(allow().principal("User:you")));
        assert!(!rule(allow().host("10.0.0.1")));
        assert!(!rule(Acl::allow(Read, AclResource::topic("T"))));
        assert!(!rule(Acl::allow(Read, AclResource::topic("to"))), "literal");
    }

    /// A rule about somebody else ends the freedom of everyone.
    #[test]
    fn everyone_may_what_no_rule_is_about_only_where_it_is_set() {
        use AclOperation::Read;
        let free =
            AuthorizerSettings { allow_everyone_if_no_acl_found: true, ..Default::default() };
        let other = Acl::allow(Read, AclResource::topic("t")).principal("User:you");
        let acls = acls([other]);
        assert!(acls.may(&free, ME, Read, Resource::Topic("u")));
        assert!(!acls.may(&free, ME, Read, Resource::Topic("t")));
        assert!(!may(&acls, Read, Resource::Topic("u")));
    }

    #[test]
    fn super_users_may_everything() {
        let settings = AuthorizerSettings {
            super_users: BTreeSet::from([ME.principal.to_owned()]),
            ..Default::default()
        };
        let acls = acls([Acl::deny(AclOperation::All, AclResource::topic("*"))]);
        assert!(acls.may(&settings, ME, AclOperation::Write, Resource::Topic("t")));
    }

    #[test]
    fn describing_is_implied_and_its_denial_implies_nothing() {
        use AclOperation::{
            Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read, Write,
        };
        let topic = || AclResource::topic("t");
        for (operation, describes, describes_configs) in [
            (Read, true, false),
            (Write, true, false),
            (Delete, true, false),
            (Alter, true, false),
            (Create, false, false),
            (AlterConfigs, false, true),
        ] {
            let acls = acls([Acl::allow(operation, topic())]);
            assert_eq!(may(&acls, Describe, Resource::Topic("t")), describes, "{operation:?}");
            let told = may(&acls, DescribeConfigs, Resource::Topic("t"));
            assert_eq!(told, describes_configs, "{operation:?}");
        }
        let acls = acls([Acl::allow(Describe, topic()), Acl::deny(Write, topic())]);
        assert!(may(&acls, Describe, Resource::Topic("t")));
    }

    #[test]
    fn a_right_to_any_topic_is_one_that_nothing_denies() {
        use AclOperation::Write;
        let settings = AuthorizerSettings::default();
        let any = |all: &[Acl]| acls(all.iter().cloned()).may_with_any_topic(&settings, ME, Write);
        let allow = Acl::allow(Write, AclResource::topic("orders"));
        assert!(!any(&[]));
        assert!(any(std::slice::from_ref(&allow)));
        assert!(any(&[allow.clone(), Acl::deny(Write, AclResource::topic("o"))]));
        assert!(!any(&[allow.clone(), Acl::deny(Write, AclResource::topic("o").prefixed())]));
        assert!(!any(&[allow.clone(), Acl::deny(Write, AclResource::topic("orders"))]));
        assert!(!any(&[allow, Acl::deny(AclOperation::All, AclResource::topic("*"))]));
    }

    #[test]
    fn a_rule_is_there_once_and_gone_once() {
        let acl = Acl::deny(AclOperation::Read, AclResource::group("g"));
        let mut acls = acls([acl.clone()]);
        assert!(!acls.add(acl.clone()));
        assert_eq!(acls.len(), 1);
        assert!(acls.remove(&acl));
        assert!(!acls.remove(&acl));
        assert_eq!((acls.len(), acls.iter().count()), (0, 0));
    }
}
