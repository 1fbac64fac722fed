//! Conditions: operators, keys, and what they say of a request.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html> and, for keys with several values,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::context::{Context, Key, Values};
use super::error::PolicyError;
use super::operand::{Network, Operand, moment, number, order, truth};
use super::pattern::{Pattern, Reading};

/// A condition operator, without prefix and suffix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operator {
    StringEquals,
    StringNotEquals,
    StringEqualsIgnoreCase,
    StringNotEqualsIgnoreCase,
    StringLike,
    StringNotLike,
    NumericEquals,
    NumericNotEquals,
    NumericLessThan,
    NumericLessThanEquals,
    NumericGreaterThan,
    NumericGreaterThanEquals,
    DateEquals,
    DateNotEquals,
    DateLessThan,
    DateLessThanEquals,
    DateGreaterThan,
    DateGreaterThanEquals,
    Bool,
    BinaryEquals,
    IpAddress,
    NotIpAddress,
    ArnEquals,
    ArnLike,
    ArnNotEquals,
    ArnNotLike,
    Null,
}

/// Every operator by its name.
const OPERATORS: &[(&str, Operator)] = &[
    ("StringEquals", Operator::StringEquals),
    ("StringNotEquals", Operator::StringNotEquals),
    ("StringEqualsIgnoreCase", Operator::StringEqualsIgnoreCase),
    ("StringNotEqualsIgnoreCase", Operator::StringNotEqualsIgnoreCase),
    ("StringLike", Operator::StringLike),
    ("StringNotLike", Operator::StringNotLike),
    ("NumericEquals", Operator::NumericEquals),
    ("NumericNotEquals", Operator::NumericNotEquals),
    ("NumericLessThan", Operator::NumericLessThan),
    ("NumericLessThanEquals", Operator::NumericLessThanEquals),
    ("NumericGreaterThan", Operator::NumericGreaterThan),
    ("NumericGreaterThanEquals", Operator::NumericGreaterThanEquals),
    ("DateEquals", Operator::DateEquals),
    ("DateNotEquals", Operator::DateNotEquals),
    ("DateLessThan", Operator::DateLessThan),
    ("DateLessThanEquals", Operator::DateLessThanEquals),
    ("DateGreaterThan", Operator::DateGreaterThan),
    ("DateGreaterThanEquals", Operator::DateGreaterThanEquals),
    ("Bool", Operator::Bool),
    ("BinaryEquals", Operator::BinaryEquals),
    ("IpAddress", Operator::IpAddress),
    ("NotIpAddress", Operator::NotIpAddress),
    ("ArnEquals", Operator::ArnEquals),
    ("ArnLike", Operator::ArnLike),
    ("ArnNotEquals", Operator::ArnNotEquals),
    ("ArnNotLike", Operator::ArnNotLike),
    ("Null", Operator::Null),
];

impl Operator {
    /// Whether it holds when nothing matches.
    pub(super) fn is_negative(self) -> bool {
        matches!(
            self,
            Self::StringNotEquals
                | Self::StringNotEqualsIgnoreCase
                | Self::StringNotLike
                | Self::NumericNotEquals
                | Self::DateNotEquals
                | Self::NotIpAddress
                | Self::ArnNotEquals
                | Self::ArnNotLike
        )
    }

    fn read_operand(self, text: &str, variables: bool) -> Option<Operand> {
        let reading = |wildcards, any_case| Reading { wildcards, variables, any_case };
        match self {
            Self::StringEquals | Self::StringNotEquals => {
                Some(Operand::Text(Pattern::read(text, reading(false, false))))
            }
            Self::StringEqualsIgnoreCase | Self::StringNotEqualsIgnoreCase => {
                Some(Operand::Text(Pattern::read(text, reading(false, true))))
            }
            Self::StringLike
            | Self::StringNotLike
            | Self::ArnEquals
            | Self::ArnLike
            | Self::ArnNotEquals
            | Self::ArnNotLike => Some(Operand::Text(Pattern::read(text, reading(true, false)))),
            Self::NumericEquals
            | Self::NumericNotEquals
            | Self::NumericLessThan
            | Self::NumericLessThanEquals
            | Self::NumericGreaterThan
            | Self::NumericGreaterThanEquals => number(text).map(Operand::Number),
            Self::DateEquals
            | Self::DateNotEquals
            | Self::DateLessThan
            | Self::DateLessThanEquals
            | Self::DateGreaterThan
            | Self::DateGreaterThanEquals => moment(text).map(Operand::Moment),
            Self::Bool | Self::Null => truth(text).map(Operand::Truth),
            Self::BinaryEquals => Some(Operand::Bytes(text.into())),
            Self::IpAddress | Self::NotIpAddress => Network::read(text).map(Operand::Network),
        }
    }

