//! PutBucketCors, GetBucketCors, DeleteBucketCors.

use s3s::dto::{
    CORSRule, DeleteBucketCorsInput, DeleteBucketCorsOutput, GetBucketCorsInput,
    GetBucketCorsOutput, PutBucketCorsInput, PutBucketCorsOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::ID_MAX;
use crate::configs::Configs;
use crate::rules::cors::{Cors, CorsRule};
use crate::s3::authorize::{Authorized, Gate, GetBucketCORS, PutBucketCORS};
use crate::s3::error;

/// The most rules of a bucket.
const RULES_MAX: usize = 100;
/// What a rule may allow.
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];

pub(in crate::s3) async fn put(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<PutBucketCorsInput>,
) -> S3Result<PutBucketCorsOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketCORS> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let cors = parse(request.input.cors_configuration.cors_rules)?;
    configs.put(&allowed.at(), &cors).await.map_err(error::catalog)?;
    Ok(PutBucketCorsOutput {})
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketCorsInput>,
) -> S3Result<GetBucketCorsOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketCORS> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let cors = configs.get::<Cors>(allowed.id()).await.map_err(error::catalog)?;
    let cors = cors.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchCORSConfiguration))?;
    Ok(GetBucketCorsOutput { cors_rules: Some(cors.rules.iter().map(show).collect()) })
}

pub(in crate::s3) async fn delete(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<DeleteBucketCorsInput>,
) -> S3Result<DeleteBucketCorsOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketCORS> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    configs.delete::<Cors>(&allowed.at()).await.map_err(error::catalog)?;
    Ok(DeleteBucketCorsOutput {})
}

fn parse(rules: Vec<CORSRule>) -> S3Result<Cors> {
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(error::malformed_xml());
    }
    Ok(Cors { rules: rules.into_iter().map(rule).collect::<S3Result<_>>()? })
}

fn rule(rule: CORSRule) -> S3Result<CorsRule> {
    let headers = rule.allowed_headers.unwrap_or_default();
    let exposed = rule.expose_headers.unwrap_or_default();
    if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
        return Err(error::malformed_xml());
    }
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > ID_MAX) {
        return Err(error::malformed_xml());
    }
    if let Some(method) = rule.allowed_methods.iter().find(|method| !METHODS.contains(&&***method))
    {
        return Err(invalid(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
        )));
    }
    one_wildcard("AllowedOrigin", &rule.allowed_origins)?;
    one_wildcard("AllowedHeader", &headers)?;
    if let Some(header) = exposed.iter().find(|header| header.contains('*')) {
        return Err(invalid(format!(
            "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for ExposeHeader."
        )));
    }
    let max_age = rule.max_age_seconds.map(u32::try_from).transpose();
    Ok(CorsRule {
        id: rule.id,
        origins: rule.allowed_origins,
        methods: rule.allowed_methods,
        headers,
        exposed,
        max_age: max_age.map_err(|_| error::malformed_xml())?,
    })
}

fn one_wildcard(what: &str, patterns: &[String]) -> S3Result<()> {
    match patterns.iter().find(|pattern| pattern.matches('*').count() > 1) {
        None => Ok(()),
        Some(pattern) => {
            Err(invalid(format!("{what} \"{pattern}\" can not have more than one wildcard.")))
        }
    }
}

fn invalid(message: String) -> S3Error {
    error::refuse(S3ErrorCode::InvalidRequest, message)
}

fn show(rule: &CorsRule) -> CORSRule {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    CORSRule {
        allowed_headers: some(&rule.headers),
        allowed_methods: rule.methods.clone(),
        allowed_origins: rule.origins.clone(),
        expose_headers: some(&rule.exposed),
        id: rule.id.clone(),
        max_age_seconds: rule.max_age.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut CORSRule)) -> S3Result<Cors> {
        let mut rule = CORSRule {
            allowed_methods: vec!["GET".to_owned()],
            allowed_origins: vec!["http://*.example.com".to_owned()],
            ..CORSRule::default()
        };
        change(&mut rule);
        parse(vec![rule])
    }

    #[test]
    fn a_rule_is_shown_as_it_was_given() {
        let kept = with(|rule| {
            rule.id = Some("one".to_owned());
            rule.allowed_headers = Some(vec!["x-*".to_owned()]);
            rule.max_age_seconds = Some(3000);
        });
        let shown = show(&kept.expect("a configuration").rules[0]);
        assert_eq!(shown.id.as_deref(), Some("one"));
        assert_eq!(shown.allowed_headers, Some(vec!["x-*".to_owned()]));
        assert_eq!(shown.expose_headers, None);
        assert_eq!(shown.max_age_seconds, Some(3000));
    }

    #[test]
    fn what_cannot_be_a_rule_is_refused() {
        let code = |kept: S3Result<Cors>| kept.expect_err("refused").code().clone();
        assert_eq!(code(parse(Vec::new())), S3ErrorCode::MalformedXML);
        assert_eq!(code(with(|rule| rule.allowed_methods.clear())), S3ErrorCode::MalformedXML);
        let method = with(|rule| rule.allowed_methods.push("OPTIONS".to_owned()));
        assert_eq!(code(method), S3ErrorCode::InvalidRequest);
        let origin = with(|rule| rule.allowed_origins.push("*.b.*".to_owned()));
        assert_eq!(code(origin), S3ErrorCode::InvalidRequest);
        let exposed = with(|rule| rule.expose_headers = Some(vec!["x-*".to_owned()]));
        assert_eq!(code(exposed), S3ErrorCode::InvalidRequest);
        assert_eq!(code(with(|rule| rule.max_age_seconds = Some(-1))), S3ErrorCode::MalformedXML);
    }
}
