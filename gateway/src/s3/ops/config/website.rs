//! PutBucketWebsite, GetBucketWebsite, DeleteBucketWebsite.

use s3s::dto::{
    self, Condition, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput, ErrorDocument,
    GetBucketWebsiteInput, GetBucketWebsiteOutput, IndexDocument, Protocol, PutBucketWebsiteInput,
    PutBucketWebsiteOutput, RedirectAllRequestsTo, WebsiteConfiguration,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::configs::Configs;
use crate::rules::website::{Redirect, Rewrite, RoutingRule, Website};
use crate::s3::authorize::{
    Authorized, DeleteBucketWebsite, Gate, GetBucketWebsite, PutBucketWebsite,
};
use crate::s3::error;

/// The most routing rules of a bucket.
const RULES_MAX: usize = 50;

pub(in crate::s3) async fn put(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<PutBucketWebsiteInput>,
) -> S3Result<PutBucketWebsiteOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketWebsite> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let website = parse(request.input.website_configuration)?;
    configs.put(&allowed.at(), &website).await.map_err(error::catalog)?;
    Ok(PutBucketWebsiteOutput {})
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketWebsiteInput>,
) -> S3Result<GetBucketWebsiteOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketWebsite> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let website = configs.get::<Website>(allowed.id()).await.map_err(error::catalog)?;
    let website = website.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchWebsiteConfiguration))?;
    Ok(show(&website))
}

pub(in crate::s3) async fn delete(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<DeleteBucketWebsiteInput>,
) -> S3Result<DeleteBucketWebsiteOutput> {
    let input = &request.input;
    let allowed: Authorized<DeleteBucketWebsite> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    configs.delete::<Website>(&allowed.at()).await.map_err(error::catalog)?;
    Ok(DeleteBucketWebsiteOutput {})
}

fn parse(given: WebsiteConfiguration) -> S3Result<Website> {
    if let Some(all) = given.redirect_all_requests_to {
        if given.index_document.is_some()
            || given.error_document.is_some()
            || given.routing_rules.is_some()
        {
            return Err(invalid(
                "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
            ));
        }
        let host = Some(all.host_name).filter(|host| !host.is_empty());
        let host = host.ok_or_else(error::malformed_xml)?;
        return Ok(Website::Elsewhere { host, protocol: protocol(all.protocol)? });
    }
    let index = given.index_document.ok_or_else(|| {
        argument(
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
        )
    })?;
    if index.suffix.is_empty() || index.suffix.contains('/') {
        return Err(argument("The IndexDocument Suffix is not well formed"));
    }
    let error = given.error_document.map(|document| document.key);
    if error.as_ref().is_some_and(String::is_empty) {
        return Err(argument("The ErrorDocument Key is not well formed"));
    }
    let rules = given.routing_rules.unwrap_or_default();
    if rules.len() > RULES_MAX {
        return Err(invalid(
            "The number of routing rules must not exceed the allowed limit of 50.",
        ));
    }
    let rules = rules.into_iter().map(rule).collect::<S3Result<_>>()?;
    Ok(Website::Pages { index: index.suffix, error, rules })
}

fn rule(given: dto::RoutingRule) -> S3Result<RoutingRule> {
    let (prefix, status) = match given.condition {
        None => (None, None),
        Some(Condition { http_error_code_returned_equals: None, key_prefix_equals: None }) => {
            return Err(invalid(
                "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.",
            ));
        }
        Some(condition) => {
            let code = condition.http_error_code_returned_equals;
            let message = "The provided HTTP error code is not valid. Valid codes are 4XX or 5XX.";
            (
                condition.key_prefix_equals,
                code.map(|code| status_in(&code, 400..=599, message)).transpose()?,
            )
        }
    };
    let to = given.redirect;
    let key = match (to.replace_key_prefix_with, to.replace_key_with) {
        (None, None) => Rewrite::Keep,
        (Some(prefix), None) => Rewrite::Prefix(prefix),
        (None, Some(key)) => Rewrite::Whole(key),
        (Some(_), Some(_)) => {
            return Err(invalid(
                "You can only define ReplaceKeyPrefix or ReplaceKey but not both.",
            ));
        }
    };
    let message = "The provided HTTP redirect code is not valid. Valid codes are 3XX except 300.";
    let code =
        to.http_redirect_code.map(|code| status_in(&code, 301..=399, message)).transpose()?;
    let protocol = protocol(to.protocol)?;
    if to.host_name.is_none() && protocol.is_none() && code.is_none() && key == Rewrite::Keep {
        return Err(error::malformed_xml());
    }
    Ok(RoutingRule { prefix, status, to: Redirect { host: to.host_name, protocol, code, key } })
}