    /// Whether `value` of a request matches `operand`, before a negative operator turns the answer round.
    fn matches(self, operand: &Operand, value: &str, context: &dyn Context) -> bool {
        match operand {
            Operand::Text(pattern) => match self {
                Self::StringEqualsIgnoreCase | Self::StringNotEqualsIgnoreCase => {
                    pattern.matches_in_any_case(value, context)
                }
                Self::ArnEquals | Self::ArnLike | Self::ArnNotEquals | Self::ArnNotLike => {
                    pattern.matches_arn(value, context)
                }
                _ => pattern.matches(value, context),
            },
            Operand::Number(wanted) => {
                number(value).is_some_and(|found| self.accepts(order(found, *wanted)))
            }
            Operand::Moment(wanted) => {
                moment(value).is_some_and(|found| self.accepts(order(found, *wanted)))
            }
            Operand::Truth(wanted) => truth(value) == Some(*wanted),
            Operand::Bytes(wanted) => **wanted == *value,
            Operand::Network(network) => {
                value.parse::<IpAddr>().is_ok_and(|address| network.contains(address))
            }
        }
    }

    fn accepts(self, found: Ordering) -> bool {
        match self {
            Self::NumericLessThan | Self::DateLessThan => found.is_lt(),
            Self::NumericLessThanEquals | Self::DateLessThanEquals => found.is_le(),
            Self::NumericGreaterThan | Self::DateGreaterThan => found.is_gt(),
            Self::NumericGreaterThanEquals | Self::DateGreaterThanEquals => found.is_ge(),
            _ => found.is_eq(),
        }
    }
}

/// What a list of values must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Set {
    /// No prefix: the key has one value. If it has several, they are treated as by `ForAnyValue`.
    Plain,
    /// At least one value must do.
    Any,
    /// Every value must do; none is every.
    All,
}

/// One operator on one key.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Condition {
    pub(super) set: Set,
    pub(super) operator: Operator,
    pub(super) if_exists: bool,
    pub(super) key: Key,
    pub(super) operands: Vec<Operand>,
}

impl Condition {
    /// Reads `operator: {key: values}`.
    pub(super) fn read(
        operator: &str,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, PolicyError> {
        let unknown = || PolicyError::Operator(operator.to_owned());
        let (set, bare) = match operator.split_once(':') {
            None => (Set::Plain, operator),
            Some(("ForAnyValue", bare)) => (Set::Any, bare),
            Some(("ForAllValues", bare)) => (Set::All, bare),
            Some(_) => return Err(unknown()),
        };
        let (bare, if_exists) = match bare.strip_suffix("IfExists") {
            Some(bare) => (bare, true),
            None => (bare, false),
        };
        let (_, found) = OPERATORS.iter().find(|(name, _)| *name == bare).ok_or_else(unknown)?;
        // Null asks whether the key exists: `NullIfExists` would ask nothing.
        if *found == Operator::Null && (if_exists || set != Set::Plain) {
            return Err(unknown());
        }
        let vendor = key.split_once(':').map(|(vendor, _)| vendor.to_ascii_lowercase());
        if !vendor.is_some_and(|vendor| ["aws", "s3", "sts"].contains(&&*vendor)) {
            return Err(PolicyError::ConditionKey(key.to_owned()));
        }
        let mut operands = Vec::with_capacity(values.len());
        for value in values {
            let operand = found.read_operand(value, variables);
            operands.push(operand.ok_or_else(|| PolicyError::ConditionValue {
                operator: operator.to_owned(),
                value: value.clone(),
            })?);
        }
        Ok(Self { set, operator: *found, if_exists, key: Key::new(key), operands })
    }

    /// Whether it holds.
    pub(super) fn holds(&self, context: &dyn Context) -> bool {
        let values = context.values(&self.key);
        if self.operator == Operator::Null {
            let absent = values.as_slice().is_empty();
            return self.operands.contains(&Operand::Truth(absent));
        }
        if values == Values::Absent {
            return match self.set {
                _ if self.if_exists => true,
                Set::Plain => self.operator.is_negative(),
                Set::Any => false,
                Set::All => true,
            };
        }
        let mut each = values.as_slice().iter();
        match self.set {
            // What must not match may be in none of several values.
            Set::Plain if self.operator.is_negative() => {
                each.all(|value| self.does(value, context))
            }
            Set::Plain | Set::Any => each.any(|value| self.does(value, context)),
            Set::All => each.all(|value| self.does(value, context)),
        }
    }

    fn does(&self, value: &str, context: &dyn Context) -> bool {
        let found =
            self.operands.iter().any(|operand| self.operator.matches(operand, value, context));
        found != self.operator.is_negative()
    }
}
