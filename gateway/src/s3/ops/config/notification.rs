//! PutBucketNotificationConfiguration, GetBucketNotificationConfiguration.

use metadata::{Catalog, Task};
use s3s::dto::{
    self, FilterRule, FilterRuleName, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, LambdaFunctionConfiguration,
    NotificationConfiguration, NotificationConfigurationFilter,
    PutBucketNotificationConfigurationInput, PutBucketNotificationConfigurationOutput,
    QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::ID_MAX;
use crate::changes::event_queue;
use crate::configs::Configs;
use crate::http::RequestId;
use crate::rules::notification::{Event, Kind, Notification, Notifications, test_event};
use crate::s3::authorize::{Authorized, Gate, GetBucketNotification, PutBucketNotification};
use crate::s3::{S3Settings, error};

/// The most destinations of a bucket.
const WISHES_MAX: usize = 100;
/// The most bytes of a prefix or suffix.
const FILTER_MAX: usize = 1_024;

pub(in crate::s3) async fn put(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    settings: &S3Settings,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> S3Result<PutBucketNotificationConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketNotification> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let id = request.extensions.get::<RequestId>().map(ToString::to_string).unwrap_or_default();
    let untold = request.input.skip_destination_validation == Some(true);
    let wanted = parse(request.input.notification_configuration, &settings.webhooks)?;
    if wanted.0.is_empty() {
        configs.delete::<Notifications>(&allowed.at()).await.map_err(error::catalog)?;
        return Ok(PutBucketNotificationConfigurationOutput {});
    }
    configs.put(&allowed.at(), &wanted).await.map_err(error::catalog)?;
    let mut webhooks: Vec<&str> = wanted.0.iter().map(|wish| wish.webhook.as_str()).collect();
    webhooks.sort_unstable();
    webhooks.dedup();
    let due = gate.now();
    for webhook in webhooks.into_iter().filter(|_| !untold) {
        let work = test_event(allowed.name(), due, &id);
        let task = Task { queue: event_queue(webhook), due, work };
        catalog.queue(task).await.map_err(error::catalog)?;
    }
    Ok(PutBucketNotificationConfigurationOutput {})
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> S3Result<GetBucketNotificationConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketNotification> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let kept = configs.get::<Notifications>(allowed.id()).await.map_err(error::catalog)?;
    let kept = kept.as_ref().map_or(&[][..], |kept| kept.0.as_slice());
    let of = |kind| kept.iter().filter(move |wish| wish.kind == kind);
    let queues: Vec<_> = of(Kind::Queue)
        .map(|wish| QueueConfiguration {
            events: events(wish),
            filter: filter(wish),
            id: Some(wish.id.clone()),
            queue_arn: wish.arn.clone(),
        })
        .collect();
    let topics: Vec<_> = of(Kind::Topic)
        .map(|wish| TopicConfiguration {
            events: events(wish),
            filter: filter(wish),
            id: Some(wish.id.clone()),
            topic_arn: wish.arn.clone(),
        })
        .collect();
    let functions: Vec<_> = of(Kind::Function)
        .map(|wish| LambdaFunctionConfiguration {
            events: events(wish),
            filter: filter(wish),
            id: Some(wish.id.clone()),
            lambda_function_arn: wish.arn.clone(),
        })
        .collect();
    Ok(GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: None,
        lambda_function_configurations: (!functions.is_empty()).then_some(functions),
        queue_configurations: (!queues.is_empty()).then_some(queues),
        topic_configurations: (!topics.is_empty()).then_some(topics),
    })
}

/// One destination, however it is written.
struct Given {
    kind: Kind,
    arn: String,
    id: Option<String>,
    events: Vec<dto::Event>,
    filter: Option<NotificationConfigurationFilter>,
}

fn parse(given: NotificationConfiguration, webhooks: &[String]) -> S3Result<Notifications> {
    if given.event_bridge_configuration.is_some() {
        return Err(error::later("Event delivery to EventBridge"));
    }
    let queues = given.queue_configurations.into_iter().flatten().map(|queue| Given {
        kind: Kind::Queue,
        arn: queue.queue_arn,
        id: queue.id,
        events: queue.events,
        filter: queue.filter,
    });
    let topics = given.topic_configurations.into_iter().flatten().map(|topic| Given {
        kind: Kind::Topic,
        arn: topic.topic_arn,
        id: topic.id,
        events: topic.events,
        filter: topic.filter,
    });
    let functions = given.lambda_function_configurations.into_iter().flatten();
    let functions = functions.map(|function| Given {
        kind: Kind::Function,
        arn: function.lambda_function_arn,
        id: function.id,
        events: function.events,
        filter: function.filter,
    });
    let all = queues.chain(topics).chain(functions);
    let all: Vec<_> = all.map(|given| wish(given, webhooks)).collect::<S3Result<_>>()?;
    let mut ids: Vec<&str> = all.iter().map(|wish| wish.id.as_str()).collect();
    ids.sort_unstable();
    if all.len() > WISHES_MAX || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(invalid("There are too many configurations, or two with the same id."));
    }
    let all = Notifications(all);
    if all.overlap().is_some() {
        return Err(invalid(
            "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
        ));
    }
    Ok(all)
}

