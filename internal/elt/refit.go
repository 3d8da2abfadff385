package elt

import (
	"fmt"
	"slices"
)

// SchemaPolicy is what becomes of an incremental model whose SELECT gives other columns than those that are published.
type SchemaPolicy string

// The policies. An empty one is SchemaFail.
const (
	SchemaFail   SchemaPolicy = "fail"               // the model is held back
	SchemaIgnore SchemaPolicy = "ignore"             // new columns are left out
	SchemaAppend SchemaPolicy = "append_new_columns" // new columns come in; those that are gone stay, NULL in new rows
	SchemaSync   SchemaPolicy = "sync_all_columns"   // the published columns become those of the SELECT
)

// SchemaPolicies are all of them.
var SchemaPolicies = []SchemaPolicy{SchemaFail, SchemaIgnore, SchemaAppend, SchemaSync}

// Refit is what it takes for the rows of a model's SELECT to join those that are published.
type Refit struct {
	Changes []SchemaChange
	Take    []string // the columns of the SELECT that are taken
	Absent  Schema   // published columns that it has not: NULL in its rows
	Retyped Schema   // published columns that become of another type, as they are published
}

// Plain reports whether the SELECT can be taken as it is.
func (r Refit) Plain() bool { return len(r.Changes) == 0 }

// Refit compares what is published of a model with its SELECT. fits reports whether a published column holds the SELECT's
// as it is. refused are the differences that the policy does not allow; columns of the key keep their types.
func (p SchemaPolicy) Refit(table, query Schema, key []string, fits func(table, query Column) bool) (r Refit, refused []string) {
	note := func(kind ChangeKind, column, from, to string) {
		r.Changes = append(r.Changes, SchemaChange{Column: column, Kind: kind, From: from, To: to, Model: true})
	}
	for _, was := range table {
		is, there := query.Column(was.Name)
		switch {
		case there && fits(was, is):
		case there && p == SchemaSync && !slices.Contains(key, was.Name):
			note(TypeReplaced, was.Name, was.Type.String(), is.Type.String())
			r.Retyped = append(r.Retyped, was)
		case there:
			refused = append(refused, fmt.Sprintf("column %q was %s and is %s", was.Name, was.Type, is.Type))
		case p == SchemaSync:
			note(ColumnDropped, was.Name, was.Type.String(), "")
		case p == SchemaAppend:
			note(ColumnKept, was.Name, was.Type.String(), "")
			r.Absent = append(r.Absent, was)
		default:
			refused = append(refused, fmt.Sprintf("column %q is gone", was.Name))
		}
	}
	for _, is := range query {
		if _, there := table.Column(is.Name); !there {
			switch p {
			case SchemaAppend, SchemaSync:
				note(ColumnAdded, is.Name, "", is.Type.String())
			case SchemaIgnore:
				note(ColumnIgnored, is.Name, "", is.Type.String())
				continue
			default:
				refused = append(refused, fmt.Sprintf("column %q is new", is.Name))
			}
		}
		r.Take = append(r.Take, is.Name)
	}
	return r, refused
}
