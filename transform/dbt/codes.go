package dbt

import "github.com/daybreak-data/daybreak/internal/elt"

// The codes of this package; docs/runbook.md explains them.
const (
	CodeNotFound       elt.Code = "dbt_not_found"
	CodeProjectMissing elt.Code = "dbt_project_missing"
	CodeAdapterMissing elt.Code = "dbt_adapter_missing"
	CodeParse          elt.Code = "dbt_parse_failed"
	CodeArtifact       elt.Code = "dbt_artifact"
	CodeModelFailed    elt.Code = "dbt_model_failed"
	CodeFailed         elt.Code = "dbt_failed"
	CodeKilled         elt.Code = "dbt_killed"
	CodeIncomplete     elt.Code = "dbt_incomplete"
	CodeElsewhere      elt.Code = "dbt_source_elsewhere"
	CodeNotApart       elt.Code = "dbt_not_apart"
	CodeInputMissing   elt.Code = "dbt_input_missing"

	codeUnitTest elt.Code = "dbt_unit_test_failed"
	codeDiskFull elt.Code = "disk_full"
	codeMemory   elt.Code = "out_of_memory"
	codeBudget   elt.Code = "over_budget"
)
