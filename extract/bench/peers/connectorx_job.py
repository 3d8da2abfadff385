"""Reads a table with ConnectorX into Arrow and writes it as Parquet: URL TABLE FOLDER PARTITIONS COLUMN."""

import sys

import connectorx
import pyarrow.parquet

url, table, folder, partitions, column = sys.argv[1:6]
split = {"partition_on": column, "partition_num": int(partitions)} if int(partitions) > 1 else {}
rows = connectorx.read_sql(url, f"SELECT * FROM {table}", return_type="arrow", **split)
pyarrow.parquet.write_table(
    rows, f"{folder}/{table}.parquet", compression="zstd", compression_level=1, row_group_size=122880
)
