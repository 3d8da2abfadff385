package transform

import "github.com/daybreak-data/daybreak/internal/elt"

// The codes of problems with a project's files.
const (
	CodeTemplate        elt.Code = "template_refused"
	CodeUnreadable      elt.Code = "model_unreadable"
	CodeStrayFile       elt.Code = "stray_file"
	CodeModelName       elt.Code = "model_name"
	CodeNameTaken       elt.Code = "name_taken"
	CodeDuplicateModel  elt.Code = "duplicate_model"
	CodeRelationTaken   elt.Code = "relation_taken"
	CodeEmptyFile       elt.Code = "model_empty"
	CodeUnknownRef      elt.Code = "unknown_ref"
	CodeUnknownSource   elt.Code = "unknown_source"
	CodeDisabledRef     elt.Code = "disabled_ref"
	CodeUnknownVar      elt.Code = "unknown_var"
	CodeCycle           elt.Code = "model_cycle"
	CodeConfig          elt.Code = "model_config"
	CodeAppend          elt.Code = "append_repeats"
	CodeUnknownModel    elt.Code = "unknown_model"
	CodeSchema          elt.Code = "schema_file"
	CodeTest            elt.Code = "test_invalid"
	CodeTestOrder       elt.Code = "test_order"
	CodeUnknownSelector elt.Code = "unknown_selector"
	CodeUnsupported     elt.Code = "dbt_unsupported"
	CodeProjectFile     elt.Code = "dbt_project_file"
)

// The codes of errors of the engine.
const (
	CodeModelRefused  elt.Code = "model_refused"
	CodeTestRefused   elt.Code = "test_refused"
	CodeTestFailed    elt.Code = "test_failed"
	CodeRefUndeclared elt.Code = "ref_undeclared"
	CodeContract      elt.Code = "contract_broken"
)
