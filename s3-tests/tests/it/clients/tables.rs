//! Parquet over `s3://`: pyarrow, pandas and DuckDB.

use drystone_s3_tests::scaled;
use drystone_s3_tests::tools::{Tool, python, script};

use super::cluster;

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_written_read_and_queried_over_s3() {
    let Some(cluster) = cluster("pyarrow, pandas, DuckDB").await else { return };
    let tool = Tool::new(&cluster, "tables");
    let rows = scaled(200_000, 5_000_000).to_string();
    print!("{}", tool.run(python(), &[&script("parquet_suite.py"), &rows]));
}
