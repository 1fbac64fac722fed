//! What can be wrong with a policy.

/// Bytes of the longest policy (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/add-bucket-policy.html>).
pub const POLICY_MAX: usize = 20 * 1024;

/// Why a text is no policy. The words are for whoever wrote it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each says it in its message")]
pub enum PolicyError {
    #[error("The policy is longer than {POLICY_MAX} bytes")]
    TooLong,
    #[error(
        "The policy is not valid JSON, or an element of it is unknown or of the wrong kind: {0}"
    )]
    Json(String),
    #[error("The policy must have the version 2012-10-17 or 2008-10-17, not {0:?}")]
    Version(String),
    #[error("The policy has no statement")]
    NoStatement,
    #[error("A statement must have {0}")]
    Missing(&'static str),
    #[error("A statement must not have both {0} and Not{0}")]
    Both(&'static str),
    #[error("The policy of a key must not name principals: whoever holds the key is meant")]
    KeyPrincipal,
    #[error("Allow with NotPrincipal is not allowed")]
    AllowNotPrincipal,
    #[error("Invalid principal in policy: {0:?}")]
    Principal(String),
    #[error("Policy has invalid action: {0:?}")]
    Action(String),
    #[error("Policy has invalid resource: {0:?}")]
    Resource(String),
    #[error("Policy has an invalid condition operator: {0:?}")]
    Operator(String),
    #[error("Policy has an invalid condition key: {0:?}")]
    ConditionKey(String),
    #[error("Policy has an invalid value for {operator}: {value:?}")]
    ConditionValue { operator: String, value: String },
}
