//! PutBucketReplication, GetBucketReplication, DeleteBucketReplication.

use metadata::records::Versioning;
use metadata::{Bucket, Catalog, CatalogError};
use s3s::dto::{
    self, DeleteBucketReplicationInput, DeleteBucketReplicationOutput, DeleteMarkerReplication,
    DeleteMarkerReplicationStatus, ExistingObjectReplicationStatus, GetBucketReplicationInput,
    GetBucketReplicationOutput, PutBucketReplicationInput, PutBucketReplicationOutput,
    ReplicationConfiguration, ReplicationRule, ReplicationRuleAndOperator, ReplicationRuleFilter,
    ReplicationRuleStatus, StorageClass, Tag,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::ID_MAX;
use crate::configs::Configs;
use crate::rules::replication::{Destination, Replication, Rule};
use crate::s3::authorize::{
    Authorized, DeleteObject, Gate, GetReplicationConfiguration, PutObject,
    PutReplicationConfiguration,
};
use crate::s3::{S3Settings, describe, error};

/// The most rules of a bucket.
const RULES_MAX: usize = 1_000;
/// The most bytes of a prefix.
const PREFIX_MAX: usize = 1_024;
/// Before the name of a destination.
const ARN: &str = "arn:aws:s3:::";
/// Before the name of an endpoint, two colons and the name of a destination there.
const ELSEWHERE: &str = "arn:drystone:s3:";
/// The one owner that replicas can be given: that of the destination.
const OVERRIDE: &str = "Destination";

pub(in crate::s3) async fn put(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    settings: &S3Settings,
    request: S3Request<PutBucketReplicationInput>,
) -> S3Result<PutBucketReplicationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutReplicationConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let given = request.input.replication_configuration.clone();
    let wanted = parse(given, settings, allowed.bucket())?;
    if allowed.bucket().versioning != Versioning::Enabled {
        return Err(invalid_request(
            "Versioning must be 'Enabled' on the bucket to apply a replication configuration",
        ));
    }
    for rule in &wanted.rules {
        // What an endpoint lets its key do, it decides itself.
        if let Some(row) = check_destination(catalog, &allowed, settings, &rule.destination).await?
        {
            check_caller(gate, &request, &allowed, (rule, &row)).await?;
        }
    }
    configs.put(&allowed.at(), &wanted).await.map_err(error::catalog)?;
    Ok(PutBucketReplicationOutput {})
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketReplicationInput>,
) -> S3Result<GetBucketReplicationOutput> {
    let input = &request.input;
    let allowed: Authorized<GetReplicationConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let kept = configs.get::<Replication>(allowed.id()).await.map_err(error::catalog)?;
    let kept =
        kept.ok_or_else(|| S3Error::new(S3ErrorCode::ReplicationConfigurationNotFoundError))?;
    let shown = ReplicationConfiguration {
        role: kept.role.clone(),
        rules: kept.rules.iter().map(show).collect(),
    };
    Ok(GetBucketReplicationOutput { replication_configuration: Some(shown) })
}

pub(in crate::s3) async fn delete(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<DeleteBucketReplicationInput>,
) -> S3Result<DeleteBucketReplicationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutReplicationConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    configs.delete::<Replication>(&allowed.at()).await.map_err(error::catalog)?;
    Ok(DeleteBucketReplicationOutput {})
}

async fn check_destination(
    catalog: &Catalog,
    allowed: &Authorized<PutReplicationConfiguration>,
    settings: &S3Settings,
    destination: &Destination,
) -> S3Result<Option<Bucket>> {
    if let Some(name) = &destination.endpoint {
        // What is there, the endpoint knows.
        let endpoint = settings.endpoints.get(name);
        return if endpoint.is_some_and(|endpoint| endpoint.serves(&allowed.bucket().owner)) {
            Ok(None)
        } else {
            Err(invalid_request("There is no such endpoint, or not for this account."))
        };
    }
    let row = match catalog.bucket(&destination.bucket).await {
        Ok(row) => row,
        Err(CatalogError::NoSuchBucket(_)) => {
            return Err(invalid_request("Destination bucket must exist."));
        }
        Err(failed) => return Err(error::catalog(failed)),
    };
    if row.id == allowed.id() {
        return Err(invalid_request("Destination bucket cannot be the same as the source bucket."));
    }
    if destination.account.as_ref().is_some_and(|account| account != row.owner.as_str()) {
        return Err(invalid_request("Destination bucket must be owned by the account specified."));
    }
    if row.versioning != Versioning::Enabled {
        return Err(invalid_request("Destination bucket must have versioning enabled."));
    }
    Ok(Some(row))
}

