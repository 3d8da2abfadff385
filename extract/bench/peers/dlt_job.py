"""Brings a table to a folder of Parquet files with dlt: URL TABLE FOLDER BACKEND."""

import os
import sys

import dlt
from dlt.sources.sql_database import sql_table

url, table, folder, backend = sys.argv[1:5]
os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = "file://" + folder
pipeline = dlt.pipeline("bench", destination="filesystem", dataset_name="lake", pipelines_dir=os.environ["HOME"] + "/dlt")
source = sql_table("postgresql+psycopg2" + url[url.index(":") :], table=table, schema="public", backend=backend)
pipeline.run(source, loader_file_format="parquet", write_disposition="replace")
