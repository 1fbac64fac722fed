"""What programs in the field do with boto3, with its default settings: checksums included, as today's SDKs send them.

usage: boto3_suite.py FILES LARGE    (endpoint and keys come from the environment, as boto3 reads them)

Plain asserts; prints a line per theme, and the first failure ends it.
"""

import concurrent.futures
import hashlib
import io
import json
import random
import sys
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1 << 20


def content(seed, length):
    """The same bytes for the same seed."""
    return random.Random(seed).randbytes(length)


def expect(status, code, call, **arguments):
    """The call must fail like this."""
    try:
        answer = call(**arguments)
    except ClientError as error:
        got = (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
        assert got == (status, code), f"{got} instead of {(status, code)}: {error}"
        return
    raise AssertionError(f"no error, but {answer}")


def buckets(s3):
    s3.create_bucket(Bucket="boto-bucket")
    s3.head_bucket(Bucket="boto-bucket")
    assert s3.get_bucket_location(Bucket="boto-bucket")["LocationConstraint"] in (None, "us-east-1")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["boto-bucket"]
    expect(404, "NoSuchBucket", s3.list_objects_v2, Bucket="no-such-bucket")
    expect(404, "404", s3.head_bucket, Bucket="no-such-bucket")
    expect(400, "InvalidBucketName", s3.create_bucket, Bucket="Bad_Name")


def objects(s3):
    for length in (0, 1, 16384, 16385, 65520, 65536, 262081, 3 * MIB):
        body = content(length, length)
        put = s3.put_object(Bucket="boto-bucket", Key="a b/ü+&", Body=body, Metadata={"k": "v w"}, ContentType="a/b")
        assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"', length
        # The SDK adds a CRC by default; the server must have kept it.
        assert any(name.startswith("Checksum") for name in put), put
        got = s3.get_object(Bucket="boto-bucket", Key="a b/ü+&")
        assert got["Body"].read() == body, length
        assert (got["Metadata"], got["ContentType"], got["ContentLength"]) == ({"k": "v w"}, "a/b", length)
    # From a stream, the SDK sends aws-chunked with a trailer.
    body = content(1, 700_000)
    s3.put_object(Bucket="boto-bucket", Key="stream", Body=io.BytesIO(body))
    assert s3.get_object(Bucket="boto-bucket", Key="stream", Range="bytes=100000-100099")["Body"].read() == body[100000:100100]
    expect(416, "InvalidRange", s3.get_object, Bucket="boto-bucket", Key="stream", Range="bytes=700000-")
    expect(404, "NoSuchKey", s3.get_object, Bucket="boto-bucket", Key="missing")
    expect(404, "404", s3.head_object, Bucket="boto-bucket", Key="missing")


def checksums(s3):
    body = content(2, 300_000)
    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"):
        if algorithm in ("CRC32C", "CRC64NVME") and not has_crt():
            continue
        put = s3.put_object(Bucket="boto-bucket", Key="sum", Body=body, ChecksumAlgorithm=algorithm)
        head = s3.head_object(Bucket="boto-bucket", Key="sum", ChecksumMode="ENABLED")
        assert put[f"Checksum{algorithm}"] == head[f"Checksum{algorithm}"]
    attributes = s3.get_object_attributes(Bucket="boto-bucket", Key="sum", ObjectAttributes=["ETag", "Checksum", "ObjectSize"])
    assert attributes["ObjectSize"] == len(body)
    expect(400, "BadDigest", s3.put_object, Bucket="boto-bucket", Key="sum", Body=b"x", ChecksumSHA256="A" * 43 + "=")
    expect(400, "BadDigest", s3.put_object, Bucket="boto-bucket", Key="sum", Body=b"x", ContentMD5="A" * 22 + "==")
    assert s3.get_object(Bucket="boto-bucket", Key="sum")["Body"].read() == body


def has_crt():
    try:
        import awscrt  # noqa: F401
    except ImportError:
        return False
    return True


def conditions(s3):
    first = s3.put_object(Bucket="boto-bucket", Key="cond", Body=b"one", IfNoneMatch="*")
    expect(412, "PreconditionFailed", s3.put_object, Bucket="boto-bucket", Key="cond", Body=b"two", IfNoneMatch="*")
    s3.put_object(Bucket="boto-bucket", Key="cond", Body=b"two", IfMatch=first["ETag"])
    expect(412, "PreconditionFailed", s3.put_object, Bucket="boto-bucket", Key="cond", Body=b"x", IfMatch=first["ETag"])
    expect(412, "PreconditionFailed", s3.get_object, Bucket="boto-bucket", Key="cond", IfMatch=first["ETag"])
    expect(304, "304", s3.get_object, Bucket="boto-bucket", Key="cond", IfNoneMatch=f'"{hashlib.md5(b"two").hexdigest()}"')


def transfers(s3, large):
    body = content(3, large) if large <= 64 * MIB else content(3, MIB) * (large // MIB)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(body), "boto-bucket", "large", Config=config)
    head = s3.head_object(Bucket="boto-bucket", Key="large")
    assert head["ETag"].endswith('-%d"' % -(-len(body) // (8 * MIB))), head["ETag"]
    back = io.BytesIO()
    s3.download_fileobj("boto-bucket", "large", back, Config=config)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(body).digest()
    s3.copy({"Bucket": "boto-bucket", "Key": "large"}, "boto-bucket", "copied", Config=config)
    got = s3.get_object(Bucket="boto-bucket", Key="copied")["Body"]
    whole = hashlib.sha256()
    for piece in got.iter_chunks(MIB):
        whole.update(piece)
    assert whole.digest() == hashlib.sha256(body).digest()
    s3.copy_object(Bucket="boto-bucket", Key="copied", CopySource="boto-bucket/stream", MetadataDirective="REPLACE", Metadata={"n": "1"})
    assert s3.head_object(Bucket="boto-bucket", Key="copied")["Metadata"] == {"n": "1"}


def multipart(s3):
    upload = s3.create_multipart_upload(Bucket="boto-bucket", Key="mp", ChecksumAlgorithm="SHA256")["UploadId"]
    where = {"Bucket": "boto-bucket", "Key": "mp", "UploadId": upload}
    pieces = [content(10, 5 * MIB), content(11, 5 * MIB), content(12, 1234)]
    parts = []
    for number, piece in enumerate(pieces, 1):
        part = s3.upload_part(**where, PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256")
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    assert [part["Size"] for part in s3.list_parts(**where)["Parts"]] == [len(piece) for piece in pieces]
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket="boto-bucket")["Uploads"]] == [upload]
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert done["ChecksumSHA256"].endswith("-3"), done
    assert s3.get_object(Bucket="boto-bucket", Key="mp")["Body"].read() == b"".join(pieces)
    assert s3.get_object(Bucket="boto-bucket", Key="mp", PartNumber=2)["Body"].read() == pieces[1]
    where["UploadId"] = s3.create_multipart_upload(Bucket="boto-bucket", Key="mp")["UploadId"]
    s3.abort_multipart_upload(**where)
    expect(404, "NoSuchUpload", s3.list_parts, **where)


def presigned(s3):
    # In us-east-1 boto3 presigns with version 2 unless told otherwise.
    s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    put = s3.generate_presigned_url("put_object", {"Bucket": "boto-bucket", "Key": "pre signed"}, ExpiresIn=60)
    with urllib.request.urlopen(urllib.request.Request(put, data=b"by url", method="PUT")) as answer:
        assert answer.status == 200
    get = s3.generate_presigned_url("get_object", {"Bucket": "boto-bucket", "Key": "pre signed"}, ExpiresIn=60)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"by url"
    try:
        urllib.request.urlopen(get.replace("pre%20signed", "stream"))
        raise AssertionError("a URL for one key opened another")
    except urllib.error.HTTPError as error:
        assert error.code == 403, error.code


def tree(s3, count):
    names = [f"tree/{index % 9}/file {index:05}" for index in range(count)]

    def put(numbered):
        index, name = numbered
        s3.put_object(Bucket="boto-bucket", Key=name, Body=content(index, index * 131 % 20000))

    def check(numbered):
        index, name = numbered
        assert s3.get_object(Bucket="boto-bucket", Key=name)["Body"].read() == content(index, index * 131 % 20000), name

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, enumerate(names)))
        list(pool.map(check, enumerate(names)))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="boto-bucket", Prefix="tree/", PaginationConfig={"PageSize": 300})
    assert [one["Key"] for page in pages for one in page["Contents"]] == sorted(names)
    folders = s3.list_objects(Bucket="boto-bucket", Prefix="tree/", Delimiter="/")["CommonPrefixes"]
    assert [folder["Prefix"] for folder in folders] == [f"tree/{index}/" for index in range(9)]


def clean_up(s3):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="boto-bucket"):
        keys = [{"Key": one["Key"]} for one in page["Contents"]]
        answer = s3.delete_objects(Bucket="boto-bucket", Delete={"Objects": keys})
        assert len(answer["Deleted"]) == len(keys) and "Errors" not in answer, json.dumps(answer.get("Errors"))
    s3.delete_bucket(Bucket="boto-bucket")
    assert s3.list_buckets()["Buckets"] == []


def main():
    count, large = int(sys.argv[1]), int(sys.argv[2])
    # One attempt: a server that needs retries is not well.
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=16)
    s3 = boto3.client("s3", config=config)
    print("boto3", boto3.__version__)
    for theme in (buckets, objects, checksums, conditions, multipart, presigned):
        theme(s3)
        print("ok", theme.__name__)
    transfers(s3, large)
    print("ok transfers")
    tree(s3, count)
    print("ok tree")
    clean_up(s3)
    print("ok clean_up")


if __name__ == "__main__":
    main()
