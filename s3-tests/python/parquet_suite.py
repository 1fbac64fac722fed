"""Tables in Parquet, as analysts keep them: written and read over s3:// by pyarrow and pandas, and queried by DuckDB, which fetches ranges.

usage: parquet_suite.py ROWS    (endpoint and keys come from the environment)
"""

import os
import sys
import urllib.parse

import boto3
import duckdb
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
from duckdb_extensions import import_extension

BUCKET = "tables"
ENDPOINT = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc
KEY, SECRET = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]


def table(rows):
    numbers = range(rows)
    return pandas.DataFrame(
        {
            "id": numbers,
            "city": [("Bern", "Köln", "Łódź")[number % 3] for number in numbers],
            "value": [number * 0.25 for number in numbers],
        }
    )


def arrow(frame):
    """AWS's C++ SDK, which uploads in parts and reads in ranges."""
    files = pyarrow.fs.S3FileSystem(
        access_key=KEY, secret_key=SECRET, endpoint_override=ENDPOINT, scheme="http", region="us-east-1"
    )
    whole = pyarrow.Table.from_pandas(frame)
    pyarrow.parquet.write_table(whole, f"{BUCKET}/one.parquet", filesystem=files, row_group_size=20_000)
    assert pyarrow.parquet.read_table(f"{BUCKET}/one.parquet", filesystem=files).equals(whole)
    column = pyarrow.parquet.read_table(f"{BUCKET}/one.parquet", filesystem=files, columns=["value"])
    assert column.column_names == ["value"] and column.num_rows == len(frame)
    pyarrow.parquet.write_to_dataset(whole, f"{BUCKET}/parts", filesystem=files, partition_cols=["city"])
    parts = pyarrow.dataset.dataset(f"{BUCKET}/parts", filesystem=files, partitioning="hive")
    assert parts.count_rows() == len(frame)
    bern = parts.to_table(filter=pyarrow.dataset.field("city") == "Bern")
    assert bern.num_rows == (frame["city"] == "Bern").sum()
    files.move(f"{BUCKET}/one.parquet", f"{BUCKET}/moved.parquet")
    assert files.get_file_info(f"{BUCKET}/one.parquet").type == pyarrow.fs.FileType.NotFound
    return files


def pandas_reads(frame, files):
    pandas.testing.assert_frame_equal(pandas.read_parquet(f"{BUCKET}/moved.parquet", filesystem=files), frame)
    frame.to_parquet(f"{BUCKET}/pandas.parquet", filesystem=files)


def duck(frame):
    connection = duckdb.connect()
    # The extension comes as a package: nothing is downloaded while a test runs.
    import_extension("httpfs", con=connection)
    connection.execute("LOAD httpfs")
    connection.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{KEY}', SECRET '{SECRET}', ENDPOINT '{ENDPOINT}', URL_STYLE 'path', USE_SSL false,"
        " REGION 'us-east-1')"
    )
    ask = lambda query: connection.execute(query).fetchall()
    assert ask(f"SELECT count(*), sum(id) FROM 's3://{BUCKET}/pandas.parquet'") == [(len(frame), int(frame["id"].sum()))]
    counted = dict(ask(f"SELECT city, count(*) FROM read_parquet('s3://{BUCKET}/parts/*/*.parquet', hive_partitioning = true) GROUP BY city"))
    assert counted == frame.groupby("city").size().to_dict(), counted
    connection.execute(f"COPY (SELECT id, value FROM 's3://{BUCKET}/moved.parquet' WHERE id % 2 = 0) TO 's3://{BUCKET}/even.parquet'")
    assert ask(f"SELECT count(*), max(value) FROM 's3://{BUCKET}/even.parquet'") == [((len(frame) + 1) // 2, (len(frame) - 1) // 2 * 0.5)]


def main():
    frame = table(int(sys.argv[1]))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    files = arrow(frame)
    print("ok pyarrow", pyarrow.__version__)
    pandas_reads(frame, files)
    print("ok pandas", pandas.__version__)
    duck(frame)
    print("ok DuckDB", duckdb.__version__)
    files.delete_dir_contents(BUCKET)
    s3.delete_bucket(Bucket=BUCKET)
    assert BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


if __name__ == "__main__":
    main()