/// Who has versions replicated into a bucket of their own account must be able to write there themselves, and to delete if delete markers
/// follow: else who may configure one bucket could fill another. What the destination's policy says is asked for each version, as on AWS.
async fn check_caller(
    gate: &Gate,
    request: &S3Request<PutBucketReplicationInput>,
    allowed: &Authorized<PutReplicationConfiguration>,
    (rule, row): (&Rule, &Bucket),
) -> S3Result<()> {
    if row.owner != allowed.bucket().owner {
        return Ok(());
    }
    let prefix = rule.prefix.as_deref().unwrap_or_default();
    let door = gate.open(request, rule.destination.bucket.as_str(), None).await?;
    door.below::<PutObject>(prefix)?;
    if rule.wants_markers() {
        door.below::<DeleteObject>(prefix)?;
    }
    Ok(())
}

fn parse(
    given: ReplicationConfiguration,
    settings: &S3Settings,
    bucket: &Bucket,
) -> S3Result<Replication> {
    let count = given.rules.len();
    if count == 0 || count > RULES_MAX {
        return Err(error::malformed_xml());
    }
    let rules: Vec<Rule> = given
        .rules
        .into_iter()
        .map(|given| rule(given, settings, bucket))
        .collect::<S3Result<_>>()?;
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid_argument("Rule Id must be unique"));
    }
    let mut priorities: Vec<i32> = rules.iter().filter_map(|rule| rule.priority).collect();
    priorities.sort_unstable();
    if priorities.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid_request("Found duplicate priority. Priority must be unique."));
    }
    Ok(Replication { role: given.role, rules })
}

fn rule(given: ReplicationRule, settings: &S3Settings, bucket: &Bucket) -> S3Result<Rule> {
    refuse_what_is_missing(&given)?;
    let enabled = match given.status.as_str() {
        ReplicationRuleStatus::ENABLED => true,
        ReplicationRuleStatus::DISABLED => false,
        _ => return Err(error::malformed_xml()),
    };
    let id = given.id.filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| hex::encode(types::entropy::random_bytes::<16>()));
    let bare_prefix = given.filter.is_none();
    if bare_prefix && given.priority.is_some() && given.prefix.is_none() {
        return Err(error::malformed_xml());
    }
    let (prefix, tags) = match (given.filter, given.prefix) {
        (Some(filter), None) => conditions(filter)?,
        (None, prefix) => (prefix, Vec::new()),
        (Some(_), Some(_)) => return Err(error::malformed_xml()),
    };
    if id.chars().count() > ID_MAX || prefix.as_ref().is_some_and(|text| text.len() > PREFIX_MAX) {
        return Err(invalid_argument("The id or the prefix of a rule is too long."));
    }
    if !bare_prefix && given.priority.is_none() {
        return Err(invalid_request(
            "Priority must be specified for this version of Cross Region Replication configuration schema.",
        ));
    }
    let status = given.delete_marker_replication.and_then(|markers| markers.status);
    let markers = match status.as_ref().map(DeleteMarkerReplicationStatus::as_str) {
        None => None,
        Some(DeleteMarkerReplicationStatus::ENABLED) if !tags.is_empty() => {
            return Err(invalid_request(
                "Delete marker replication is not supported if any Tag filter is specified.",
            ));
        }
        Some(DeleteMarkerReplicationStatus::ENABLED) => Some(true),
        Some(DeleteMarkerReplicationStatus::DISABLED) => Some(false),
        Some(_) => return Err(error::malformed_xml()),
    };
    let destination = destination(given.destination, settings, bucket)?;
    let priority = given.priority;
    Ok(Rule { id, enabled, priority, prefix, tags, bare_prefix, markers, destination })
}

fn destination(
    given: dto::Destination,
    settings: &S3Settings,
    bucket: &Bucket,
) -> S3Result<Destination> {
    let (endpoint, name) = place(&given.bucket)
        .and_then(|(endpoint, name)| Some((endpoint, name.parse().ok()?)))
        .ok_or_else(|| invalid_argument("Invalid bucket ARN"))?;
    let owner_override = match given.access_control_translation.map(|given| given.owner) {
        None => false,
        Some(owner) if owner.as_str() == OVERRIDE => true,
        Some(_) => return Err(error::malformed_xml()),
    };
    if owner_override && (given.account.is_none() || endpoint.is_some()) {
        return Err(invalid_request(
            "Account must be specified for an access control translation, and the destination be here.",
        ));
    }
    if endpoint.is_none() {
        describe::class(settings, bucket, given.storage_class.as_ref())?;
    }
    let class = given.storage_class.map(|class| class.as_str().to_owned());
    let endpoint = endpoint.map(str::to_owned);
    Ok(Destination { bucket: name, account: given.account, class, endpoint, owner_override })
}

/// Endpoint and bucket that an ARN names.
fn place(arn: &str) -> Option<(Option<&str>, &str)> {
    match arn.strip_prefix(ARN) {
        Some(name) => Some((None, name)),
        None => {
            let (endpoint, name) = arn.strip_prefix(ELSEWHERE)?.split_once("::")?;
            Some((Some(endpoint), name))
        }
    }
}

