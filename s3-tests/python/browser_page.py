"""Makes a bucket, and the page that uploads a file to it from a browser: first by fetch, whose answer CORS must let the page see, then by a form
that the browser sends itself.

usage: browser_page.py BUCKET SIZE PAGE    (endpoint and keys come from the environment, as boto3 reads them)
"""

import json
import sys

import boto3
from botocore.config import Config

PAGE = """<!doctype html>
<form id="form" method="post" enctype="multipart/form-data" target="frame"></form>
<iframe name="frame"></iframe>
<pre id="said"></pre>
<script>
const posts = POSTS;
const said = (text) => document.getElementById("said").append(text + "\\n");
const bytes = new Uint8Array(SIZE).map((_, at) => at % 251);
const file = new File([bytes], "grüße & more.bin", {type: "a/b"});
async function byFetch(post) {
  const data = new FormData();
  for (const [name, value] of Object.entries(post.fields)) data.append(name, value);
  data.append("file", file);
  const answer = await fetch(post.url, {method: "POST", body: data});
  const text = await answer.text();
  said(`fetch ${answer.status} ${answer.headers.has("etag")} ${text.includes("<PostResponse")}`);
}
function byForm(post) {
  const form = document.getElementById("form");
  form.action = post.url;
  for (const [name, value] of Object.entries(post.fields)) {
    const field = document.createElement("input");
    [field.type, field.name, field.value] = ["hidden", name, value];
    form.append(field);
  }
  const input = document.createElement("input");
  [input.type, input.name] = ["file", "file"];
  const chosen = new DataTransfer();
  chosen.items.add(file);
  input.files = chosen.files;
  form.append(input);
  document.querySelector("iframe").onload = () => said("form sent");
  form.submit();
}
byFetch(posts[0]).catch((error) => said(`fetch failed: ${error}`)).then(() => byForm(posts[1]));
</script>
"""


def main():
    bucket, size, page = sys.argv[1:]
    # Forms signed the old way are off unless the operator says otherwise.
    s3 = boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    s3.create_bucket(Bucket=bucket)
    # A page from a file has no origin of its own.
    rule = {"AllowedMethods": ["POST"], "AllowedOrigins": ["null"], "ExposeHeaders": ["ETag"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})

    def post(key):
        fields = {"success_action_status": "201"}
        conditions = [fields, ["content-length-range", 1, 1 << 20]]
        return s3.generate_presigned_post(bucket, key, Fields=fields, Conditions=conditions, ExpiresIn=300)

    posts = [post("by-fetch"), post("by form/${filename}")]
    with open(page, "w", encoding="utf-8") as file:
        file.write(PAGE.replace("POSTS", json.dumps(posts)).replace("SIZE", size))


if __name__ == "__main__":
    main()
