//! What a policy says of one request.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>: an explicit deny wins, whatever else is said and in
//! whatever order; what nobody speaks of is not allowed.

use super::context::Context;
use super::document::{Actions, Policy, Resources, Statement, Whom};
use super::principal::Identity;
use super::raw::Effect;

/// One question.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub who: Identity<'a>,
    /// What for: `s3:GetObject`.
    pub action: &'a str,
    /// On what: `arn:aws:s3:::bucket/key`.
    pub resource: &'a str,
    /// What is known of the request.
    pub context: &'a dyn Context,
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A statement denies it.
    Deny,
    /// A statement allows it and none denies it.
    Allow,
    /// No statement speaks of it.
    Silent,
}

impl Policy {
    /// What the policy says.
    #[must_use]
    pub fn evaluate(&self, asked: &Asked<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            if statement.effect == Effect::Allow && verdict == Verdict::Allow {
                continue;
            }
            if statement.speaks_of(asked) {
                match statement.effect {
                    Effect::Deny => return Verdict::Deny,
                    Effect::Allow => verdict = Verdict::Allow,
                }
            }
        }
        verdict
    }
}

impl Statement {
    fn speaks_of(&self, asked: &Asked<'_>) -> bool {
        self.whom.includes(&asked.who)
            && self.actions.include(asked)
            && self.resources.include(asked)
            && self.conditions.iter().all(|condition| condition.holds(asked.context))
    }
}

impl Whom {
    fn includes(&self, who: &Identity<'_>) -> bool {
        match self {
            Self::Holder => true,
            Self::These(principals) => principals.iter().any(|principal| principal.is(who)),
            Self::AllBut(principals) => !principals.iter().any(|principal| principal.is(who)),
        }
    }
}

impl Actions {
    fn include(&self, asked: &Asked<'_>) -> bool {
        // Action patterns hold no variables, so any context will do.
        let named = |patterns: &[super::pattern::Pattern]| {
            patterns.iter().any(|pattern| pattern.matches_in_any_case(asked.action, asked.context))
        };
        match self {
            Self::These(patterns) => named(patterns),
            Self::AllBut(patterns) => !named(patterns),
        }
    }
}

impl Resources {
    fn include(&self, asked: &Asked<'_>) -> bool {
        let named = |patterns: &[super::pattern::Pattern]| {
            patterns.iter().any(|pattern| pattern.matches(asked.resource, asked.context))
        };
        match self {
            Self::These(patterns) => named(patterns),
            Self::AllBut(patterns) => !named(patterns),
        }
    }
}
