//! Whether a policy is public.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status>:
//! AWS first takes a policy for public, and lets itself be convinced otherwise: every statement that allows something must allow it to named
//! principals, or to everybody under a condition that fixes where the request comes from.

use super::condition::{Condition, Operator, Set};
use super::document::{Policy, Statement, Whom};
use super::operand::{Network, Operand};
use super::principal::Principal;
use super::raw::Effect;

/// Condition keys whose fixed value makes a statement to everybody a statement to somebody.
const NARROWING: &[&str] = &[
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "aws:username",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];
const SOURCE_IP: &str = "aws:sourceip";
/// An IPv4 network with a shorter prefix than this is everybody.
const V4_PREFIX_MIN: u8 = 8;
/// As above, for IPv6.
const V6_PREFIX_MIN: u8 = 32;

impl Policy {
    /// Whether strangers get in.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        let everybody = match &self.whom {
            Whom::Holder => false,
            Whom::These(principals) => principals.contains(&Principal::Everyone),
            Whom::AllBut(_) => true,
        };
        self.effect == Effect::Allow && everybody && !self.conditions.iter().any(Condition::narrows)
    }
}

impl Condition {
    /// Whether it holds for requests from fixed places only.
    fn narrows(&self) -> bool {
        // A key that is not there satisfies `ForAllValues`.
        if self.if_exists || self.set == Set::All || self.operator.is_negative() {
            return false;
        }
        let key = self.key.name();
        match self.operator {
            Operator::IpAddress if key == SOURCE_IP => {
                self.operands.iter().all(|operand| match operand {
                    Operand::Network(network) => network.is_narrow(),
                    _ => false,
                })
            }
            Operator::StringEquals
            | Operator::StringEqualsIgnoreCase
            | Operator::StringLike
            | Operator::ArnEquals
            | Operator::ArnLike
                if NARROWING.contains(&key) =>
            {
                self.operands.iter().all(|operand| match operand {
                    Operand::Text(pattern) => pattern.is_fixed(),
                    _ => false,
                })
            }
            _ => false,
        }
    }
}

impl Network {
    fn is_narrow(&self) -> bool {
        match self.address {
            std::net::IpAddr::V4(_) => self.prefix >= V4_PREFIX_MIN,
            std::net::IpAddr::V6(_) => self.prefix >= V6_PREFIX_MIN,
        }
    }
}
