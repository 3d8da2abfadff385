package transform

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daybreak-data/daybreak/internal/elt"
)

func TestCodeResolvesReferencesAlone(t *testing.T) {
	p := &Project{options: Options{Schema: "analytics"}, models: map[elt.DatasetName]*model{
		"plain": {source: "{{ config(materialized='table') }}\nselect * from {{ ref('stg') }} join {{ source('shop', 'users') }} using (id)\n"},
		"rich":  {source: "select {{ var('x') }} from {{ ref('stg') }}"},
	}, tables: map[elt.DatasetName]elt.Dataset{"shop.users": {}}}
	for name, want := range map[elt.DatasetName]string{
		"plain": "select * from analytics.stg join shop.users using (id)", "rich": "", "unheard_of": "",
	} {
		source, query := p.Code(name)
		if diff := cmp.Diff(want, query); diff != "" || (name != "unheard_of") != (source != "") {
			t.Errorf("%s: %s %q", name, diff, source)
		}
	}
}
