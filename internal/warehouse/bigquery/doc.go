// Package bigquery is the warehouse on Google BigQuery.
//
// A run loads into tables of the staging dataset whose names are functions of what is loaded, one load job for
// each part under an ID that is a function of the part, so that an attempt which is repeated finds the jobs of
// the one before instead of loading a row twice. What the run staged is read under one fixed name, a view, that
// is pointed at the table once it is whole. Publishing copies that table over the published one, which BigQuery
// does at once and for free, or merges it by a transaction of DML that also checks the fence and records the
// version. What was published, and under which fence, is in the dataset _daybreak.
//
// BigQuery runs everything as jobs, which outlive the call, the connection and the process that asked for them.
// run is the one place that inserts, finds again, waits for, repeats and cancels them.
package bigquery