fn wish(given: Given, webhooks: &[String]) -> S3Result<Notification> {
    let Given { kind, arn, id, events, filter } = given;
    let named = arn.strip_prefix("arn:").and_then(|rest| rest.rsplit(':').next());
    let webhook = named.and_then(|name| webhooks.iter().find(|known| *known == name));
    let webhook = webhook
        .cloned()
        .ok_or_else(|| invalid("Unable to validate the following destination configurations"))?;
    let events: Vec<String> = events.into_iter().map(String::from).collect();
    if events.is_empty() {
        return Err(error::malformed_xml());
    }
    let known = |event: &String| Event::ALL.iter().any(|happens| happens.is_wanted(event));
    if !events.iter().all(known) {
        return Err(invalid("The event is not supported for notifications"));
    }
    let id = id.filter(|id| !id.is_empty());
    let id = id.unwrap_or_else(|| hex::encode(types::entropy::random_bytes::<16>()));
    if id.chars().count() > ID_MAX {
        return Err(invalid("The id of a configuration has at most 255 characters."));
    }
    let (prefix, suffix) = read_filter(filter)?;
    Ok(Notification { id, kind, arn, webhook, events, prefix, suffix })
}

fn read_filter(
    filter: Option<NotificationConfigurationFilter>,
) -> S3Result<(Option<String>, Option<String>)> {
    let rules = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules);
    let (mut prefix, mut suffix) = (None, None);
    for FilterRule { name, value } in rules.unwrap_or_default() {
        let (Some(name), Some(value)) = (name, value) else { return Err(error::malformed_xml()) };
        let place = match name.as_str().to_ascii_lowercase().as_str() {
            FilterRuleName::PREFIX => &mut prefix,
            FilterRuleName::SUFFIX => &mut suffix,
            _ => return Err(invalid("filter rule name must be either prefix or suffix")),
        };
        if value.len() > FILTER_MAX || place.replace(value).is_some() {
            return Err(invalid(
                "Cannot specify more than one prefix or suffix rule in a filter, nor one of more than 1,024 bytes.",
            ));
        }
    }
    Ok((prefix, suffix))
}

fn events(wish: &Notification) -> Vec<dto::Event> {
    wish.events.iter().map(|event| dto::Event::from(event.clone())).collect()
}

fn filter(wish: &Notification) -> Option<NotificationConfigurationFilter> {
    let rule = |name, value: &Option<String>| {
        let name = Some(FilterRuleName::from_static(name));
        value.clone().map(|value| FilterRule { name, value: Some(value) })
    };
    let rules =
        [rule(FilterRuleName::PREFIX, &wish.prefix), rule(FilterRuleName::SUFFIX, &wish.suffix)];
    let rules: Vec<FilterRule> = rules.into_iter().flatten().collect();
    let filter_rules = (!rules.is_empty()).then_some(rules)?;
    let key = Some(S3KeyFilter { filter_rules: Some(filter_rules) });
    Some(NotificationConfigurationFilter { key })
}

fn invalid(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut QueueConfiguration)) -> S3Result<Notifications> {
        let mut queue = QueueConfiguration {
            events: vec![dto::Event::from("s3:ObjectCreated:*".to_owned())],
            filter: None,
            id: Some("one".to_owned()),
            queue_arn: "arn:drystone:webhook:us-east-1::hook".to_owned(),
        };
        change(&mut queue);
        let given = NotificationConfiguration {
            queue_configurations: Some(vec![queue]),
            ..NotificationConfiguration::default()
        };
        parse(given, &["hook".to_owned()])
    }

    #[test]
    fn a_destination_is_a_webhook_that_the_operator_named() {
        let kept = with(|_| {}).expect("a configuration");
        assert_eq!((kept.0[0].id.as_str(), kept.0[0].webhook.as_str()), ("one", "hook"));
        let sqs = with(|queue| queue.queue_arn = "arn:aws:sqs:us-east-1:1:hook".to_owned());
        assert_eq!(sqs.expect("any ARN will do").0[0].webhook, "hook");
        for arn in ["arn:aws:sqs:us-east-1:1:other", "hook", ""] {
            let refused = with(|queue| queue.queue_arn = arn.to_owned()).expect_err("refused");
            assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument, "{arn}");
        }
    }

    #[test]
    fn what_never_happens_and_what_is_said_twice_is_refused() {
        let event =
            |name: &str| with(|queue| queue.events = vec![dto::Event::from(name.to_owned())]);
        assert!(event("s3:ObjectTagging:*").is_ok());
        assert!(event("s3:ReducedRedundancyLostObject").is_err());
        assert!(event("s3:*").is_err());
        let rule = |name: &'static str| FilterRule {
            name: Some(FilterRuleName::from_static(name)),
            value: Some("a".to_owned()),
        };
        let filter = |rules: Vec<FilterRule>| {
            with(|queue| {
                let key = Some(S3KeyFilter { filter_rules: Some(rules) });
                queue.filter = Some(NotificationConfigurationFilter { key });
            })
        };
        assert!(filter(vec![rule("Prefix"), rule("suffix")]).is_ok());
        assert!(filter(vec![rule("prefix"), rule("prefix")]).is_err());
        assert!(filter(vec![rule("infix")]).is_err());
    }
}
