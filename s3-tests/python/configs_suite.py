"""A bucket's configurations as an infrastructure tool handles them: create, read back equal, change, read back equal, delete all.

usage: configs_suite.py    (endpoint and keys come from the environment, as boto3 reads them)
"""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "configured"


def policy(actions):
    resource = f"arn:aws:s3:::{BUCKET}/*"
    statement = {"Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def lifecycle(days):
    return {
        "Rules": [
            {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": days}},
            {
                "ID": "old",
                "Status": "Disabled",
                "Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "k", "Value": "v"}]}},
                "NoncurrentVersionExpiration": {"NoncurrentDays": days, "NewerNoncurrentVersions": 2},
            },
            {"ID": "parts", "Status": "Enabled", "Filter": {"Prefix": ""}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
        ]
    }


def cors(methods):
    rule = {
        "ID": "page",
        "AllowedHeaders": ["*"],
        "AllowedMethods": methods,
        "AllowedOrigins": ["https://example.com", "https://*.example.org"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 600,
    }
    return {"CORSRules": [rule]}


def encryption():
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]}


def website(page):
    return {
        "IndexDocument": {"Suffix": page},
        "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [{"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}}],
    }


def block(public):
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return dict.fromkeys(names, not public)


def tags(*pairs):
    return {"TagSet": [{"Key": key, "Value": value} for key, value in pairs]}


# Kind, how it is written, two configurations, how it is read back, how it is deleted, and the error when it is not there.
CONFIGS = (
    (
        "policy",
        lambda s3, value: s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(value)),
        (policy("s3:GetObject"), policy(["s3:GetObject", "s3:GetObjectVersion"])),
        lambda s3: json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"]),
        lambda s3: s3.delete_bucket_policy(Bucket=BUCKET),
        "NoSuchBucketPolicy",
    ),
    (
        "lifecycle",
        lambda s3, value: s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=value),
        (lifecycle(30), lifecycle(60)),
        lambda s3: {"Rules": s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]},
        lambda s3: s3.delete_bucket_lifecycle(Bucket=BUCKET),
        "NoSuchLifecycleConfiguration",
    ),
    (
        "cors",
        lambda s3, value: s3.put_bucket_cors(Bucket=BUCKET, CORSConfiguration=value),
        (cors(["GET"]), cors(["GET", "PUT", "POST"])),
        lambda s3: {"CORSRules": s3.get_bucket_cors(Bucket=BUCKET)["CORSRules"]},
        lambda s3: s3.delete_bucket_cors(Bucket=BUCKET),
        "NoSuchCORSConfiguration",
    ),
    (
        "website",
        lambda s3, value: s3.put_bucket_website(Bucket=BUCKET, WebsiteConfiguration=value),
        (website("index.html"), website("start.html")),
        lambda s3: bare(s3.get_bucket_website(Bucket=BUCKET)),
        lambda s3: s3.delete_bucket_website(Bucket=BUCKET),
        "NoSuchWebsiteConfiguration",
    ),
    (
        "tagging",
        lambda s3, value: s3.put_bucket_tagging(Bucket=BUCKET, Tagging=value),
        (tags(("team", "storage")), tags(("cost", "7 + 1 @ home"), ("team", "Größe"))),
        lambda s3: {"TagSet": sorted(s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"], key=lambda tag: tag["Key"])},
        lambda s3: s3.delete_bucket_tagging(Bucket=BUCKET),
        "NoSuchTagSet",
    ),
    (
        "public access block",
        lambda s3, value: s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=value),
        (block(public=True), block(public=False)),
        lambda s3: s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"],
        lambda s3: s3.delete_public_access_block(Bucket=BUCKET),
        "NoSuchPublicAccessBlockConfiguration",
    ),
    (
        "ownership",
        lambda s3, value: s3.put_bucket_ownership_controls(Bucket=BUCKET, OwnershipControls=value),
        tuple({"Rules": [{"ObjectOwnership": rule}]} for rule in ("BucketOwnerPreferred", "BucketOwnerEnforced")),
        lambda s3: s3.get_bucket_ownership_controls(Bucket=BUCKET)["OwnershipControls"],
        lambda s3: s3.delete_bucket_ownership_controls(Bucket=BUCKET),
        "OwnershipControlsNotFoundError",
    ),
)


def bare(answer):
    answer.pop("ResponseMetadata")
    return answer


def absent(code, read, s3):
    try:
        found = read(s3)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{error} instead of {code}"
        return
    raise AssertionError(f"still there: {found}")


def switches(s3):
    """What can be set and changed, but not deleted."""
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    for status in ("Enabled", "Suspended", "Enabled"):
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == status
    for payer in ("Requester", "BucketOwner"):
        s3.put_bucket_request_payment(Bucket=BUCKET, RequestPaymentConfiguration={"Payer": payer})
        assert s3.get_bucket_request_payment(Bucket=BUCKET)["Payer"] == payer
    # Deleting brings back what every bucket has: encryption with the service's own keys.
    for _ in range(2):
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=encryption())
        found = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
        assert found["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, found
    s3.delete_bucket_encryption(Bucket=BUCKET)


def main():
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", config=config)
    s3.create_bucket(Bucket=BUCKET)
    switches(s3)
    print("ok switches")
    for kind, write, values, read, delete, code in CONFIGS:
        absent(code, read, s3)
        for value in values:
            # Twice: applying what is there already changes nothing.
            for _ in range(2):
                write(s3, value)
                assert read(s3) == value, f"{kind}: {read(s3)} instead of {value}"
        delete(s3)
        absent(code, read, s3)
        delete(s3)
        print("ok", kind)
    s3.delete_bucket(Bucket=BUCKET)
    assert s3.list_buckets()["Buckets"] == []


if __name__ == "__main__":
    main()