/// The ARN of a destination.
fn arn(destination: &Destination) -> String {
    match &destination.endpoint {
        Some(endpoint) => format!("{ELSEWHERE}{endpoint}::{}", destination.bucket),
        None => format!("{ARN}{}", destination.bucket),
    }
}

/// What AWS has beyond what is done here.
fn refuse_what_is_missing(given: &ReplicationRule) -> S3Result<()> {
    let existing = given.existing_object_replication.as_ref();
    if existing
        .is_some_and(|given| given.status.as_str() == ExistingObjectReplicationStatus::ENABLED)
    {
        return Err(error::later("Replicating objects that are there already"));
    }
    if given.source_selection_criteria.is_some() {
        return Err(error::later("Selecting sources of replication"));
    }
    let to = &given.destination;
    if to.encryption_configuration.is_some() {
        return Err(error::later("Another key for replicas"));
    }
    if to.replication_time.is_some() || to.metrics.is_some() {
        return Err(error::later("Replication time control"));
    }
    Ok(())
}

/// Prefix and tags of a rule.
type Conditions = (Option<String>, Vec<(String, String)>);

fn conditions(filter: ReplicationRuleFilter) -> S3Result<Conditions> {
    let ReplicationRuleFilter { and, prefix, tag } = filter;
    let (prefix, tags) = match (and, prefix, tag) {
        (Some(ReplicationRuleAndOperator { prefix, tags }), None, None) => {
            (prefix, tags.unwrap_or_default())
        }
        (None, prefix, None) => (prefix, Vec::new()),
        (None, None, Some(tag)) => (None, vec![tag]),
        _ => return Err(error::malformed_xml()),
    };
    let pair = |Tag { key, value }: Tag| key.zip(value).ok_or_else(error::malformed_xml);
    Ok((prefix, tags.into_iter().map(pair).collect::<S3Result<_>>()?))
}

fn show(rule: &Rule) -> ReplicationRule {
    let tag = |(key, value): &(String, String)| Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    let prefix = rule.prefix.clone();
    let filter = match rule.tags.as_slice() {
        [] => ReplicationRuleFilter {
            prefix: Some(prefix.clone().unwrap_or_default()),
            ..ReplicationRuleFilter::default()
        },
        [one] if prefix.is_none() => {
            ReplicationRuleFilter { tag: Some(tag(one)), ..ReplicationRuleFilter::default() }
        }
        many => {
            let tags = Some(many.iter().map(tag).collect());
            let and = ReplicationRuleAndOperator { prefix: prefix.clone(), tags };
            ReplicationRuleFilter { and: Some(and), ..ReplicationRuleFilter::default() }
        }
    };
    let word = |on: bool| {
        if on {
            DeleteMarkerReplicationStatus::ENABLED
        } else {
            DeleteMarkerReplicationStatus::DISABLED
        }
    };
    let status =
        if rule.enabled { ReplicationRuleStatus::ENABLED } else { ReplicationRuleStatus::DISABLED };
    ReplicationRule {
        delete_marker_replication: rule.markers.map(|on| DeleteMarkerReplication {
            status: Some(DeleteMarkerReplicationStatus::from_static(word(on))),
        }),
        destination: dto::Destination {
            access_control_translation: rule.destination.owner_override.then(|| {
                dto::AccessControlTranslation { owner: dto::OwnerOverride::from_static(OVERRIDE) }
            }),
            account: rule.destination.account.clone(),
            bucket: arn(&rule.destination),
            encryption_configuration: None,
            metrics: None,
            replication_time: None,
            storage_class: rule.destination.class.clone().map(StorageClass::from),
        },
        existing_object_replication: None,
        filter: (!rule.bare_prefix).then_some(filter),
        id: Some(rule.id.clone()),
        prefix: prefix.filter(|_| rule.bare_prefix),
        priority: rule.priority,
        source_selection_criteria: None,
        status: ReplicationRuleStatus::from_static(status),
    }
}

fn invalid_request(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidRequest, message)
}

fn invalid_argument(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_here_or_at_an_endpoint() {
        assert_eq!(place("arn:aws:s3:::aaa"), Some((None, "aaa")));
        assert_eq!(place("arn:drystone:s3:far::aaa"), Some((Some("far"), "aaa")));
        for bad in ["aaa", "arn:drystone:s3:far:aaa", "arn:aws:sqs:::aaa", ""] {
            assert_eq!(place(bad), None, "{bad}");
        }
        let bucket = "aaa".parse().expect("a name");
        let to = Destination {
            bucket,
            account: None,
            class: None,
            endpoint: Some("far".to_owned()),
            owner_override: false,
        };
        assert_eq!(place(&arn(&to)), Some((Some("far"), "aaa")));
    }
}
