// Package dbt brings the team's own dbt project: its models, seeds and snapshots become datasets, its tests become
// their checks, and the team's own dbt builds them, as a process of its own.
//
// Load has dbt parse the project and reads its manifest. An Engine then does the same steps for the runner as the
// native engine does: one dbt process builds everything of a run that can be built, and each step waits for what
// dbt's log says of its own model. So each model has a state, a time, attempts and an error of its own, while dbt
// keeps deciding in which order and how much at once.
//
// dbt never sees what people read. On DuckDB it gets a file of its own with copies of what its models read, which
// this process takes back when dbt has ended; on BigQuery it builds in datasets of the run's own. A process that was
// killed, or that outlives Daybreak, leaves a file or a dataset behind and no harm done. Publishing is Daybreak's.
package dbt