fn status_in(
    code: &str,
    codes: std::ops::RangeInclusive<u16>,
    message: &'static str,
) -> S3Result<u16> {
    code.parse().ok().filter(|code| codes.contains(code)).ok_or_else(|| invalid(message))
}

fn protocol(given: Option<Protocol>) -> S3Result<Option<String>> {
    match given.as_ref().map(Protocol::as_str) {
        None => Ok(None),
        Some(known @ (Protocol::HTTP | Protocol::HTTPS)) => Ok(Some(known.to_owned())),
        Some(_) => Err(invalid(
            "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.",
        )),
    }
}

fn invalid(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidRequest, message)
}

fn argument(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

fn show(website: &Website) -> GetBucketWebsiteOutput {
    match website {
        Website::Elsewhere { host, protocol } => GetBucketWebsiteOutput {
            redirect_all_requests_to: Some(RedirectAllRequestsTo {
                host_name: host.clone(),
                protocol: protocol.clone().map(Protocol::from),
            }),
            ..GetBucketWebsiteOutput::default()
        },
        Website::Pages { index, error, rules } => GetBucketWebsiteOutput {
            error_document: error.clone().map(|key| ErrorDocument { key }),
            index_document: Some(IndexDocument { suffix: index.clone() }),
            redirect_all_requests_to: None,
            routing_rules: (!rules.is_empty()).then(|| rules.iter().map(show_rule).collect()),
        },
    }
}

fn show_rule(rule: &RoutingRule) -> dto::RoutingRule {
    let condition = Condition {
        http_error_code_returned_equals: rule.status.map(|code| code.to_string()),
        key_prefix_equals: rule.prefix.clone(),
    };
    let (prefix, whole) = match &rule.to.key {
        Rewrite::Keep => (None, None),
        Rewrite::Prefix(prefix) => (Some(prefix.clone()), None),
        Rewrite::Whole(key) => (None, Some(key.clone())),
    };
    dto::RoutingRule {
        condition: (rule.status.is_some() || rule.prefix.is_some()).then_some(condition),
        redirect: dto::Redirect {
            host_name: rule.to.host.clone(),
            http_redirect_code: rule.to.code.map(|code| code.to_string()),
            protocol: rule.to.protocol.clone().map(Protocol::from),
            replace_key_prefix_with: prefix,
            replace_key_with: whole,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> WebsiteConfiguration {
        WebsiteConfiguration {
            index_document: Some(IndexDocument { suffix: "index.html".to_owned() }),
            ..WebsiteConfiguration::default()
        }
    }

    #[test]
    fn a_website_is_shown_as_it_was_given() {
        let given = dto::RoutingRule {
            condition: Some(Condition {
                http_error_code_returned_equals: Some("404".to_owned()),
                key_prefix_equals: Some("docs/".to_owned()),
            }),
            redirect: dto::Redirect {
                http_redirect_code: Some("302".to_owned()),
                replace_key_prefix_with: Some("d/".to_owned()),
                ..dto::Redirect::default()
            },
        };
        let website = parse(WebsiteConfiguration {
            error_document: Some(ErrorDocument { key: "oops.html".to_owned() }),
            routing_rules: Some(vec![given.clone()]),
            ..pages()
        });
        let shown = show(&website.expect("a website"));
        assert_eq!(shown.routing_rules, Some(vec![given]));
        assert_eq!(shown.index_document.map(|index| index.suffix).as_deref(), Some("index.html"));
        assert_eq!(shown.error_document.map(|error| error.key).as_deref(), Some("oops.html"));
    }

    #[test]
    fn what_cannot_be_a_website_is_refused() {
        let code = |given| parse(given).expect_err("refused").code().clone();
        assert_eq!(code(WebsiteConfiguration::default()), S3ErrorCode::InvalidArgument);
        let slash = IndexDocument { suffix: "a/b".to_owned() };
        let given = WebsiteConfiguration { index_document: Some(slash), ..pages() };
        assert_eq!(code(given), S3ErrorCode::InvalidArgument);
        let elsewhere = RedirectAllRequestsTo { host_name: "h".to_owned(), protocol: None };
        let given = WebsiteConfiguration { redirect_all_requests_to: Some(elsewhere), ..pages() };
        assert_eq!(code(given), S3ErrorCode::InvalidRequest);
        let empty = dto::RoutingRule { condition: None, redirect: dto::Redirect::default() };
        let given = WebsiteConfiguration { routing_rules: Some(vec![empty]), ..pages() };
        assert_eq!(code(given), S3ErrorCode::MalformedXML);
    }
}
