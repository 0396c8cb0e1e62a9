//! Which rules somebody asks for.

use super::binding::{
    ANY_NAME, Acl, AclOperation, AclPermission, AclResource, PatternType, ResourceType,
};

/// What a DescribeAcls or DeleteAcls looks for; `None` is anything.
#[derive(Clone, Debug)]
pub(crate) struct AclFilter {
    kind: Option<ResourceType>,
    pattern: PatternFilter,
    name: Option<String>,
    principal: Option<String>,
    host: Option<String>,
    operation: Option<AclOperation>,
    permission: Option<AclPermission>,
}

#[derive(Clone, Copy, Debug)]
enum PatternFilter {
    Any,
    /// All that are about the resource of this name.
    Match,
    Only(PatternType),
}

/// A filter as requests carry it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFilter<'a> {
    pub(crate) kind: i8,
    pub(crate) pattern: i8,
    pub(crate) name: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) operation: i8,
    pub(crate) permission: i8,
}

impl RawFilter<'_> {
    /// Whether something is left open that requests have to say.
    pub(crate) fn has_zero(&self) -> bool {
        [self.kind, self.pattern, self.operation, self.permission].contains(&0)
    }
}

impl AclFilter {
    /// `None` where something in it is unknown.
    pub(crate) fn new(raw: RawFilter<'_>) -> Option<Self> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Some(Self {
            kind: known(raw.kind, ResourceType::from_code)?,
            pattern: match raw.pattern {
                ANY => PatternFilter::Any,
                MATCH => PatternFilter::Match,
                code => PatternFilter::Only(PatternType::from_code(code)?),
            },
            name: text(raw.name),
            principal: text(raw.principal),
            host: text(raw.host),
            operation: known(raw.operation, AclOperation::from_code)?,
            permission: known(raw.permission, AclPermission::from_code)?,
        })
    }

    pub(crate) fn matches(&self, acl: &Acl) -> bool {
        let is = |wanted: &Option<String>, text: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == text)
        };
        self.kind.is_none_or(|kind| kind == acl.resource.kind)
            && self.matches_name(&acl.resource)
            && is(&self.principal, &acl.principal)
            && is(&self.host, &acl.host)
            && self.operation.is_none_or(|operation| operation == acl.operation)
            && self.permission.is_none_or(|permission| permission == acl.permission)
    }

    fn matches_name(&self, resource: &AclResource) -> bool {
        if let PatternFilter::Only(pattern) = self.pattern
            && pattern != resource.pattern
        {
            return false;
        }
        let Some(name) = self.name.as_deref() else { return true };
        match (self.pattern, resource.pattern) {
            (PatternFilter::Match, PatternType::Literal) => {
                name == resource.name || resource.name == ANY_NAME
            }
            (PatternFilter::Match, PatternType::Prefixed) => name.starts_with(&resource.name),
            (PatternFilter::Any | PatternFilter::Only(_), _) => name == resource.name,
        }
    }
}

/// `Some(None)` for what stands for anything, `None` for what is unknown.
fn known<T>(code: i8, of: impl Fn(i8) -> Option<T>) -> Option<Option<T>> {
    if code == ANY { Some(None) } else { of(code).map(Some) }
}

const ANY: i8 = 1;
const MATCH: i8 = 2;
