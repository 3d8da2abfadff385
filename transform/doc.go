// Package transform builds and tests the models of a workspace's sql folder.
//
// Parse reads models, macros, tests, seeds and schema.yml with dbt's idioms, finds what every model is
// made from by rendering it, and says everything that is wrong at once, by file and line, before any SQL
// runs. An Engine then works dataset by dataset for the runner: it renders a model for one run and one
// data date, has the warehouse build it in the run's staging, tests it there, and says how it is to be
// published. What runs when, and how much at a time, is the runner's business.
//
// SQL sees the night's interval as three texts: {{ data_date }} (2026-11-20), {{ window_start }} and
// {{ window_end }} (2026-11-20 00:00:00+00:00, half-open), so that a rerun of a date gives the same SQL.
package transform
