// Package bench measures the load of one table into DuckDB next to the least that DuckDB can do with the same files.
package bench
