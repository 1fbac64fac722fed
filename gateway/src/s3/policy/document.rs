//! Reading a policy: everything that is wrong with it is said now, not when a request comes.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>

use super::actions::ACTIONS;
use super::condition::Condition;
use super::context::{Context, Key, Values};
use super::error::{POLICY_MAX, PolicyError};
use super::operand::Operand;
use super::pattern::{Pattern, Reading};
use super::principal::Principal;
use super::raw::{Effect, OneOrMany, RawPolicy, RawPrincipals, RawStatement, Text};

/// What a policy is attached to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'a> {
    /// The bucket of that name: statements name principals, and resources in the bucket.
    Bucket(&'a str),
    /// An access key: whoever holds the key is meant.
    Key,
}

/// A policy that was read.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
    asks_for_object_tags: bool,
}

/// The key of the tags of an object that exists.
const OBJECT_TAG: &str = "s3:existingobjecttag";

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) whom: Whom,
    pub(super) actions: Actions,
    pub(super) resources: Resources,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// Whoever holds the key that the policy is attached to.
    Holder,
    These(Vec<Principal>),
    AllBut(Vec<Principal>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Actions {
    These(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Resources {
    These(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`], in words for whoever wrote it.
    pub fn read(text: &str, kind: Kind<'_>) -> Result<Self, PolicyError> {
        if text.len() > POLICY_MAX {
            return Err(PolicyError::TooLong);
        }
        let raw: RawPolicy =
            serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))?;
        let variables = match raw.version.as_deref() {
            Some("2012-10-17") => true,
            None | Some("2008-10-17") => false,
            Some(other) => return Err(PolicyError::Version(other.to_owned())),
        };
        if raw.statement.0.is_empty() {
            return Err(PolicyError::NoStatement);
        }
        let statements = raw.statement.0.into_iter().map(|raw| raw.check(kind, variables));
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        let asks_for_object_tags = statements.iter().any(|statement| statement.names(OBJECT_TAG));
        Ok(Self { statements, asks_for_object_tags })
    }

    /// Whether a condition or a variable asks for the tags of an object that exists, which must then be looked up first.
    #[must_use]
    pub fn asks_for_object_tags(&self) -> bool {
        self.asks_for_object_tags
    }
}

impl Statement {
    /// Whether what it says depends on a key of that name.
    fn names(&self, name: &str) -> bool {
        let (Resources::These(resources) | Resources::AllBut(resources)) = &self.resources;
        let value = |operand: &Operand| match operand {
            Operand::Text(pattern) => pattern.names(name),
            Operand::Number(_)
            | Operand::Moment(_)
            | Operand::Truth(_)
            | Operand::Network(_)
            | Operand::Bytes(_) => false,
        };
        resources.iter().any(|pattern| pattern.names(name))
            || self.conditions.iter().any(|condition| {
                condition.key.name() == name || condition.operands.iter().any(value)
            })
    }
}

impl RawStatement {
    fn check(self, kind: Kind<'_>, variables: bool) -> Result<Statement, PolicyError> {
        let effect = self.effect.ok_or(PolicyError::Missing("an Effect"))?;
        let whom = whom(kind, effect, self.principal, self.not_principal)?;
        let actions = match either("Action", self.action, self.not_action)? {
            (texts, false) => Actions::These(actions(kind, texts)?),
            (texts, true) => Actions::AllBut(actions(kind, texts)?),
        };
        let resources = match either("Resource", self.resource, self.not_resource)? {
            (texts, false) => Resources::These(resources(kind, texts, variables)?),
            (texts, true) => Resources::AllBut(resources(kind, texts, variables)?),
        };
        let mut conditions = Vec::new();
        for (operator, keys) in self.condition.0 {
            for (key, values) in keys.0 {
                let values: Vec<String> = values.0.into_iter().map(|text| text.0).collect();
                conditions.push(Condition::read(&operator, &key, &values, variables)?);
            }
        }
        Ok(Statement { effect, whom, actions, resources, conditions })
    }
}

/// The one of an element and its negation that is there; whether it is the negation.
fn either(
    name: &'static str,
    these: Option<OneOrMany<Text>>,
    all_but: Option<OneOrMany<Text>>,
) -> Result<(Vec<Text>, bool), PolicyError> {
    let (texts, negated) = match (these, all_but) {
        (Some(_), Some(_)) => return Err(PolicyError::Both(name)),
        (Some(texts), None) => (texts.0, false),
        (None, Some(texts)) => (texts.0, true),
        (None, None) => (Vec::new(), false),
    };
    if texts.is_empty() {
        return Err(PolicyError::Missing(match name {
            "Action" => "an Action or NotAction",
            _ => "a Resource or NotResource",
        }));
    }
    Ok((texts, negated))
}

fn whom(
    kind: Kind<'_>,
    effect: Effect,
    these: Option<RawPrincipals>,
    all_but: Option<RawPrincipals>,
) -> Result<Whom, PolicyError> {
    match (kind, these, all_but) {
        (Kind::Key, None, None) => Ok(Whom::Holder),
        (Kind::Key, _, _) => Err(PolicyError::KeyPrincipal),
        (Kind::Bucket(_), Some(_), Some(_)) => Err(PolicyError::Both("Principal")),
        (Kind::Bucket(_), Some(raw), None) => Ok(Whom::These(principals(raw)?)),
        (Kind::Bucket(_), None, Some(_)) if effect == Effect::Allow => {
            Err(PolicyError::AllowNotPrincipal)
        }
        (Kind::Bucket(_), None, Some(raw)) => Ok(Whom::AllBut(principals(raw)?)),
        (Kind::Bucket(_), None, None) => Err(PolicyError::Missing("a Principal or NotPrincipal")),
    }
}

fn principals(raw: RawPrincipals) -> Result<Vec<Principal>, PolicyError> {
    let mut read = Vec::new();
    for (kind, values) in raw.0 {
        for value in values.0 {
            read.push(Principal::read(&kind, &value.0)?);
        }
    }
    if read.is_empty() { Err(PolicyError::Principal(String::new())) } else { Ok(read) }
}

fn actions(kind: Kind<'_>, texts: Vec<Text>) -> Result<Vec<Pattern>, PolicyError> {
    let reading = Reading { wildcards: true, variables: false, any_case: true };
    let read = |Text(text): Text| {
        let pattern = Pattern::read(&text, reading);
        if text == "*" {
            return Ok(pattern);
        }
        let known = match text.split_once(':') {
            Some((vendor, _)) if vendor.eq_ignore_ascii_case("s3") => ACTIONS
                .iter()
                .any(|name| pattern.matches_in_any_case(&format!("s3:{name}"), &Nothing)),
            // A key's policy may speak of other services, which are not here.
            Some((vendor, name)) => kind == Kind::Key && !vendor.is_empty() && !name.is_empty(),
            None => false,
        };
        if known { Ok(pattern) } else { Err(PolicyError::Action(text)) }
    };
    texts.into_iter().map(read).collect()
}

fn resources(
    kind: Kind<'_>,
    texts: Vec<Text>,
    variables: bool,
) -> Result<Vec<Pattern>, PolicyError> {
    let reading = Reading { wildcards: true, variables, any_case: false };
    let read = |Text(text): Text| {
        if belongs(&text, kind) {
            Ok(Pattern::read(&text, reading))
        } else {
            Err(PolicyError::Resource(text))
        }
    };
    texts.into_iter().map(read).collect()
}

/// Whether a resource may stand in a policy of that kind: in a bucket's, only the bucket and what is in it.
fn belongs(text: &str, kind: Kind<'_>) -> bool {
    if text == "*" {
        return true;
    }
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, rest) =
        (next(), next(), next(), next(), next(), next());
    let bucket = match kind {
        Kind::Key => return arn == "arn" && !service.is_empty() && !rest.is_empty(),
        Kind::Bucket(bucket) => bucket,
    };
    if arn != "arn" || !partition.starts_with("aws") || (service, region, account) != ("s3", "", "")
    {
        return false;
    }
    let name = rest.split('/').next().unwrap_or_default();
    let reading = Reading { wildcards: true, variables: false, any_case: false };
    // A name like `bu*` may go on behind the slash with the key.
    Pattern::read(name, reading).matches(bucket, &Nothing)
}

/// A context in which nothing is known.
struct Nothing;

impl Context for Nothing {
    fn values(&self, _: &Key) -> Values {
        Values::Absent
    }
}
